"""Networks as people have them, by their parameters or by their inputs.

Each is written three times over the same NumPy weights: here over ``xp``, in
``jacbench_torch.problems.nn`` as a ``torch.nn.Module`` and in ``jacbench_jax.problems.nn``.
Parameters are a dict by the names that torch gives them, in torch's layout: convolutions (out, in,
height, width), dense layers (out, in).

Means are written as sums over a count: autograd computes the derivative of ``mean`` in float64 even
of float32.
"""

from __future__ import annotations

import importlib
import math
from typing import Any

import numpy as np

from jacbench.core.arrays import Array
from jacbench.core.errors import JacbenchError, MissingError
from jacbench.core.function_types import Namespace
from jacbench.problems import Entry
from jacbench.problems.problem import Problem

HEAD_WIDTH = 4
"""How many entries of a token one attention head sees; the number of heads follows."""

_EPS = 1e-5  # torch's default under the root of both norms
_GELU_CUBIC = 0.044715
_GELU_SCALE = math.sqrt(2 / math.pi)
_TEMPERATURE = 0.5


def _native(network: str, *sizes: int) -> dict[str, str]:
    """Return where torch's and JAX's functions are; a module is built for its sizes."""
    sized = "_".join([network, *map(str, sizes)])
    return {
        "torch": f"jacbench_torch.problems.nn:{sized}",
        "jax": f"jacbench_jax.problems.nn:{network}",
    }


def _weights(rng: np.random.Generator, shapes: dict[str, tuple[int, ...]]) -> dict[str, Array]:
    """Return seeded parameters: weights of unit output scale, small biases.

    ``shapes`` gives those of the weights by layer, output axis first.
    """
    found = {}
    for layer, shape in shapes.items():
        found[f"{layer}.weight"] = rng.standard_normal(shape) / math.sqrt(math.prod(shape[1:]))
        found[f"{layer}.bias"] = 0.1 * rng.standard_normal(shape[0])
    return found


def _scale_and_shift(rng: np.random.Generator, name: str, width: int) -> dict[str, Array]:
    """Return the seeded weight and bias of a norm, off their initial 1 and 0."""
    return {
        f"{name}.weight": 1 + 0.2 * rng.standard_normal(width),
        f"{name}.bias": 0.1 * rng.standard_normal(width),
    }


def _by_parameters(blocks: dict[str, Array], m: int) -> Array:
    """Return the (m, n) matrix of the derivatives by each parameter, in tree order."""
    return np.concatenate([blocks[name].reshape(m, -1) for name in sorted(blocks)], axis=1)


def _by_dense(G: Array, inputs: Array) -> tuple[Array, Array]:
    """Return the derivatives by a dense layer's weight and bias.

    ``G`` (..., width) holds those by the layer's output, ``inputs`` (..., fan_in) what it saw.
    """
    return G[..., :, None] * inputs[..., None, :], G


def _by_last_dense(inputs: Array, width: int) -> tuple[Array, Array]:
    """Return the derivatives of a last dense layer's outputs by its own weight and bias."""
    eye = np.eye(width, dtype=inputs.dtype)
    return _by_dense(np.broadcast_to(eye, (len(inputs), width, width)), inputs[:, None, :])


def _block_diagonal(blocks: Array) -> Array:
    """Return the matrix of samples that do not see each other, from (B, m / B, n / B)."""
    samples = np.arange(len(blocks))
    J = np.zeros((len(blocks), blocks.shape[1], *blocks.shape[::2]), dtype=blocks.dtype)
    J[samples, :, samples, :] = blocks
    return J.reshape(len(blocks) * blocks.shape[1], -1)


# --- nn/digits-cnn ---


