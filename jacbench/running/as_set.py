"""Whether a function is another one once its library computes in float64, as checking lets it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import numpy as np

from jacbench.backend import Backend, registry
from jacbench.core import tree
from jacbench.core.arrays import Array
from jacbench.core.errors import JacbenchError
from jacbench.problems.checked_value import evaluate
from jacbench.problems.problem import Problem

OTHER = 1e-3
"""Share of ‖y‖ by which values differ that rounding to float32 does not take apart."""


def another(problem: Problem, name: str) -> str | None:
    """Return why float64 makes another function of ``problem`` in the library ``name``, or None.

    To be asked while the process is as its user has set it. JAX draws random numbers in the
    precision of the process, say, so that turning float64 on draws others. The value is compared at
    an x that float32 can hold, for an x of float32 and of float64; a function written over ``xp``,
    or for another library, is not asked.
    """
    backend = registry.load(name)
    if name not in problem.native or problem.undifferentiable or not _narrows(backend):
        return None
    call = _Call(problem, backend, name)
    try:
        own = call.value("float32")
    except JacbenchError:
        return None
    for dtype in ("float32", "float64"):
        with contextlib.suppress(JacbenchError), backend.precise():
            other = call.value(dtype)
            size = float(np.linalg.norm(own)) or 1.0
            off = float(np.linalg.norm(other - own)) / size if other.shape == own.shape else 0.0
            if off > OTHER:
                return (
                    f"it is another function with jax_enable_x64 on, as checking needs it: its "
                    f"value is {off:.1g} of ‖y‖ away (random numbers are drawn in the precision "
                    "of the process, say); if that one is meant, run "
                    "jax.config.update('jax_enable_x64', True) first, else let jacbench.pick "
                    "settle it as JAX is set"
                )
    return None


@dataclass(frozen=True)
class _Call:
    problem: Problem
    backend: Backend
    name: str

    def value(self, dtype: str) -> Array:
        """Return y in float64 where x and the constants are given in ``dtype``."""
        problem, backend = self.problem, self.backend

        def put(leaf: Array) -> object:
            held = leaf.astype(np.float32) if leaf.dtype.kind == "f" else leaf
            return backend.put(np.asarray(held), "cpu", dtype)

        x, *constants = (tree.map_leaves(put, v) for v in (problem.x, *problem.constants))
        function = problem.value_alone(problem.bound(self.name, backend.xp))
        y = evaluate(problem.name, backend, lambda: function(x, *constants))
        return y.astype(np.float64)


def _narrows(backend: Backend) -> bool:
    """Say whether the library makes float32 of float64 as it is set."""
    return str(backend.to_numpy(backend.put(np.zeros(1), "cpu", "float64")).dtype) != "float64"
