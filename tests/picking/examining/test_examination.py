"""What kind of function it is, found by calling it; and what cannot be asked of it, in one line."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from jacbench.checking.evidence.line_probes import Sides
from jacbench.core.errors import JacbenchError
from jacbench.picking.examining import smoothness
from jacbench.picking.examining.examination import Examination, dense_seconds, examine
from tests.picking.planted import A, X, attending, configured, subject

anp = pytest.importorskip("autograd.numpy")


def look(f: Callable[[Any], Any], x: Any = X, **options: Any) -> Examination:
    limits = {key: options.pop(key) for key in ("time_limit_s", "budget_s") if key in options}
    backend = options.get("backend", "autograd")
    return examine(subject(f, x, **options), backend, **limits)


def refusal(f: Callable[[Any], Any], x: Any = X, **options: Any) -> str:
    with pytest.raises(JacbenchError) as caught:
        look(f, x, **options)
    told = str(caught.value)
    assert "\n" not in told
    assert told.startswith("f: ")
    return told


def names(found: Examination) -> list[str]:
    return [finding.name for finding in found.findings]


def smooth(x: Any) -> Any:
    return anp.tanh(anp.dot(A, x))


# --- nothing wrong ---


def test_a_smooth_function_has_no_findings() -> None:
    found = look(smooth)
    assert (found.findings, found.skipped, found.lines) == ((), (), ())
    assert (found.m, found.n, found.y_shape) == (2, 3, (2,))
    assert (found.dtype, found.precision, found.moved) == ("float64", "float64", False)
    assert found.call_s > 0
    assert not found.lifted
    assert np.finfo(np.float64).eps <= found.noise < 1e-13
    assert found.calls <= 25
    assert found.found("kink") is None


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_the_scale_of_x_makes_no_finding(scale: float) -> None:
    assert look(lambda x: anp.sin(x / scale), X * scale).findings == ()


def test_a_tree_is_looked_at_as_a_whole() -> None:
    found = look(lambda x: anp.exp(x["a"]) * anp.sum(x["b"] ** 3), {"a": X, "b": np.ones((2, 2))})
    assert found.findings == ()
    assert found.n == 7


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_other_libraries_are_looked_at_likewise(backend: str) -> None:
    pytest.importorskip(backend)
    library = configured(backend)
    found = look(lambda x: library.xp.tanh(x) * 2.0, backend=backend)
    assert found.findings == ()
    assert found.precision == "float64"


# --- what is refused ---


def test_what_is_random_is_refused_with_how_much() -> None:
    rng = np.random.default_rng(0)
    told = refusal(lambda x: smooth(x) * (1 + 1e-3 * rng.uniform(-1, 1)))
    assert "two calls at the same x differ by 0.00" in told
    assert "seed" in told


def test_what_is_kept_from_call_to_call_is_refused() -> None:
    last = [np.zeros(3)]

    def remembers(x: Any) -> Any:
        y = smooth(x) + last[0].sum()
        last[0] = 0.01 * np.array(x) if not np.array_equal(x, X) else last[0]
        return y

    assert "two calls at the same x differ" in refusal(remembers)


def test_rounding_in_another_order_is_not_random() -> None:
    rng = np.random.default_rng(0)
    assert look(lambda x: smooth(x) * (1 + 1e-15 * rng.uniform(-1, 1))).findings == ()


def test_a_changed_input_is_refused() -> None:
    def moves(x: Any) -> Any:
        x += 1.0
        return anp.sin(x)

    told = refusal(moves)
    assert "writes into its argument: x is another one after a call" in told


def test_a_changed_constant_is_refused() -> None:
    def scales(x: Any, c: Any) -> Any:
        c *= 2.0
        return x * c

    assert "writes into its argument: constants[0] is" in refusal(scales, constants=(np.ones(3),))


@pytest.mark.parametrize(
    ("f", "part"),
    [
        (lambda x: None, "returned None"),
        (lambda x: 1.0, "Python float"),
        (lambda x: np.arange(3), "int64"),
        (lambda x: x + 1j, "complex"),
        (lambda x: x[:0], "empty"),
        (lambda x: x / 0.0, "choose a point where it is finite"),
        (lambda x: (x, x), "a tuple"),
        (lambda x: x.nothing, "AttributeError"),
        (lambda x: x.astype(np.float16), "float16"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")
def test_what_is_no_array_of_floats_is_refused(f: Callable[[Any], Any], part: str) -> None:
    assert part in refusal(f)


def test_integers_as_inputs_are_refused() -> None:
    assert "int64" in refusal(lambda x: x * 1.0, np.arange(3))


def test_a_shape_that_depends_on_the_point_is_refused() -> None:
    def chosen(x: Any) -> Any:
        return x if np.array_equal(x, X) else x[:2]

    with pytest.raises(JacbenchError, match="outputs"):
        look(chosen)


# --- slow ---


def slow(seconds: float) -> Callable[[Any], Any]:
    def sleeps(x: Any) -> Any:
        time.sleep(seconds)
        return smooth(x)

    return sleeps


def test_a_function_too_slow_to_check_is_refused_after_two_calls() -> None:
    calls = []

    def counted(x: Any) -> Any:
        calls.append(x)
        return slow(0.02)(x)

    told = refusal(counted, time_limit_s=0.1)
    assert len(calls) == 2
    assert "a Jacobian of 2 rows needs about 2 to 6 of them" in told
    assert "--time-limit" in told


def test_a_first_call_beyond_the_limit_is_the_last() -> None:
    calls = []

    def counted(x: Any) -> Any:
        calls.append(x)
        return slow(0.03)(x)

    refusal(counted, time_limit_s=0.02)
    assert len(calls) == 1


def test_what_compiles_at_its_first_call_is_not_slow() -> None:
    calls = []

    def compiles(x: Any) -> Any:
        calls.append(x)
        return slow(0.2 if len(calls) == 1 else 0.0)(x)

    found = look(compiles, time_limit_s=1.0)
    assert found.first_s > 0.2 > 10 * found.call_s
    assert found.found("slow") is None


def test_a_jacobian_that_takes_longer_than_there_is_time_is_told() -> None:
    n = 200
    found = look(lambda x: slow(0.002)(x[:3]).sum() * x, np.ones(n), time_limit_s=0.3)
    finding = found.found("slow")
    assert finding is not None
    assert "a Jacobian of 200 rows needs about 200 to 600 of them" in finding.line


def test_slow_calls_are_not_spent_on_a_close_look() -> None:
    found = look(slow(0.02), budget_s=0.05)
    assert found.calls == 4
    assert found.skipped[0].startswith("not looked for: noise, kinks, linearity: one call takes 2")


def test_seconds_of_passes() -> None:
    assert dense_seconds(20, 1000, 61.0) == (1220.0, 3660.0)


# --- kinks, jumps, edges ---


def test_a_kink_at_x_is_told_and_left() -> None:
    x = np.array([0.0, 1.0, 2.0])
    found = look(lambda x: anp.sin(x) + anp.abs(x) * 0.5, x)
    assert names(found) == ["kink"]
    assert found.findings[0].line.startswith("a kink at x: y[0] has slope ")
    assert found.moved
    assert 0 < np.abs(found.problem.x[0]) < 0.1
    # there it is smooth
    again = examine(dataclasses.replace(subject(lambda x: x), problem=found.problem), "autograd")
    assert again.findings == ()


def test_one_kink_of_many_outputs_is_seen() -> None:
    x = np.linspace(-1.0, 1.0, 401)
    x[200] = 0.0
    found = look(lambda x: anp.maximum(x, 0.0) + 0.1 * x**2, x)
    assert found.findings[0].name == "kink"
    assert "y[200]" in found.findings[0].line


def test_strong_curvature_is_no_kink() -> None:
    assert "kink" not in names(look(lambda x: anp.exp(30 * x)))
    assert "kink" not in names(look(lambda x: anp.sqrt(x * x + 1e-6), np.array([1e-3, 0.5])))


def test_a_kink_everywhere_is_told_so() -> None:
    found = look(lambda x: anp.abs(anp.sin(1e9 * x)) * 1e-3 + x**2)
    assert {"kink", "jump", "noise"} & set(names(found))


@pytest.mark.parametrize(("budget_s", "tries"), [(0.5, 1), (100.0, 3)])
def test_a_way_out_of_a_kink_is_looked_for_while_there_is_time(
    budget_s: float, tries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]

    def sides(*_: Any) -> tuple[Sides, bool]:
        now[0] += 1.0
        return Sides("kink"), False

    monkeypatch.setattr(smoothness._Closely, "_sides", sides)
    monkeypatch.setattr(smoothness, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    found = look(smooth, budget_s=budget_s)
    assert "kink" in names(found)
    assert now[0] == 1 + tries


def test_a_jump_at_x_is_told() -> None:
    x = np.array([1.0, 0.3])
    found = look(lambda x: anp.where(x >= 1.0, x + 1.0, x**2), x)
    assert names(found) == ["jump"]
    assert "y[0] has another value right beside x" in found.findings[0].line
    assert found.moved


def test_the_edge_of_the_domain_is_told() -> None:
    x = np.array([0.0, 1.0])
    found = look(lambda x: anp.sqrt(anp.where(x < 0, np.nan, x) + 0.0 * x), x, elsewhere=x + 0.5)
    assert names(found) == ["edge"]
    assert found.moved


def test_a_second_point_without_a_value_is_replaced_by_a_nearer_one() -> None:
    x = np.array([0.5, 1.0])
    found = look(lambda x: anp.log(anp.where(x < 0.45, np.nan, x)), x, elsewhere=x - 0.2)
    assert names(found) == ["second point"]
    assert np.allclose(found.problem.elsewhere, x - 0.02)
    assert not found.moved


def test_no_second_point_at_all_is_refused() -> None:
    told = refusal(lambda x: anp.where(x == X, x, np.nan))
    assert "at every second point tried near x" in told
    assert "elsewhere=" in told


# --- noise ---


def test_noise_is_measured() -> None:
    found = look(lambda x: smooth(x) * (1 + 1e-5 * anp.sin(1e12 * x[0])))
    assert "noise" in names(found)
    assert 1e-6 < found.noise < 1e-4


def test_a_part_in_float32_looks_like_noise() -> None:
    W = A.astype(np.float32)
    found = look(lambda x: anp.tanh(anp.dot(W, x.astype(np.float32))).astype(np.float64))
    noise = found.found("noise")
    assert noise is not None
    assert "float32" in noise.line


# --- constant, zero, linear ---


def test_a_constant_function() -> None:
    found = look(lambda x: anp.zeros(2) * x[0] + np.array([1.0, 2.0]))
    assert names(found) == ["constant"]


def test_at_a_kink_nothing_is_said_of_a_constant_beside_it() -> None:
    found = look(lambda x: anp.maximum(0.0, anp.minimum(x, 1.0)), np.array([0.0, 1.0, 4.0]))
    assert names(found) == ["kink"]


def test_a_function_that_stands_still_here_alone() -> None:
    found = look(lambda x: anp.maximum(x - 1.2, 0.0), X, elsewhere=X + 2.0)
    assert names(found) == ["zero"]


def test_a_step_function_stands_still() -> None:
    assert names(look(lambda x: np.round(x + 0.25) * 1.0, X * 10)) == ["zero"]


def test_under_a_large_offset_nothing_is_said_to_stand_still() -> None:
    assert "zero" not in names(look(lambda x: 1e12 + anp.sin(x)))


def test_values_that_an_offset_swallows_are_no_proof_of_a_zero() -> None:
    found = look(lambda x: 1e17 + anp.sin(x)).found("constant")
    assert found is not None
    assert "or too small beside y" in found.line


@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_a_linear_function(offset: float) -> None:
    assert names(look(lambda x: anp.dot(A, x) + offset)) == ["linear"]


def test_a_nearly_linear_function_is_not_linear() -> None:
    assert names(look(lambda x: anp.dot(A, x) + 1e-8 * anp.sum(x**2))) == []


# --- dtypes ---


def test_float32_is_settled_in_float64() -> None:
    found = look(smooth, dtype="float32")
    assert (found.dtype, found.precision) == ("float32", "float64") or found.found("dtype")


def test_float32_alone_where_a_function_takes_no_other() -> None:
    torch = pytest.importorskip("torch")
    W = torch.tensor(A, dtype=torch.float32)

    def f(x: Any) -> Any:
        if x.dtype is not torch.float32:
            raise TypeError("no")
        return torch.tanh(W @ x)

    found = look(f, backend="torch", dtype="float32")
    assert (found.dtype, found.precision, found.lifted) == ("float32", "float32", False)
    assert names(found) == ["float32"]
    assert "TypeError" in found.findings[0].line


def test_float32_values_are_lifted_where_that_is_needed() -> None:
    torch = pytest.importorskip("torch")
    W = torch.tensor(A, dtype=torch.float32)
    found = look(lambda x: torch.tanh(W @ x), backend="torch", dtype="float32")
    assert (found.dtype, found.precision, found.lifted) == ("float32", "float64", True)
    assert found.findings == ()
    found = look(torch.tanh, backend="torch", dtype="float32")
    assert (found.precision, found.lifted) == ("float64", False)


def test_float32_by_name_stays() -> None:
    torch = pytest.importorskip("torch")
    W = torch.tensor(A, dtype=torch.float32)
    found = look(lambda x: torch.tanh(W @ x.float()), backend="torch", dtype="float32")
    assert (found.precision, found.lifted) == ("float32", False)
    assert "there it returns float32" in found.findings[0].line


def test_what_is_said_not_to_compute_in_float64_is_not_asked_to() -> None:
    torch = pytest.importorskip("torch")
    seen = set()

    def f(x: Any) -> Any:
        seen.add(x.dtype)
        return torch.tanh(x)

    found = look(f, backend="torch", dtype="float32", evaluates_float64=False)
    assert seen == {torch.float32}
    assert (found.precision, found.findings) == ("float32", ())


def test_a_function_that_makes_float32_of_float64() -> None:
    found = look(lambda x: smooth(x).astype(np.float32))
    assert found.dtype == "float32"
    assert "dtype" in names(found)


def test_a_function_that_holds_float64_values() -> None:
    torch = pytest.importorskip("torch")
    c = torch.ones(3, dtype=torch.float64)
    found = look(lambda x: torch.tanh(x * c), backend="torch", dtype="float32")
    assert (found.dtype, found.precision) == ("float64", "float64")
    assert names(found) == ["dtype"]


@pytest.mark.parametrize("wide", [True, False])
def test_jax_is_asked_in_float32_as_it_is_set_up(wide: bool) -> None:
    jax = pytest.importorskip("jax")
    configured("jax")
    # what a function creates is float32 unless the process says otherwise
    f = lambda x: jax.numpy.concatenate([x, jax.numpy.ones(1)]) ** 2  # noqa: E731
    with jax.enable_x64(wide):
        found = look(f, backend="jax", dtype="float32")
    assert found.dtype == ("float64" if wide else "float32")
    assert found.precision == "float64"


def test_a_value_that_float32_cannot_hold_is_not_judged_in_float64() -> None:
    torch = pytest.importorskip("torch")
    found = look(lambda x: (x + 1e4) - 1e4 + 0 * x, backend="torch", dtype="float32")
    assert found.precision == "float32"
    assert "away" in found.findings[0].line
    del torch


def test_a_value_that_is_another_one_without_gradients_is_told_and_not_settled_at() -> None:
    torch = pytest.importorskip("torch")
    f, x = attending()
    found = look(f, x, backend="torch")
    told = found.found("plain value")
    assert told is not None
    assert "its value is 0." in told.line
    assert torch.backends.mha.get_fastpath_enabled()
    assert look(lambda x: f(x)[:, :2], x, backend="torch").found("plain value") is None