def digits_cnn(entry: Entry) -> Problem:
    """Build a convolutional network on handwritten digits, by its parameters.

    ``batch`` images of 8 x 8, ``channels`` in the first layer and twice as many in the second.
    """
    batch, channels = entry.parameters["batch"], entry.parameters["channels"]
    shapes = {
        "conv1": (channels, 1, 3, 3),
        "conv2": (2 * channels, channels, 3, 3),
        "dense": (10, 2 * channels * 4),
    }
    return Problem(
        name=entry.name,
        summary=entry.summary,
        source=entry.source,
        function=_digits_cnn,
        native=_native("digits_cnn", channels),
        x=_weights(np.random.default_rng(2701), shapes),
        constants=(_digits(entry.name, batch),),
        in_axes=(None, 0),
        jacobian=_digits_cnn_by_parameters,
    )


def _digits(name: str, batch: int) -> Array:
    """Return ``batch`` of the digits in a seeded order: (batch, 1, 8, 8), from 0 to 1."""
    try:
        datasets: Any = importlib.import_module("sklearn.datasets")
    except ModuleNotFoundError as missing:
        raise MissingError(
            f'problem {name!r} needs scikit-learn for its data: run pip install "jacbench[data]"'
        ) from missing
    images: Array = datasets.load_digits().images / 16
    if batch > len(images):
        raise JacbenchError(
            f"problem {name!r}: batch is {batch} and there are {len(images)} images: "
            f"give batch={len(images)} or less"
        )
    order = np.random.default_rng(2702).permutation(len(images))
    return images[order[:batch], None]


def _digits_cnn(xp: Namespace, x: Any, images: Any) -> Any:
    hidden = images
    for layer in ("conv1", "conv2"):
        z = _convolution(xp, hidden, x[f"{layer}.weight"], x[f"{layer}.bias"])
        hidden = _mean_pool(xp, xp.tanh(z))
    features = xp.reshape(hidden, (hidden.shape[0], -1))
    return features @ xp.matrix_transpose(x["dense.weight"]) + x["dense.bias"]


def _convolution(xp: Namespace, images: Any, weight: Any, bias: Any) -> Any:
    """Return the 3 x 3 convolution of images (B, C, h, w), padded by 1."""
    batch, _, height, width = images.shape
    kernel = xp.reshape(weight, (weight.shape[0], -1))
    z = kernel @ _patches(xp, images) + xp.reshape(bias, (-1, 1))
    return xp.reshape(z, (batch, -1, height, width))


def _patches(xp: Namespace, images: Any) -> Any:
    """Return what the kernel sees at each place: (B, 9 C, h w) from (B, C, h, w)."""
    batch, channels, height, width = images.shape
    row = xp.zeros_like(images[:, :, :1, :])
    padded = xp.concat([row, images, row], axis=2)
    column = xp.zeros_like(padded[:, :, :, :1])
    padded = xp.concat([column, padded, column], axis=3)
    windows = [padded[:, :, i : i + height, j : j + width] for i in range(3) for j in range(3)]
    return xp.reshape(xp.stack(windows, axis=2), (batch, 9 * channels, height * width))


