"""Functions over any namespace, so that every library competes."""

from __future__ import annotations

from typing import Any

import numpy as np

from jacbench.core.function_types import Namespace

from .case import Case, draw, neutral, weights

_MGH = "J. Moré, B. Garbow, K. Hillstrom, Testing Unconstrained Optimization Software (1981), "
_MADE = "made for jacbench"


# --- small ---


def _powell(xp: Namespace, x: Any) -> Any:
    return xp.stack(
        [
            x[0] + 10 * x[1],
            5**0.5 * (x[2] - x[3]),
            (x[1] - 2 * x[2]) ** 2,
            10**0.5 * (x[0] - x[3]) ** 2,
        ]
    )


def _powell_case() -> Case:
    start = np.array([3.0, -1.0, 0.0, 1.0])
    return neutral("small/powell-singular", "small", _MGH + "no. 13", _powell, start)


# --- tall ---


def _peaks(xp: Namespace, x: Any, t: Any, data: Any) -> Any:
    distance = (t[:, None] - x["centre"]) / x["width"]
    return xp.sum(x["height"] * xp.exp(-(distance**2)), axis=1) + x["offset"] - data


def _peaks_case() -> Case:
    x = {
        "height": np.array([1.0, 0.6, 1.4]),
        "centre": np.array([0.2, 0.5, 0.7]),
        "width": np.array([0.1, 0.2, 0.15]),
        "offset": np.array(0.3),
    }
    t = np.linspace(0, 1, 400)
    source = "residuals of a fit of three peaks, as in a spectrum; " + _MADE
    return neutral("tall/peaks", "tall", source, _peaks, x, t, np.sin(3 * t) ** 2)


# --- square ---


def _competition(xp: Namespace, x: Any, growth: Any, A: Any) -> Any:
    del xp
    return x * (growth - A @ x)


def _competition_case() -> Case:
    n = 90
    source = "R. May, Will a large complex system be stable?, Nature 238 (1972)"
    A = np.eye(n) + draw(11, n, n, scale=0.3 / np.sqrt(n))
    x = 1 + 0.3 * np.abs(draw(12, n))
    return neutral("square/competition", "square", source, _competition, x, np.ones(n), A)


# --- per sample, along the second axis of x ---


def _cartesian(xp: Namespace, x: Any) -> Any:
    r, polar, azimuth = x[0], x[1], x[2]
    flat = r * xp.sin(polar)
    return xp.stack([flat * xp.cos(azimuth), flat * xp.sin(azimuth), r * xp.cos(polar)], axis=1)


def _cartesian_case() -> Case:
    x = np.array([[2.0], [1.0], [0.5]]) + draw(13, 3, 64, scale=0.2)
    source = "spherical to Cartesian coordinates; " + _MADE
    return neutral("per-sample/spherical", "per sample", source, _cartesian, x, in_axis=1)


# --- banded ---


def _broyden(xp: Namespace, x: Any) -> Any:
    zero = xp.zeros_like(x[:1])
    before, after = xp.concat([zero, x[:-1]]), xp.concat([x[1:], zero])
    return (3 - 2 * x) * x - before - 2 * after + 1


def _broyden_case() -> Case:
    x = -1 + draw(14, 200, scale=0.1)
    return neutral("banded/broyden", "banded", _MGH + "no. 30", _broyden, x, bandwidth=(1, 1))


# --- bottleneck ---


def _pooled(xp: Namespace, x: Any, pool: Any, first: Any, second: Any) -> Any:
    return xp.tanh(xp.tanh(x @ pool) @ first) @ second


def _pooled_case() -> Case:
    pool, first, second = weights(15, 400, 5, 32, 400)
    source = "a response to five averages of a field; " + _MADE
    return neutral(
        *("bottleneck/pooled", "bottleneck", source, _pooled),
        *(draw(16, 400), pool, first, second),
        k=5,
    )


# --- linear ---


def _tomography(xp: Namespace, x: Any, A: Any) -> Any:
    return A @ xp.cumulative_sum(x, axis=0)


def _tomography_case() -> Case:
    source = "weighted integrals of a profile; " + _MADE
    A = draw(17, 90, 120)
    return neutral("linear/integrals", "linear", source, _tomography, draw(18, 120), A)


# --- affine and nonlinear ---


def _constraints(xp: Namespace, x: Any, A: Any, b: Any) -> Any:
    half = x.shape[0] // 2
    return xp.concat([A @ x - b, x[:half] ** 2 + xp.sin(x[half:]) - 1])


def _constraints_case() -> Case:
    source = "the constraints of a nonlinear programme, the linear ones first; " + _MADE
    return neutral(
        *("affine-and-nonlinear/constraints", "affine and nonlinear", source, _constraints),
        *(draw(19, 60), draw(20, 20, 60), draw(21, 20)),
        affine=slice(0, 20),
    )


# --- reductions ---


def _moments(xp: Namespace, x: Any) -> Any:
    deviation = x - xp.mean(x)
    variance = xp.mean(deviation**2)
    return xp.stack(
        [
            xp.mean(x),
            variance,
            xp.mean(deviation**3) / variance**1.5,
            xp.log(xp.sum(xp.exp(x))),
        ]
    )


def _moments_case() -> Case:
    source = "mean, variance, skewness and log-sum-exp of a sample; " + _MADE
    return neutral("reductions/moments", "reductions", source, _moments, draw(22, 500))


# --- ode ---

_RATES = np.array([[0.0, -0.6, 0.2], [0.7, 0.0, -0.5], [-0.3, 0.6, 0.0]])
_STEP, _STEPS = 0.05, 20


def _species(y: Any, rates: Any = _RATES) -> Any:
    return y * (rates @ y)


def _runge_kutta(xp: Namespace, x: Any, rates: Any) -> Any:
    del xp
    for _ in range(_STEPS):
        k1 = _species(x, rates)
        k2 = _species(x + _STEP / 2 * k1, rates)
        k3 = _species(x + _STEP / 2 * k2, rates)
        k4 = _species(x + _STEP * k3, rates)
        x = x + _STEP / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return x


def _species_case() -> Case:
    return neutral(
        *("ode/three-species", "ode"),
        "A. Lotka, Elements of Physical Biology (1925), three species, classical Runge-Kutta",
        *(_runge_kutta, np.array([1.0, 0.6, 0.8]), _RATES),
        rhs=_species,
        time=_STEP * _STEPS,
    )


# --- kinematics ---


def _planar_arm(xp: Namespace, x: Any, lengths: Any) -> Any:
    angles = xp.cumulative_sum(x, axis=0)
    along = xp.cumulative_sum(lengths * xp.cos(angles), axis=0)
    across = xp.cumulative_sum(lengths * xp.sin(angles), axis=0)
    return xp.stack([along, across], axis=1)


def _planar_arm_case() -> Case:
    lengths = np.linspace(1.0, 0.3, 12)
    source = "J. Craig, Introduction to Robotics, ch. 3: all joints of a planar arm"
    return neutral(
        *("kinematics/planar-arm", "kinematics", source, _planar_arm),
        *(draw(23, 12, scale=0.4), lengths),
        points=slice(0, 24),
        axes=2,
        reach=float(lengths.sum()),
    )


CASES: tuple[Case, ...] = (
    _powell_case(),
    _peaks_case(),
    _competition_case(),
    _cartesian_case(),
    _broyden_case(),
    _pooled_case(),
    _tomography_case(),
    _constraints_case(),
    _moments_case(),
    _species_case(),
    _planar_arm_case(),
)
