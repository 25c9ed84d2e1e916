"""What is right, and whether an answer is: reference, agreement, trial, the process around it."""

from __future__ import annotations

from tests.mutations.mutation import Mutations

CHECKING = Mutations()

agreement = CHECKING.of("jacbench/agreement.py", "tests/test_agreement.py")
agreement(
    "ten times the tolerance will do",
    "return self.error <= tolerance",
    "return self.error <= 10 * tolerance",
)
agreement(
    "the scale is added to the norm",
    "scale = max(scale, float(np.linalg.norm(reference)))",
    "scale = scale + float(np.linalg.norm(reference))",
)
agreement(
    "the scale takes the place of the norm",
    "scale = max(scale, float(np.linalg.norm(reference)))",
    "scale = scale or float(np.linalg.norm(reference))",
)
agreement(
    "the worst entry is the one that is too large",
    "np.argmax(np.abs(difference))",
    "np.argmax(difference)",
)
agreement(
    "the entry beside one that is not finite is named",
    "np.argwhere(~finite)[0]",
    "np.argwhere(~finite)[-1]",
)
agreement(
    "float32 may be off by a hundred times as much",
    '("float32", "cpu"): 2e-5',
    '("float32", "cpu"): 2e-3',
)

trial = CHECKING.of("jacbench/trial.py", "tests/test_trial.py", "tests/test_settle.py")
trial(
    "the third call is not compared",
    'again = self._check_answer(third, elsewhere, target, "when asked again for a point")',
    "again = self._arrays(third, target)",
)
trial(
    "the second call is not compared",
    'self._check_answer(second, here, target, "in a second call")',
    "self._arrays(second, target)",
)
trial(
    "the last call's error alone is kept",
    "self.error = max(self.error, comparison.error)",
    "self.error = comparison.error",
)
trial("the device is not checked", "if found != asked:", "if False:")
trial(
    "the vector is not rounded to the dtype",
    "rounded = [part.astype(self.result.cell.dtype) for part in self.vector]",
    "rounded = list(self.vector)",
)
trial("a result that is overwritten passes", "if overwritten:", "if False:")
trial(
    "an input that was changed passes",
    "if not np.array_equal(before, self.backend.to_numpy(leaf)):",
    "if False:",
)
trial(
    "a result of another dtype passes",
    "dtypes = {str(array.dtype) for array in found} - {self.result.cell.dtype}",
    "dtypes = set()",
)
trial(
    "a result of another native shape passes",
    "if shapes != expected:",
    "if sum(map(math.prod, shapes)) != sum(map(math.prod, expected)):",
)
trial(
    "the function's value is not compared",
    "if not comparison.within(limit):",
    "if False:",
)
trial(
    "the function's value is compared at x alone",
    "self._check_primal(target, other, elsewhere)",
    "self._check_primal(target, x, here)",
)
trial(
    "a known fault is any fault of that method",
    "if self._compared(matrix, wrong).within(self.tolerance):",
    "if True:",
)
trial(
    "the value beside J is not compared",
    'self._check_value(value, point.y, "the value returned beside J", "differs")',
    "pass",
)
trial(
    "aux beside J is not compared",
    "        self._check_aux(aux, point, target)\n\n    def _parts",
    "\n    def _parts",
)
trial(
    "calls that differ are equal",
    "difference = math.hypot(*(float(np.linalg.norm(a.astype(float) - b)) for a, b in pairs))",
    "difference = 0.0",
)

settle = CHECKING.of("jacbench/settle.py", "tests/test_settle.py")
settle(
    "the reference's error is added to the tolerance",
    "tolerance=max(tolerance, reference.error)",
    "tolerance=tolerance + reference.error",
)
settle(
    "a method that changed the process agrees",
    "if result.verdict is Verdict.AGREES:\n        return Settled(",
    "if False:\n        return Settled(",
    "tests/test_process_state.py",
)
settle(
    "a warning that means a wrong Jacobian is only told",
    "if fatal and reference.here.jacobian.any():",
    "if False:",
)
settle(
    "memory that ran out under another exception is a failure",
    "exc = exc.__cause__",
    "exc = None",
)

harness = CHECKING.of("jacbench/harness.py", "tests/test_harness.py")
harness(
    "the process is not looked at after timing",
    "return process_state.put_back(self._before).reason",
    "return None",
    "tests/test_harness.py",
    "tests/test_process_state.py",
)
harness(
    "a pin that does not hold is not told",
    "cores <= self.threads * (1 + environment.PIN_MARGIN)",
    "True",
)
harness(
    "samples that interact are given a Jacobian each",
    "self._interactions[key] = interaction.of_problem(problem, reference, where)",
    "self._interactions[key] = None",
    "tests/test_interaction.py",
)

state = CHECKING.of("jacbench/process_state.py", "tests/test_process_state.py")
state("what changed is not put back", "        restore()\n", "        pass\n")
state(
    "a generator is told and not put back",
    "            GENERATORS[name][1](value)\n",
    "",
)

reference = CHECKING.of("jacbench/reference.py", "tests/test_reference.py")
reference(
    "any one direction confirms",
    "return all(error <= 10 * tolerance for error in errors)",
    "return any(error <= 10 * tolerance for error in errors)",
)
reference(
    "a reference is confirmed at x alone",
    "for jacobian, x in zip(candidates, points, strict=True)\n    ):",
    "for jacobian, x in [(candidates[0], points[0])]\n    ):",
)
reference(
    "a direction that is not finite confirms",
    "errors.append(error if math.isfinite(error) else math.inf)",
    "errors.append(error if math.isfinite(error) else 0.0)",
)
reference(
    "the points are not rounded to what float32 holds",
    'return leaf.astype(dtype).astype(np.float64) if leaf.dtype.kind == "f" else leaf',
    "return leaf",
)
reference(
    "what stops gradients is held against differences",
    "if problem.stops_gradient:",
    "if False:",
)

consensus = CHECKING.of("jacbench/consensus.py", "tests/test_consensus.py")
consensus(
    "one witness is enough where two differ",
    "return first if all(all(map(_same, first, other)) for other in others) else None",
    "return first",
)
consensus("witnesses agree from afar", "LIMIT = 1e-11", "LIMIT = 1e-3")

interaction = CHECKING.of("jacbench/interaction.py", "tests/test_interaction.py")
interaction(
    "samples are held apart at x alone",
    "for point in (reference.here, reference.elsewhere):",
    "for point in (reference.here,):",
)
interaction("samples are moved one way only", "yield ~have", "yield have")
interaction(
    "what is no number any more has not changed",
    "np.flatnonzero(~(difference <= limit * scale) & ~mask)",
    "np.flatnonzero((difference > limit * scale) & ~mask)",
)
interaction(
    "inputs are moved without their size",
    "np.where(own, np.abs(own), spread)",
    "np.where(own, spread, spread)",
)

differences = CHECKING.of(
    "backends/jacbench_numpy/differences.py", "tests/backends/test_numpy_operators.py"
)
differences(
    "central differences divide by the nominal width",
    "columns.append(_quotient(values, ends[0] - ends[1]))",
    "columns.append(_quotient(values, 2 * h))",
)