def _mean_pool(xp: Namespace, images: Any) -> Any:
    """Return the means of 2 x 2 squares."""
    batch, channels, height, width = images.shape
    squares = xp.reshape(images, (batch, channels, height // 2, 2, width // 2, 2))
    return xp.sum(squares, axis=(3, 5)) / 4


def _digits_cnn_by_parameters(x: Any, images: Array) -> Array:
    """Return the Jacobian by back-propagation, all ten logits of every sample at once.

    Source: I. Goodfellow, Y. Bengio, A. Courville, Deep Learning (2016), section 9.5: the
    derivatives of a convolution by its kernel and by its image.
    """
    seen, slopes, hidden = {}, {}, images
    for layer in ("conv1", "conv2"):
        seen[layer] = _patches(np, hidden)
        a = np.tanh(_convolution(np, hidden, x[f"{layer}.weight"], x[f"{layer}.bias"]))
        slopes[layer] = 1 - a**2
        hidden = _mean_pool(np, a)
    batch, logits = len(images), len(x["dense.bias"])
    blocks = {}
    blocks["dense.weight"], blocks["dense.bias"] = _by_last_dense(hidden.reshape(batch, -1), logits)
    # G (B, logits, C, h, w) is the derivative by what a layer hands on, from the last one
    G = np.broadcast_to(
        x["dense.weight"].reshape(logits, *hidden.shape[1:]), (batch, logits, *hidden.shape[1:])
    )
    for layer in ("conv2", "conv1"):
        by_z = G.repeat(2, axis=3).repeat(2, axis=4) / 4 * slopes[layer][:, None]
        flat = by_z.reshape(*by_z.shape[:3], -1)
        blocks[f"{layer}.bias"] = flat.sum(axis=3)
        blocks[f"{layer}.weight"] = flat @ np.matrix_transpose(seen[layer])[:, None]
        if layer == "conv2":
            G = _by_image(flat, x["conv2.weight"], by_z.shape[3:])
    return _by_parameters(blocks, batch * logits)


def _by_image(by_z: Array, weight: Array, size: tuple[int, ...]) -> Array:
    """Return the derivatives by a convolution's image, from those by its sums (B, m, out, h w)."""
    height, width = size
    kernel = weight.reshape(len(weight), -1)
    by_patch = (kernel.T @ by_z).reshape(*by_z.shape[:2], -1, 9, height, width)
    padded = np.zeros((*by_patch.shape[:3], height + 2, width + 2), dtype=by_z.dtype)
    for k in range(9):
        i, j = divmod(k, 3)
        padded[..., i : i + height, j : j + width] += by_patch[:, :, :, k]
    return padded[..., 1:-1, 1:-1]


# --- nn/attention ---


def attention(entry: Entry) -> Problem:
    """Build self-attention with a residual by its input; ``torch.nn.MultiheadAttention``."""
    return _attention_problem(entry, "attention")


def attention_fused(entry: Entry) -> Problem:
    """Build the same with torch's fused kernel, ``scaled_dot_product_attention``."""
    return _attention_problem(entry, "attention_fused")


def _attention_problem(entry: Entry, network: str) -> Problem:
    batch, seq, width = (entry.parameters[name] for name in ("batch", "seq", "width"))
    if width % HEAD_WIDTH:
        raise JacbenchError(
            f"problem {entry.name!r}: width is {width}, and a head has {HEAD_WIDTH}: "
            f"give a multiple of {HEAD_WIDTH}"
        )
    rng = np.random.default_rng(2703)
    layers = _weights(rng, {"in_proj": (3 * width, width), "out_proj": (width, width)})
    # torch.nn.MultiheadAttention holds the first layer bare and the second as a module
    parameters = {name.replace("in_proj.", "in_proj_"): values for name, values in layers.items()}
    return Problem(
        name=entry.name,
        summary=entry.summary,
        source=entry.source,
        function=_attention,
        native=_native(network, width),
        x=rng.standard_normal((batch, seq, width)),
        constants=(parameters,),
        in_axes=(0, None),
        jacobian=_attention_by_x,
    )


def _attention(xp: Namespace, x: Any, parameters: Any) -> Any:
    batch, seq, width = x.shape
    z = x @ xp.matrix_transpose(parameters["in_proj_weight"]) + parameters["in_proj_bias"]
    heads = xp.reshape(z, (batch, seq, 3, width // HEAD_WIDTH, HEAD_WIDTH))
    queries, keys, values = xp.unstack(xp.permute_dims(heads, (2, 0, 3, 1, 4)), axis=0)
    # the scores are of order 1: without their maximum subtracted, the function stays smooth
    weights = xp.exp(queries @ xp.matrix_transpose(keys) / math.sqrt(HEAD_WIDTH))
    weights = weights / xp.sum(weights, axis=-1, keepdims=True)
    merged = xp.reshape(xp.permute_dims(weights @ values, (0, 2, 1, 3)), (batch, seq, width))
    projected = merged @ xp.matrix_transpose(parameters["out_proj.weight"])
    return x + projected + parameters["out_proj.bias"]


def _attention_by_x(x: Array, parameters: Any) -> Array:
    """Return the Jacobian, block-diagonal over samples.

    With O_i = Σ_t A_it V_t and A the softmax over t of S_it = Q_i · K_t / √d, the differential is
    dO_i = Σ_t A_it dV_t + Σ_t A_it (V_t - O_i) dS_it.
    """
    batch, seq, width = x.shape
    count = width // HEAD_WIDTH
    z = x @ parameters["in_proj_weight"].T + parameters["in_proj_bias"]
    split = z.reshape(batch, seq, 3, count, HEAD_WIDTH).transpose(2, 0, 3, 1, 4)
    Q, K, V = split[0], split[1], split[2]
    Wq, Wk, Wv = parameters["in_proj_weight"].reshape(3, count, HEAD_WIDTH, width)
    A = np.exp(Q @ K.swapaxes(-2, -1) / math.sqrt(HEAD_WIDTH))
    A /= A.sum(axis=-1, keepdims=True)
    # by_score[b, h, i, t, d] is the derivative of O_id by S_it
    by_score = A[..., None] * (V[:, :, None] - (A @ V)[:, :, :, None]) / math.sqrt(HEAD_WIDTH)
    by_x = np.einsum("bhij,hde->bhidje", A, Wv)
    by_x += np.einsum("bhijd,bhie->bhidje", by_score, Q @ Wk)
    itself = np.arange(seq)
    own_token = np.einsum("bhitd,bhte->bhide", by_score, K @ Wq)
    by_x[:, :, itself, :, itself] += own_token.transpose(2, 0, 1, 3, 4)
    Wo = parameters["out_proj.weight"].reshape(width, count, HEAD_WIDTH)
    blocks = np.einsum("whd,bhidje->biwje", Wo, by_x).reshape(batch, seq * width, -1)
    return _block_diagonal(blocks + np.eye(seq * width, dtype=x.dtype))


# --- nn/layernorm ---


def layernorm(entry: Entry) -> Problem:
    """Build the feed-forward block of a transformer by its parameters: norm, dense, gelu, dense."""
    batch, width, hidden = (entry.parameters[name] for name in ("batch", "width", "hidden"))
    rng = np.random.default_rng(2704)
    parameters = _weights(rng, {"dense1": (hidden, width), "dense2": (width, hidden)})
    parameters |= _scale_and_shift(rng, "norm", width)
    return Problem(
        name=entry.name,
        summary=entry.summary,
        source=entry.source,
        function=_layernorm,
        native=_native("layernorm", width, hidden),
        x=parameters,
        constants=(rng.standard_normal((batch, width)),),
        in_axes=(None, 0),
        jacobian=_layernorm_by_parameters,
    )


def _standardised(xp: Namespace, z: Any, axis: int) -> tuple[Any, Any]:
    """Return z with mean 0 and variance 1 along ``axis``, and the deviation divided by."""
    count = z.shape[axis]
    centred = z - xp.sum(z, axis=axis, keepdims=True) / count
    deviation = xp.sqrt(xp.sum(xp.square(centred), axis=axis, keepdims=True) / count + _EPS)
    return centred / deviation, deviation


def _layernorm(xp: Namespace, x: Any, inputs: Any) -> Any:
    normed = _standardised(xp, inputs, -1)[0] * x["norm.weight"] + x["norm.bias"]
    z = normed @ xp.matrix_transpose(x["dense1.weight"]) + x["dense1.bias"]
    # the tanh form, as GPT-2 has it: exact gelu takes an error function
    a = 0.5 * z * (1 + xp.tanh(_GELU_SCALE * (z + _GELU_CUBIC * z * z * z)))
    return inputs + a @ xp.matrix_transpose(x["dense2.weight"]) + x["dense2.bias"]


def _layernorm_by_parameters(x: Any, inputs: Array) -> Array:
    """Return the Jacobian by back-propagation, every output of a sample at once.

    Source of gelu's tanh form, z (1 + tanh u) / 2 with u = √(2/π) (z + 0.044715 z³): D. Hendrycks
    and K. Gimpel, "Gaussian Error Linear Units", arXiv:1606.08415, section 2.
    """
    u = _standardised(np, inputs, -1)[0]
    normed = u * x["norm.weight"] + x["norm.bias"]
    z = normed @ x["dense1.weight"].T + x["dense1.bias"]
    t = np.tanh(_GELU_SCALE * (z + _GELU_CUBIC * z**3))
    slope = 0.5 * (1 + t) + 0.5 * z * (1 - t**2) * _GELU_SCALE * (1 + 3 * _GELU_CUBIC * z**2)
    blocks = {}
    blocks["dense2.weight"], blocks["dense2.bias"] = _by_last_dense(
        0.5 * z * (1 + t), inputs.shape[1]
    )
    G = x["dense2.weight"] * slope[:, None, :]
    blocks["dense1.weight"], blocks["dense1.bias"] = _by_dense(G, normed[:, None, :])
    by_norm = G @ x["dense1.weight"]
    blocks["norm.weight"], blocks["norm.bias"] = by_norm * u[:, None, :], by_norm
    return _by_parameters(blocks, inputs.size)


# --- nn/batch-norm and nn/batch-norm-eval ---


def batch_norm(entry: Entry) -> Problem:
    """Build dense, batch norm, tanh, dense by the inputs, in train mode: samples interact."""
    batch = entry.parameters["batch"]
    if batch < 3:
        raise JacbenchError(
            f"problem {entry.name!r}: batch is {batch}, and a batch norm in train mode gives "
            "0 for a single sample and 1 and -1 for two, whatever they are: give batch=3 or more"
        )
    return _batch_norm_problem(
        entry, function=_batch_norm, jacobian=_batch_norm_by_x, network="batch_norm"
    )


def batch_norm_eval(entry: Entry) -> Problem:
    """Build the same in eval mode, with running statistics: samples do not interact."""
    return _batch_norm_problem(
        entry, function=_batch_norm_eval, jacobian=_batch_norm_eval_by_x, network="batch_norm_eval"
    )


def _batch_norm_problem(entry: Entry, *, function: Any, jacobian: Any, network: str) -> Problem:
    batch, features, hidden, outputs = (
        entry.parameters[name] for name in ("batch", "features", "hidden", "out")
    )
    rng = np.random.default_rng(2705)
    parameters = _weights(rng, {"dense1": (hidden, features), "dense2": (outputs, hidden)})
    parameters |= _scale_and_shift(rng, "norm", hidden)
    buffers = {
        "norm.running_mean": 0.3 * rng.standard_normal(hidden),
        "norm.running_var": 0.5 + rng.random(hidden),
        "norm.num_batches_tracked": np.array(7),
    }
    return Problem(
        name=entry.name,
        summary=entry.summary,
        source=entry.source,
        function=function,
        native=_native(network, features, hidden, outputs),
        x=rng.standard_normal((batch, features)),
        constants=(parameters, buffers),
        in_axes=(0, None, None),
        jacobian=jacobian,
    )


def _batch_norm(xp: Namespace, x: Any, parameters: Any, buffers: Any) -> Any:
    del buffers  # train mode: the statistics are those of the batch
    z = x @ xp.matrix_transpose(parameters["dense1.weight"]) + parameters["dense1.bias"]
    return _after_norm(xp, _standardised(xp, z, 0)[0], parameters)


def _batch_norm_eval(xp: Namespace, x: Any, parameters: Any, buffers: Any) -> Any:
    z = x @ xp.matrix_transpose(parameters["dense1.weight"]) + parameters["dense1.bias"]
    deviation = xp.sqrt(buffers["norm.running_var"] + _EPS)
    return _after_norm(xp, (z - buffers["norm.running_mean"]) / deviation, parameters)


def _after_norm(xp: Namespace, u: Any, parameters: Any) -> Any:
    a = xp.tanh(u * parameters["norm.weight"] + parameters["norm.bias"])
    return a @ xp.matrix_transpose(parameters["dense2.weight"]) + parameters["dense2.bias"]


def _by_normed(u: Array, parameters: Any) -> Array:
    """Return the derivatives by the standardised values, (B, outputs, hidden)."""
    a = np.tanh(u * parameters["norm.weight"] + parameters["norm.bias"])
    slope = (1 - a**2) * parameters["norm.weight"]
    by_normed: Array = parameters["dense2.weight"] * slope[:, None, :]
    return by_normed


def _batch_norm_by_x(x: Array, parameters: Any, buffers: Any) -> Array:
    """Return the Jacobian; of each unit k, du_b / dz_c = (δ_bc - 1/B - u_b u_c / B) / s.

    Source: S. Ioffe and C. Szegedy, "Batch Normalization", arXiv:1502.03167, section 3, its
    derivatives by x̂, the variance and the mean put together.
    """
    del buffers
    batch = len(x)
    z = x @ parameters["dense1.weight"].T + parameters["dense1.bias"]
    u, deviation = _standardised(np, z, 0)
    by_u = _by_normed(u, parameters) / deviation
    apart = np.eye(batch, dtype=x.dtype) - 1 / batch
    by_z = apart[:, :, None] - u[:, None] * u / batch
    products = by_u[:, :, None, :] * by_z[:, None]  # (B, outputs, B, hidden)
    J: Array = (products @ parameters["dense1.weight"]).reshape(len(by_u) * by_u.shape[1], -1)
    return J


def _batch_norm_eval_by_x(x: Array, parameters: Any, buffers: Any) -> Array:
    z = x @ parameters["dense1.weight"].T + parameters["dense1.bias"]
    deviation = np.sqrt(buffers["norm.running_var"] + x.dtype.type(_EPS))
    u = (z - buffers["norm.running_mean"]) / deviation
    return _block_diagonal(_by_normed(u, parameters) / deviation @ parameters["dense1.weight"])


# --- nn/softmax-over-batch ---


def softmax_over_batch(entry: Entry) -> Problem:
    """Build the share of each sample in each key, softmax over samples of their cosines."""
    batch, width, keys = (entry.parameters[name] for name in ("batch", "width", "keys"))
    rng = np.random.default_rng(2706)
    targets = rng.standard_normal((keys, width))
    return Problem(
        name=entry.name,
        summary=entry.summary,
        source=entry.source,
        function=_softmax_over_batch,
        x=rng.standard_normal((batch, width)),
        constants=(targets / np.linalg.norm(targets, axis=1, keepdims=True),),
        in_axes=(0, None),
        jacobian=_softmax_over_batch_by_x,
    )


def _softmax_over_batch(xp: Namespace, x: Any, keys: Any) -> Any:
    unit = x / xp.vector_norm(x, axis=1, keepdims=True)
    # cosines over the temperature are of order 1, see _attention
    weights = xp.exp(unit @ xp.matrix_transpose(keys) / _TEMPERATURE)
    return weights / xp.sum(weights, axis=0, keepdims=True)


def _softmax_over_batch_by_x(x: Array, keys: Array) -> Array:
    """Return the Jacobian, y_bk (δ_ab - y_ak) (k - (k · u_a) u_a) / (τ |x_a|) for u = x / |x|."""
    norm = np.sqrt(np.sum(x**2, axis=1, keepdims=True))
    unit = x / norm
    cosines = unit @ keys.T
    y = np.exp(cosines / _TEMPERATURE)
    y /= y.sum(axis=0)
    by_x = (keys - cosines[:, :, None] * unit[:, None]) / (_TEMPERATURE * norm[:, :, None])
    # (B, B, keys): the derivative of y_bk by the score of sample a
    by_score = y[:, None] * (np.eye(len(x), dtype=x.dtype)[:, :, None] - y)
    J: Array = by_score.transpose(0, 2, 1)[..., None] * by_x.transpose(1, 0, 2)
    return J.reshape(y.size, -1)
