"""Points of other signs and scales, in the domain."""

from __future__ import annotations

from typing import Any

import numpy as np

from jacbench.core import tree
from jacbench.structure.points import further


def test_signs_scales_and_orders_differ_and_integers_stay() -> None:
    x = {"a": np.array([1.0, -2.0, 30.0], np.float32), "n": np.array([1, 2])}
    found = list(further(x, lambda x: x["a"]))
    assert len(found) == 5
    for point in found:
        assert [leaf.dtype for leaf in tree.leaves(point)] == [np.float32, x["n"].dtype]
        assert np.array_equal(point["n"], x["n"])
        assert not np.array_equal(point["a"], x["a"])
    assert np.array_equal(found[0]["a"], -x["a"])
    assert {tuple(np.sort(p["a"])) for p in found} & {tuple(np.sort(x["a"]))}
    assert found[1]["a"].max() > 10 * found[2]["a"].max()


def test_what_raises_or_gives_no_number_is_passed_over_and_nothing_is_changed() -> None:
    x = np.linspace(0.5, 1.0, 8)
    kept = x.copy()

    def f(x: Any) -> Any:
        if x.max() > 2:
            raise ValueError("too far")
        found = np.log(x)
        x[:] = 0
        return found

    found = list(further(x, f))
    assert len(found) == 2
    assert all((point > 0).all() for point in found)
    assert np.array_equal(x, kept)
