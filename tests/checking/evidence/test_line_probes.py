"""A function along a line: curvature, kinks, jumps and noise, each told from the others."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from jacbench.checking.evidence import line_probes
from jacbench.checking.evidence.line_probes import Sides
from jacbench.core.errors import JacbenchError

EPS = float(np.finfo(np.float64).eps)


def line(f: Callable[[float], float]) -> line_probes.Line:
    return lambda t: np.array([f(t), 1.0])


def sides(f: Callable[[float], float], scatter: float = EPS) -> Sides:
    return line_probes.sides(line(f), line(f)(0.0), "float64", scatter)


@pytest.mark.parametrize("f", [np.exp, lambda t: np.sin(300 * t), lambda t: abs(t) ** 1.8])
def test_what_bends_is_smooth(f: Callable[[float], float]) -> None:
    assert sides(f).kind == "smooth"


def test_a_kink_has_two_slopes() -> None:
    found = sides(lambda t: 3 * t if t > 0 else -t)
    assert found.kind == "kink"
    assert (found.up, found.down) == (pytest.approx(3), pytest.approx(-1))
    assert (found.index, found.still) == (0, False)


def test_a_small_kink_is_seen_beside_a_slope() -> None:
    assert sides(lambda t: 10 * t + 0.01 * abs(t)).kind == "kink"
    assert sides(lambda t: 10 * t + 1e-5 * abs(t)).kind == "smooth"


def test_a_jump_stays_however_short_the_step() -> None:
    assert sides(lambda t: float(t >= 0)).kind == "jump"


def test_no_value_on_one_side_is_an_edge() -> None:
    def half(t: float) -> float:
        if t < 0:
            raise JacbenchError("f: nan")
        return t

    assert sides(half) == Sides("edge")


def test_what_stands_still() -> None:
    assert sides(lambda t: 2.0).still
    assert not sides(lambda t: 2.0 + 1e-3 * t).still


def test_noise_is_no_kink() -> None:
    rng = np.random.default_rng(0)
    noisy = sides(lambda t: t + 1e-8 * rng.standard_normal(), scatter=1e-8)
    assert noisy.kind == "smooth"


@pytest.mark.parametrize("size", [1e-9, 1e-4])
def test_noise_is_measured(size: float) -> None:
    rng = np.random.default_rng(0)
    found = line_probes.noise(
        line(lambda t: 1 + np.sin(t) + size * rng.standard_normal()), "float64"
    )
    assert size / 10 < found < size


def test_rounding_is_the_least_noise() -> None:
    assert line_probes.noise(line(lambda t: float(np.exp(30 * (1 + t)))), "float64") < 1e-12
    assert line_probes.noise(lambda t: np.zeros(2), "float64") == 0.0


def test_a_root_and_a_kink_near_by_are_no_noise() -> None:
    assert line_probes.noise(line(lambda t: 1 + np.sqrt(t)), "float64") < 1e-10
    near = 3.5 * line_probes.steps("float64")[1] / 4
    assert line_probes.noise(line(lambda t: 1 + 1e4 * abs(t - near)), "float64") < 1e-10


def test_steps_shrink_with_the_precision() -> None:
    assert line_probes.steps("float64")[0] < line_probes.steps("float32")[1]
