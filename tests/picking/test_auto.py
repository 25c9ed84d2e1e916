"""``auto``: picked once, kept for as long as the function is, written where that is asked for."""

from __future__ import annotations

import gc
import json
from types import SimpleNamespace

import numpy as np
import pytest

import jacbench
from jacbench.backend import registry
from jacbench.core.errors import JacbenchError, NothingRightError
from jacbench.picking import auto
from jacbench.picking.auto import Choice

anp = pytest.importorskip("autograd.numpy")

X = np.array([0.3, -0.4, 0.9])


def double(x):
    return 2.0 * x


@pytest.fixture
def picks(monkeypatch):
    """Pick one method by decree, and count how often that is done."""
    auto.forget()
    done = []

    def picked(f, x):
        done.append(f)
        return Choice("autograd.jacobian", None)

    monkeypatch.setattr(auto, "_picked", picked)
    yield done
    auto.forget()


def test_it_picks_once_for_a_function_and_shapes(picks):
    for scale in (1.0, 2.0):
        np.testing.assert_allclose(jacbench.jacobian(double, scale * X, "auto"), 2 * np.eye(3))
    assert len(picks) == 1
    jacbench.jacobian(double, np.ones(2), "auto")
    assert len(picks) == 2
    jacbench.jacobian(lambda x: x, X, "auto")
    assert len(picks) == 3


def test_other_structures_of_x_are_others(picks):
    def total(x):
        return 3.0 * (x[0] + x[-1])

    jacbench.jacobian(total, [1.0, 2.0], "auto")
    J = jacbench.jacobian(total, [1.0, 2.0, 3.0], "auto")
    np.testing.assert_allclose(J, [3.0, 0.0, 3.0])
    assert len(picks) == 2


class Model:
    """Two functions that share an object which has neither a hash nor a plain equality."""

    def __init__(self, factor):
        self.factor = factor

    __hash__ = None

    def __eq__(self, other):
        return np.array([True, False])

    def forward(self, x):
        return self.factor * x

    def backward(self, x):
        return -self.factor * x

    def __call__(self, x):
        return 5.0 * x


def test_methods_of_an_object_are_kept_by_the_object(picks):
    model = Model(3.0)
    for _ in range(2):  # a bound method is another object at each look
        np.testing.assert_allclose(jacbench.jacobian(model.forward, X, "auto"), 3 * np.eye(3))
        np.testing.assert_allclose(jacbench.jacobian(model.backward, X, "auto"), -3 * np.eye(3))
        np.testing.assert_allclose(jacbench.jacobian(model, X, "auto"), 5 * np.eye(3))
    np.testing.assert_allclose(jacbench.jacobian(Model(4.0).forward, X, "auto"), 4 * np.eye(3))
    assert len(picks) == 4


def test_what_is_kept_goes_with_the_function(picks):
    model = Model(3.0)
    jacbench.jacobian(model, X, "auto")
    assert len(auto._kept) == 1
    picks.clear()
    del model
    gc.collect()
    assert not auto._kept


def test_a_file_spares_the_next_process_the_pick(picks, tmp_path):
    file = tmp_path / "picks.json"
    jacbench.jacobian(double, X, "auto", cache=file)
    auto.forget()
    J = jacbench.jacobian(double, X, "auto", cache=file)
    np.testing.assert_allclose(J, 2 * np.eye(3))
    assert len(picks) == 1
    (entry,) = json.loads(file.read_text())["choices"].values()
    assert entry == {"method": "autograd.jacobian", "chunk_size": None}


@pytest.mark.parametrize("content", ["", '{"jacbench_auto": 1, "choi', '{"jacbench_auto": 99}'])
def test_a_file_that_is_cut_short_or_of_another_version_is_written_anew(picks, tmp_path, content):
    file = tmp_path / "picks.json"
    file.write_text(content)
    jacbench.jacobian(double, X, "auto", cache=file)
    assert len(json.loads(file.read_text())["choices"]) == 1


@pytest.mark.parametrize("content", ["my thesis", "[" * 100_000])
def test_a_file_of_something_else_is_left_alone(picks, tmp_path, content):
    file = tmp_path / "picks.json"
    file.write_text(content)
    with pytest.raises(JacbenchError, match="is no cache of jacbench's"):
        jacbench.jacobian(double, X, "auto", cache=file)
    assert file.read_text() == content


def test_a_method_that_is_no_longer_there_is_picked_anew(picks, tmp_path):
    file = tmp_path / "picks.json"
    jacbench.jacobian(double, X, "auto", cache=file)
    file.write_text(file.read_text().replace("autograd.jacobian", "autograd.gone"))
    auto.forget()
    jacbench.jacobian(double, X, "auto", cache=file)
    assert len(picks) == 2


def test_a_file_that_cannot_be_written_is_one_line(picks, tmp_path):
    with pytest.raises(JacbenchError, match=r"cannot be written: .*: name another file"):
        jacbench.jacobian(double, X, "auto", cache=tmp_path / "no" / "folder" / "picks.json")


def test_what_is_picked_too_is_not_to_be_given():
    with pytest.raises(JacbenchError, match="leave chunk_size out"):
        jacbench.jacobian(double, X, "auto", chunk_size=2)
    with pytest.raises(JacbenchError, match="cache is for method='auto'"):
        jacbench.jacobian(double, X, "autograd.jacobian", cache="file.json")


def test_the_pick_itself_takes_only_what_holds_everywhere():
    auto.forget()
    try:
        choice = auto._picked(double, X)
    finally:
        auto.forget()
    info = registry.method(choice.method).info
    assert (info.operator, info.structure, info.compiled) == ("jacobian", "", False)


def test_nothing_is_taken_where_differences_deny_both_modes():
    from autograd.extend import defjvp, defvjp, primitive

    @primitive
    def square(x):
        return x**2

    defvjp(square, lambda ans, x: lambda g: g * x)
    defjvp(square, lambda g, ans, x: g * x)
    with pytest.raises(NothingRightError, match="away from what both modes agree on"):
        jacbench.jacobian(square, X, "auto")


def test_what_is_taken_and_not_confirmed_is_warned_of(monkeypatch):
    answer = SimpleNamespace(
        method="autograd.jacobian", chunk_size=None, doubt="differences cannot tell here"
    )
    monkeypatch.setattr(auto, "pick_here", lambda *_: answer)
    auto.forget()
    with pytest.warns(UserWarning, match="not confirmed: differences cannot tell here"):
        jacbench.jacobian(double, X, "auto")
    auto.forget()
