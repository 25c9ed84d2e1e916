"""Difference quotients that know how good they are: confirmed, denied, or cannot tell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jacbench.checking.evidence import differences
from jacbench.checking.evidence.claims import SOLVED, TELLS, Claim, Confirmation
from jacbench.checking.evidence.differences import Differences, directions
from jacbench.core import nearby
from jacbench.core.arrays import Array
from jacbench.core.errors import JacbenchError

A = np.random.default_rng(0).standard_normal((12, 40))


def around(
    f: Callable[[Array], Array], x: Any, dtype: str = "float64", **options: Any
) -> Differences:
    x = np.asarray(x, float)
    return Differences(f, x, f(x), dtype=dtype, good=TELLS, floor=SOLVED[dtype], **options)


def asked(
    f: Callable[[Array], Array],
    x: Any,
    J: Any,
    *,
    weighed: bool = False,
    **options: Any,
) -> Confirmation:
    """Return what differences of ``f`` say to a pick of the Jacobian J, along three directions."""
    x, J = np.asarray(x, float), np.asarray(J, float)
    along, rng = directions(x, 1, 3), np.random.default_rng(1)
    claim = Claim(J @ along)
    if weighed:
        U = rng.standard_normal((3, len(J)))
        claim = Claim(U @ J @ along, U)
    return around(f, x, **options).confirm(along, [claim])[0]


def diagonal(slope: Callable[[Array], Array]) -> Callable[[Array], Array]:
    return lambda x: np.diag(slope(x))


def sigmoid(z: Array) -> Array:
    return 1 / (1 + np.exp(-z))


SMOOTH: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array], list[float]]] = {
    "1/x near 0": (lambda x: 1 / x, diagonal(lambda x: -1 / x**2), [1e-3, 2.0]),
    "sin 1000x": (
        lambda x: np.sin(1000 * x),
        diagonal(lambda x: 1000 * np.cos(1000 * x)),
        [1.0, 2.0],
    ),
    "a steep sigmoid": (
        lambda x: sigmoid(1e3 * (x - 1)),
        diagonal(lambda x: 1e3 * sigmoid(1e3 * (x - 1)) * sigmoid(1e3 * (1 - x))),
        [1.0005, 0.9995],
    ),
    "a large offset": (
        lambda x: 1e6 + 1e-3 * np.sin(x),
        diagonal(lambda x: 1e-3 * np.cos(x)),
        [0.3, 0.7],
    ),
    "rows of many sizes": (
        lambda x: np.array([1e8, 1.0, 1e-8]) * np.tanh(x),
        lambda x: np.diag(np.array([1e8, 1.0, 1e-8]) / np.cosh(x) ** 2),
        [0.3, 0.4, 0.5],
    ),
    "an edge near by": (
        lambda x: np.sqrt(1 - x),
        diagonal(lambda x: -0.5 / np.sqrt(1 - x)),
        [1 - 1e-6, 0.5],
    ),
    "a kink near by": (
        lambda x: np.abs(x - 1) + x**2,
        diagonal(lambda x: np.sign(x - 1) + 2 * x),
        [1 + 1e-6, 0.5],
    ),
    "an exponential": (lambda x: np.exp(30 * x), diagonal(lambda x: 30 * np.exp(30 * x)), [2, 1]),
}


def finite(f: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """Return ``f``, which raises where it has no value."""

    def value(x: Array) -> Array:
        with np.errstate(all="ignore"):
            y = f(x)
        if not np.isfinite(y).all():
            raise JacbenchError("f: no value there")
        return y

    return value


@pytest.mark.parametrize("weighed", [False, True])
@pytest.mark.parametrize("name", SMOOTH)
def test_what_is_right_is_confirmed(name: str, weighed: bool) -> None:
    f, jacobian, x = SMOOTH[name]
    found = asked(finite(f), x, jacobian(np.array(x)), weighed=weighed)
    assert found.verdict == "confirms"
    assert found.error < 1e-3


@pytest.mark.parametrize("weighed", [False, True])
@pytest.mark.parametrize("wrong", [0.5, 2.0, -1.0, 0.0, 1.01])
@pytest.mark.parametrize("name", SMOOTH)
def test_a_wrong_factor_is_denied(name: str, wrong: float, weighed: bool) -> None:
    f, jacobian, x = SMOOTH[name]
    assert asked(finite(f), x, wrong * jacobian(np.array(x)), weighed=weighed).denied


def test_one_entry_of_many_is_denied() -> None:
    x = np.random.default_rng(1).standard_normal(40)
    J = (1 - np.tanh(A @ x / 7) ** 2)[:, None] * A / 7

    def f(x: Array) -> Array:
        return np.tanh(A @ x / 7)

    assert asked(f, x, J).holds
    J[7, 3] *= 1 + 1e-3
    assert asked(f, x, J).denied


def test_a_small_row_counts_by_its_own_size() -> None:
    f, jacobian, x = SMOOTH["rows of many sizes"]
    J = jacobian(np.array(x))
    J[2] *= 1.01
    assert asked(f, x, J).denied


@settings(max_examples=60, deadline=None)
@given(
    st.floats(1e-4, 1e4),
    st.floats(-3, 3),
    st.floats(0.1, 200),
    st.sampled_from([np.sin, np.tanh, np.exp]),
)
def test_the_scale_of_x_and_of_y_and_the_frequency_do_not_matter(
    scale: float, power: float, speed: float, g: Any
) -> None:
    x, c = scale * np.array([0.5, -0.7, 1.1]), 10.0**power
    slope = {np.sin: np.cos, np.tanh: lambda t: 1 / np.cosh(t) ** 2, np.exp: np.exp}[g]
    speed = {np.sin: speed, np.tanh: min(speed, 2.0), np.exp: min(speed, 50.0)}[g]

    def f(x: Array) -> Array:
        return np.asarray(c * g(speed * x / scale))

    J = np.diag(c * speed / scale * slope(speed * x / scale))
    assert asked(f, x, J).holds
    assert not asked(f, x, 1.05 * J).holds


def test_most_of_what_is_right_takes_one_step_of_each_direction() -> None:
    seen = []

    def f(x: Array) -> Array:
        seen.append(x)
        return np.tanh(x)

    x = np.array([0.3, -0.4])
    assert asked(f, x, np.diag(1 / np.cosh(x) ** 2)).holds
    assert len(seen) == 1 + 2 * 3


def test_time_that_is_over_ends_it_after_one_window() -> None:
    seen = []

    def f(x: Array) -> Array:
        seen.append(x)
        return np.tanh(x)

    x = np.array([0.3, -0.4])
    found = asked(f, x, 2 * np.diag(1 / np.cosh(x) ** 2), go_on=lambda: False)
    assert found.denied
    assert len(seen) == 1 + 3 * 2 * 3


def test_float32_is_good_enough_for_a_factor() -> None:
    x = np.array([0.3, -0.4, 0.8], np.float32).astype(float)

    def f(x: Array) -> Array:
        return np.tanh(x.astype(np.float32))

    J = np.diag(1 / np.cosh(x) ** 2)
    assert asked(f, x, J, dtype="float32").holds
    for wrong in (0.5, -1.0, 1.05):
        assert asked(f, x, wrong * J, dtype="float32").denied


@pytest.mark.parametrize("noise", [0.0, 3e-8])
def test_float32_inside_condemns_nothing(noise: float) -> None:
    x = np.array([0.3, -0.4, 0.8])

    def f(x: Array) -> Array:
        return np.tanh(x.astype(np.float32)).astype(float)

    J = np.diag(1 / np.cosh(x) ** 2)
    assert asked(f, x, J, noise=noise).holds
    assert asked(f, x, 0.5 * J, noise=noise).verdict != "confirms"


def test_what_is_mostly_noise_is_not_told() -> None:
    x = np.array([0.3, -0.4, 0.8])

    def f(x: Array) -> Array:
        return np.round(np.tanh(x) * 100) / 100

    J = np.diag(1 / np.cosh(x) ** 2)
    for factor in (1.0, 0.5):
        assert asked(f, x, factor * J, noise=4e-3).verdict == "cannot tell"


def test_a_jacobian_of_zero_is_confirmed_at_the_size_of_y() -> None:
    zero = np.zeros((1, 2))
    assert asked(lambda x: np.array([x[0] * x[1] * sigmoid(x[1])]), [0.0, 0.0], zero).holds
    assert asked(lambda x: np.ones(1), [0.3, 0.2], zero).holds
    assert asked(lambda x: np.ones(1), [0.3, 0.2], zero).error < 1e-9
    assert asked(lambda x: np.zeros(1), [0.3, 0.2], zero).holds
    # what rounding leaves of a zero is as good
    assert asked(lambda x: np.ones(1), [0.3, 0.2], zero + 1e-17).holds
    assert asked(lambda x: np.array([x[0] * x[1]]), [0.0, 0.0], zero + 1e-3).denied
    assert not asked(lambda x: 1e6 + 1e-5 * np.sin(x[:1]), [0.3, 0.2], zero).holds
    assert asked(lambda x: 1e6 + 1e-3 * np.sin(x[:1]), [0.3, 0.2], zero).denied


@pytest.mark.parametrize("offset", [1e8, 1e10, 1e11, 1e12, 1e13, 1e14, 1e16])
def test_a_zero_under_a_large_offset_is_denied_or_cannot_be_told(offset: float) -> None:
    x = np.linspace(0.3, 2.1, 5)
    zero = asked(lambda v: offset + np.sin(v), x, np.zeros((5, 5)))
    assert zero.denied if offset <= 1e11 else not zero.holds
    assert not asked(lambda v: offset + np.sin(v), x, np.diag(np.cos(x))).denied


def test_a_kink_at_x_is_not_told() -> None:
    # what differences converge to there is the mean of both slopes
    for slope in (0.0, 1.0, 0.5):
        assert asked(lambda x: np.maximum(x, 0), [0.0], [[slope]]).verdict != "denies"


def test_a_product_that_is_no_number_is_denied() -> None:
    assert asked(np.sin, [0.3], [[np.nan]]).denied


def test_without_a_value_near_x_nothing_is_told() -> None:
    def f(x: Array) -> Array:
        if x[0] != 0.3:
            raise JacbenchError("f: no value there")
        return x

    assert asked(f, [0.3], [[1.0]]).verdict == "cannot tell"
    with pytest.raises(JacbenchError, match="no value there"):
        around(f, [0.3]).measure(np.ones((1, 1)))


def test_a_kink_within_reach_keeps_steps_short() -> None:
    seen = []

    def f(x: Array) -> Array:
        seen.append(x[0])
        return np.abs(x)

    assert asked(f, [1e-3], [[1.0]], kink_distance=1e-5).holds
    assert max(abs(at - 1e-3) for at in seen) <= 1e-5


@pytest.mark.parametrize("name", SMOOTH)
def test_slopes_alone_say_how_good_they_are(name: str) -> None:
    f, jacobian, x0 = SMOOTH[name]
    x = np.array(x0, float)
    along = directions(x, 2, 3)
    found, good_to = around(finite(f), x).measure(along)
    right = jacobian(x) @ along
    assert np.linalg.norm(found - right) <= good_to * np.linalg.norm(right)
    assert good_to < TELLS


def test_steps_keep_away_from_kinks_of_any_input() -> None:
    along = np.array([[1.0, -2.0], [3.0, 0.5]])
    assert differences.reach(along, None) == differences.LONGEST
    assert differences.reach(along, 0.08) == pytest.approx(0.01)


def test_both_points_together_say_the_worse() -> None:
    good = Confirmation(1e-9, "confirms", 1e-8)
    bad, unknown = Confirmation(0.3, "denies", 1e-8, row=3), Confirmation(1.0, "cannot tell", 1.0)
    assert good.worse(bad) == bad.worse(good) == bad
    assert bad.worse(unknown).denied
    assert good.worse(unknown) == unknown


def test_products_with_weights_are_confirmed_and_denied() -> None:
    x, rng = np.array([0.3, -0.4, 0.9]), np.random.default_rng(0)
    J = np.diag(np.cos(x))
    along, W = directions(x, 0, 3), rng.standard_normal((2, 3))
    right = Claim(W @ J @ along, W)
    wrong = Claim(W @ (J + 1e-3 * np.eye(3)) @ along, W)
    one, other, alone = Differences(np.sin, x, np.sin(x)).confirm(
        along, [right, wrong, Claim(J @ along)]
    )
    assert (one.holds, other.denied, alone.holds) == (True, True, True)


def test_directions_move_every_input_in_proportion() -> None:
    x = np.array([1e6, 1e-6])
    moves = directions(x, 0, 50) / nearby.units(x)[:, None]
    assert np.all(np.abs(moves) < 6)
    assert np.all(np.std(moves, axis=1) > 0.5)


def test_beside_what_cannot_be_squared_nothing_wrong_is_confirmed() -> None:
    def f(x: Array) -> Array:
        return np.array([x[0] ** 3, 1e200 * x[1]])

    x = [0.4, 1.2]
    wrong = np.array([[2 * x[0] ** 2, 0.0], [0.0, 1e200]])  # and 3 x² is right
    with np.errstate(over="ignore", invalid="ignore"):
        assert not asked(f, x, wrong, weighed=True).holds
