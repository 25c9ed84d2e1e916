"""What ``pick`` believes, races and says."""

from __future__ import annotations

from tests.mutations.mutation import Mutations

PICKING = Mutations()


judgement = PICKING.of(
    "jacbench/checking/evidence/judgement.py", "tests/checking/evidence/test_judgement.py"
)
judgement(
    "two modes agree whatever they say",
    "agree = agreement is not None and agreement <= limit",
    "agree = agreement is not None",
)
judgement(
    "two modes that agree are believed against differences",
    "    if agree:\n        return Judgement(\n            refused=",
    "    if agree:\n        return Judgement(\n            (*ways,), doubt=",
)
judgement(
    "of two that agree the one that is confirmed confirms the other",
    "ways = dict.fromkeys(ways, first.worse(second))",
    "ways = dict.fromkeys(ways, min(first, second, key=lambda said: said.error))",
)
judgement(
    "what differences cannot tell is confirmed",
    "if said.holds}",
    "if not said.denied}",
)
judgement(
    "the better of two modes confirms both",
    "confirmed=max(near.values())",
    "confirmed=min(near.values())",
)
judgement(
    "what was disbelieved widens the tolerance",
    "if len(self.believed) > 1 and agreement is not None:",
    "if agreement is not None:",
    "tests/picking/reference/test_choice.py::test_how_far_one_that_is_disbelieved_is_away_widens_no_tolerance",
)

products = PICKING.of(
    "jacbench/checking/evidence/mode_products.py", "tests/checking/evidence/test_mode_products.py"
)
products(
    "two modes agree in the mean over the points",
    "return max(errors)",
    "return sum(errors) / len(errors)",
)
products(
    "two modes agree at the better point",
    "return max(errors)",
    "return min(errors)",
)

by_products = PICKING.of(
    "jacbench/checking/random_products.py",
    "tests/checking/test_random_products.py",
)
by_products(
    "the better of both sides counts",
    "larger = max(sides, key=lambda side: side.error)",
    "larger = min(sides, key=lambda side: side.error)",
)
by_believed = PICKING.of(
    "jacbench/checking/product_reference.py", "tests/picking/reference/test_choice.py"
)
by_believed(
    "evidence is evidence however weak",
    "if not good_to <= least:",
    "if False:",
    "tests/picking/reference/test_choice.py::test_where_two_modes_agree_to_little_nothing_is_picked",
)
right = PICKING.of("jacbench/picking/reference/choice.py", "tests/picking/reference/test_choice.py")
right(
    "nothing is small enough to be compared by entries",
    "SMALL = 2_000_000",
    "SMALL = 2",
    "tests/picking/reference/test_choice.py::test_a_large_jacobian_is_not_compared_entry_by_entry",
)
right(
    "everything is small",
    "SMALL = 2_000_000",
    "SMALL = 2_000_000_000_000",
    "tests/picking/reference/test_choice.py::test_a_large_jacobian_is_not_compared_entry_by_entry",
)

probes = PICKING.of(
    "jacbench/checking/evidence/line_probes.py", "tests/checking/evidence/test_line_probes.py"
)
probes("a jump is a kink", "if gaps[1] > 4 * gaps[0] else", "if False else")
probes(
    "one step tells a kink from curvature",
    "or gaps[1] < 0.35 * gaps[0]:",
    "or False:",
)

calls = PICKING.of(
    "jacbench/problems/counted_function.py", "tests/problems/test_counted_function.py"
)
calls(
    "a function may write into its argument",
    'if not np.array_equal(was, now, equal_nan=was.dtype.kind == "f"):',
    "if False:",
)

race = PICKING.of("jacbench/picking/racing/race.py", "tests/picking/racing/test_race.py")
race(
    "the worst round drops a candidate early",
    "if len(ratios) >= rounds and min(ratios) > limit:",
    "if len(ratios) >= rounds and max(ratios) > limit:",
)
race(
    "equal is who is so by the estimate",
    "equals = tuple(c for c, ratio in ratios.items() if ratio.low <= SLOWER)",
    "equals = tuple(c for c, ratio in ratios.items() if ratio.estimate <= SLOWER)",
)
race(
    "the best round is typical",
    "return statistics.median(self.costs())",
    "return min(self.costs())",
)
race("a coin drops a candidate", "MISS = 0.005", "MISS = 0.5")
race(
    "the order within rounds is always the same",
    "for runner in rng.sample(runners, len(runners)):",
    "for runner in runners:",
)
race(
    "hopeless after one pass",
    "if HOPELESS < runner.typical() / best <= DOUBTFUL and fits([runner]):",
    "if False:",
)
race(
    "the estimate alone drops a candidate",
    "for c, ratio in ratios.items() if ratio.low > SLOWER}",
    "for c, ratio in ratios.items() if ratio.estimate > SLOWER}",
)
race(
    "the share of the preparation is left out",
    "return [second + self.constant_s for second in self.seconds or [self.first_s]]",
    "return [second for second in self.seconds or [self.first_s]]",
)
race(
    "a race that ran out of time is decided",
    "decided = decided or rounds >= MOST_ROUNDS",
    "decided = True",
)

