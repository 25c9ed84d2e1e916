"""Why is Z.grad None?

Z is computed, not a leaf, and PyTorch keeps ``.grad`` of leaves only. Before ``backward``, call
``Z.retain_grad()`` or register a hook; or ask for it by ``torch.autograd.grad(L, Z)``. JAX and HIPS
autograd differentiate functions by their arguments, so make Z's change an argument: add ``e`` to Z
and differentiate by ``e`` at zero.
"""

import warnings

import autograd
import autograd.numpy as anp
import jax
import jax.numpy as jnp
import numpy as np
import torch

import jacbench

jax.config.update("jax_enable_x64", True)
np.set_printoptions(precision=4, suppress=True)

# Z = xW + B, L = sum(Z): dL/dZ is all ones, and each row of dL/dx holds the row sums of W.
x0 = np.array([[0.5, 0.3, 2.1], [0.2, 0.1, 1.1]])
W0 = np.array([[2.1, 1.5], [-1.4, 0.5], [0.2, 1.1]])
B0 = np.array([1.1, -0.3])

# --- PyTorch ---

W, B = torch.tensor(W0), torch.tensor(B0)
x = torch.tensor(x0, requires_grad=True)

Z = x @ W + B
Z.sum().backward()
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    print(f"torch, Z.is_leaf: {Z.is_leaf}")
    print(f"torch, Z.grad: {Z.grad}")
# The first sentence; the rest names retain_grad.
print(f"torch warned: {str(caught[0].message).split('. ')[0]}")
print(f"torch, x.grad:\n{x.grad.numpy()}")

x.grad = None
Z = x @ W + B
Z.retain_grad()
Z.sum().backward()
print(f"torch, Z.grad after retain_grad:\n{Z.grad.numpy()}")

# The hook is called with the gradient; what it returns, unless None, replaces the gradient.
x.grad = None
seen = []
Z = x @ W + B
Z.register_hook(seen.append)
Z.sum().backward()
print(f"torch, what the hook saw:\n{seen[0].numpy()}")

Z = x @ W + B
by_z, by_x = torch.autograd.grad(Z.sum(), (Z, x))
print(f"torch.autograd.grad by Z:\n{by_z.numpy()}")
print(f"torch.autograd.grad by x:\n{by_x.numpy()}")

# --- JAX ---


def jax_loss(x: jax.Array, e: jax.Array) -> jax.Array:
    """Return L, with e added to Z."""
    Z = x @ W0 + B0 + e
    return jnp.sum(Z)


zero = np.zeros((2, 2))
by_x, by_z = jax.grad(jax_loss, argnums=(0, 1))(x0, zero)
print(f"jax.grad by e:\n{np.asarray(by_z)}")
print(f"jax.grad by x:\n{np.asarray(by_x)}")

# --- HIPS autograd ---


def autograd_loss(x: np.ndarray, e: np.ndarray) -> float:
    """Return L, with e added to Z."""
    Z = anp.dot(x, W0) + B0 + e
    return anp.sum(Z)


by_x, by_z = autograd.grad(autograd_loss, argnum=(0, 1))(x0, zero)
print(f"autograd.grad by e:\n{by_z}")
print(f"autograd.grad by x:\n{by_x}")

# --- the same by jacbench: a scalar's Jacobian is its gradient ---

both = jacbench.jacobian(lambda args: jax_loss(*args), (x0, zero), method="jax.jacrev")
print(f"jacbench, jax.jacrev by e:\n{np.asarray(both[1])}")
print(f"jacbench, jax.jacrev by x:\n{np.asarray(both[0])}")
