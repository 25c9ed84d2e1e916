"""What is right, and whether an answer is: reference, agreement, trial, the process around it."""

from __future__ import annotations

from tests.mutations.mutation import Mutations

CHECKING = Mutations()

agreement = CHECKING.of("jacbench/checking/matrix_error.py", "tests/checking/test_matrix_error.py")
agreement(
    "an answer that is not finite is no further than its finite part",
    "if not finite.all():",
    "if not finite.any():",
    "tests/checking/test_matrix_error.py",
    "tests/checking/test_random_products.py",
)
agreement(
    "squares of large entries overflow",
    "1e-140 < peak < 1e140",
    "1e-140 < peak",
    "tests/checking/test_consensus.py::test_how_far_two_are_apart_does_not_depend_on_their_size",
)
agreement(
    "ten times the tolerance will do",
    "return self.error <= tolerance",
    "return self.error <= 10 * tolerance",
)
agreement(
    "the scale is added to the norm",
    "scale = max(unit * scale, float(np.linalg.norm(unit * reference)))",
    "scale = unit * scale + float(np.linalg.norm(unit * reference))",
)
agreement(
    "the scale takes the place of the norm",
    "scale = max(unit * scale, float(np.linalg.norm(unit * reference)))",
    "scale = unit * scale or float(np.linalg.norm(unit * reference))",
)
agreement(
    "the worst entry is the one that is too large",
    "beyond = np.maximum(np.abs(unit * value - unit * reference) - unit * atol, 0.0)",
    "beyond = np.maximum(unit * value - unit * reference - unit * atol, 0.0)",
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

trial = CHECKING.of("jacbench/checking/checks.py", "tests/checking/test_verdict.py")
trial(
    "the third call is not compared",
    'again = self.check_answer(third, elsewhere, target, "when asked again for a point")',
    "again = self._arrays(third, target)",
    "tests/checking/test_checks.py::test_each_of_the_calls_is_compared",
)
trial(
    "the second call is not compared",
    'self.check_answer(second, here, target, "in a second call")',
    "self._arrays(second, target)",
    "tests/checking/test_checks.py::test_each_of_the_calls_is_compared",
)
trial(
    "the last call's error alone is kept",
    "self.error = max(self.error, comparison.error)",
    "self.error = comparison.error",
    "tests/checking/test_checks.py::test_the_error_is_that_of_the_worst_call",
)
trial("the device is not checked", "if found != asked:", "if False:")
trial(
    "the vector is not rounded to the dtype",
    "rounded = [part.astype(self.result.cell.dtype) for part in self.vector]",
    "rounded = list(self.vector)",
    "tests/checking/test_checks.py::test_a_vector_counts_as_the_dtype_holds_it",
)
trial(
    "a result that is overwritten passes",
    "if overwritten:",
    "if False:",
    "tests/checking/test_checks.py::test_other_faults_are_found_beside_a_known_one",
)
trial(
    "an input that was changed passes",
    "if not np.array_equal(before, self.backend.to_numpy(leaf)):",
    "if False:",
    "tests/checking/test_verdict.py::test_the_last_call_too_may_not_change_its_input",
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
    "tests/checking/test_checks.py::test_an_answer_that_is_wrong_in_another_way_is_not_excused",
)
trial(
    "the value beside J is not compared",
    'self._check_value(value, point.y, "the value returned beside J", "differs")',
    "pass",
    "tests/checking/test_checks.py::test_values_that_are_wrong",
)
trial(
    "aux beside J is not compared",
    "        self._check_aux(aux, point, target)\n\n    def _parts",
    "\n    def _parts",
    "tests/checking/test_checks.py::test_aux_that_is_wrong",
)
trial(
    "calls that differ are equal",
    "difference = math.hypot(*(float(np.linalg.norm(a.astype(float) - b)) for a, b in pairs))",
    "difference = 0.0",
)

agreement(
    "a small row is held to the size of all",
    "return np.asarray(np.minimum(rows, columns) + floor)",
    "return np.asarray(np.linalg.norm(terms) + floor)",
)
agreement(
    "single entries are not held",
    "and self.entry_error <= tolerance",
    "",
)

recheck = CHECKING.of("jacbench/checking/recheck.py", "tests/checking/test_recheck.py")
recheck(
    "the last timed result is not compared",
    'self._check(last, self.here, "in the last timed call")',
    "pass",
)
recheck(
    "results of before may be overwritten by timed calls",
    'self._kept_are_unchanged(self.trial.kept, "a result of before was overwritten later")',
    "pass",
)
recheck("no new point is asked", "        self._check_far()\n", "")
recheck(
    "x may be changed by timed calls",
    '        self._x_is_unchanged("the timed calls',
    '        ("the',
)
recheck(
    "any miss at a new point is excused",
    "if self._counts(refused, point):",
    "if False:",
)
recheck(
    "no miss at a new point is excused",
    "if self._counts(refused, point):",
    "if True:",
)
recheck("kept answers pass", "if self._keeps(new):", "if False:")
recheck(
    "the process may be changed by what is asked again",
    "return settle.with_changes(found, changes)",
    "return found",
)

new_points = CHECKING.of("jacbench/checking/new_points.py", "tests/checking/test_recheck.py")
new_points("kinks count at a new point", "return change <= SMOOTH and", "return")
new_points("the far point has the signs of x", "    if signs:\n", "    if False:\n")
new_points("the far point has no ties", "    if ties:\n", "    if False:\n")

settle = CHECKING.of("jacbench/checking/verdict.py", "tests/checking/test_verdict.py")
settle(
    "the reference's error is added to the tolerance",
    "max(tolerance, method.tolerance(cell.dtype) or 0.0, reference.error)",
    "max(tolerance, method.tolerance(cell.dtype) or 0.0) + reference.error",
)
settle(
    "a method that changed the process agrees",
    "if result.verdict is Verdict.AGREES:\n        return Settled(",
    "if False:\n        return Settled(",
    "tests/checking/test_process_state.py",
)
settle(
    "a warning that means a wrong Jacobian is only told",
    "if fatal and reference.here.seen.any():",
    "if False:",
)
settle(
    "memory that ran out under another exception is a failure",
    "exc = exc.__cause__",
    "exc = None",
)

harness = CHECKING.of("jacbench/running/prepared_cells.py", "tests/running/test_prepared_cells.py")
harness(
    "the process is not looked at after timing",
    "return process_state.put_back(self._before).reason",
    "return None",
    "tests/running/test_prepared_cells.py",
    "tests/checking/test_process_state.py",
)
harness(
    "a pin that does not hold is not told",
    "cores <= self.threads * (1 + environment.PIN_MARGIN)",
    "True",
)
harness(
    "samples that interact are given a Jacobian each",
    "self._interactions[key] = sample_independence.of_problem(problem, reference, where)",
    "self._interactions[key] = None",
    "tests/checking/test_sample_independence.py",
)

state = CHECKING.of("jacbench/checking/process_state.py", "tests/checking/test_process_state.py")
state("what changed is not put back", "        restore()\n", "        pass\n")
state(
    "a generator is told and not put back",
    "            GENERATORS[name][1](value)\n            yield name\n",
    "            yield name\n",
)

held = CHECKING.of("jacbench/problems/counted_function.py", "tests/checking/test_reference.py")
held(
    "the points are not rounded to what float32 holds",
    'return leaf.astype(dtype).astype(np.float64) if leaf.dtype.kind == "f" else leaf',
    "return leaf",
)
reference = CHECKING.of("jacbench/checking/reference.py", "tests/checking/test_reference.py")
reference(
    "a second point that was given is moved",
    "if factor == 1 or problem.draws_elsewhere:",
    "if True:",
    "tests/checking/test_standing.py",
)

standing = CHECKING.of("jacbench/checking/standing.py", "tests/checking/test_standing.py")
standing(
    "a hand-written Jacobian is taken as it is",
    "if not problem.stops_gradient and self._said(found).denied:",
    "if False:",
)
standing(
    "a reference is confirmed at x alone",
    "for at, jacobian in enumerate(found):",
    "for at, jacobian in enumerate(found[:1]):",
)
standing(
    "what stops gradients is held against differences",
    "if not problem.stops_gradient and self._said(found).denied:",
    "if self._said(found).denied:",
)
standing(
    "one witness is enough where two differ",
    "if apart is not None and _undecided(believed, apart, limit):",
    "if False:",
    "tests/checking/test_consensus.py",
)
standing(
    "methods outrank differences",
    "        if not believed:\n",
    "        believed = (*ways,)\n        if not believed:\n",
)
standing(
    "what was denied agrees with what stands",
    "if said[name].denied and all(",
    "if False and all(",
)
standing("what nothing can tell stands", "if not error <= GOOD:", "if False:")
standing(
    "rounding of the one is a fault of the other",
    "return len(believed) != 1 or apart <= ROUNDED",
    "return len(believed) != 1",
    "tests/checking/test_consensus.py",
)
standing(
    "noise of the function is a fault of its methods",
    "return min(GOOD, NOISY * noise)",
    "return LIMIT",
)
standing(
    "one method stands alone where differences cannot tell",
    "if not several and not said.kink and said.resolution > TELLS:",
    "if False:",
)

PRODUCTS, WHOLE = (
    "tests/checking/evidence/test_differences.py",
    "tests/checking/evidence/test_whole_differences.py",
)

claims = CHECKING.of("jacbench/checking/evidence/claims.py", PRODUCTS, WHOLE)
claims(
    "what holds at one point holds at both",
    "min((self.verdict, other.verdict), key=order.index)",
    "max((self.verdict, other.verdict), key=order.index)",
    f"{PRODUCTS}::test_both_points_together_say_the_worse",
)
claims(
    "a wrong row among right ones confirms",
    "near = bool(entries.all())",
    "near = bool(entries.any())",
    f"{WHOLE}::test_metres_beside_radians",
)
claims(
    "what is no number is not denied",
    'return Confirmation(verdict="denies")',
    "return Confirmation()",
    f"{PRODUCTS}::test_a_product_that_is_no_number_is_denied",
)
claims(
    "one ladder of steps denies what is shorter than its steps",
    "beyond[_met(claim, gap, finer) >= 1] = 0.0",
    "pass",
    WHOLE,
)
claims(
    "values that do not move say that nothing does",
    "(off < gap / 10) & (short != 0)",
    "off < gap / 10",
)
claims(
    "agreeing within the resolution says something of any error",
    "np.all(gap <= allowed) and np.all(resolution <= wanted)",
    "np.all(gap <= allowed)",
)
claims(
    "a small row is held against the large ones",
    "scale = np.sqrt(np.mean(larger**2, axis=1, keepdims=True))",
    "scale = np.sqrt(np.mean(larger**2, keepdims=True))",
    f"{PRODUCTS}::test_a_small_row_counts_by_its_own_size",
)
claims(
    "a zero may be as coarse as any slope",
    "np.where(still, demands.still * natural, demands.good * scale)",
    "demands.good * np.where(still, np.inf, scale)",
    f"{WHOLE}::test_a_zero_is_confirmed_where_values_do_not_move_or_move_by_their_square",
)

slopes = CHECKING.of("jacbench/checking/evidence/slopes.py", PRODUCTS, WHOLE)
slopes("values have no rounding", "+ ROUNDINGS * self.rounding +", "+ 0 * self.rounding +")
slopes("a kink says nothing of the resolution", "+ 1.05 * self.kink", "+ 0 * self.kink", WHOLE)
slopes(
    "the size of y speaks for a zero, however large its offset",
    "return np.where(still, np.minimum(size, 1.0), far)",
    "return np.maximum(size, far)",
    f"{WHOLE}::test_a_zero_is_confirmed_where_values_do_not_move_or_move_by_their_square",
)

differences = CHECKING.of("jacbench/checking/evidence/differences.py", PRODUCTS, WHOLE)
differences(
    "the noise of values is their rounding alone",
    "found = np.maximum(found, NOISES * seen)",
    "pass",
    WHOLE,
)
differences(
    "that nothing moves is said by the first steps",
    "if any(rows.any() for rows in still):",
    "if False:",
    f"{WHOLE}::test_a_zero_is_held_against_long_steps_in_whatever_units_y_is",
)
differences(
    "one step confirms what differences could tell apart",
    "min(self.limit, floor)",
    "self.limit",
    f"{WHOLE}::test_an_entry_that_is_off_by_a_hundred_millionth_is_denied",
)
differences(
    "steps may be longer than to the next kink",
    "return min(LONGEST, 0.5 * kink_distance / (farthest or 1.0))",
    "return LONGEST",
    f"{WHOLE}::test_a_kink_near_by_is_not_stepped_over",
)

whole = CHECKING.of("jacbench/checking/evidence/whole_differences.py", WHOLE)
whole(
    "inputs of all scales are moved together",
    "decade = np.floor(np.log10(units) / DECADES)",
    "decade = np.zeros(units.size)",
)
whole(
    "what is not told from zero is kept",
    "np.where(np.abs(found.value) <= found.resolution, 0.0, found.value)",
    "found.value",
)

nearby = CHECKING.of("jacbench/core/nearby.py", "tests/core/test_nearby.py")
nearby(
    "all entries move by one scale",
    "SHARE * scale(array) * drawn",
    "SHARE * np.mean(scale(array)) * drawn",
)
nearby("an entry may change its sign", "FARTHEST = 5.0", "FARTHEST = 50.0")
nearby("the second point is x", "SHARE = 0.1", "SHARE = 0.0")

limits = CHECKING.of("jacbench/checking/evidence/judgement.py", "tests/checking/test_consensus.py")
limits(
    "witnesses agree from afar",
    "LIMIT = 1e-11",
    "LIMIT = 1e-3",
    "tests/checking/test_consensus.py::test_witnesses_may_differ_by_rounding_alone",
)
witnesses = CHECKING.of("jacbench/checking/evidence/modes.py", "tests/checking/test_consensus.py")
witnesses(
    "a witness that is not finite is heard",
    "if all(np.isfinite(one).all() for one in found):",
    "if True:",
    "tests/checking/test_consensus.py::test_a_witness_that_gives_no_number_says_nothing",
)

interaction = CHECKING.of(
    "jacbench/checking/sample_independence.py", "tests/checking/test_sample_independence.py"
)
interaction(
    "samples are held apart at x alone",
    "for point in (reference.here, reference.elsewhere):",
    "for point in (reference.here,):",
)
coupling = CHECKING.of(
    "jacbench/structure/sample_coupling.py", "tests/checking/test_sample_independence.py"
)
coupling("samples are moved one way only", "yield ~have", "yield have")
coupling(
    "what is no number any more has not changed",
    "np.flatnonzero(~(difference <= limit) & among)",
    "np.flatnonzero((difference > limit) & among)",
)
coupling(
    "labels are moved like numbers",
    'if array.dtype.kind != "f":  # labels, indices: those of a neighbour are valid as well',
    "if False:",
)

quotients = CHECKING.of(
    "backends/jacbench_numpy/differences.py", "tests/backends/test_numpy_operators.py"
)
quotients(
    "central differences divide by the nominal width",
    "columns.append(_quotient(values, ends[0] - ends[1]))",
    "columns.append(_quotient(values, 2 * h))",
)
