"""What is the fastest Jacobian for a least-squares fit in JAX?

jacbench pick jax_function.py:residuals
"""

import jax
import jax.numpy as jnp
import numpy as np

t = np.linspace(0.0, 4.0, 200)
data = 2.0 * np.exp(-1.3 * t) * np.cos(5.0 * t)


def residuals(x: jax.Array) -> jax.Array:
    """Return model minus data for a damped oscillation (amplitude, decay, frequency, phase)."""
    amplitude, decay, frequency, phase = x
    return amplitude * jnp.exp(-decay * t) * jnp.cos(frequency * t + phase) - data


x = np.array([1.5, 1.0, 4.8, 0.1])
