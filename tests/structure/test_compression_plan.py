from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import scipy.sparse

from jacbench.backend import Target, UnfitError
from jacbench.core.arrays import Array
from jacbench.core.errors import JacbenchError
from jacbench.core.pattern import Pattern
from jacbench.structure import compression_plan, probe_order
from jacbench.structure.pattern_check import Products
from tests.structure.matrices import (
    MATRICES,
    arrow,
    band,
    products,
    same_places,
    scattered,
    strided,
)


def target_of(J: Any, **rest: Any) -> Target:
    """Return the target of a function of which only the products are asked for."""
    rest = {"x": np.zeros(J.shape[1]), "y_shape": (J.shape[0],)} | rest
    return Target(function=lambda x: x, constants=(), device="cpu", dtype="float64", **rest)


def planned(J: Any, points: Sequence[Products] | None = None, **rest: Any) -> compression_plan.Plan:
    return compression_plan.plan(target_of(J, **rest), points or [products(J)])


def raising(vectors: Array) -> Array:
    raise NotImplementedError("no rule for it")


SPARSE = [name for name in MATRICES if name not in ("tiny", "zero", "one column")]


@pytest.mark.parametrize("name", SPARSE)
def test_a_pattern_is_found_and_compressed(name: str) -> None:
    J = MATRICES[name]
    made = planned(J)
    assert same_places(made.pattern, J)
    for one in made.compressions:
        assert one.pattern is made.pattern
        data = one.data(products(J).by(one.by)(one.seeds()))
        assert np.array_equal(made.pattern.dense(data), J.toarray())
        assert made.best.count <= one.count <= compression_plan.NEARLY * made.best.count
    assert made.notes["pattern"] == "probing"
    assert made.notes["nnz"] == J.nnz
    assert made.notes["colours"] == made.best.count
    assert made.notes["caveat"] == "a coupling that is dead at the one point looked at is not seen"


def test_both_points_count() -> None:
    J = MATRICES["tridiagonal"]
    parts = [scipy.sparse.csr_array(part) for part in (scipy.sparse.triu(J), scipy.sparse.tril(J))]
    made = planned(J, [products(part) for part in parts])
    assert same_places(made.pattern, J)
    assert made.notes["caveat"] == "a coupling that is dead at the 2 points looked at is not seen"


def test_the_side_with_fewer_colours_comes_first() -> None:
    wide = scipy.sparse.csr_array(np.kron(np.eye(30), np.ones((1, 4))))
    assert [(one.by, one.count) for one in planned(wide).compressions] == [("rows", 1)]
    tall = scipy.sparse.csr_array(wide.T)
    assert [(one.by, one.count) for one in planned(tall).compressions] == [("columns", 1)]
    assert [one.by for one in planned(band(99, -1, 0, 1)).compressions] == ["columns", "rows"]
    assert planned(arrow(1000)).best.by == "rows"


def test_what_is_not_worth_it() -> None:
    with pytest.raises(UnfitError, match=r"J is dense: 100 % of it is full"):
        planned(scipy.sparse.csr_array(np.ones((90, 90))))
    J = np.zeros((4, 5))
    J[0] = J[:, 0] = J[1, 1] = 1
    with pytest.raises(UnfitError, match=r"9 of 4 x 5 places, 45 %"):
        planned(scipy.sparse.csr_array(J))
    both = scipy.sparse.csr_array(arrow(40) + arrow(40).T)
    with pytest.raises(
        UnfitError,
        match=r"takes 40 products by columns and 40 products by rows .* min\(m, n\) = 40",
    ):
        planned(both)


def test_a_jacobian_without_entries_has_an_empty_pattern() -> None:
    made = planned(MATRICES["zero"])
    assert (made.pattern.nnz, made.best.count) == (0, 0)
    assert not made.everywhere


def test_a_given_pattern_of_a_small_jacobian_is_taken_though_it_does_not_pay() -> None:
    J = band(8, -1, 0, 1)
    made = planned(J, pattern=Pattern.of(J))
    assert made.pattern.nnz == J.nnz
    with pytest.raises(UnfitError, match="compressing pays below 30 %"):
        planned(J)


