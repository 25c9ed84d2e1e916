"""Functions as PyTorch's users write them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from .case import Case, draw, native, weights

_MADE = "made for jacbench"


def _tensors(arrays: list[Any]) -> list[Tensor]:
    return [torch.tensor(array) for array in arrays]


def _himmelblau() -> Case:
    def gradient(x: Tensor) -> Tensor:
        a, b = x[0] ** 2 + x[1] - 11, x[0] + x[1] ** 2 - 7
        return torch.stack([4 * x[0] * a + 2 * b, 2 * a + 4 * x[1] * b])

    source = "D. Himmelblau, Applied Nonlinear Programming (1972), its gradient"
    return native("torch", "small/himmelblau", "small", source, gradient, np.array([2.5, 1.5]))


def _ranges() -> Case:
    anchors = torch.tensor(5 * draw(31, 90, 2))

    def distances(x: Tensor) -> Tensor:
        return torch.linalg.vector_norm(x[:, None] - anchors, dim=-1).reshape(-1)

    source = "ranges from sensors to anchors, as in localisation; " + _MADE
    return native("torch", "tall/ranges", "tall", source, distances, draw(32, 4, 2))


def _robust() -> Case:
    data = torch.tensor(draw(33, 6, 60))

    def likelihoods(x: Tensor) -> Tensor:
        return -2 * torch.log1p((data - x.reshape(6, 60)) ** 2 / 3).sum(dim=1)

    source = "Student-t log-likelihoods of six groups; " + _MADE
    return native("torch", "wide/robust-groups", "wide", source, likelihoods, draw(34, 360))


def _rotations() -> Case:
    def rotated(x: Tensor) -> Tensor:
        q, p = F.normalize(x[:, :4], dim=1), x[:, 4:]
        t = 2 * torch.linalg.cross(q[:, 1:], p)
        return p + q[:, :1] * t + torch.linalg.cross(q[:, 1:], t)

    source = "points turned by quaternions, a sample each; " + _MADE
    x = draw(35, 64, 7)
    return native("torch", "per-sample/rotations", "per sample", source, rotated, x, in_axis=0)


def _bratu() -> Case:
    n = 300
    h = 1 / (n + 1)

    def residual(u: Tensor) -> Tensor:
        padded = F.pad(u, (1, 1))
        return (padded[2:] - 2 * u + padded[:-2]) / h**2 + torch.exp(u)

    t = np.linspace(h, 1 - h, n)
    source = "G. Bratu (1914), finite differences of u'' + exp(u) = 0"
    x = 0.5 * t * (1 - t)
    return native("torch", "banded/bratu", "banded", source, residual, x, bandwidth=(1, 1))


def _porous() -> Case:
    def flow(u: Tensor) -> Tensor:
        p = F.pad(u**2, (1, 1, 1, 1))
        return p[2:, 1:-1] + p[:-2, 1:-1] + p[1:-1, 2:] + p[1:-1, :-2] - 4 * u**2

    source = "J. Vázquez, The Porous Medium Equation (2007), the five-point Laplacian of u^2"
    x = 1 + 0.2 * draw(36, 18, 18)
    return native("torch", "stencil/porous-medium", "stencil", source, flow, x, grid=(18, 18))


def _autoencoder() -> Case:
    layers = _tensors(weights(37, 300, 64, 8, 64, 300))

    def reconstructed(x: Tensor) -> Tensor:
        for W in layers:
            x = torch.tanh(x @ W)
        return x

    source = "G. Hinton, R. Salakhutdinov, Science 313 (2006), at 300-64-8-64-300"
    x = draw(38, 300)
    return native("torch", "bottleneck/autoencoder", "bottleneck", source, reconstructed, x, k=8)


def _adapter() -> Case:
    down, up = _tensors(weights(39, 256, 8, 256))

    def adapted(x: Tensor) -> Tensor:
        return x + F.gelu(x @ down) @ up

    source = "N. Houlsby and others, arXiv:1902.00751, section 2: an adapter layer"
    family = "bottleneck with residual"
    x = draw(40, 256)
    return native("torch", "bottleneck-with-residual/adapter", family, source, adapted, x, k=8)


def _deep() -> Case:
    layers = _tensors([1.2 * W for W in weights(41, *[24] * 61)])

    def network(x: Tensor) -> Tensor:
        for W in layers:
            x = torch.tanh(x @ W)
        return x

    source = "sixty narrow layers; " + _MADE
    return native("torch", "deep-chain/tanh", "deep chain", source, network, draw(42, 24), depth=60)


def _gru() -> Case:
    Wz, Wr, Wn = _tensors([W for seed in (43, 44, 45) for W in weights(seed, 20, 16)])
    inputs = torch.tensor(draw(46, 15, 4))

    def last(h: Tensor) -> Tensor:
        for x in inputs:
            both = torch.cat([h, x])
            z, r = torch.sigmoid(both @ Wz), torch.sigmoid(both @ Wr)
            h = (1 - z) * h + z * torch.tanh(torch.cat([r * h, x]) @ Wn)
        return h

    source = "K. Cho and others, arXiv:1406.1078: a gated recurrent unit, by its first state"
    return native("torch", "loop/gru", "loop", source, last, draw(47, 16), steps=15)


def _spectrum() -> Case:
    window = torch.hann_window(128, dtype=torch.float64)

    def log_power(x: Tensor) -> Tensor:
        return torch.log1p(torch.fft.rfft(window * x).abs() ** 2)

    source = "P. Welch (1967), one segment of a periodogram, on a logarithmic scale"
    return native("torch", "fft/log-spectrum", "fft", source, log_power, draw(48, 128))


def _gaussian_process() -> Case:
    points = torch.linspace(0, 1, 40, dtype=torch.float64)
    data = torch.sin(6 * points)
    squares = (points[:, None] - points) ** 2

    def mean(x: Tensor) -> Tensor:
        length, variance, noise = torch.exp(x)
        K = variance * torch.exp(-squares / (2 * length**2))
        factor = torch.linalg.cholesky(K + noise * torch.eye(40, dtype=x.dtype))
        return K @ torch.cholesky_solve(data[:, None], factor)[:, 0]

    source = "C. Rasmussen, C. Williams, Gaussian Processes (2006), algorithm 2.1"
    x = np.log([0.3, 1.0, 0.1])
    return native("torch", "solve/gaussian-process", "solve", source, mean, x)


def _springs() -> Case:
    nodes = 50
    rng = np.random.default_rng(49)
    ring = np.stack([np.arange(nodes), (np.arange(nodes) + 1) % nodes], axis=1)
    extra = rng.permutation(nodes).reshape(-1, 2)
    first, second = torch.tensor(np.concatenate([ring, extra])).T

    def forces(x: Tensor) -> Tensor:
        apart = x[second] - x[first]
        length = torch.linalg.vector_norm(apart, dim=1, keepdim=True)
        pull = (1 - 0.5 / length) * apart
        return torch.zeros_like(x).index_add(0, first, pull).index_add(0, second, -pull)

    source = "forces in a network of springs; " + _MADE
    return native("torch", "scatter/springs", "scatter", source, forces, draw(50, nodes, 2))


def _attention() -> Case:
    Wq, Wk, Wv = _tensors([W for seed in (51, 52, 53) for W in weights(seed, 8, 8)])

    def attended(x: Tensor) -> Tensor:
        scores = (x @ Wq) @ (x @ Wk).T / 8**0.5
        return torch.softmax(scores, dim=-1) @ (x @ Wv)

    source = "A. Vaswani and others, arXiv:1706.03762, section 3.2.1: one head"
    return native("torch", "attention/one-head", "attention", source, attended, draw(54, 12, 8))


def _filters() -> Case:
    first, second = torch.tensor(draw(55, 4, 1, 5)), torch.tensor(draw(56, 1, 4, 5))

    def filtered(x: Tensor) -> Tensor:
        hidden = torch.tanh(F.conv1d(x[None, None], first, padding=2))
        return F.conv1d(hidden, second, padding=2)[0, 0]

    source = "two layers of filters on a signal; " + _MADE
    return native("torch", "convolution/signal", "convolution", source, filtered, draw(57, 120))


def _single() -> Case:
    first, second = [torch.tensor(W, dtype=torch.float32) for W in weights(58, 20, 64, 10)]

    def network(x: Tensor) -> Tensor:
        return torch.tanh(x @ first) @ second

    source = "a network that holds its weights in single precision; " + _MADE
    x = draw(59, 20).astype(np.float32)
    return native("torch", "float32/single-weights", "float32", source, network, x)


CASES: tuple[Case, ...] = (
    _himmelblau(),
    _ranges(),
    _robust(),
    _rotations(),
    _bratu(),
    _porous(),
    _autoencoder(),
    _adapter(),
    _deep(),
    _gru(),
    _spectrum(),
    _gaussian_process(),
    _springs(),
    _attention(),
    _filters(),
    _single(),
)
