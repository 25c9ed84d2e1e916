"""What a command line names is loaded, or one line says what is wrong with it, and where."""

from __future__ import annotations

import subprocess
import sys
import types
from collections.abc import Callable

import pytest

from jacbench.core.errors import JacbenchError
from jacbench.picking.loading import by_name as naming
from jacbench.problems.problem import Problem

Write = Callable[..., str]


def refusal(named: str) -> str:
    with pytest.raises(JacbenchError) as caught:
        naming.load(named)
    message = str(caught.value)
    assert "\n" not in message
    return message


# What is named


def test_a_function_of_a_file(write: Write) -> None:
    write("def loss(x): return 2 * x")
    found = naming.load("model.py:loss")
    assert found.object(3) == 6
    assert found.expression == "loss"
    assert found.place == "model.py"
    assert found.imports("x", "loss", "x") == ("from model import loss, x",)


def test_a_function_of_a_module(write: Write) -> None:
    write("", "project/__init__.py")
    write("SCALE = 2.0", "project/settings.py")
    write("from .settings import SCALE\ndef loss(x): return SCALE * x", "project/model.py")
    found = naming.load("project.model:loss")
    assert found.object(3) == 6
    assert found.file is None
    assert found.imports() == ("from project.model import loss",)
    assert found.place == "project.model"


def test_what_is_pasted_imports_it(write: Write) -> None:
    write("class Model:\n    def encode(self, x): return x + 1\nmodel = Model()")
    found = naming.load("model.py:model.encode")
    scope: dict[str, object] = {}
    exec("\n".join(found.imports()), scope)  # noqa: S102 - the code to paste
    assert eval(found.expression, scope)(2) == found.object(2) == 3  # noqa: S307


def test_a_file_that_no_import_can_name(write: Write) -> None:
    write("def force(x): return x\nx = 3", "2-body.py")
    scope: dict[str, object] = {}
    exec("\n".join(naming.load("2-body.py:force").imports("x")), scope)  # noqa: S102
    assert scope["force"].__name__ == "force"  # type: ignore[attr-defined]
    assert scope["x"] == 3


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("jitted", 6),
        ("partial", 6),
        ("instance.method", 6),
        ("Klass.static", 6),
        ("anonymous", 6),
        ("instance", 6),
    ],
)
def test_whatever_can_be_called(write: Write, name: str, answer: int) -> None:
    write("""
        import functools

        def scaled(factor, x): return factor * x

        @functools.cache
        def jitted(x): return 2 * x

        partial = functools.partial(scaled, 2)
        anonymous = lambda x: 2 * x

        class Klass:
            factor = 2
            def method(self, x): return self.factor * x
            __call__ = method
            @staticmethod
            def static(x): return 2 * x

        instance = Klass()
    """)
    assert naming.load(f"model.py:{name}").object(3) == answer


def test_a_problem(write: Write) -> None:
    write("""
        import numpy as np
        from jacbench import Problem
        found = Problem(name="a/b", function=lambda xp, x: x, x=np.ones(3))
        def make(): return found
    """)
    assert isinstance(naming.load("model.py:found").object, Problem)
    made = naming.load("model.py:make")
    assert isinstance(made.object, Problem)
    assert made.expression == "make()"
    assert made.imports() == ("from model import make",)


def test_what_a_function_without_arguments_makes(write: Write) -> None:
    write("def build():\n    return lambda x: 2 * x")
    found = naming.load("model.py:build")
    assert found.object(3) == 6
    assert found.expression == "build()"


