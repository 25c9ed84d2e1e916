"""Are these the per-sample partials?

``torch.autograd.grad(u[:, k], X, ones)`` returns, for every sample of the batch, the derivative of
the sum of ``u[:, k]`` over the batch. That is the sample's own partial as long as no sample sees
another: then one pass per output gives du/dx and du/dt everywhere. Batch norm in training mode, a
mean over the batch or anything else that mixes samples makes it wrong, and nothing warns; the
diagonal blocks of the whole Jacobian are right always.
"""

import functools
from typing import Any

import autograd
import autograd.numpy as anp
import jax
import jax.numpy as jnp
import numpy as np
import torch

import jacbench

jax.config.update("jax_enable_x64", True)
np.set_printoptions(precision=4, suppress=True)

# u(x, t): a leaky ReLU network 2-32-32-2 with a tanh at its end, on 100 points (x, t).
rng = np.random.default_rng(100)
*hidden, (V, c) = [
    (rng.standard_normal((n_in, n_out)) / np.sqrt(n_in), 0.1 * rng.standard_normal(n_out))
    for n_in, n_out in [(2, 32), (32, 32), (32, 2)]
]
points = rng.standard_normal((100, 2))


def equal(a: Any, b: Any) -> bool:
    """Say whether two arrays are equal to 1e-12."""
    return np.shape(a) == np.shape(b) and bool(np.abs(np.asarray(a) - np.asarray(b)).max() < 1e-12)


def judge(name: str, trick: Any, J: Any) -> None:
    """Print how far the sum trick is from the partials, and how much samples see of each other.

    J is the whole Jacobian, [sample, output, sample, input]; its diagonal blocks are the partials,
    and both figures are in units of their norm.
    """
    trick, others = np.asarray(trick), np.asarray(J).copy()
    samples = np.arange(len(others))
    partials = others[samples, :, samples, :]  # a copy, where einsum would give a view
    others[samples, :, samples, :] = 0
    error = np.linalg.norm(trick - partials) / np.linalg.norm(partials)
    between = np.linalg.norm(others) / np.linalg.norm(partials)
    print(f"{name}, error of the sum trick: {error:.4f}")
    print(f"{name}, Jacobian between samples: {between:.4f}")


# --- PyTorch ---

X = torch.tensor(points)
torch_hidden = [(torch.tensor(W), torch.tensor(b)) for W, b in hidden]
torch_last = torch.tensor(V), torch.tensor(c)


def torch_u(X: torch.Tensor, batch_norm: bool = False) -> torch.Tensor:
    """Return u at points of shape (100, 2), or, without batch norm, at one of shape (2,)."""
    for W, b in torch_hidden:
        z = X @ W + b
        if batch_norm:
            z = torch.nn.functional.batch_norm(z, None, None, training=True)
        X = torch.nn.functional.leaky_relu(z, 0.2)
    W, b = torch_last
    return torch.tanh(X @ W + b)


def torch_sum_trick(X: torch.Tensor, batch_norm: bool = False) -> torch.Tensor:
    """Return [sample, output, input]."""
    X = X.detach().requires_grad_()
    u = torch_u(X, batch_norm)
    ones = torch.ones_like(u[:, 0])
    by_output = [
        torch.autograd.grad(u[:, k], X, grad_outputs=ones, retain_graph=True)[0] for k in range(2)
    ]
    return torch.stack(by_output, dim=1)


du = torch_sum_trick(X)
du_dx, du_dt = du[:, :, 0], du[:, :, 1]
du_0 = torch.func.jacrev(torch_u)(X[0])  # of sample 0 alone, without the batch
print(f"torch, shape of du/dx: {tuple(du_dx.shape)}")
print(f"torch, shape of du/dt: {tuple(du_dt.shape)}")
print(f"torch, du/dx of samples 0 to 2:\n{du_dx[:3].numpy()}")
print(f"torch, du/dt of samples 0 to 2:\n{du_dt[:3].numpy()}")
print(
    f"torch, vmap(jacrev) is the same: {equal(du, torch.func.vmap(torch.func.jacrev(torch_u))(X))}"
)
print(f"torch, du_0 is du[0]: {equal(du_0, du[0])}")

# --- JAX ---


@functools.partial(jax.jit, static_argnames="batch_norm")
def jax_u(X: jax.Array, batch_norm: bool = False) -> jax.Array:
    """Return u at points of shape (100, 2), or, without batch norm, at one of shape (2,)."""
    for W, b in hidden:
        z = X @ W + b
        if batch_norm:
            z = (z - z.mean(axis=0)) / jnp.sqrt(z.var(axis=0) + 1e-5)
        X = jax.nn.leaky_relu(z, 0.2)
    return jnp.tanh(X @ V + c)