def test_places_known_before_are_held_too() -> None:
    J = MATRICES["tridiagonal"]
    upper, lower = scipy.sparse.triu(J, format="csr"), scipy.sparse.tril(J, format="csr")
    points = [products(scipy.sparse.csr_array(upper))]
    made = compression_plan.plan(target_of(J), points, before=Pattern.of(lower))
    assert same_places(made.pattern, J)
    # as long as that pays
    made = compression_plan.plan(target_of(J), points, before=Pattern.of(np.ones(J.shape)))
    assert same_places(made.pattern, scipy.sparse.csr_array(upper))


def test_samples_along_the_last_axes() -> None:
    J = strided(40, 33)
    made = planned(J, x=np.zeros((33, 40)), y_shape=(33, 40))
    assert same_places(made.pattern, J)
    assert made.best.count == 33


def test_a_tree_in_its_order() -> None:
    # each axis in turn runs slowest within its leaf
    orders = probe_order.orders([(3, 40), (5,)])
    assert len(orders) == 2
    assert np.array_equal(np.sort(orders[1]), np.arange(125))
    assert orders[1][:4].tolist() == [0, 40, 80, 1]
    assert orders[1][120:].tolist() == [120, 121, 122, 123, 124]
    assert len(probe_order.orders([(7,), (3, 1)])) == 1
    third = probe_order.orders([(2, 3, 4)])[1]
    assert third[:9].tolist() == [0, 1, 2, 3, 12, 13, 14, 15, 4]
    assert [order.tolist() for order in probe_order.orders([()])] == [[0]]


def test_without_a_forward_or_a_reverse_mode() -> None:
    J = MATRICES["tridiagonal"]
    of = products(J)
    made = planned(J, [Products(raising, of.pull)])
    assert [one.by for one in made.compressions] == ["rows"]
    assert made.notes["pattern_because"] == "no forward mode here: no rule for it"
    made = planned(J, [Products(of.push, raising)])
    assert [one.by for one in made.compressions] == ["columns"]
    assert made.notes["pattern_because"] == "no reverse mode here: no rule for it"
    with pytest.raises(NotImplementedError, match="no rule for it"):
        planned(J, [Products(raising, raising)])


# --- a pattern that is given, or found by other means ---


def test_a_given_pattern_is_taken() -> None:
    J = MATRICES["stencil"]
    wider = Pattern.of(abs(J) + band(J.shape[0], 7))
    made = planned(J, pattern=wider)
    assert made.pattern is wider
    assert made.notes["pattern"] == "given"
    assert "products" not in made.notes


@pytest.mark.parametrize("transpose", [False, True])
def test_a_given_pattern_that_is_wrong(transpose: bool) -> None:
    J = MATRICES["blocks"].T.tocsr() if transpose else MATRICES["blocks"]
    fewer = J.tolil()
    fewer[20, 31 if not transpose else 12] = 0
    made = r"the given pattern is wrong: \w+ \d+ of J has an entry outside of it, in \w+ \d+: mark"
    with pytest.raises(JacbenchError, match=made) as raised:
        planned(J, pattern=Pattern.of(fewer.tocsr()))
    told = str(raised.value)
    assert "\n" not in told
    assert "row 20" in told
    assert ("column 12" if transpose else "column 31") in told


def test_a_given_pattern_that_is_wrong_elsewhere_alone() -> None:
    J = MATRICES["tridiagonal"]
    here = scipy.sparse.csr_array(scipy.sparse.triu(J))
    with pytest.raises(JacbenchError, match="the given pattern is wrong: row 1 of J"):
        planned(J, [products(here), products(J)], pattern=Pattern.of(here))


def test_a_given_pattern_of_another_shape() -> None:
    J = MATRICES["tridiagonal"]
    with pytest.raises(
        JacbenchError, match=r"has shape \(225, 225\) and the Jacobian \(300, 300\)"
    ):
        planned(J, pattern=Pattern.of(MATRICES["stencil"]))


def test_what_detects_is_asked_before_products() -> None:
    J = MATRICES["tridiagonal"]
    of = products(J)
    made = compression_plan.plan(target_of(J), [of], [("tracing", lambda: Pattern.of(J))])
    assert made.notes["pattern"] == "tracing"
    assert "products" not in made.notes
    assert "caveat" not in made.notes


