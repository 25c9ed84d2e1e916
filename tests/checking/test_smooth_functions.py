"""Over smooth functions of all scales: the right Jacobian is never denied, no wrong one confirmed.

Asked as a check asks, of every entry, and as a pick does, of random products.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from jacbench.checking.evidence import whole_differences
from jacbench.checking.evidence.claims import SOLVED, TELLS, Claim
from jacbench.checking.evidence.differences import Differences, directions
from jacbench.core.arrays import Array

SHAPES: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "sine": (np.sin, np.cos),
    "saturating": (np.tanh, lambda z: 1 / np.cosh(z) ** 2),
    "exponential": (np.exp, np.exp),
    "square": (np.square, lambda z: 2 * z),
}
MOVED = 0.02
"""Of an entry: about what the longest steps of any ladder move it by."""


@dataclass(frozen=True)
class Smooth:
    """y = size (offset + g(W x)), with its Jacobian."""

    value: Callable[[Array], Array]
    jacobian: Array
    x: Array

    def told_apart(self, eps: float) -> bool:
        """Whether values that are rounded to ``eps`` move by more than that."""
        moved = np.abs(self.jacobian) @ (MOVED * np.abs(self.x))
        return bool(np.all(moved > 8 * eps * np.abs(self.value(self.x))))


@st.composite
def smooth_functions(draw: st.DrawFn, dtype: str = "float64", highest: int = 14) -> Smooth:
    g, slope = SHAPES[draw(st.sampled_from(sorted(SHAPES)))]
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, m = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    offset = draw(st.sampled_from([0.0, *(10.0**power for power in range(2, highest + 1, 2))]))
    size = 10.0 ** draw(st.integers(-12, 12)) if highest > 2 else 1.0
    units = 10.0 ** rng.integers(-6, 7, n)
    x = units * rng.uniform(0.5, 1.0, n)
    # each row of W x is about ``far``, where tanh saturates; the last input may not be used
    far = draw(st.sampled_from([0.5, 1.0, 4.0, 12.0]))
    W = far * rng.uniform(0.2, 0.5, (m, n)) / units
    if n > 1 and draw(st.booleans()):
        W[:, -1] = 0.0

    def value(at: Array) -> Array:
        z = (W @ at).astype(dtype)
        return np.asarray(size * (np.dtype(dtype).type(offset) + g(z)), np.float64)

    return Smooth(value, size * slope(W @ x)[:, None] * W, x)


def said(f: Smooth, claimed: Array) -> tuple[str, str]:
    """Return the verdicts of a check and of a pick."""
    y = f.value(f.x)
    check = whole_differences.confirm(Differences(f.value, f.x, y), claimed)
    along, U = directions(f.x, 1, 3), np.random.default_rng(1).standard_normal((3, y.size))
    pick = Differences(f.value, f.x, y, good=TELLS, floor=SOLVED["float64"])
    asked = pick.confirm(along, [Claim(claimed @ along), Claim(U @ claimed @ along, U)])
    return check.verdict, asked[0].worse(asked[1]).verdict


def wrong(right: Array) -> list[Array]:
    """Return zeros, a part, another sign, and one entry that is off."""
    entry = right.copy()
    row, column = np.unravel_index(int(np.argmax(np.abs(right))), right.shape)
    entry[row, column] *= 1.5
    return [0 * right, 0.5 * right, -right, entry]


@settings(max_examples=12, deadline=None)
@given(f=smooth_functions())
def test_the_right_jacobian_is_not_denied_and_no_wrong_one_confirmed(f: Smooth) -> None:
    assert "denies" not in said(f, f.jacobian)
    if f.told_apart(float(np.finfo(np.float64).eps)):
        for other in wrong(f.jacobian):
            assert "confirms" not in said(f, other)


@settings(max_examples=6, deadline=None)
@given(f=smooth_functions(dtype="float32", highest=2))
def test_what_is_computed_in_float32_inside_is_neither(f: Smooth) -> None:
    assert "denies" not in said(f, f.jacobian)
    if f.told_apart(float(np.finfo(np.float32).eps)):
        for other in wrong(f.jacobian):
            assert "confirms" not in said(f, other)
