"""How far two modes are apart, seen on the products that both gave."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from jacbench.checking.evidence.mode_products import Products

RNG = np.random.default_rng(3)
V, U = RNG.standard_normal((5, 3)), RNG.standard_normal((3, 4))
J = [RNG.standard_normal((4, 5)) for _ in range(2)]


def products(reverse: list[np.ndarray], forward: str = "jvp") -> Products:
    """Return the products of J forward, and of ``reverse`` back, at two points."""
    return Products(
        forward=forward,
        reverse="vjp",
        tangents=V,
        cotangents=U,
        along=[V, V],
        pushed=[one @ V for one in J],
        pushed_along=[one @ V for one in J],
        pulled=[U @ one for one in reverse],
    )


def test_the_same_jacobian_agrees_up_to_rounding() -> None:
    assert (products(J).agreement or 0.0) < 1e-15
    assert products(J, forward="").agreement is None


@pytest.mark.parametrize("wrong", [0, 1])
def test_modes_differ_as_much_as_at_the_point_where_they_differ_most(wrong: int) -> None:
    spoilt = [one.copy() for one in J]
    spoilt[wrong][2, 3] += 1e-3
    found = products(spoilt).agreement
    at_it = products([spoilt[wrong]] * 2)
    assert found is not None
    gap = np.linalg.norm(at_it.cotangents @ J[wrong] @ V - U @ spoilt[wrong] @ V)
    size = max(np.linalg.norm(J[wrong] @ V), np.linalg.norm(U @ spoilt[wrong]))
    assert found == pytest.approx(gap / (size * np.sqrt(3)), rel=1e-12)


@pytest.mark.parametrize("size", [1e-200, 1e200])
def test_products_whose_squares_are_no_floats_are_compared_too(size: float) -> None:
    def scaled(reverse: list[np.ndarray]) -> Products:
        plain = products(reverse)
        return dataclasses.replace(
            plain,
            pushed=[size * one for one in plain.pushed],
            pulled=[size * one for one in plain.pulled],
        )

    assert (scaled(J).agreement or 0.0) < 1e-15
    twice = [2 * one for one in J]
    assert scaled(twice).agreement == pytest.approx(products(twice).agreement)
