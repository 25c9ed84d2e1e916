"""Arguments are found in the user's file, made from shapes, or read; or one line says why not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jacbench.core.errors import JacbenchError
from jacbench.picking.loading import by_name, inputs
from jacbench.picking.loading.inputs import Inputs

Write = Callable[..., str]


def find(text_of: str = "model.py:f", **options: Any) -> Inputs:
    found = inputs.find(by_name.load(text_of), **options)
    assert found is not None
    return found


def refusal(**options: Any) -> str:
    with pytest.raises(JacbenchError) as caught:
        find(**options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def pasted(found: Inputs, text_of: str = "model.py:f") -> dict[str, Any]:
    """Run the lines that are to be pasted and return what they made."""
    scope: dict[str, Any] = {}
    lines = (*by_name.load(text_of).imports(*found.imported), *found.setup)
    exec("\n".join(lines), scope)  # noqa: S102
    return scope


def agree(found: Inputs, scope: dict[str, Any]) -> None:
    """Hold what the pasted lines make against what was found, argument by argument."""
    assert len(found.names) == len(found.arguments)
    for name, value in zip(found.names, found.arguments, strict=True):
        assert repr(scope[name]) == repr(value)
    for name, value in found.keywords.items():
        assert repr(eval(found.keyword_names[name], scope)) == repr(value)  # noqa: S307


# From the file


@pytest.mark.parametrize(
    ("text", "names", "arguments", "told"),
    [
        ("x = [1.0]\ndef f(x): return x", ["x"], [[1.0]], "x of model.py"),
        ("x = [1.0]\ndef f(params): return 0", ["x"], [[1.0]], "x of model.py"),
        ("def inputs(): return [1.0]\ndef f(x): return x", ["x"], [[1.0]], "inputs() of model.py"),
        ("inputs = [1.0]\ndef f(x): return x", ["x"], [[1.0]], "inputs of model.py"),
        # a tuple is the arguments where the function takes so many, and else x
        (
            "def inputs(): return 1.0, 2.0\ndef f(a, b): return a",
            ["a", "b"],
            [1.0, 2.0],
            "inputs() of model.py",
        ),
        ("def inputs(): return (1.0,)\ndef f(a): return a", ["a"], [1.0], "inputs() of model.py"),
        ("x = (1.0, 2.0)\ndef f(a): return a", ["x"], [(1.0, 2.0)], "x of model.py"),
        ("x = (1.0, 2.0)\ndef f(a, c=3): return a", ["x"], [(1.0, 2.0)], "x of model.py"),
        ("x = (1.0, 2.0)\ndef f(a, b, c=3): return a", ["a", "b"], [1.0, 2.0], "x of model.py"),
        ("x = (1.0, 2.0)\ndef f(*p): return p", ["x0", "x1"], [1.0, 2.0], "x of model.py"),
        (
            "x = [1.0, 2.0]\nb = 3\ndef f(a, b): return a",
            ["x", "b"],
            [[1.0, 2.0], 3],
            "x of model.py",
        ),
        # a dict is the arguments where it has their names, and else x
        (
            "def inputs(): return {'b': 2.0, 'a': 1.0}\ndef f(a, b): return a",
            ["a", "b"],
            [1.0, 2.0],
            "inputs() of model.py",
        ),
        ("x = {'w': 1.0}\ndef f(a): return a", ["x"], [{"w": 1.0}], "x of model.py"),
        # each by its own name
        ("a = 1.0\nb = 2.0\ndef f(a, b): return a", ["a", "b"], [1.0, 2.0], "a, b of model.py"),
        ("t = 1.0\nx = 2.0\ndef f(t, x): return t", ["t", "x"], [1.0, 2.0], "t, x of model.py"),
        ("params = 1.0\ndef f(params): return 0", ["params"], [1.0], "params of model.py"),
        # what calls it is no argument
        ("x = [1.0]\ndef f(xp, x): return x", ["x"], [[1.0]], "x of model.py"),
        ("x = [1.0]\ny = 2\ndef f(xp, x, y): return x", ["x", "y"], [[1.0], 2], "x, y of model.py"),
    ],
)
def test_where_arguments_come_from(
    write: Write, text: str, names: list[str], arguments: list[Any], told: str
) -> None:
    write(text)
    found = find()
    assert list(found.names) == names
    assert list(found.arguments) == arguments
    assert found.x == arguments[0]
    assert found.told == told
    assert found.convertible
    agree(found, pasted(found))


def test_keywords(write: Write) -> None:
    write("def inputs(): return {'x': 1.0, 'scale': 2.0}\ndef f(x, *, scale, most=3): return x")
    found = find()
    assert found.arguments == (1.0,)
    assert found.keywords == {"scale": 2.0}
    agree(found, pasted(found))
    write("x = 1.0\nscale = 2.0\ndef f(x, *, scale): return x", "other.py")
    found = find("other.py:f")
    assert found.keywords == {"scale": 2.0}
    agree(found, pasted(found, "other.py:f"))


def test_an_optional_argument_that_a_dict_gives(write: Write) -> None:
    write("def inputs(): return {'x': 1.0, 'c': 3.0}\ndef f(x, b=2.0, c=0.0): return x")
    found = find()
    assert found.arguments == (1.0,)
    assert found.keywords == {"c": 3.0}
    agree(found, pasted(found))


def test_another_argument_is_x(write: Write) -> None:
    write("def inputs(): return 1.0, 2.0\ndef f(a, b): return b")
    assert find(argnum=1).x == 2.0
    write("x = 1.0\na = 3.0\ndef f(a, b): return b", "other.py")
    found = find("other.py:f", argnum=1)
    assert found.arguments == (3.0, 1.0)
    assert found.x == 1.0
    agree(found, pasted(found, "other.py:f"))
    assert refusal(argnum=2) == (
        "model.py:f: argument 2 is not among the 2 that come from inputs() of model.py: count from "
        "0"
    )
    assert refusal(argnum=-1) == "argument -1: count the arguments from 0"


def test_names_to_paste_that_are_taken(write: Write) -> None:
    write("def inputs(): return 1.0, 2.0\ndef f(f, given): return f")
    found = find()
    assert found.names == ("f_", "given_")
    scope = pasted(found)
    agree(found, scope)
    assert callable(scope["f"])


def test_a_module_is_called_as_its_forward_says(write: Write) -> None:
    pytest.importorskip("torch")
    write("""
        import torch

        class Net(torch.nn.Module):
            def forward(self, state, action):
                return state + action

        f = Net()
        def inputs(): return torch.ones(2), torch.ones(2)
    """)
    assert find().names == ("state", "action")


def test_a_jitted_function_and_a_partial(write: Write) -> None:
    pytest.importorskip("jax")
    write("""
        import functools
        import jax

        @jax.jit
        def f(a, b): return a
        g = functools.partial(f, b=2.0)
        h = functools.partial(f, 2.0)
        def inputs(): return 1.0, 2.0
        x = None
    """)
    assert find().names == ("a", "b")
    # the tuple is x: b is bound
    assert find("model.py:h").arguments == ((1.0, 2.0),)


# From a shape, from a file


def test_a_shape(write: Write) -> None:
    write("def f(x): return x")
    found = find(shape=["32,6"])
    assert found.x.shape == (32, 6)
    assert found.x.dtype == "float64"
    assert abs(found.x.std() - 1) < 0.2
    assert found.told == "--shape 32,6"
    assert np.array_equal(pasted(found)["x"], found.x)
    narrow = find(shape=["32,6"], dtype="float32")
    assert narrow.x.dtype == "float32"
    assert np.array_equal(pasted(narrow)["x"], narrow.x)


@pytest.mark.parametrize(
    ("text", "shape"),
    [("3", (3,)), ("32x6", (32, 6)), (" (2, 3) ", (2, 3)), ("()", ()), ([2, 3], (2, 3))],
)
def test_how_a_shape_is_said(write: Write, text: Any, shape: tuple[int, ...]) -> None:
    write("def f(x): return x")
    found = find(shape=[text])
    assert found.x.shape == shape
    assert np.array_equal(pasted(found)["x"], found.x)


@pytest.mark.parametrize("text", ["32,a", "0", "-3", "", "3.5", [2, 0]])
def test_no_shape(write: Write, text: Any) -> None:
    write("def f(x): return x")
    assert refusal(shape=[text]) == (
        f"--shape {text!r}: give whole numbers of at least 1, such as 32,6; () for a number"
    )


def test_several_shapes(write: Write) -> None:
    write("def f(a, b): return a\ndef g(x): return x[0]")
    two = find(shape=["2,3", "3"])
    assert [a.shape for a in two.arguments] == [(2, 3), (3,)]
    agree(two, pasted(two))
    one = find("model.py:g", shape=["2,3", "3"])
    assert [a.shape for a in one.x] == [(2, 3), (3,)]
    agree(one, pasted(one))


def test_files_of_arrays(write: Write) -> None:
    write("def f(x): return x\ndef g(a, b): return a")
    x = np.linspace(0, 1, 6).reshape(2, 3)
    np.save("x.npy", x)
    np.savez("one.npz", points=x)
    np.savez("named.npz", b=x + 1, a=x)
    np.savez("unnamed.npz", x, x + 1)
    np.savez("tree.npz", w=x, c=x[0])
    for file in ("x.npy", "one.npz"):
        found = find(file=file)
        assert np.array_equal(found.x, x)
        assert found.told == f"--input {file}"
        agree(found, pasted(found))
    for file in ("named.npz", "unnamed.npz"):
        found = find("model.py:g", file=file)
        assert [a[0, 0] for a in found.arguments] == [0, 1]
        agree(found, pasted(found, "model.py:g"))
    found = find(file="tree.npz")
    assert set(found.x) == {"w", "c"}
    agree(found, pasted(found))


def test_files_that_hold_something_else(write: Write, tmp_path: Path) -> None:
    write("def f(x): return x")
    np.save("objects.npy", np.array([{}, None]), allow_pickle=True)
    np.savez("objects.npz", x=np.array([{}, None]), allow_pickle=True)
    for file in ("objects.npy", "objects.npz"):
        assert refusal(file=file) == (
            f"--input {file!r}: it holds Python objects, which are not loaded, as they may run "
            "code: save arrays of floats"
        )
    (tmp_path / "text.npy").write_text("no array")
    (tmp_path / "text.npz").write_text("no archive")
    (tmp_path / "empty.npy").write_text("")
    for file in ("text.npy", "text.npz", "empty.npy"):
        assert refusal(file=file).startswith(f"--input {file!r}: ")
    np.savez("none.npz")
    assert refusal(file="none.npz") == "--input 'none.npz': it holds no arrays"
    assert refusal(file="x.csv") == "--input 'x.csv': give a .npy or a .npz file of arrays"
    assert refusal(file="x.npy") == "--input 'x.npy': there is no such file here"


# One line each


def test_more_than_one_source(write: Write) -> None:
    write("x = 1.0\ndef inputs(): return 2.0\ndef f(x): return x")
    assert refusal() == (
        "model.py:f: x comes from x of model.py and from inputs() of model.py: leave all but one "
        "out"
    )
    write("x = 1.0\ndef f(x): return x", "other.py")
    assert refusal(text_of="other.py:f", shape=["3"]) == (
        "other.py:f: x comes from --shape 3 and from x of other.py: leave all but one out"
    )
    np.save("x.npy", np.ones(3))
    write("def f(x): return x", "third.py")
    assert "from --shape 3 and from --input x.npy:" in refusal(
        text_of="third.py:f", shape=["3"], file="x.npy"
    )


@pytest.mark.parametrize(
    ("text", "missing", "every"),
    [
        ("def f(x): return x", "x", "x"),
        ("def f(a, b): return a", "a, b", "a, b"),
        ("x = 1.0\ndef f(a, b): return a", "b", "a, b"),
        ("def inputs(): return 1.0, 2.0\ndef f(a, b, c): return a", "b, c", "a, b, c"),
        ("x = 1.0\ndef f(x, *, scale): return x", "scale", "x"),
    ],
)
def test_an_argument_that_nobody_gave(write: Write, text: str, missing: str, every: str) -> None:
    write(text)
    told = refusal()
    takes, first = text.partition("def f")[2].partition(":")[0], missing.partition(",")[0]
    assert told == (
        f"f{takes} of model.py needs {missing}: put {first} = ... or def inputs(): "
        f"return {every} there, or give --shape 32,6 or --input FILE.npy"
    )


def test_inputs_that_fail(write: Write) -> None:
    write("def f(x): return x\ndef inputs():\n    raise ValueError('no data')")
    assert refusal() == "model.py: inputs() raised ValueError: no data (line 3 of model.py)"
    write("def f(x): return x\ndef inputs(n): return n", "other.py")
    assert refusal(text_of="other.py:f") == (
        "other.py:f: inputs(n) of other.py takes arguments: write it without, so that inputs() "
        "returns x"
    )


def test_a_problem_has_its_own(write: Write) -> None:
    write("""
        import numpy as np
        from jacbench import Problem
        found = Problem(name="a/b", function=lambda xp, x: x, x=np.ones(3))
    """)
    assert inputs.find(by_name.load("model.py:found")) is None
    with pytest.raises(JacbenchError, match=r"has its own x: leave --shape and --input out$"):
        inputs.find(by_name.load("model.py:found"), shape=["3"])
