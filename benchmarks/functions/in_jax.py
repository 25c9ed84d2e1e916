"""Functions as JAX's users write them.

The arrays that they close over are NumPy's: JAX takes them at the precision of its process.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from .case import Case, draw, native, weights

_MADE = "made for jacbench"


def _robertson() -> Case:
    def rates(y: Array) -> Array:
        slow, fast, pair = 0.04 * y[0], 1e4 * y[1] * y[2], 3e7 * y[1] ** 2
        return jnp.stack([fast - slow, slow - fast - pair, pair])

    source = "H. Robertson (1966), the rates of three reactions"
    return native("jax", "small/robertson", "small", source, rates, np.array([0.9, 2e-5, 0.1]))


def _hopfield() -> Case:
    n = 120
    (W,) = weights(61, n, n)

    def flow(x: Array) -> Array:
        return W @ jnp.tanh(x) - x

    source = "J. Hopfield, PNAS 81 (1984): a continuous network of neurons"
    return native("jax", "square/hopfield", "square", source, flow, draw(62, n))


def _vector_field() -> Case:
    first, second = weights(63, 3, 24, 3)

    def flow(x: Array) -> Array:
        return jax.vmap(lambda state: jnp.tanh(state @ first) @ second)(x)

    source = "R. Chen and others, arXiv:1806.07366: a learned vector field on a batch"
    x = draw(64, 80, 3)
    return native("jax", "per-sample/vector-field", "per sample", source, flow, x, in_axis=0)


def _beam() -> Case:
    n = 400

    def residual(u: Array) -> Array:
        p = jnp.pad(u, 2)
        bending = p[:-4] - 4 * p[1:-3] + 6 * p[2:-2] - 4 * p[3:-1] + p[4:]
        return bending + 0.1 * u**3

    source = "a clamped beam on a hardening foundation, second-order differences; " + _MADE
    return native("jax", "banded/beam", "banded", source, residual, draw(65, n), bandwidth=(2, 2))


def _allen_cahn() -> Case:
    def flow(u: Array) -> Array:
        p = jnp.pad(u, 1, mode="edge")
        laplacian = p[2:, 1:-1] + p[:-2, 1:-1] + p[1:-1, 2:] + p[1:-1, :-2] - 4 * u
        return 0.2 * laplacian + u - u**3

    source = "S. Allen, J. Cahn, Acta Metallurgica 27 (1979), five-point differences"
    x = draw(66, 20, 20)
    return native("jax", "stencil/allen-cahn", "stencil", source, flow, x, grid=(20, 20))


def _decoder() -> Case:
    down, up = weights(67, 350, 6, 350)

    def intensities(x: Array) -> Array:
        return jnp.exp(0.3 * (jnp.tanh(x @ down) @ up))

    source = "M. Collins and others, NIPS 14 (2001): exponential-family components"
    return native(
        "jax", "bottleneck/exponential", "bottleneck", source, intensities, draw(68, 350), k=6
    )


def _kuramoto() -> Case:
    n = 200
    own = draw(69, n)

    def flow(phase: Array) -> Array:
        c, s = jnp.mean(jnp.cos(phase)), jnp.mean(jnp.sin(phase))
        return own + 2.0 * (s * jnp.cos(phase) - c * jnp.sin(phase))

    source = "Y. Kuramoto (1975): oscillators that see the mean field alone"
    family = "bottleneck with residual"
    x = draw(70, n)
    return native("jax", "bottleneck-with-residual/kuramoto", family, source, flow, x, k=2)


def _heat() -> Case:
    kernel = np.array([0.2, 0.6, 0.2])

    def later(u: Array) -> Array:
        return lax.fori_loop(0, 10, lambda _, u: jnp.convolve(u, kernel, mode="same"), u)

    source = "ten explicit steps of the heat equation; " + _MADE
    return native("jax", "linear/heat", "linear", source, later, draw(71, 150))


def _reactor() -> Case:
    n = 30
    balance, speeds = draw(72, 8, n), np.abs(draw(73, n))

    def residual(x: Array) -> Array:
        return jnp.concatenate([balance @ x, speeds * jnp.exp(-x) * jnp.roll(x, 1) ** 2])

    source = "balances, which are linear, above rates, which are not; " + _MADE
    family = "affine and nonlinear"
    x = draw(74, n)
    return native(
        "jax", "affine-and-nonlinear/reactor", family, source, residual, x, affine=slice(0, 8)
    )


def _deep() -> Case:
    layers = [1.1 * W for W in weights(75, *[20] * 51)]

    def network(x: Array) -> Array:
        for W in layers:
            x = jnp.sin(x @ W)
        return x

    source = "fifty layers of sines, after V. Sitzmann and others, arXiv:2006.09661"
    return native("jax", "deep-chain/sine", "deep chain", source, network, draw(76, 20), depth=50)


def _chain() -> Case:
    step = 0.05

    def acceleration(q: Array) -> Array:
        stretch = jnp.diff(q, prepend=0.0, append=0.0)
        return jnp.diff(stretch + 0.3 * stretch**3)

    def later(x: Array) -> Array:
        def leap(state: tuple[Array, Array], _: Any) -> tuple[tuple[Array, Array], None]:
            q, p = state
            p = p + step * acceleration(q)
            return (q + step * p, p), None

        (q, p), _ = lax.scan(leap, (x[0], x[1]), length=60)
        return jnp.stack([q, p])

    source = "E. Fermi, J. Pasta, S. Ulam (1955): the beta chain, symplectic Euler steps"
    return native("jax", "loop/oscillators", "loop", source, later, draw(77, 2, 16), steps=60)


def _korteweg() -> Case:
    n = 128
    k = np.fft.fftfreq(n, 1 / n)

    def flow(u: Array) -> Array:
        spectrum = jnp.fft.fft(u)
        slope = jnp.fft.ifft(1j * k * spectrum).real
        third = jnp.fft.ifft((1j * k) ** 3 * spectrum).real
        return -6 * u * slope - 1e-3 * third

    source = "L. Trefethen, Spectral Methods in MATLAB (2000), ch. 10: Korteweg-de Vries"
    x = np.cos(np.linspace(0, 2 * np.pi, n, endpoint=False)) + draw(78, n, scale=0.01)
    return native("jax", "fft/korteweg-de-vries", "fft", source, flow, x)


def _implicit() -> Case:
    n = 24
    L = 2 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)

    def step(x: Array) -> Array:
        return jnp.linalg.solve(jnp.eye(n) + 0.1 * (L + jnp.diag(x**2)), x)

    source = "a linearly implicit Euler step of diffusion and reaction; " + _MADE
    return native("jax", "solve/implicit-step", "solve", source, step, draw(79, n))


def _messages() -> Case:
    nodes = 120
    source_of = np.concatenate([(np.arange(nodes) + shift) % nodes for shift in (1, 5, nodes - 1)])
    target_of = np.tile(np.arange(nodes), 3)

    def passed(x: Array) -> Array:
        messages = jnp.tanh(x[source_of] - x[target_of])
        return x + jax.ops.segment_sum(messages, target_of, nodes)

    source = "J. Gilmer and others, arXiv:1704.01212: one round of messages on a graph"
    return native("jax", "scatter/messages", "scatter", source, passed, draw(80, nodes))


def _attention() -> Case:
    Wq, Wk, Wv = (weights(seed, 6, 6)[0] for seed in (81, 82, 83))

    def attended(x: Array) -> Array:
        scores = (x @ Wq) @ (x @ Wk).T / 6**0.5
        return x + jax.nn.softmax(scores, axis=-1) @ (x @ Wv)

    source = "A. Vaswani and others, arXiv:1706.03762, section 3.2.1: one head and a residual"
    return native("jax", "attention/residual", "attention", source, attended, draw(84, 14, 6))


def _image() -> Case:
    first, second = draw(85, 3, 1, 3, 3), draw(86, 1, 3, 3, 3)

    def filtered(x: Array) -> Array:
        hidden = lax.conv_general_dilated(x[None, None], first.astype(x.dtype), (1, 1), "SAME")
        y = lax.conv_general_dilated(jnp.tanh(hidden), second.astype(x.dtype), (1, 1), "SAME")
        return y[0, 0]

    source = "two layers of filters on an image; " + _MADE
    return native("jax", "convolution/image", "convolution", source, filtered, draw(87, 12, 12))


def _lorenz() -> Case:
    step, steps = 0.01, 5

    def rates(y: Any) -> Any:
        return (jnp.roll(y, -1) - jnp.roll(y, 2)) * jnp.roll(y, 1) - y + 8

    def advanced(_: int, y: Array) -> Array:
        k1 = rates(y)
        k2 = rates(y + step / 2 * k1)
        k3 = rates(y + step / 2 * k2)
        k4 = rates(y + step * k3)
        return y + step / 6 * (k1 + 2 * k2 + 2 * k3 + k4)

    def later(y: Array) -> Array:
        return lax.fori_loop(0, steps, advanced, y)

    source = "E. Lorenz, Predictability (1996), classical Runge-Kutta"
    x = 8 + draw(88, 40)
    return native("jax", "ode/lorenz-96", "ode", source, later, x, rhs=rates, time=step * steps)


_JOINTS = np.array(
    [
        # offset along the joint's axis, link length, twist: seven joints of a light arm
        [0.34, 0.0, -np.pi / 2],
        [0.0, 0.0, np.pi / 2],
        [0.4, 0.0, np.pi / 2],
        [0.0, 0.05, -np.pi / 2],
        [0.4, 0.0, -np.pi / 2],
        [0.0, 0.0, np.pi / 2],
        [0.126, 0.0, 0.0],
    ]
)


def _arm() -> Case:
    def joint(angle: Array, offset: float, length: float, twist: float) -> Array:
        c, s, ct, st = jnp.cos(angle), jnp.sin(angle), np.cos(twist), np.sin(twist)
        return jnp.array(
            [
                [c, -s * ct, s * st, length * c],
                [s, c * ct, -c * st, length * s],
                [0.0, st, ct, offset],
                [0.0, 0.0, 0.0, 1.0],
            ]
        )

    def pose(q: Array) -> Array:
        hand = jnp.eye(4)
        for angle, (offset, length, twist) in zip(q, _JOINTS, strict=True):
            hand = hand @ joint(angle, offset, length, twist)
        return jnp.concatenate([hand[:3, 3], hand[:3, :3].ravel()])

    source = "J. Denavit, R. Hartenberg (1955): the pose of a hand by seven joints"
    return native(
        *("jax", "kinematics/seven-joints", "kinematics", source, pose, draw(89, 7, scale=0.6)),
        points=slice(0, 3),
        axes=3,
        reach=float(np.abs(_JOINTS[:, :2]).sum()),
    )


def _single() -> Case:
    first, second = (jnp.asarray(W, dtype=jnp.float32) for W in weights(90, 16, 48, 12))

    def network(x: Array) -> Array:
        return (jnp.tanh(x.astype(jnp.float32) @ first) @ second).astype(jnp.float32)

    source = "a network that computes in single precision, whatever it is given; " + _MADE
    x = draw(91, 16).astype(np.float32)
    return native("jax", "float32/single-network", "float32", source, network, x)


CASES: tuple[Case, ...] = (
    _robertson(),
    _hopfield(),
    _vector_field(),
    _beam(),
    _allen_cahn(),
    _decoder(),
    _kuramoto(),
    _heat(),
    _reactor(),
    _deep(),
    _chain(),
    _korteweg(),
    _implicit(),
    _messages(),
    _attention(),
    _image(),
    _lorenz(),
    _arm(),
    _single(),
)
