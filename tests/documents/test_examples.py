"""The examples run from anywhere, say nothing on stderr, and print what is right."""

from __future__ import annotations

import ast
import functools
import importlib.util
import itertools
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest

from tests.runs import ROOT, environment, run

EXAMPLES = ROOT / "examples"
NAMES = sorted(path.stem for path in EXAMPLES.glob("*.py"))
PRINTED_TO = 5.1e-5  # four decimals


@functools.cache
def ran(name: str) -> CompletedProcess[str]:
    """Run a script once, away from the checkout."""
    for library in ("torch", "jax", "autograd"):
        # Asked without importing: this process needs none of them.
        if importlib.util.find_spec(library) is None:
            pytest.skip(f"the examples need all three libraries: {library} is not installed")
    env = environment(OMP_NUM_THREADS="1", JAX_PLATFORMS="cpu")
    with tempfile.TemporaryDirectory() as folder:
        return run([sys.executable, str(EXAMPLES / f"{name}.py")], Path(folder), env=env)


def printed(name: str) -> dict[str, str]:
    """Return what stands after each label; an array stands on the lines after it."""
    found: dict[str, str] = {}
    label = ""
    for line in ran(name).stdout.splitlines():
        if line.startswith(("[", " ")):
            found[label] += "\n" + line
        elif told := re.fullmatch(r"(.+?):(?: (.*))?", line):
            label = told[1]
            assert label not in found, f"{label} is printed twice"
            found[label] = told[2] or ""
    return found


def array(text: str) -> np.ndarray[Any, Any]:
    """Read an array as NumPy prints it."""
    return np.array(ast.literal_eval(re.sub(r"(?<=[\d.\]])\s+(?=[-\[\d])", ", ", text.strip())))


def yes(found: dict[str, str], ending: str = "") -> list[str]:
    """Return the labels whose value is True, those with that ending; no value may be False."""
    said = {k: v for k, v in found.items() if v in ("True", "False") and k.endswith(ending)}
    assert set(said.values()) <= {"True"}, said
    return list(said)


def complex_step(f: Callable[[Any], Any], x: Any) -> np.ndarray[Any, Any]:
    """Return the (m, n) Jacobian of f at x, without any of the libraries."""
    flat = np.ravel(x).astype(complex)
    columns = []
    for j in range(flat.size):
        moved = flat.copy()
        moved[j] += 1e-30j
        columns.append(np.ravel(f(moved.reshape(np.shape(x)))).imag / 1e-30)
    return np.stack(columns, axis=1)


def drawn(rng: np.random.Generator, widths: list[int]) -> list[tuple[Any, Any]]:
    """Return the weights of the scripts."""
    return [
        (rng.standard_normal((n_in, n_out)) / np.sqrt(n_in), 0.1 * rng.standard_normal(n_out))
        for n_in, n_out in itertools.pairwise(widths)
    ]


@pytest.mark.parametrize("name", NAMES)
def test_it_runs_and_stderr_is_empty(name: str) -> None:
    done = ran(name)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


@pytest.mark.parametrize("name", NAMES)
def test_it_is_asserted_below(name: str) -> None:
    assert any(test.startswith(f"test_{name}_") for test in globals())


def test_the_page_lists_every_script_and_no_other() -> None:
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"\]\((\w+)\.py\)", page)) == NAMES


def test_weight_jacobian_is_20_by_47_by_every_way() -> None:
    found = printed("weight_jacobian")
    assert found["shape"] == "(20, 47)"
    assert yes(found) == [
        "torch.autograd.functional.jacobian",
        "torch.func.jacrev",
        "torch.func.jacrev and functional_call",
        "jax.jacrev",
        "autograd.jacobian",
        "jacbench, torch.func.jacrev",
        "jacbench, jax.jacrev",
    ]


def test_weight_jacobian_has_the_columns_it_says() -> None:
    found = printed("weight_jacobian")
    rng = np.random.default_rng(47)
    layers = drawn(rng, [6, 4, 3, 1])
    batch = rng.standard_normal((20, 6))
    leaves = [leaf for layer in layers for leaf in layer]
    ends = np.cumsum([0, *(leaf.size for leaf in leaves)])
    names = ["W1", "b1", "W2", "b2", "W3", "b3"]
    spans = [
        f"{name} {a}:{b}" for name, (a, b) in zip(names, itertools.pairwise(ends), strict=True)
    ]
    assert found["columns"] == ", ".join(spans)

    def network(flat: Any) -> Any:
        y = batch
        parts = [
            p.reshape(q.shape) for p, q in zip(np.split(flat, ends[1:-1]), leaves, strict=True)
        ]
        for W, b in zip(parts[::2], parts[1::2], strict=True):
            y = np.tanh(y @ W + b)
        return y

    J = complex_step(network, np.concatenate([leaf.ravel() for leaf in leaves]))
    first = array(found["first 3 rows, first 6 columns"])
    np.testing.assert_allclose(first, J[:3, :6], rtol=0, atol=PRINTED_TO)
    last = array(found["last 3 rows, last 6 columns"])
    np.testing.assert_allclose(last, J[-3:, -6:], rtol=0, atol=PRINTED_TO)


