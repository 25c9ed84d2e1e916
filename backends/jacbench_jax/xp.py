"""The namespace of :mod:`jacbench.core.namespace` in JAX: all of it is JAX's own."""
# ruff: noqa: A001 - the standard's names are some of Python's own

from __future__ import annotations

import jax
import jax.numpy as jnp

# --- elementwise ---

abs = jnp.abs
sign = jnp.sign
square = jnp.square
sqrt = jnp.sqrt
reciprocal = jnp.reciprocal
exp = jnp.exp
expm1 = jnp.expm1
log = jnp.log
log1p = jnp.log1p
sin = jnp.sin
cos = jnp.cos
tan = jnp.tan
asin = jnp.asin
acos = jnp.acos
atan = jnp.atan
sinh = jnp.sinh
cosh = jnp.cosh
tanh = jnp.tanh
asinh = jnp.asinh
acosh = jnp.acosh
atanh = jnp.atanh
pow = jnp.pow
atan2 = jnp.atan2
logaddexp = jnp.logaddexp
maximum = jnp.maximum
minimum = jnp.minimum
where = jnp.where
leaky_relu = jax.nn.leaky_relu
softplus = jax.nn.softplus
stop_gradient = jax.lax.stop_gradient

# --- reductions ---

sum = jnp.sum
mean = jnp.mean
prod = jnp.prod
max = jnp.max
min = jnp.min
var = jnp.var
std = jnp.std
cumulative_sum = jnp.cumulative_sum

# --- linear algebra ---

matmul = jnp.matmul
tensordot = jnp.tensordot
einsum = jnp.einsum
matrix_transpose = jnp.matrix_transpose
vecdot = jnp.vecdot
outer = jnp.outer
vector_norm = jnp.linalg.vector_norm

# --- manipulation ---

reshape = jnp.reshape
concat = jnp.concat
stack = jnp.stack
unstack = jnp.unstack
permute_dims = jnp.permute_dims
expand_dims = jnp.expand_dims
squeeze = jnp.squeeze
broadcast_to = jnp.broadcast_to
flip = jnp.flip
roll = jnp.roll
take = jnp.take
take_along_axis = jnp.take_along_axis

# --- creation ---

zeros_like = jnp.zeros_like
ones_like = jnp.ones_like
full_like = jnp.full_like
asarray = jnp.asarray
zeros = jnp.zeros
ones = jnp.ones
arange = jnp.arange
eye = jnp.eye

pi = jnp.pi
e = jnp.e
