"""Runs, their files and their comparison: budgets, figures, what a gate or a comparison says."""

from __future__ import annotations

from tests.mutations.mutation import Mutations

RUNNING = Mutations()

change = RUNNING.of("jacbench/comparing/cell_change.py", "tests/comparing/test_compare.py")
change(
    "a comparison calls slower by the estimate alone",
    "if time.ratio > limit and time.low > 1:",
    "if time.ratio > limit:",
)
change(
    "a comparison calls faster by the estimate alone",
    "if time.ratio < 1 / limit and time.high < 1:",
    "if time.ratio < 1 / limit:",
)
change(
    "a comparison calls slower whatever is not the same",
    "if time.ratio > limit and time.low > 1:",
    "if time.low > 1:",
)
change(
    "a comparison calls the same by the estimate alone",
    "within = 1 / limit <= time.low and time.high <= limit",
    "within = 1 / limit <= time.ratio <= limit",
)
change(
    "a comparison says slower without an interval",
    "return Outcome.INCONCLUSIVE\n    if time.ratio > limit",
    "return Outcome.SLOWER if (time.ratio or 0) > limit else Outcome.SAME\n"
    "    if time.ratio > limit",
)
change("three rounds have an interval", "if rounds < MIN_ROUNDS:", "if rounds < 1:")
change(
    "a known fault is no worse than agreeing",
    "if after is Verdict.KNOWN_FAULT and before is Verdict.AGREES:",
    "if False:",
)
change(
    "an edited problem is compared as if it were the same",
    "trend = f\"{' and '.join(edited)} edited\" if edited else _other_chunks(base, new) or trend",
    "trend = _other_chunks(base, new) or trend",
)
change(
    "another chunk size is compared as if it were the same",
    'return "other chunk size" if base.result.chunk_size != new.result.chunk_size else None',
    "return None",
)

comparison = RUNNING.of("jacbench/comparing/comparison.py", "tests/comparing/test_compare.py")
comparison(
    "times of another machine are compared",
    'return {"cpu": "other CPU", "gpus": "other GPU"}.get(part, "other machine")',
    "return None",
)

decision = RUNNING.of("jacbench/gating/decision.py", "tests/gating/test_decision.py")
decision(
    "the gate fails by the estimate alone",
    "if interval.low > 1 + excess / 5 and interval.estimate > 1 + 3 * excess / 5:",
    "if interval.estimate > 1 + 3 * excess / 5:",
)
decision(
    "the gate fails by the interval alone",
    "if interval.low > 1 + excess / 5 and interval.estimate > 1 + 3 * excess / 5:",
    "if interval.low > 1 + excess / 5:",
)
decision(
    "the gate passes by the estimate alone",
    "elif interval.high < limit:",
    "elif interval.estimate < limit:",
)
conclusion = RUNNING.of("jacbench/gating/cell_outcome.py", "tests/gating/test_cell_outcome.py")
conclusion(
    "a regression need not be confirmed",
    "confirmed = [] if second is None else _regressions(second)",
    "confirmed = _regressions(first)",
)
conclusion(
    "another quantity confirms a regression",
    "if what in dict(slower)]",
    "if what]",
)
conclusion(
    "a wrong head need not be confirmed",
    'return Outcome.INCONCLUSIVE, f"head: {told[1]}; {UNCONFIRMED}"',
    "return told",
)
judge = RUNNING.of("jacbench/gating/stages.py", "tests/gating/test_stages.py")
judge(
    "more memory is no suspicion",
    "return self.wrong or regressed or self.memory is not None",
    "return self.wrong or regressed",
)

statistics = RUNNING.of("jacbench/measuring/statistics.py", "tests/measuring/test_statistics.py")
statistics(
    "few visits are as good as many",
    "return float(stdtrit(freedom, (1 + confidence) / 2))",
    "return float(stdtrit(1000.0, (1 + confidence) / 2))",
)
statistics(
    "a single visit says as much as several",
    "units = visits if len(visits) > 1 else np.array_split(visits[0], BLOCKS)",
    "units = visits if len(visits) > 1 else np.array_split(visits[0], 1000)",
)
statistics(
    "the spread of visits is that of the whole",
    "own = float(np.var(logs, ddof=1)) / len(logs)",
    "own = float(np.var(logs)) / len(logs) ** 2",
)
statistics(
    "what visits have in common is left out",
    "whole = own + _shared_variance(units, estimate, least)",
    "whole = own",
    "tests/benchmarks/test_interval_coverage.py::test_rounds_that_hang_together_make_the_interval_of_one_visit_longer",
)
statistics(
    "one number says how sure it is",
    "        if len(medians) < 2:\n            return None\n",
    "        medians = medians * 2\n",
)
statistics(
    "of several cells each may be wrong as often",
    "if p <= false_share * i / len(ordered)]",
    "if p <= false_share]",
)
statistics(
    "an interval has one tail",
    "return (1 - confidence) / 2, (1 + confidence) / 2",
    "return 0.0, confidence",
)
statistics(
    "a resample's median is the lower of two",
    "middle: Floats = (lower + upper) / 2",
    "middle: Floats = lower",
)
statistics("mild outliers are severe", "MILD, SEVERE = 1.5, 3.0", "MILD, SEVERE = 1.5, 1.5")