sampling = PICKING.of(
    "jacbench/picking/racing/sampling.py", "tests/picking/racing/test_sampling.py"
)
sampling(
    "a block's least sample counts",
    "seconds = statistics.median(",
    "seconds = min(",
)

apart = PICKING.of("jacbench/picking/racing/apart.py", "tests/picking/racing/test_apart.py")
apart(
    "rounds that hang together tell as much as others",
    "worth = count / _inflation(_correlation(apart), count)",
    "worth = float(count)",
)
apart("of several rivals each may be wronged as often", "1 - miss / len(logs)", "1 - miss")

pairs = PICKING.of("jacbench/picking/racing/pairs.py", "tests/picking/racing/test_pairs.py")
pairs(
    "a speed-up has an interval from two pairs",
    "if len(found) >= LEAST_PAIRS:",
    "if len(found) >= 2:",
)

placing = PICKING.of(
    "jacbench/picking/racing/placing.py",
    "tests/picking/racing/test_placing.py",
    "tests/picking/racing/test_pairs.py",
)
placing(
    "a pick that was measured slower stays",
    "        if not faster:\n            break\n",
    "        break\n",
)
placing(
    "slower is who is so by the estimate",
    '"slower" if known.ratio.low > 1 else',
    '"slower" if known.ratio.estimate > 1.01 else',
)

measuring = PICKING.of(
    "jacbench/picking/racing/measuring.py", "tests/picking/racing/test_measuring.py"
)
measuring(
    "candidates are measured in one order always",
    "for known in self._draws.order(chosen):",
    "for known in chosen:",
)

heats = PICKING.of("jacbench/picking/racing/races.py", "tests/picking/racing/test_races.py")
heats(
    "a race that was cut short is decided",
    "            self.open.add(form)\n",
    "            pass\n",
)
field = PICKING.of("jacbench/picking/racing/candidates.py", "tests/picking/racing/test_races.py")
field(
    "preparation counts whole for each call",
    "self.preparation_s(known) / calls",
    "self.preparation_s(known)",
)

last = PICKING.of(
    "jacbench/picking/racing/final_check.py", "tests/picking/racing/test_final_check.py"
)
last(
    "a pick may change its process",
    "        if changed is not None:\n            picked.lose",
    "        if False:\n            picked.lose",
)
last(
    "a pick may take more memory than is allowed",
    "if allowed is None or peak is None or peak <= allowed:",
    "if True:",
)

entering = PICKING.of(
    "jacbench/picking/racing/admission.py", "tests/picking/racing/test_admission.py"
)
entering(
    "a loop as slow as the best so far is not tried",
    "if best is None or self._least_s(known) <= HOPELESS_PASSES * best:",
    "if best is None or self._least_s(known) <= 0.1 * best:",
)
entering(
    "what is used today is spared like any other",
    "        if self._field.is_today(known.offer):\n            return None\n",
    "",
)

rows = PICKING.of("jacbench/picking/racing/rows.py", "tests/picking/racing/test_rows.py")
rows(
    "a ratio to who lost later is one to the pick",
    "    if own[0] != other[0]:  # whoever won then was lost later\n        return None\n",
    "",
)
rows(
    "preparation is made up for whichever is faster",
    "return spent / saved if saved > 0 and spent > 0 else None",
    "return spent / saved if saved > 0 else None",
)

draws = PICKING.of("jacbench/picking/racing/draws.py", "tests/picking/racing/test_draws.py")
draws(
    "every round runs on the first processor",
    "cpu = self._rng.choice(self._cpus)",
    "cpu = self._cpus[0]",
)

deciding = PICKING.of("jacbench/picking/decide.py", "tests/picking/test_decide.py")
deciding("an answer is decided whatever was left", "decided=contest.decided", "decided=True")
contest = PICKING.of("jacbench/picking/racing/contest.py", "tests/picking/racing/test_admission.py")
contest(
    "who had no time leaves the answer decided",
    " and not any(k.fate in UNMEASURED for k in self._field)",
    "",
)
deciding(
    "sparse is preferred to dense",
    '_PREFERRED = ("dense", "csr", "blocks", "factors")',
    '_PREFERRED = ("csr", "dense", "blocks", "factors")',
)
