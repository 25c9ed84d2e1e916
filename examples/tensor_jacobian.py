"""What does backward(v) compute, and why did the second call double it?

The Jacobian of a (2, 2) array by a (2, 2) array has shape (2, 2, 2, 2). ``y.backward(v)`` never
builds it: it computes its product with v, summed over the indices of y, and adds that to
``x.grad``. So a second call adds the same again; set ``x.grad`` to None or zero in between. JAX and
HIPS autograd return the product, and nothing accumulates.
"""

import autograd
import autograd.numpy as anp
import jax
import jax.numpy as jnp
import numpy as np
import torch

import jacbench

jax.config.update("jax_enable_x64", True)
np.set_printoptions(precision=4, suppress=True)

# --- PyTorch ---


def f(x: torch.Tensor) -> torch.Tensor:
    """Return (x + 1)^2, entry by entry."""
    return (x + 1) ** 2


x = torch.eye(2, dtype=torch.float64, requires_grad=True)
v = torch.ones(2, 2, dtype=torch.float64)

# J[i, j, m, n] is the derivative of y[i, j] by x[m, n].
J = torch.autograd.functional.jacobian(f, x)
print(f"torch, shape of J: {tuple(J.shape)}")
print(f"torch, J:\n{J.numpy()}")
print(f"torch, v times J:\n{torch.einsum('ij,ijmn->mn', v, J).numpy()}")

f(x).backward(v)
print(f"torch, x.grad after backward(v):\n{x.grad.numpy()}")

# f(x) anew: a graph is freed by its backward, unless that has retain_graph=True.
f(x).backward(v)
print(f"torch, x.grad after a second backward(v):\n{x.grad.numpy()}")

x.grad.zero_()
f(x).backward(v)
print(f"torch, x.grad after zero_() and backward(v):\n{x.grad.numpy()}")

x.grad = None
f(x).backward(v)
print(f"torch, x.grad after None and backward(v):\n{x.grad.numpy()}")

# --- JAX ---


def f_jax(x: jax.Array) -> jax.Array:
    """Return (x + 1)^2, entry by entry."""
    return (x + 1) ** 2


x_jax, v_jax = jnp.eye(2), jnp.ones((2, 2))
J_jax = jax.jacrev(f_jax)(x_jax)
print(f"jax, shape of J: {J_jax.shape}")
print(f"jax, v times J:\n{np.asarray(jnp.einsum('ij,ijmn->mn', v_jax, J_jax))}")

y_jax, pull_back = jax.vjp(f_jax, x_jax)
(first,) = pull_back(v_jax)
(second,) = pull_back(v_jax)
print(f"jax.vjp, first call:\n{np.asarray(first)}")
print(f"jax.vjp, second call:\n{np.asarray(second)}")

# --- HIPS autograd ---


def f_autograd(x: np.ndarray) -> np.ndarray:
    """Return (x + 1)^2, entry by entry."""
    return (x + 1) ** 2


x_np, v_np = np.eye(2), np.ones((2, 2))
J_autograd = autograd.jacobian(f_autograd)(x_np)
print(f"autograd, shape of J: {J_autograd.shape}")
print(f"autograd, v times J:\n{anp.einsum('ij,ijmn->mn', v_np, J_autograd)}")

pull_back, y_np = autograd.make_vjp(f_autograd)(x_np)
print(f"autograd.make_vjp, first call:\n{pull_back(v_np)}")
print(f"autograd.make_vjp, second call:\n{pull_back(v_np)}")

# --- the same by jacbench ---

J_torch = jacbench.jacobian(f, x.detach(), method="torch.func.jacrev")
print(f"jacbench, torch.func.jacrev, shape of J: {tuple(J_torch.shape)}")
print(f"jacbench, torch.func.jacrev, v times J:\n{torch.einsum('ij,ijmn->mn', v, J_torch).numpy()}")