def test_what_detects_may_fail_or_err() -> None:
    J = MATRICES["tridiagonal"]

    def unfit() -> Pattern:
        raise UnfitError("says it cannot")

    told = {
        "tracing: says it cannot": unfit,
        "tracing misses a place": lambda: Pattern.of(scipy.sparse.csr_array(scipy.sparse.triu(J))),
        "tracing: J has 90000 of 300 x 300 places, 100 %: compressing pays below 30 %": lambda: (
            Pattern.of(np.ones(J.shape))
        ),
    }
    for why, detect in told.items():
        made = compression_plan.plan(target_of(J), [products(J)], [("tracing", detect)])
        assert made.notes["pattern"] == "probing"
        assert made.notes["pattern_because"] == why
        assert same_places(made.pattern, J)


def test_products_that_do_not_repeat() -> None:
    J, rng = MATRICES["tridiagonal"], np.random.default_rng(0)

    def noisy(tangents: Array) -> Array:
        return (J @ tangents.T).T * rng.uniform(0.5, 1.5, (len(tangents), 1))

    with pytest.raises(UnfitError, match="its products with J do not repeat"):
        planned(J, [Products(noisy, raising)])


def test_what_detects_may_be_all_there_is() -> None:
    J = MATRICES["tridiagonal"]

    def unfit() -> Pattern:
        raise UnfitError("says it cannot")

    for detect, told in (
        (unfit, "tracing: says it cannot"),
        (
            lambda: Pattern.of(scipy.sparse.csr_array(scipy.sparse.triu(J))),
            "tracing misses a place",
        ),
    ):
        with pytest.raises(UnfitError, match=told):
            compression_plan.plan(target_of(J), [products(J)], [("tracing", detect)], probe=False)


def test_what_is_dense_is_not_traced() -> None:
    def detect() -> Pattern:
        raise AssertionError("asked")

    J = scipy.sparse.csr_array(np.ones((90, 90)))
    with pytest.raises(UnfitError, match="J is dense"):
        compression_plan.plan(target_of(J), [products(J)], [("tracing", detect)])


def test_of_a_dense_jacobian_few_products_are_asked() -> None:
    asked: list[int] = []
    of = products(scipy.sparse.csr_array(np.ones((90, 80))))

    def push(tangents: Array) -> Array:
        asked.append(len(tangents))
        return of.push(tangents)

    with pytest.raises(UnfitError, match="J is dense"):
        planned(np.ones((90, 80)), [Products(push, raising, lambda side: None)])
    assert sum(asked) == 32


def test_no_more_products_than_the_jacobian_takes() -> None:
    J = scattered(300, 300, 20)
    asked: list[int] = []
    of = products(J)

    def push(tangents: Array) -> Array:
        asked.append(len(tangents))
        return of.push(tangents)

    with pytest.raises(UnfitError, match="no pattern of J is found by 300 products"):
        planned(J, [Products(push, raising)])
    assert sum(asked) <= 1 + 32 + 128 + 300


def test_points_of_other_signs_and_scales_widen_what_was_found() -> None:
    J = MATRICES["tridiagonal"]
    parts = [scipy.sparse.csr_array(part(J)) for part in (scipy.sparse.triu, scipy.sparse.tril)]
    upper, lower = parts
    made = compression_plan.plan(target_of(J), [products(upper)], further=lambda: [products(lower)])
    assert same_places(made.pattern, J)
    assert made.notes["caveat"] == "a coupling that is dead at the 2 points looked at is not seen"
    # a far point where nothing is zero does not count against those where most is
    dense = scipy.sparse.csr_array(np.ones(J.shape))
    made = compression_plan.plan(target_of(J), [products(upper)], further=lambda: [products(dense)])
    assert same_places(made.pattern, upper)


def test_what_detects_has_to_hold_at_every_point() -> None:
    J = MATRICES["tridiagonal"]
    half = scipy.sparse.csr_array(scipy.sparse.triu(J))
    points = [products(half), products(J)]
    made = compression_plan.plan(target_of(J), points, [("tracing", lambda: Pattern.of(half))])
    assert same_places(made.pattern, J)
    assert made.notes["pattern"] == "probing"
