"""A bench in this process: what it says, what it keeps, what it leaves as it was."""

from __future__ import annotations

import gc
import warnings

import numpy as np
import pytest

from jacbench.backend import Prepared, registry
from jacbench.core.cell import Verdict
from jacbench.core.errors import JacbenchError
from jacbench.picking.benches.local import LocalBench
from jacbench.picking.candidate import Candidate
from jacbench.picking.reference import choice
from jacbench.structure.sample_guard import LookedAt
from jacbench.workers.lost import LostError
from tests.picking import planted
from tests.planting import Wrapped

anp = pytest.importorskip("autograd.numpy")


@pytest.fixture(autouse=True)
def unfrozen():
    yield
    gc.unfreeze()


JACOBIAN = Candidate("jacobian", "autograd.jacobian")


def smooth(x):
    return anp.sin(x) * anp.sum(x)


def by_sample(x):
    return anp.sin(x) ** 2


def bench(f=smooth, *, examined=True, **parts):
    made = LocalBench(planted.subject(f, **parts), "autograd", configure=False)
    if examined:
        made.examine(10.0)
    return made


def test_lines_for_what_was_seen_at_points_alone_carry_the_guard():
    made = bench(by_sample)
    made.samples()
    candidate = Candidate("jacobian", "autograd.per-sample")
    made.enter(candidate)
    lines = made.code(candidate)
    assert any("jacbench.prepare(" in line for line in lines)
    made.enter(JACOBIAN)
    assert not any("jacbench" in line for line in made.code(JACOBIAN))


def test_lines_for_blocks_that_one_pass_gives_carry_the_guard_and_are_timed_with_it():
    made = bench(by_sample)
    made.samples()
    candidate = Candidate("batch_jacobian", "autograd.sum-trick")
    entry = made.enter(candidate)
    assert entry.result.verdict is Verdict.AGREES
    assert "guard_cost" in entry.result.notes
    assert any("jacbench.prepare(" in line for line in made.code(candidate))
    looked = made._settled[candidate].prepared.call
    assert isinstance(looked, LookedAt)


def test_blocks_of_samples_that_are_apart_for_every_x_need_no_guard():
    torch = pytest.importorskip("torch")
    made = LocalBench(planted.subject(torch.sin, backend="torch"), "torch", configure=False)
    made.examine(10.0)
    made.samples()
    candidate = Candidate("batch_jacobian", "torch.sum-trick")
    assert "guard_cost" not in made.enter(candidate).result.notes
    assert not any("jacbench" in line for line in made.code(candidate))


class Counted:
    """A function that behaves until it was told otherwise."""

    def __init__(self):
        self.does = lambda: None

    def __call__(self, x):
        self.does()
        return smooth(x)


def fail():
    raise ZeroDivisionError("this time")


def test_it_looks_before_anything_is_prepared():
    look = bench(examined=False).examine(10.0)
    assert (look.m, look.n, look.dtype) == (3, 3, "float64")
    assert look.call_s > 0


def test_samples_are_found_and_methods_that_need_them_are_offered():
    made = bench(by_sample)
    found = made.samples()
    assert (found.axis, found.count) == (0, 3)
    reasons = {offer.candidate.method: offer.reason for offer in made.offers()}
    assert reasons["autograd.per-sample"] is None
    assert reasons["autograd.sum-trick"] is None


def test_where_samples_interact_methods_that_need_them_say_so():
    made = bench()
    found = made.samples()
    assert found.axis is None
    reasons = {offer.candidate.method: offer.reason for offer in made.offers()}
    assert reasons["autograd.per-sample"] == found.reason
    assert reasons["autograd.jacobian"] is None


def sparse_reasons(made):
    return {
        offer.candidate.method: offer.reason
        for offer in made.offers()
        if offer.structure == "sparse"
    }


def test_a_jacobian_that_is_seen_to_be_dense_is_not_searched_for_zeros():
    made = bench()
    assert set(sparse_reasons(made).values()) == {None}  # nothing is known yet
    made.evidence()
    (reason,) = set(sparse_reasons(made).values())
    assert reason.endswith("100 %: compressing pays below 30 %")


def test_what_is_mostly_zero_may_be_compressed_and_rounding_is_no_entry():
    def banded(x):
        return anp.sin(x) + 1e-15 * anp.sum(x)

    made = bench(banded, x=np.linspace(0.1, 1.0, 12))
    made.evidence()
    assert set(sparse_reasons(made).values()) == {None}


def test_what_is_right_agrees_and_has_a_time():
    made = bench()
    entry = made.enter(JACOBIAN)
    assert entry.result.verdict is Verdict.AGREES
    assert entry.result.error < 1e-12
    assert entry.call_s > 0
    seconds = made.block(JACOBIAN, 3, 2)
    assert len(seconds) == 3
    assert min(seconds) > 0


def test_what_does_not_fit_is_unsupported_with_a_line():
    entry = bench().enter(Candidate("sparse_jacobian", "autograd.coloured-csr"))
    assert entry.result.verdict is Verdict.UNSUPPORTED
    assert "\n" not in entry.result.reason
    assert entry.call_s is None