def test_intermediate_gradient_is_none_and_torch_says_so() -> None:
    found = printed("intermediate_gradient")
    assert found["torch, Z.is_leaf"] == "False"
    assert found["torch, Z.grad"] == "None"
    assert "not a leaf Tensor" in found["torch warned"]


@pytest.mark.parametrize(
    "label",
    [
        "torch, Z.grad after retain_grad",
        "torch, what the hook saw",
        "torch.autograd.grad by Z",
        "jax.grad by e",
        "autograd.grad by e",
        "jacbench, jax.jacrev by e",
    ],
)
def test_intermediate_gradient_by_z_is_ones(label: str) -> None:
    by_z = array(printed("intermediate_gradient")[label])
    np.testing.assert_array_equal(by_z, [[1, 1], [1, 1]])


@pytest.mark.parametrize(
    "label",
    [
        "torch, x.grad",
        "torch.autograd.grad by x",
        "jax.grad by x",
        "autograd.grad by x",
        "jacbench, jax.jacrev by x",
    ],
)
def test_intermediate_gradient_by_x_is_the_row_sums_of_w(label: str) -> None:
    by_x = array(printed("intermediate_gradient")[label])
    np.testing.assert_array_equal(by_x, [[3.6, -0.9, 1.3], [3.6, -0.9, 1.3]])


@pytest.mark.parametrize("library", ["torch", "jax", "autograd", "jacbench, torch.func.jacrev"])
def test_tensor_jacobian_times_v(library: str) -> None:
    found = printed("tensor_jacobian")
    assert found[f"{library}, shape of J"] == "(2, 2, 2, 2)"
    np.testing.assert_array_equal(array(found[f"{library}, v times J"]), [[4, 2], [2, 4]])


def test_tensor_jacobian_is_diagonal() -> None:
    J = array(printed("tensor_jacobian")["torch, J"])
    np.testing.assert_array_equal(J.reshape(4, 4), np.diag([4, 2, 2, 4]))


def test_tensor_jacobian_accumulates_in_torch_until_it_is_zeroed() -> None:
    found = printed("tensor_jacobian")
    once, twice = [[4, 2], [2, 4]], [[8, 4], [4, 8]]
    for after, expected in {
        "backward(v)": once,
        "a second backward(v)": twice,
        "zero_() and backward(v)": once,
        "None and backward(v)": once,
    }.items():
        grad = array(found[f"torch, x.grad after {after}"])
        np.testing.assert_array_equal(grad, expected, err_msg=after)


@pytest.mark.parametrize("way", ["jax.vjp", "autograd.make_vjp"])
@pytest.mark.parametrize("call", ["first", "second"])
def test_tensor_jacobian_accumulates_nowhere_else(way: str, call: str) -> None:
    product = array(printed("tensor_jacobian")[f"{way}, {call} call"])
    np.testing.assert_array_equal(product, [[4, 2], [2, 4]])


def logistic() -> tuple[Callable[[Any, Any], Any], Any, Any]:
    """Return the loss, for the complex step, and its arguments."""
    rng = np.random.default_rng(5)
    w, b = rng.standard_normal((5, 3)), rng.standard_normal(3)
    # The features are ones and the labels zeros.
    return lambda w, b: np.mean(np.log(1 + np.exp(w.sum(axis=0) + b))), w, b


def test_logistic_gradients_of_the_formula_are_right() -> None:
    found = printed("logistic_gradients")
    loss, w, b = logistic()
    by_w = complex_step(lambda w: loss(w, b), w).reshape(5, 3)
    by_b = complex_step(lambda b: loss(w, b), b)[0]
    assert float(found["loss by hand"]) == pytest.approx(loss(w, b), abs=PRINTED_TO)
    np.testing.assert_allclose(array(found["dL/dw by hand"]), by_w, rtol=0, atol=PRINTED_TO)
    np.testing.assert_allclose(array(found["dL/db by hand"]), by_b, rtol=0, atol=PRINTED_TO)


