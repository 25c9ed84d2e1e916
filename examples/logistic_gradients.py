"""What are the gradients of the logistic loss, and what do no_grad and detach change?

For logits ``z = x @ w + b`` of K classes the mean binary cross-entropy has ``dL/dz = (sigmoid(z) -
y) / K``, ``dL/dw = outer(x, dL/dz)`` and ``dL/db = dL/dz``. Under ``torch.no_grad()`` no graph is
recorded, so there is nothing to call ``backward`` on; ``w.detach()`` is w's value without its
history: the path through it is cut and every other path stays. JAX cuts by
``jax.lax.stop_gradient`` and HIPS autograd by ``getval``; there the cut part comes back as zeros.
"""

from typing import Any

import autograd
import autograd.numpy as anp
import jax
import jax.numpy as jnp
import numpy as np
import torch
from autograd.tracer import getval

import jacbench

jax.config.update("jax_enable_x64", True)
np.set_printoptions(precision=4, suppress=True)

rng = np.random.default_rng(5)
w0, b0 = rng.standard_normal((5, 3)), rng.standard_normal(3)
x0, y0 = np.ones(5), np.zeros(3)

# The closed formula.
z0 = x0 @ w0 + b0
loss_by_hand = np.mean(np.logaddexp(0, z0) - y0 * z0)
b_by_hand = (1 / (1 + np.exp(-z0)) - y0) / 3
w_by_hand = np.outer(x0, b_by_hand)
print(f"loss by hand: {loss_by_hand:.4f}")
print(f"dL/dw by hand:\n{w_by_hand}")
print(f"dL/db by hand:\n{b_by_hand}")


def equal(w_grad: Any, b_grad: Any) -> bool:
    """Say whether two gradients are those of the formula, to 1e-12."""
    pairs = [(w_grad, w_by_hand), (b_grad, b_by_hand)]
    return all(np.abs(np.asarray(a) - by_hand).max() < 1e-12 for a, by_hand in pairs)


# --- PyTorch ---

x, y = torch.tensor(x0), torch.tensor(y0)
w = torch.tensor(w0, requires_grad=True)
b = torch.tensor(b0, requires_grad=True)


def torch_loss(w: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return the mean binary cross-entropy of the logits."""
    return torch.nn.functional.binary_cross_entropy_with_logits(x @ w + b, y)


torch_loss(w, b).backward()
print(f"\ntorch equals the formula to 1e-12: {equal(w.grad, b.grad)}")

print(f"torch, requires_grad of z: {(x @ w + b).requires_grad}")
print(f"torch, requires_grad of z.detach(): {(x @ w + b).detach().requires_grad}")
with torch.no_grad():
    loss = torch_loss(w, b)
print(f"torch, requires_grad of a loss under no_grad: {loss.requires_grad}")
try:
    loss.backward()
except RuntimeError as error:
    print(f"torch, its backward: {error}")

w.grad = b.grad = None
torch_loss(w.detach(), b).backward()
print(f"torch, w detached, w.grad: {w.grad}")
print(f"torch, w detached, b.grad:\n{b.grad.numpy()}")

# Zeros in place of None, where an optimiser or a sum wants an array.
(zeros,) = torch.autograd.grad(
    torch_loss(w.detach(), b), [w], allow_unused=True, materialize_grads=True
)
print(f"torch, w detached, materialize_grads:\n{zeros.numpy()}")

# --- JAX ---


def jax_loss(w: jax.Array, b: jax.Array) -> jax.Array:
    """Return the mean binary cross-entropy of the logits."""
    z = x0 @ w + b
    return jnp.mean(jax.nn.softplus(z) - y0 * z)


print(f"\njax equals the formula to 1e-12: {equal(*jax.grad(jax_loss, argnums=(0, 1))(w0, b0))}")
w_grad, b_grad = jax.grad(
    lambda w, b: jax_loss(jax.lax.stop_gradient(w), b),
    argnums=(0, 1),
)(w0, b0)
print(f"jax, w stopped, by w:\n{np.asarray(w_grad)}")
print(f"jax, w stopped, by b:\n{np.asarray(b_grad)}")

# --- HIPS autograd ---


def autograd_loss(w: np.ndarray, b: np.ndarray) -> float:
    """Return the mean binary cross-entropy of the logits."""
    z = anp.dot(x0, w) + b
    return anp.mean(anp.logaddexp(0, z) - y0 * z)


both = autograd.grad(autograd_loss, argnum=(0, 1))
print(f"\nautograd equals the formula to 1e-12: {equal(*both(w0, b0))}")
# getval takes off one level of tracing: inside a second derivative it leaves the outer one.
w_grad, b_grad = autograd.grad(
    lambda w, b: autograd_loss(getval(w), b),
    argnum=(0, 1),
)(w0, b0)
print(f"autograd, w cut, by w:\n{w_grad}")
print(f"autograd, w cut, by b:\n{b_grad}")

# --- the same by jacbench: a scalar's Jacobian is its gradient, a tree's Jacobian a tree ---

gradients = jacbench.jacobian(
    lambda p: torch_loss(*p), (w.detach(), b.detach()), method="torch.func.jacrev"
)
print(f"\njacbench, torch.func.jacrev equals the formula to 1e-12: {equal(*gradients)}")
gradients = jacbench.jacobian(lambda p: autograd_loss(*p), (w0, b0), method="autograd.jacobian")
print(f"jacbench, autograd.jacobian equals the formula to 1e-12: {equal(*gradients)}")
