"""The guard of a structured Jacobian, with a method made up here: what it sees and what it does."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from jacbench.backend import Guarding, MethodInfo, Prepared, Target, UnfitError, registry
from jacbench.core import layouts
from jacbench.core.arrays import Array
from jacbench.core.errors import JacbenchError
from jacbench.core.pattern import Pattern
from jacbench.structure import guard
from jacbench.structure.guard import Guarded, Structured, StructuredMethod
from jacbench.structure.pattern_check import Products

N = 12
MOVED = np.r_[np.full(N - 1, 1.0), 2.0]


def right(x: Array) -> Array:
    """diag(x), an entry far off it where x[-1] > 1, and another where x[0] < -1."""
    J = np.diag(x)
    J[0, -1] = 1e-6 * (x[-1] > 1)
    J[-1, 0] = 1e-6 * (x[0] < -1)
    return J


class Made(StructuredMethod):
    """A method that keeps of the Jacobian what it saw at the points where it was prepared."""

    info = MethodInfo(name="numpy.analytic", summary="", structure="sparse")

    def __init__(self, *, everywhere: bool = False, unfit: bool = False) -> None:
        self.everywhere, self.unfit, self.prepared = everywhere, unfit, 0

    def layout(self, target: Target) -> layouts.Layout:
        return layouts.MATRIX

    def products_of(self, target: Target) -> Callable[[Array], Products]:
        return lambda x: Products(lambda t: t @ right(x).T, lambda v: v @ right(x))

    def structured(self, target: Target, before: Pattern | None = None) -> Structured:
        if self.prepared and self.unfit:
            raise UnfitError("J is dense")
        self.prepared += 1
        pattern = Pattern.of(right(target.x) != 0)
        if before is not None:
            pattern = pattern.union(before)

        def call(x: Array) -> Array:
            return np.where(pattern.dense(np.ones(pattern.nnz)) != 0, right(x), 0.0)

        def holding(met: Array) -> guard.Held:
            drawn = guard.vectors(met, "float64", 8 * N)

            def held(x: Array, number: int) -> tuple[Array, guard.Gap]:
                found, vector = call(x), drawn[number % len(drawn)]
                asked = right(x) @ vector
                scale = abs(found) @ abs(vector) + abs(asked)
                return found, guard.gap(found @ vector - asked, scale)

            return held

        return Structured(call=call, holding=holding, everywhere=self.everywhere, pattern=pattern)


def prepared(method: StructuredMethod, **guarding: Any) -> Prepared:
    target = Target(
        function=lambda x: x,
        x=np.ones(N),
        constants=(),
        y_shape=(N,),
        device="cpu",
        dtype="float64",
        guard=Guarding(**guarding),
    )
    return method.prepare(target)


def test_a_place_that_was_dead_is_found_and_kept() -> None:
    method = Made()
    made = prepared(method)
    assert made.notes["guard"] == "every call: repair"
    for x in (np.ones(N), MOVED, 3 * MOVED, np.ones(N)):
        assert np.array_equal(made.call(x), right(x))
    assert isinstance(made.call, Guarded)
    assert (made.call.repairs, method.prepared) == (1, 2)


def test_what_comes_and_goes_is_found_once() -> None:
    made = prepared(Made())
    other = np.r_[-2.0, np.ones(N - 1)]
    for x in 3 * [MOVED, other]:
        assert np.array_equal(made.call(x), right(x))
    assert isinstance(made.call, Guarded)
    assert made.call.repairs == 2


def test_it_may_raise_in_one_line() -> None:
    made = prepared(Made(), mode="raise")
    assert np.array_equal(made.call(np.ones(N)), right(np.ones(N)))
    with pytest.raises(JacbenchError, match=r"row 0 of J times a random vector is .* guard=") as e:
        made.call(MOVED)
    assert "\n" not in str(e.value)


def test_it_may_be_off_and_is_then_silent() -> None:
    made = prepared(Made(), mode="off")
    assert made.notes["guard"] == "off"
    assert not np.array_equal(made.call(MOVED), right(MOVED))


def test_what_holds_for_every_x_is_looked_at_only_where_asked() -> None:
    made = prepared(Made(everywhere=True))
    assert made.notes["guard"] == "none: it holds for every x"
    assert not isinstance(made.call, Guarded)
    assert isinstance(prepared(Made(everywhere=True), every=1).call, Guarded)


def test_one_call_in_so_many_is_looked_at() -> None:
    made = prepared(Made(), every=3)
    assert made.notes["guard"] == "one call in 3: repair"
    seen = [np.array_equal(made.call(x), right(x)) for x in (np.ones(N), MOVED, MOVED, MOVED)]
    assert seen == [True, False, False, True]


def test_what_the_guard_costs_is_told() -> None:
    assert prepared(Made()).notes["guard_cost"] >= 1
    assert "guard_cost" not in prepared(Made(), mode="off").notes


def test_a_cost_is_spread_over_the_calls_that_are_not_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]

    def takes(seconds: float) -> Callable[[], None]:
        def call() -> None:
            now[0] += seconds

        return call

    monkeypatch.setattr(guard.time, "perf_counter", lambda: now[0])
    assert guard.cost(takes(0.002), takes(0.003), 1) == 1.5
    assert guard.cost(takes(0.002), takes(0.003), 10) == 1.05
    assert guard.cost(takes(0.003), takes(0.002), 1) == 1


@pytest.mark.parametrize(
    ("notes", "told"),
    [
        ({"guard_cost": 1.25}, "of which the guard about 20 %"),
        ({"guard_cost": 1.02}, None),
        ({}, None),
    ],
)
def test_the_share_of_a_call_is_told_where_it_is_more_than_little(
    notes: dict[str, Any], told: str | None
) -> None:
    assert guard.share(notes) == told


def test_where_no_structure_is_left_one_line_says_so() -> None:
    made = prepared(Made(unfit=True))
    with pytest.raises(JacbenchError, match=r"does not hold at this x: .*, and J is dense") as e:
        made.call(MOVED)
    assert "\n" not in str(e.value)


def test_rounding_is_looked_into_and_then_let_pass() -> None:
    method = Made()
    looked = []

    class Noisy(Made):
        def structured(self, target: Target, before: Pattern | None = None) -> Structured:
            made = super().structured(target, before)

            def held(x: Array, number: int) -> tuple[Array, guard.Gap]:
                return made.call(x), (1e-12, lambda: 1e-12)

            return Structured(call=made.call, holding=lambda _: held, pattern=made.pattern)

        def products_of(self, target: Target) -> Callable[[Array], Products]:
            def at(x: Array) -> Products:
                looked.append(x)
                return method.products_of(target)(x)

            return at

    made = prepared(Noisy())
    for _ in range(5):
        made.call(np.ones(N))
    assert len(looked) == 1


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_what_is_no_number_shows_by_itself(number: float) -> None:
    made = prepared(Made())
    x = np.r_[number, np.ones(N - 1)]
    with np.errstate(invalid="ignore"):
        assert np.array_equal(made.call(x), right(x), equal_nan=True)


def test_a_structure_may_move_while_other_threads_call() -> None:
    made = prepared(Made())
    wrong: list[int] = []

    def calls(number: int) -> None:
        for k in range(40):
            x = (MOVED if (k + number) % 2 else np.ones(N)) * (1 + k)
            if not np.array_equal(made.call(x), right(x)):
                wrong.append(k)

    threads = [threading.Thread(target=calls, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"mode": "mend"}, "guard='mend': give one of repair, raise, off"),
        ({"every": 0}, "guard_every=0: give a whole number of calls"),
        ({"every": 1.5}, "guard_every=1.5: give a whole number"),
    ],
)
def test_bad_options_get_one_line(options: dict[str, Any], told: str) -> None:
    with pytest.raises(JacbenchError, match=told):
        Guarding(**options)


def test_vectors_differ_are_not_small_and_fit_into_memory() -> None:
    drawn = guard.vectors(np.ones(1000), "float32", 8000)
    assert drawn.shape == (guard.MOST, 1000)
    assert str(drawn.dtype) == "float32"
    assert abs(drawn).min() >= 0.5
    assert len({row.tobytes() for row in drawn}) == guard.MOST
    assert len(guard.vectors(np.ones(10), "float64", guard.BYTES)) == 2


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_vector_makes_up_for_rows_and_columns_that_are_small(dtype: str) -> None:
    met = np.r_[3e-30, 0.0, 1e-8, 2.0, 5.0, np.nan, 1e3]
    drawn = guard.vectors(met, dtype, 8)
    assert np.isfinite(drawn).all()
    seen = met > 0
    evened = abs(drawn[:, seen]) * met[seen]
    assert evened.max() / evened.min() < (1e13 if dtype == "float32" else 10)
    assert abs(drawn[:, ~seen]).max() <= 1.5


@pytest.mark.parametrize("side", ["columns", "rows"])
def test_what_a_vector_meets_is_known_of_every_layout(
    side: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "SLICE", 7)
    J = np.array([[1.0, -2.0, 0.0], [0.0, 3.0, -4.0], [5.0, 0.0, 0.0], [0.0, 0.0, -6.0]])
    expected = abs(J).sum(axis=0 if side == "columns" else 1)
    pattern = Pattern.of(J != 0)
    found = guard.met([J], layouts.MATRIX, J.shape, side)
    np.testing.assert_array_equal(found, expected)
    found = guard.met([J[J != 0]], layouts.sparse(pattern), J.shape, side)
    np.testing.assert_array_equal(found, expected)
    factors = [np.array([[1.0], [-2.0]]), np.array([[3.0, -1.0, 0.0]])]
    found = guard.met(factors, layouts.factored(1), (2, 3), side)
    expected = abs(factors[0] @ factors[1]).sum(axis=0 if side == "columns" else 1)
    np.testing.assert_array_equal(found, expected)


SCALES = np.tile([1.0, 1e-8, 1e-15, 1e-30], 3)


@pytest.mark.parametrize("row", [0, 1, 2, 3])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_gap_is_that_of_the_line_where_it_is_most(row: int, dtype: str) -> None:
    vector = guard.vectors(np.ones(N), dtype, 8 * N)[0]
    J = (SCALES[:, None] * np.ones(N)).astype(dtype)
    asked, scale = J @ vector, abs(J) @ abs(vector)
    assert guard.gap(0 * asked, scale + abs(asked))[0] == 0
    found = J.copy()
    found[row, 1] = 0
    apart, whole = guard.gap(found @ vector - asked, scale + abs(asked))
    assert apart > 1e-3
    assert whole() == pytest.approx(apart * SCALES[row], rel=1)


def test_a_line_that_is_rounding_alone_costs_one_look_and_hides_no_other() -> None:
    looked = []

    class Cancelling(Made):
        """The last row is rounding: by two ways it is 1e-17 and -1e-17 of the first."""

        gaps: tuple[float, float] = (1.0, 1e-17)

        def structured(self, target: Target, before: Pattern | None = None) -> Structured:
            made = super().structured(target, before)

            def held(x: Array, number: int) -> tuple[Array, guard.Gap]:
                lines, whole = self.gaps
                return made.call(x), (lines, lambda: whole)

            return Structured(call=made.call, holding=lambda _: held, pattern=made.pattern)

        def products_of(self, target: Target) -> Callable[[Array], Products]:
            def at(x: Array) -> Products:
                looked.append(x)
                return Made().products_of(target)(x)

            return at

    method = Cancelling()
    made = prepared(method)
    for _ in range(5):
        made.call(np.ones(N))
    assert len(looked) == 1
    method.gaps = 1.0, 1e-15
    made.call(np.ones(N))
    assert len(looked) == 2


def test_what_makes_up_for_small_lines_may_overflow_and_refuses_nothing() -> None:
    """The product by way of large numbers, as of a quotient of exponentials."""

    class Overflowing(Made):
        def products_of(self, target: Target) -> Callable[[Array], Products]:
            def at(x: Array) -> Products:
                def push(tangents: Array) -> Array:
                    with np.errstate(over="ignore", invalid="ignore"):
                        return (tangents * 1e290) @ right(x).T / 1e290

                return Products(push, Made().products_of(target)(x).pull)

            return at

        def structured(self, target: Target, before: Pattern | None = None) -> Structured:
            made = super().structured(target, before)

            def held(x: Array, number: int) -> tuple[Array, guard.Gap]:
                return made.call(x), (np.nan, lambda: np.nan)

            return Structured(call=made.call, holding=lambda _: held, pattern=made.pattern)

    x = np.r_[np.full(N - 1, 1.0), 1e-30]
    made = prepared(Overflowing(), mode="raise")
    assert np.array_equal(made.call(x), right(x))


# --- the methods of each library ---


def _gated(xp: Any, scales: Any, row: int) -> Callable[[Any], Any]:
    """Return a function whose ``row`` sees the next entry of x too where the last one is above 1.

    By its number's own sign: what a library records of it has to be the one branch or the other.
    """
    on = np.arange(N) == row

    def f(x: Any) -> Any:
        gate = xp.where(x[-1] > 1, 1.0, 0.0) * xp.asarray(on * 1.0, dtype=x.dtype)
        nxt = xp.concat([x[1:], x[:1]])
        return scales * (xp.sin(x) + gate * nxt)

    return f


@pytest.mark.parametrize(
    ("name", "dtype", "rows"),
    [
        ("torch.coloured-csr", "float64", (0, 1, 2, 3)),
        ("torch.coloured-csr", "float32", (0, 1, 2, 3)),
        ("autograd.coloured", "float64", (0, 1, 2, 3)),
        ("jax.coloured-csr", "float32", (3,)),  # each compiles
        ("jax.sparsejac-csr", "float64", (2,)),
    ],
)
def test_a_wrong_entry_is_seen_in_a_row_of_any_scale(
    name: str, dtype: str, rows: tuple[int, ...]
) -> None:
    import jacbench

    library = name.partition(".")[0]
    pytest.importorskip(library)
    if "sparsejac" in name:
        pytest.importorskip("sparsejac")
    backend = registry.load(library)

    def put(x: Array) -> Any:
        return backend.put(x, "cpu", dtype)

    with backend.precise():
        for row in rows:
            f = _gated(backend.xp, put(SCALES), row)
            diagonal = np.eye(N)
            made = jacbench.prepare(
                f, put(np.linspace(0.1, 0.9, N)), name, pattern=diagonal, guard="raise"
            )
            for x in (np.linspace(-0.9, 0.9, N), np.linspace(0.0, 0.3, N)):
                made(put(x))
            with pytest.raises(JacbenchError, match=rf"row {row} of J|column {(row + 1) % N} of J"):
                made(put(np.linspace(0.1, 1.9, N)))


def _moving(xp: Any, x: Any) -> Any:
    """Upwinding: which neighbour counts depends on the sign."""
    left, here, right = x[:-2], x[1:-1], x[2:]
    return xp.where(here > 0, here * (here - left), here * (right - here))


def _contact(xp: Any, x: Any) -> Any:
    apart = x[1:] - x[:-1] - 0.5
    return xp.where(apart > 0, apart, 0 * apart)


def _expected(function: Any, x: Array) -> Array:
    steps = 1e-6 * np.eye(x.size)
    return np.stack([(function(np, x + s) - function(np, x - s)) / 2e-6 for s in steps], axis=1)


@pytest.mark.parametrize("form", ["", "-csr"])
@pytest.mark.parametrize("library", ["torch", "autograd"])
@pytest.mark.parametrize("function", [_moving, _contact])
def test_a_pattern_that_moves_is_followed(library: str, form: str, function: Any) -> None:
    import jacbench

    pytest.importorskip(library)
    xp = registry.load(library).xp
    start, later = np.linspace(0.2, 0.6, 40), 2 * np.sin(np.arange(40.0))

    def put(x: Array) -> Any:
        return registry.load(library).put(x, "cpu", "float64")

    made = jacbench.prepare(lambda x: function(xp, x), put(start), f"{library}.coloured{form}")
    for x in (start, later, -later, start):
        J = made(put(x))
        found = J.toarray() if form else registry.load(library).to_numpy(J)
        np.testing.assert_allclose(found, _expected(function, x), atol=1e-7)
