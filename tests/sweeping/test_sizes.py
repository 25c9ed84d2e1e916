"""Sizes mean what was asked for, and a mistake is one line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jacbench import problems
from jacbench.core.errors import JacbenchError
from jacbench.sweeping.sizes import MOST, Sizes, plan, values


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("16:128", (16, 32, 64, 128)),
        ("3:20", (3, 6, 12)),
        ("128:16", (128, 64, 32, 16)),
        ("100:16", (100, 50, 25)),
        ("16:16", (16,)),
        ("16:4096:5", (16, 64, 256, 1024, 4096)),
        ("1000:10:3", (1000, 100, 10)),
        ("1:4:5", (1, 1, 2, 3, 4)),
        ("16,32,100", (16, 32, 100)),
        ("7, 3", (7, 3)),
        ("64", (64,)),
        (64, (64,)),
        ([5, 4], (5, 4)),
        (range(1, 4), (1, 2, 3)),
    ],
)
def test_sizes(asked: Sizes, meant: tuple[int, ...]) -> None:
    assert values("n", asked) == meant


@pytest.mark.parametrize(
    "asked",
    [
        *("", "x", "1.5", "0", "-4", "0:16", "16:-1", ":", "16:", "1:2:3:4", "16:4096:1"),
        *("16:4096:0", "16,,32", "9" * 5000, 0, [], [0], [1.5], [True], 2.5, None),
    ],
)
def test_what_is_no_size_is_one_line(asked: Sizes) -> None:
    with pytest.raises(JacbenchError, match="give whole numbers of at least 1") as caught:
        values("n", asked)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("asked", ["1:9999999:1000000", f"1:{2**200}", list(range(1, 200))])
def test_too_many(asked: Sizes) -> None:
    with pytest.raises(JacbenchError, match=f"a sweep has at most {MOST}"):
        values("n", asked)


@given(first=st.integers(1, 10**6), last=st.integers(1, 10**6), steps=st.integers(2, MOST))
def test_geometric_steps(first: int, last: int, steps: int) -> None:
    found = values("n", f"{first}:{last}:{steps}")
    assert (found[0], found[-1], len(found)) == (first, last, steps)
    assert list(found) == sorted(found, reverse=first > last)
    doubled = values("n", f"{first}:{last}")
    assert doubled[0] == first
    assert min(first, last) <= min(doubled) <= max(doubled) <= max(first, last)


# Plans


def test_one_parameter() -> None:
    found = plan("shape/square", {"n": "16:64", "width": "32"})
    assert found.axis == "n"
    assert found.beside == "width = 32"
    assert found.names == tuple(f"shape/square[n={n},width=32]" for n in (16, 32, 64))
    assert [point.x for point in found.points] == [16, 32, 64]
    assert [problems.entry(name).parameters["n"] for name in found.names] == [16, 32, 64]
    assert problems.entry(found.names[0]).parameters["width"] == 32


def test_points_are_by_size_and_each_once() -> None:
    found = plan("shape/square", {"n": "64,16,32,16"})
    assert [point.sizes["n"] for point in found.points] == [16, 32, 64]


def test_m_and_n_make_a_ratio() -> None:
    found = plan("shape/square", {"m": "16:1024:4", "n": "1024:16:4"})
    assert found.axis == "m / n"
    assert [point.x for point in found.points] == [1 / 64, 1 / 4, 4, 64]
    assert found.beside == "m = 16 to 1024, n = 1024 to 16"


def test_a_ratio_that_stays_is_no_axis() -> None:
    found = plan("shape/square", {"m": "16:64", "n": "16:64"})
    assert found.axis == "m"
    assert found.beside == "n = 16 to 64"
    assert [dict(point.sizes) for point in found.points] == [{"m": k, "n": k} for k in (16, 32, 64)]


def test_other_parameters_go_together() -> None:
    found = plan("nn/attention", {"seq": "2:8", "width": "8:32"})
    assert found.axis == "seq"
    assert found.names[-1] == "nn/attention[seq=8,width=32]"


def test_brackets_stay() -> None:
    found = plan("shape/square[width=32]", {"n": "4,8"})
    assert found.names == ("shape/square[width=32,n=4]", "shape/square[width=32,n=8]")
    chosen = plan("shape/square[outputs=0,1]", {"n": "4,8"})
    assert problems.get(chosen.names[0]).x.shape == (4,)


@pytest.mark.parametrize(
    ("problem", "asked", "told"),
    [
        ("shape/sqare", {"n": "4,8"}, "did you mean 'shape/square'"),
        ("basics/linear-sum", {"n": "4,8"}, "has no sizes to choose"),
        ("shape/square", {}, "m=256, n=256, width=256: give sizes, such as --m 16:4096"),
        ("shape/square", {"k": "4,8"}, "has no size 'k': it has m=256, n=256, width=256"),
        ("shape/square", {"n": "16"}, "at least two sizes"),
        ("shape/square", {"n": "16,16"}, "at least two sizes"),
        ("shape/square", {"m": "4,8", "n": "4,8,16"}, "m has 2, n has 3"),
        ("shape/square", {"m": "4,8,8", "n": "2,4,4", "width": "1,2,3"}, "m is the same at sev"),
        ("shape/square[n=4]", {"n": "4,8"}, "says it in its brackets"),
        ("shape/square[q=4]", {"n": "4,8"}, "has no 'q'"),
    ],
)
def test_a_mistake_is_one_line(problem: str, asked: dict[str, str], told: str) -> None:
    with pytest.raises(JacbenchError) as caught:
        plan(problem, asked)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_size_whose_name_ends_another_is_no_repetition() -> None:
    # "n=" stands within "in=": it is the whole key that counts.
    found = plan("nn/batch-norm[hidden=4]", {"batch": "2,4"})
    assert found.axis == "batch"
