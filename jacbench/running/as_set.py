"""Whether a function is another one once its library computes in float64, as checking lets it."""

from __future__ import annotations

from jacbench.problems import precision
from jacbench.problems.problem import Problem


def another(problem: Problem, name: str) -> str | None:
    """Return why float64 makes another function of ``problem`` in the library ``name``, or None.

    To be asked while the process is as its user has set it. JAX draws random numbers in the
    precision of the process, say, so that turning float64 on draws others. A function written over
    ``xp``, or for another library, is not asked.
    """
    if name not in problem.native or problem.undifferentiable or not precision.narrows(name):
        return None
    off = precision.another_function(problem, name, "cpu")
    if off is None:
        return None
    return (
        f"it is another function with jax_enable_x64 on, as checking needs it: its value is "
        f"{off:.1g} of ‖y‖ away (random numbers are drawn in the precision of the process, say); "
        "if that one is meant, run jax.config.update('jax_enable_x64', True) first, else let "
        "jacbench.pick settle it as JAX is set"
    )
