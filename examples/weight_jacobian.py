"""How do I get the 20 x 47 Jacobian of a small network's outputs by its weights?

Write the network as a function of its parameters and differentiate that function: ``jacrev`` of
PyTorch or JAX gives one block per parameter, of shape ``y.shape + parameter.shape``. Reshaped to 20
rows each and laid side by side, the blocks are the matrix. ``backward`` gives one row per call, so
a loop over one-hot vectors gives the same matrix, slower.
"""

from collections.abc import Iterable
from typing import Any

import autograd
import autograd.numpy as anp
import jax
import jax.numpy as jnp
import numpy as np
import torch
from autograd.misc.flatten import flatten

import jacbench

jax.config.update("jax_enable_x64", True)
np.set_printoptions(precision=4, suppress=True, linewidth=100)

# A tanh network 6-4-3-1 on a batch of 20: (24 + 4) + (12 + 3) + (3 + 1) = 47 parameters.
rng = np.random.default_rng(47)
layers = tuple(
    (rng.standard_normal((n_in, n_out)) / np.sqrt(n_in), 0.1 * rng.standard_normal(n_out))
    for n_in, n_out in [(6, 4), (4, 3), (3, 1)]
)
batch = rng.standard_normal((20, 6))

# --- PyTorch ---

X = torch.tensor(batch)
params = tuple((torch.tensor(W), torch.tensor(b)) for W, b in layers)


def torch_network(params: Any, x: torch.Tensor) -> torch.Tensor:
    """Return the outputs, of shape (20, 1)."""
    for W, b in params:
        x = torch.tanh(x @ W + b)
    return x


def side_by_side(blocks: Iterable[torch.Tensor]) -> torch.Tensor:
    """Return one matrix of 20 rows from blocks of shape (20, 1, ...)."""
    return torch.cat([block.reshape(20, -1) for block in blocks], dim=1)


# One backward pass per output; the graph is walked again each time, so it is retained.
leaves = [p.clone().requires_grad_() for layer in params for p in layer]
y = torch_network(zip(leaves[::2], leaves[1::2], strict=True), X)
rows = []
for one_hot in torch.eye(20, dtype=torch.float64).reshape(20, 20, 1):
    for leaf in leaves:
        leaf.grad = None  # backward adds to what is there
    y.backward(one_hot, retain_graph=True)
    rows.append(torch.cat([leaf.grad.flatten() for leaf in leaves]))
J_backward = torch.stack(rows)

# It takes tensors, not a tree of them: the parameters are passed one by one.
J_functional = side_by_side(
    torch.autograd.functional.jacobian(
        lambda *p: torch_network(zip(p[::2], p[1::2], strict=True), X), tuple(leaves)
    )
)

# It takes the tree as it is, and returns the blocks in the same tree.
tree = torch.func.jacrev(torch_network)(params, X)
J_jacrev = side_by_side(block for layer in tree for block in layer)

# A torch.nn.Module becomes a function of its parameters by functional_call.
model = torch.nn.Sequential(
    *(torch.nn.Linear(6, 4), torch.nn.Tanh()),
    *(torch.nn.Linear(4, 3), torch.nn.Tanh()),
    *(torch.nn.Linear(3, 1), torch.nn.Tanh()),
).double()
with torch.no_grad():
    for linear, (W, b) in zip(model[::2], params, strict=True):
        linear.weight.copy_(W.T)
        linear.bias.copy_(b)
named = {name: p.detach() for name, p in model.named_parameters()}
by_name = torch.func.jacrev(lambda p: torch.func.functional_call(model, p, (X,)))(named)
# Linear keeps its weight as (out, in): without mT its columns come in another order than W's.
J_module = side_by_side(
    block.mT if name.endswith("weight") else block for name, block in by_name.items()
)

# --- JAX ---


def jax_network(params: Any, x: jax.Array) -> jax.Array:
    """Return the outputs, of shape (20, 1)."""
    for W, b in params:
        x = jnp.tanh(x @ W + b)
    return x


blocks = jax.tree.leaves(jax.jit(jax.jacrev(jax_network))(layers, batch))
J_jax = jnp.concatenate([block.reshape(20, -1) for block in blocks], axis=1)

# --- HIPS autograd ---


def autograd_network(params: Any, x: np.ndarray) -> np.ndarray:
    """Return the outputs, of shape (20, 1)."""
    for W, b in params:
        x = anp.tanh(anp.dot(x, W) + b)
    return x


# jacobian differentiates by one array, so the parameters are flattened to one vector of 47.
vector, unflatten = flatten(layers)
J_autograd = autograd.jacobian(lambda v: autograd_network(unflatten(v), batch)[:, 0])(vector)

# --- the same by jacbench ---

J_jacbench_torch = jacbench.jacobian(
    lambda p: torch_network(p, X), params, method="torch.func.jacrev", matrix=True
)
J_jacbench_jax = jacbench.jacobian(
    lambda p: jax_network(p, batch), layers, method="jax.jacrev", matrix=True
)

# --- what came out ---

J = J_backward.numpy()
print(f"shape: {J.shape}")
print("columns: W1 0:24, b1 24:28, W2 28:40, b2 40:43, W3 43:46, b3 46:47")
print(f"first 3 rows, first 6 columns:\n{J[:3, :6]}")
print(f"last 3 rows, last 6 columns:\n{J[-3:, -6:]}")
print("\nequal to the backward loop to 1e-12")
for name, other in {
    "torch.autograd.functional.jacobian": J_functional,
    "torch.func.jacrev": J_jacrev,
    "torch.func.jacrev and functional_call": J_module,
    "jax.jacrev": J_jax,
    "autograd.jacobian": J_autograd,
    "jacbench, torch.func.jacrev": J_jacbench_torch,
    "jacbench, jax.jacrev": J_jacbench_jax,
}.items():
    same = np.shape(other) == J.shape and np.abs(np.asarray(other) - J).max() < 1e-12
    print(f"{name}: {same}")
