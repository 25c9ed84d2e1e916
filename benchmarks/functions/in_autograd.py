"""Functions as the users of HIPS autograd write them."""

from __future__ import annotations

from typing import Any

import autograd.numpy as np

from .case import Case, draw, native, weights

_MGH = "J. Moré, B. Garbow, K. Hillstrom, Testing Unconstrained Optimization Software (1981), "
_MADE = "made for jacbench"


def _boundary_value() -> Case:
    n = 150
    h = 1 / (n + 1)
    t = h * np.arange(1, n + 1)

    def residual(x: Any) -> Any:
        padded = np.concatenate([np.zeros(1), x, np.zeros(1)])
        return 2 * x - padded[:-2] - padded[2:] + h**2 * (x + t + 1) ** 3 / 2

    x = t * (t - 1)
    return native(
        *("autograd", "banded/boundary-value", "banded", _MGH + "no. 28", residual, x),
        bandwidth=(1, 1),
    )


def _integral_equation() -> Case:
    n = 60
    mu = (np.arange(n) + 0.5) / n
    kernel = 0.45 * mu[:, None] / (mu[:, None] + mu) / n

    def residual(x: Any) -> Any:
        return x - 1 / (1 - np.dot(kernel, x))

    source = "S. Chandrasekhar, Radiative Transfer (1960): the H-equation, midpoint rule"
    x = 1 + np.abs(draw(101, n, scale=0.1))
    return native("autograd", "square/radiative-transfer", "square", source, residual, x)


def _shares() -> Case:
    W = weights(102, 6, 5)[0]

    def shares(x: Any) -> Any:
        z = np.dot(x, W)
        e = np.exp(z - np.max(z, axis=1, keepdims=True))
        return e / np.sum(e, axis=1, keepdims=True)

    source = "K. Train, Discrete Choice Methods (2009), ch. 3: logit shares, a sample each"
    x = draw(103, 40, 6)
    return native("autograd", "per-sample/shares", "per sample", source, shares, x, in_axis=0)


def _counts() -> Case:
    features, counts = draw(104, 4, 50, 180, scale=0.1), np.arange(50) % 7

    def likelihoods(x: Any) -> Any:
        z = np.dot(features, x)
        return np.sum(counts * z - np.exp(z), axis=1)

    source = "P. McCullagh, J. Nelder, Generalized Linear Models (1989): Poisson, four groups"
    return native("autograd", "wide/counts", "wide", source, likelihoods, draw(105, 180))


def _resistors() -> Case:
    n = 12
    incidence = np.eye(n) - np.eye(n, k=1)
    current = draw(106, n)

    def potentials(x: Any) -> Any:
        A = np.dot(incidence.T * np.exp(x), incidence)
        return np.linalg.solve(A + 0.1 * np.eye(n), current)

    source = "G. Strang, Computational Science and Engineering (2007), section 2.4: a circuit"
    return native("autograd", "solve/circuit", "solve", source, potentials, draw(107, n))


def _lattice() -> Case:
    def later(x: Any) -> Any:
        for _ in range(30):
            y = 3.6 * x * (1 - x)
            x = 0.6 * y + 0.2 * (np.roll(y, 1) + np.roll(y, -1))
        return x

    source = "K. Kaneko (1984): a lattice of coupled logistic maps"
    x = 0.5 + draw(108, 24, scale=0.05)
    return native("autograd", "loop/coupled-maps", "loop", source, later, x, steps=30)


def _blurred() -> Case:
    n = 64
    response = np.exp(-((np.fft.fftfreq(n) * 12) ** 2))

    def blurred(x: Any) -> Any:
        return np.tanh(np.real(np.fft.ifft(response * np.fft.fft(x))))

    source = "a signal blurred and saturated; " + _MADE
    return native("autograd", "fft/blur", "fft", source, blurred, draw(109, n))


def _pendulum() -> Case:
    step, steps = 0.02, 15

    def rates(y: Any) -> Any:
        a, b, va, vb = y[0], y[1], y[2], y[3]
        c, s = np.cos(a - b), np.sin(a - b)
        below = 2 - c**2
        aa = (-(vb**2) * s - 2 * 9.81 * np.sin(a) - c * (va**2 * s - 9.81 * np.sin(b))) / below
        return np.stack([va, vb, aa, va**2 * s - 9.81 * np.sin(b) - c * aa])

    def later(y: Any) -> Any:
        for _ in range(steps):
            k1 = rates(y)
            k2 = rates(y + step / 2 * k1)
            k3 = rates(y + step / 2 * k2)
            k4 = rates(y + step * k3)
            y = y + step / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        return y

    source = "L. Landau, E. Lifshitz, Mechanics, section 5: the double pendulum, Runge-Kutta"
    x = np.array([0.8, -0.3, 0.1, 0.4])
    facts = {"rhs": rates, "time": step * steps}
    return native("autograd", "ode/double-pendulum", "ode", source, later, x, **facts)


CASES: tuple[Case, ...] = (
    _boundary_value(),
    _integral_equation(),
    _shares(),
    _counts(),
    _resistors(),
    _lattice(),
    _blurred(),
    _pendulum(),
)
