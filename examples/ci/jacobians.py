"""The Jacobians that a project guards: `jacbench gate jacobians.py:problems --base-ref main`."""

from typing import Any

import numpy as np

import jacbench


def residual(xp: Any, x: Any, k: Any) -> Any:
    """Return the forces in a chain of springs that is fixed at both ends."""
    zero = xp.zeros_like(x[:1])
    u = xp.concat([zero, x, zero])
    stretch = u[1:] - u[:-1]
    force = k * (stretch + stretch**3)
    return force[1:] - force[:-1]


def problems() -> list[jacbench.Problem]:
    """Return every problem; its function would be imported from your package."""
    rng = np.random.default_rng(0)
    return [
        jacbench.Problem(
            name=f"chain/{n}",
            function=residual,
            x=rng.standard_normal(n),
            constants=(rng.uniform(1, 2, n + 1),),
        )
        for n in (10, 100)
    ]