def test_logistic_gradients_equal_the_formula() -> None:
    ending = " equals the formula to 1e-12"
    assert yes(printed("logistic_gradients"), ending) == [
        library + ending
        for library in (
            *("torch", "jax", "autograd"),
            *("jacbench, torch.func.jacrev", "jacbench, autograd.jacobian"),
        )
    ]


def test_logistic_gradients_without_a_graph() -> None:
    found = printed("logistic_gradients")
    assert found["torch, requires_grad of z"] == "True"
    assert found["torch, requires_grad of z.detach()"] == "False"
    assert found["torch, requires_grad of a loss under no_grad"] == "False"
    assert "does not require grad" in found["torch, its backward"]


def test_logistic_gradients_with_w_cut() -> None:
    found = printed("logistic_gradients")
    assert found["torch, w detached, w.grad"] == "None"
    for label in (
        "torch, w detached, materialize_grads",
        "jax, w stopped, by w",
        "autograd, w cut, by w",
    ):
        np.testing.assert_array_equal(array(found[label]), np.zeros((5, 3)), err_msg=label)
    loss, w, b = logistic()
    by_b = complex_step(lambda b: loss(w, b), b)[0]
    for label in ("torch, w detached, b.grad", "jax, w stopped, by b", "autograd, w cut, by b"):
        kept = array(found[label])
        np.testing.assert_allclose(kept, by_b, rtol=0, atol=PRINTED_TO, err_msg=label)


@functools.cache
def generator(batch_norm: bool) -> np.ndarray[Any, Any]:
    """Return the whole Jacobian [sample, output, sample, input] of per_sample.py."""
    rng = np.random.default_rng(100)
    *hidden, (V, c) = drawn(rng, [2, 32, 32, 2])
    points = rng.standard_normal((100, 2))

    def u(X: Any) -> Any:
        for W, b in hidden:
            z = X @ W + b
            if batch_norm:
                z = z - z.mean(axis=0)
                z = z / np.sqrt((z * z).mean(axis=0) + 1e-5)
            X = np.where(z.real >= 0, z, 0.2 * z)
        return np.tanh(X @ V + c)

    return complex_step(u, points).reshape(100, 2, 100, 2)


@pytest.mark.parametrize("library", ["torch", "jax", "autograd"])
def test_per_sample_partials_are_the_diagonal_blocks(library: str) -> None:
    found = printed("per_sample")
    partials = np.einsum("sksi->ski", generator(batch_norm=False))
    for i, name in enumerate(["du/dx", "du/dt"]):
        rows = array(found[f"{library}, {name} of samples 0 to 2"])
        np.testing.assert_allclose(rows, partials[:3, :, i], rtol=0, atol=PRINTED_TO)


def test_per_sample_ways_agree() -> None:
    found = printed("per_sample")
    assert (found["torch, shape of du/dx"], found["torch, shape of du/dt"]) == ("(100, 2)",) * 2
    assert yes(found) == [
        "torch, vmap(jacrev) is the same",
        "torch, du_0 is du[0]",
        "jax, vmap(jacrev) is the same",
        "jax, du_0 is du[0]",
        "autograd, a loop over samples is the same",
        "autograd, du_0 is du[0]",
        "torch, sum trick on u - mean(u) is zero",
        "jacbench, torch.func.jacrev, diagonal blocks are du",
        "jacbench, jax.jacrev, diagonal blocks are du",
        "jacbench, autograd.vjp-loop, diagonal blocks are du",
    ]


@pytest.mark.parametrize("library", ["torch", "jax", "autograd"])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_per_sample_sum_trick_is_wrong_with_batch_norm(library: str, batch_norm: bool) -> None:
    found = printed("per_sample")
    J = generator(batch_norm)
    partials = np.einsum("sksi->ski", J)
    unit = np.linalg.norm(partials)
    others = J * (1 - np.eye(100))[:, None, :, None]
    # The trick returns sums over samples: what it adds to the partials is what others see.
    error = np.linalg.norm(others.sum(axis=0).swapaxes(0, 1)) / unit
    assert (error > 0.1) == batch_norm
    name = f"{library} with batch norm" if batch_norm else library
    shown = float(found[f"{name}, error of the sum trick"])
    assert shown == pytest.approx(error, abs=PRINTED_TO)
    shown = float(found[f"{name}, Jacobian between samples"])
    assert shown == pytest.approx(np.linalg.norm(others) / unit, abs=PRINTED_TO)