results = RUNNING.of("jacbench/results/run.py", "tests/results/test_run.py")
results(
    "processor time is the mean of visits",
    "return sum(cpu_s * count for cpu_s, count in timed) / calls if calls else None",
    "return sum(cpu_s for cpu_s, _ in timed) / len(timed) if calls else None",
    "tests/results/test_run.py::test_processor_time_is_that_of_a_call_over_all_of_them",
)
results(
    "samples are saved to three digits",
    '"data": [float(f"{sample:.6g}") for sample in samples]',
    '"data": [float(f"{sample:.3g}") for sample in samples]',
    "tests/results/test_run.py::test_samples_are_kept_to_six_digits",
)
results(
    "a result that is untimed keeps its interval",
    "        low_s=None,\n        high_s=None,\n        iqr_s=None,\n        cpu_s=None,",
    "        iqr_s=None,\n        cpu_s=None,",
    "tests/results/test_run.py::test_what_is_untimed_keeps_no_figure_of_a_time",
)

budget = RUNNING.of("jacbench/running/time_budget.py", "tests/running/test_time_budget.py")
budget(
    "nothing is kept for what comes last",
    "self.left_s - self._reserve",
    "self.left_s",
)
budget(
    "a visit is expected to take what it is given",
    'self._own.get(("visit", cell), 1.3 * self._settings.visit_s)',
    "1.3 * self._settings.visit_s",
)
budget(
    "starting a worker takes no time",
    '        if not started:\n            expected += self._guess("start", cell, cell.backend)\n',
    "",
)

rounds = RUNNING.of("jacbench/running/schedule.py", "tests/running/test_schedule.py")
rounds(
    "the narrowest interval is visited first",
    "key=lambda cell: (cell != last, widths[cell])",
    "key=lambda cell: (cell != last, -widths[cell])",
)
rounds(
    "one cell is visited twice running",
    "key=lambda cell: (cell != last, widths[cell])",
    "key=lambda cell: widths[cell]",
)
rounds(
    "all rounds have one order",
    "            self._rng.shuffle(order)\n",
    "",
)

resume = RUNNING.of("jacbench/running/resume.py", "tests/running/test_resume.py")
resume(
    "a run goes on with an edited problem",
    "if known is not None and source_hash.of_problem(problems.get(name)) != known:",
    "if False:",
    "tests/running/test_resume.py::test_what_was_measured_otherwise_is_refused",
)
resume(
    "a run goes on with an edited method",
    "if known is not None and source_hash.of_method(registry.method(name)) != known:",
    "if False:",
    "tests/running/test_resume.py::test_what_was_measured_otherwise_is_refused",
)

policy = RUNNING.of(
    "jacbench/results/policy.py", "tests/results/test_policy.py", "tests/comparing/test_compare.py"
)
policy(
    "an error that grew above the tolerance passes",
    "return new > self.error * base and new > ERROR_FLOOR * (tolerance or 0.0)",
    "return new > self.error * base and new > 100 * (tolerance or 0.0)",
)
policy(
    "the first rule wins",
    "found |= rule.sets",
    "found = {**rule.sets, **found}",
)

memory = RUNNING.of("jacbench/measuring/memory.py", "tests/measuring/test_memory.py")
memory(
    "a Jacobian takes what its entries take",
    "return m * n * (2 * np.dtype(dtype).itemsize + 5 * 8)",
    "return m * n * np.dtype(dtype).itemsize",
)

timing = RUNNING.of("jacbench/measuring/warm_up.py", "tests/measuring/test_warm_up.py")
timing(
    "one call warms up",
    "if calls >= 2 and spent > budget_s / 5:",
    "if spent > budget_s / 5:",
)
