"""What every method is held to on a problem, whatever its library: see ``test_methods_*.py``.

A cell agrees, or it is one of those that :mod:`tests.contract.expected` lists and says in one line
why not. What agrees is checked once more by :mod:`tests.contract.answers`, without the code that
gave the verdict. One file of tests a library, so that they run side by side.
"""

from __future__ import annotations

from jacbench.core.cell import Verdict
from tests.contract.answers import check, check_keeps_nothing, check_not_done, told
from tests.contract.cells import COMPILED, INFO, REQUIRED, problem_of, settled
from tests.contract.expected import expected

CALLED_AGAIN = {
    "jacobian": ("a tree", "an input that is not used"),
    "value_and_jacobian": ("a tree", "aux"),
    "batch_jacobian": ("samples", "samples that share x"),
    "vjp": ("a tree", "an input that is not used"),
    "jvp": ("a tree", "an input that is not used"),
}
"""By operator, where a method is called at two points in turn."""


def is_called_again(problem: str, method: str, dtype: str) -> bool:
    """Whether this cell is one of those called at two points in turn."""
    if INFO[method].by_intermediate:
        return dtype == "float64" and problem == REQUIRED["an intermediate value"]
    asked = [REQUIRED[what] for what in CALLED_AGAIN[INFO[method].operator]]
    return dtype == "float64" and problem in asked


def hold(problem: str, method: str, dtype: str) -> None:
    """Settle one cell and hold it against what is expected and what is right."""
    found, known = settled(problem, method, dtype), problem_of(problem)
    verdict = found.result.verdict
    if not (method in COMPILED and verdict is Verdict.UNSUPPORTED):  # no compiler
        assert verdict is expected(problem, method, dtype), told(found.result)
    if verdict is not Verdict.AGREES:
        check_not_done(found, known)
        return
    check(found, known)
    if is_called_again(problem, method, dtype):
        check_keeps_nothing(found, known)