def test_nothing_is_imported_before_it_is_needed() -> None:
    code = (
        "import sys\nimport jacbench.picking.loading.by_name\n"
        "assert not {'torch', 'jax', 'autograd'} & set(sys.modules), 'imported'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_problem_of_the_catalogue_goes_by_its_name() -> None:
    found = naming.load("basics/mlp-weights")
    scope: dict[str, object] = {}
    exec("\n".join(found.imports()), scope)  # noqa: S102 - the code to paste
    assert eval(found.expression, scope) is found.object  # noqa: S307
    assert refusal("basics/nothing").startswith("unknown problem 'basics/nothing': did you mean")


# One line each


@pytest.mark.parametrize("named", ["model.py", "loss", ":loss", "model.py:", "C:/model.py"])
def test_what_names_nothing(named: str) -> None:
    assert refusal(named) == (
        f"{named!r} names no function: give FILE.py:NAME or package.module:NAME, or a "
        "problem of jacbench list"
    )


def test_no_such_file(write: Write) -> None:
    write("")
    assert refusal("absent.py:loss") == "absent.py:loss: there is no file 'absent.py' here"


@pytest.mark.parametrize(
    ("named", "missing"),
    [("absent_package.model:loss", "absent_package"), ("project.no:f", "project.no")],
)
def test_no_such_module(write: Write, named: str, missing: str) -> None:
    write("", "project/__init__.py")
    assert refusal(named) == (
        f"{named}: there is no module {missing!r} here or installed: give FILE.py:NAME, or "
        "package.module:NAME from the folder above the package"
    )


def test_a_module_that_imports_one_that_is_not_there(write: Write) -> None:
    write("", "project/__init__.py")
    write("x = 1\nimport no_such_module_of_the_tests", "project/model.py")
    assert refusal("project.model:loss") == (
        "project.model:loss: the module does not import: ModuleNotFoundError: No module named "
        "'no_such_module_of_the_tests' (line 2 of model.py)"
    )


def test_a_file_that_raises_keeps_its_own_traceback(write: Write) -> None:
    write("def helper():\n    raise ValueError('first\\nsecond')\nhelper()")
    with pytest.raises(JacbenchError) as caught:
        naming.load("model.py:loss")
    assert str(caught.value) == (
        "model.py:loss: the file does not import: ValueError: first second (line 2 of model.py)"
    )
    assert isinstance(caught.value.__cause__, ValueError)
    assert caught.value.__cause__.__traceback__ is not None


def test_a_file_of_a_package(write: Write) -> None:
    write("", "project/__init__.py")
    write("from .settings import SCALE", "project/model.py")
    told = refusal("project/model.py:loss")
    assert "attempted relative import" in told
    assert told.endswith("name it as package.module:NAME, from the folder above its package")


def test_near_names_first(write: Write) -> None:
    write("""
        from math import sin
        import functools
        def loss_residual(x): return x
        def energy(x): return x
        constant = 3
    """)
    assert refusal("model.py:los_residual") == (
        "unknown name 'los_residual': did you mean 'loss_residual'?"
    )
    assert refusal("model.py:qqqq") == "unknown name 'qqqq': model.py has energy, loss_residual"
    assert refusal("model.py:energy.qqqq") == (
        "unknown name 'qqqq': model.py has none that could be meant"
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("found = 3", "model.py:found is an int, not a function: name a function of x"),
        ("found = None", "model.py:found is a NoneType, not a function: name a function of x"),
        (
            "class found:\n    pass",
            "model.py:found is a class: name an instance of it, such as model = found(...), or a "
            "function that returns one",
        ),
        (
            "def found(): return 3",
            "model.py:found takes no argument, and returned an int: name a function of x",
        ),
        (
            "def found(): return 1 / 0",
            "model.py:found could not be called: ZeroDivisionError: division by zero (line 1 of "
            "model.py)",
        ),
        (
            "def found(): raise SystemExit('no')",
            "model.py:found could not be called: SystemExit: no (line 1 of model.py)",
        ),
    ],
)
def test_no_function(write: Write, text: str, told: str) -> None:
    write(text)
    assert refusal("model.py:found") == told


def test_a_module_is_the_one_that_was_imported(write: Write) -> None:
    write("calls = []\ndef loss(x):\n    calls.append(x)\n    return x", "counted_module.py")
    found = naming.load("counted_module:loss")
    found.object(3)
    assert isinstance(found.module, types.ModuleType)
    assert found.module.calls == [3]
    assert naming.load("counted_module:loss").module is found.module
