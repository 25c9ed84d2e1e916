"""Must an implicit solver for a PDE really pay for a dense Jacobian?

jacbench pick pde.py:rate
"""

import jax
import jax.numpy as jnp
import numpy as np

POINTS = 1000
H = 1.0 / (POINTS + 1)


def rate(u: jax.Array) -> jax.Array:
    """Return du/dt of Fisher's equation, u_t = 0.01 u_xx + u (1 - u), zero at both ends."""
    padded = jnp.pad(u, 1)
    diffusion = (padded[2:] - 2 * u + padded[:-2]) / H**2
    return 0.01 * diffusion + u * (1 - u)


def inputs() -> np.ndarray:
    """Return a front in the middle."""
    return 1 / (1 + np.exp(40 * (np.linspace(H, 1 - H, POINTS) - 0.5)))