def test_a_matrix_beyond_the_memory_allowed_is_too_large():
    made = LocalBench(planted.subject(smooth), "autograd", configure=False, memory_bytes=100)
    made.examine(10.0)
    entry = made.enter(JACOBIAN)
    assert entry.result.verdict is Verdict.TOO_LARGE
    assert "--memory" in entry.result.reason


@pytest.mark.parametrize("does", ["block", "peak", "changes"])
def test_a_call_that_fails_later_loses_the_candidate_alone(does):
    f = Counted()
    made = bench(f)
    assert made.enter(JACOBIAN).call_s is not None
    f.does = fail
    with pytest.raises(LostError, match="a later call raised ZeroDivisionError: this time") as lost:
        made.block(JACOBIAN, 1, 1) if does == "block" else getattr(made, does)(JACOBIAN)
    assert lost.value.verdict is Verdict.FAILED


def test_what_timed_calls_change_is_told_and_put_back():
    f = Counted()
    made = bench(f)
    made.enter(JACOBIAN)
    assert made.changes(JACOBIAN) is None
    before = np.geterr()
    f.does = lambda: np.seterr(divide="raise")
    assert "numpy's error handling" in made.changes(JACOBIAN)
    assert np.geterr() == before


def lying(made, make):
    """Enter the method as somebody makes it of the right one; evidence comes from right ones."""
    made.evidence()
    lies = Wrapped(
        registry.method(JACOBIAN.method),
        lambda inner, target: Prepared(make(inner.prepare(target).call)),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "method", lambda name: lies)
        assert made.enter(JACOBIAN).result.verdict is Verdict.AGREES


def later(true):
    calls = [0]

    def call(x):
        calls[0] += 1
        return true(x) * (1.0 if calls[0] < 150 else 1.001)

    return call


def negative(true):
    return lambda x: true(x) * (1.001 if (x < 0).any() else 1.0)


def keeps(true):
    kept = {}

    def call(x):
        if x.tobytes() not in kept:
            kept[x.tobytes()] = true(x)
        return kept[x.tobytes()].copy()

    return call


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (later, "in the last timed call: "),
        (negative, "at a new point, far from those it was checked at: "),
        (keeps, "it keeps answers: the function is evaluated at a new x"),
    ],
)
@pytest.mark.parametrize("by_products", [False, True])
def test_who_lied_to_the_clock_is_lost_once_it_is_asked_again(make, told, by_products, monkeypatch):
    if by_products:
        monkeypatch.setattr(choice, "SMALL", 0)
    made = bench(x=np.array([0.7, 1.3, 0.4]))
    lying(made, make)
    made.block(JACOBIAN, 8, 20)
    assert made.changes(JACOBIAN) is None
    with pytest.raises(LostError, match=told) as lost:
        made.changes(JACOBIAN, again=True)
    assert lost.value.verdict is Verdict.DISAGREES


@pytest.mark.parametrize("by_products", [False, True])
def test_who_is_right_stays_when_it_is_asked_again(by_products, monkeypatch):
    if by_products:
        monkeypatch.setattr(choice, "SMALL", 0)
    made = bench(x=np.array([0.7, 1.3, 0.4]))
    assert made.enter(JACOBIAN).result.verdict is Verdict.AGREES
    assert made.changes(JACOBIAN, again=True) is None


def test_warnings_of_timed_calls_are_not_shown_again():
    f = Counted()
    made = bench(f)
    made.enter(JACOBIAN)
    f.does = lambda: warnings.warn("often", stacklevel=1)
    made.block(JACOBIAN, 1, 1)
    made.peak(JACOBIAN)


def test_closing_undoes_what_the_collector_was_told():
    assert gc.get_freeze_count() == 0
    made = bench()
    made.enter(JACOBIAN)
    made.block(JACOBIAN, 1, 1)
    assert gc.get_freeze_count() > 0
    made.enter(Candidate("jacobian", "autograd.jvp"))  # the next block would freeze anew
    made.close()
    assert gc.get_freeze_count() == 0


def test_what_the_caller_froze_stays_frozen():
    made = bench()
    made.enter(JACOBIAN)
    gc.freeze()
    made.block(JACOBIAN, 1, 1)
    made.close()
    assert gc.get_freeze_count() > 0


def test_a_candidate_is_refused_where_nothing_can_be_held_against():
    def cut(x):
        return anp.array([float(getattr(v, "_value", v)) for v in x]) * 2.0 + 0.0 * x

    made = bench(cut)
    with pytest.raises(JacbenchError, match="derivative is 0"):
        made.evidence()
    with pytest.raises(JacbenchError):
        made.enter(JACOBIAN)


def test_the_lines_to_paste_run():
    made = bench()
    made.enter(JACOBIAN)
    space = {"f": smooth, "x": planted.X}
    exec("\n".join(made.code(JACOBIAN)), space)  # noqa: S102 - what is told to be pasted
    x = planted.X
    expected = np.diag(np.cos(x) * x.sum()) + np.sin(x)[:, None]
    np.testing.assert_allclose(space["J"], expected, rtol=1e-12)