def jax_sum_trick(X: jax.Array, batch_norm: bool = False) -> jax.Array:
    """Return [sample, output, input]."""
    u, pull_back = jax.vjp(lambda X: jax_u(X, batch_norm), X)
    by_output = [pull_back(jnp.zeros_like(u).at[:, k].set(1))[0] for k in range(2)]
    return jnp.stack(by_output, axis=1)


X_jax = jnp.asarray(points)
du_jax = jax_sum_trick(X_jax)
du_0_jax = jax.jacrev(jax_u)(X_jax[0])
print(f"\njax, du/dx of samples 0 to 2:\n{np.asarray(du_jax[:3, :, 0])}")
print(f"jax, du/dt of samples 0 to 2:\n{np.asarray(du_jax[:3, :, 1])}")
print(f"jax, vmap(jacrev) is the same: {equal(du_jax, jax.vmap(jax.jacrev(jax_u))(X_jax))}")
print(f"jax, du_0 is du[0]: {equal(du_0_jax, du_jax[0])}")

# --- HIPS autograd ---


def autograd_u(X: np.ndarray, batch_norm: bool = False) -> np.ndarray:
    """Return u at points of shape (100, 2), or, without batch norm, at one of shape (2,)."""
    for W, b in hidden:
        z = anp.dot(X, W) + b
        if batch_norm:
            z = (z - anp.mean(z, axis=0)) / anp.sqrt(anp.var(z, axis=0) + 1e-5)
        X = anp.where(z >= 0, z, 0.2 * z)
    return anp.tanh(anp.dot(X, V) + c)


def autograd_sum_trick(X: np.ndarray, batch_norm: bool = False) -> np.ndarray:
    """Return [sample, output, input]."""
    pull_back, _ = autograd.make_vjp(lambda X: autograd_u(X, batch_norm))(X)
    by_output = [pull_back(np.ones((len(X), 1)) * one_hot) for one_hot in np.eye(2)]
    return np.stack(by_output, axis=1)


# autograd has no vmap: a loop over the samples stands in for it.
du_autograd = autograd_sum_trick(points)
by_sample = np.stack([autograd.jacobian(autograd_u)(point) for point in points])
print(f"\nautograd, du/dx of samples 0 to 2:\n{du_autograd[:3, :, 0]}")
print(f"autograd, du/dt of samples 0 to 2:\n{du_autograd[:3, :, 1]}")
print(f"autograd, a loop over samples is the same: {equal(du_autograd, by_sample)}")
print(f"autograd, du_0 is du[0]: {equal(by_sample[0], du_autograd[0])}")

# --- against the whole Jacobian, (100, 2, 100, 2): here no sample sees another ---

print("\nnorms in units of the norm of the partials")
judge("torch", du, torch.func.jacrev(torch_u)(X))
judge("jax", du_jax, jax.jacrev(jax_u)(X_jax))
judge("autograd", du_autograd, autograd.jacobian(autograd_u)(points))

# --- with batch norm in training mode: every sample moves the mean and variance of the batch ---

# What one sample does to another is little; the sum trick adds up what it does to all 99.
whole = torch.func.jacrev(torch_u)(X, True)
judge("torch with batch norm", torch_sum_trick(X, True), whole)
whole = jax.jacrev(jax_u)(X_jax, True)
judge("jax with batch norm", jax_sum_trick(X_jax, True), whole)
whole = autograd.jacobian(autograd_u)(points, True)
judge("autograd with batch norm", autograd_sum_trick(points, True), whole)

# Less its mean over the batch, u sums to zero whatever X is, and so the sum trick returns zeros.
X.requires_grad_()
centred = torch_u(X) - torch_u(X).mean(dim=0)
by_x = torch.autograd.grad(centred[:, 0].sum(), X)[0]
print(f"torch, sum trick on u - mean(u) is zero: {equal(by_x, np.zeros((100, 2)))}")

# --- the whole Jacobian by jacbench: its diagonal blocks are the partials ---

for method, f in {
    "torch.func.jacrev": torch_u,
    "jax.jacrev": jax_u,
    "autograd.vjp-loop": autograd_u,
}.items():
    blocks = np.einsum("sksi->ski", np.asarray(jacbench.jacobian(f, points, method=method)))
    print(f"jacbench, {method}, diagonal blocks are du: {equal(blocks, du)}")
