"""A user's file gives its problems, or one line that says what is wrong with it, and where."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from jacbench.core.errors import JacbenchError
from jacbench.problems import from_file

HEAD = """
import numpy as np
from jacbench import Problem

def square(xp, x):
    return x * x

"""
Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path) -> Iterator[Write]:
    """Write files to name problems in; what importing them changes is put back."""
    path, modules = list(sys.path), set(sys.modules)

    def file(text: str, name: str = "mine.py", *, head: str = HEAD) -> str:
        place = tmp_path / name
        place.parent.mkdir(exist_ok=True)
        place.write_text(head + textwrap.dedent(text), encoding="utf-8")
        return str(place)

    yield file
    sys.path[:] = path
    for added in set(sys.modules) - modules:
        del sys.modules[added]


def refusal(named: str) -> str:
    with pytest.raises(JacbenchError) as caught:
        from_file.problems(named)
    message = str(caught.value)
    assert "\n" not in message
    return message


def names(named: str) -> list[str]:
    return [problem.name for problem in from_file.problems(named)]


# What is named


@pytest.mark.parametrize(
    ("pattern", "named"),
    [
        ("model.py:loss", True),
        ("../some/where/model.py:loss", True),
        ("C:\\models\\model.py:loss", True),
        ("model.py", False),
        ("model.py:", False),
        (":loss", False),
        ("basics/*", False),
        ("basics/linear-sum", False),
        ("results.json:x", False),
        ("", False),
    ],
)
def test_what_names_something_in_a_file(pattern: str, named: bool) -> None:
    assert from_file.is_named(pattern) is named


# What it may hold


def test_a_problem(write: Write) -> None:
    file = write("found = Problem(name='a/b', function=square, x=np.ones(3))")
    (problem,) = from_file.problems(f"{file}:found")
    assert problem.name == "a/b"
    assert problem.function is not None
    assert problem.function(np, np.array([3.0])).tolist() == [9.0]


@pytest.mark.parametrize(
    "several",
    [
        "[p('a'), p('b')]",
        "(p('a'), p('b'))",
        "{'x': p('a'), 'y': p('b')}.values()",
        "(p(n) for n in 'ab')",
        "lambda: [p('a'), p('b')]",
        "lambda: (p(n) for n in 'ab')",
    ],
)
def test_several_and_what_makes_them(write: Write, several: str) -> None:
    file = write(f"""
        def p(name):
            return Problem(name=name, function=square, x=np.ones(2))

        several = {several}
    """)
    assert names(f"{file}:several") == ["a", "b"]


def test_a_function_that_makes_one(write: Write) -> None:
    file = write("""
        def made(n=4):
            return Problem(name=f"made/{n}", function=square, x=np.ones(n))
    """)
    assert names(f"{file}:made") == ["made/4"]


def test_its_neighbours_are_imported(write: Write) -> None:
    write("CONSTANT = 3.0", "a_neighbour_of_the_tests.py", head="")
    file = write("""
        from a_neighbour_of_the_tests import CONSTANT
        found = Problem(name="a/b", function=lambda xp, x: CONSTANT * x, x=np.ones(3))
    """)
    (problem,) = from_file.problems(f"{file}:found")
    assert problem.function is not None
    assert problem.function(np, np.ones(1)).tolist() == [3.0]


def test_it_is_named_from_where_one_is(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    file = Path(write("found = Problem(name='a/b', function=square, x=np.ones(3))"))
    monkeypatch.chdir(file.parent)
    assert names("mine.py:found") == ["a/b"]
    assert names(f".{os.sep}mine.py:found") == ["a/b"]


def test_what_a_class_needs_of_its_module_is_there(write: Write) -> None:
    # A dataclass with annotations that are strings looks into sys.modules.
    file = write(
        """
        from __future__ import annotations
        from dataclasses import dataclass
        from typing import ClassVar
        import numpy as np
        from jacbench import Problem

        @dataclass
        class Model:
            scale: float
            kind: ClassVar[str] = "linear"

            def __call__(self, xp, x):
                return self.scale * x

        found = Problem(name="a/b", function=Model(2.0), x=np.ones(3))
        """,
        head="",
    )
    assert names(f"{file}:found") == ["a/b"]


def test_main_is_not_run(write: Write) -> None:
    file = write("""
        found = Problem(name="a/b", function=square, x=np.ones(3))
        if __name__ == "__main__":
            raise RuntimeError
    """)
    assert names(f"{file}:found") == ["a/b"]


# One line each


def test_no_such_file(tmp_path: Path) -> None:
    named = f"{tmp_path / 'absent.py'}:found"
    assert refusal(named) == f"{named}: there is no file {str(tmp_path / 'absent.py')!r} here"
    (tmp_path / "folder.py").mkdir()
    assert "there is no file" in refusal(f"{tmp_path / 'folder.py'}:found")


def test_no_such_name(write: Write) -> None:
    file = write("""
        gaussian_loss = Problem(name="a/b", function=square, x=np.ones(3))
        _hidden = gaussian_loss
    """)
    assert refusal(f"{file}:gausian_loss") == (
        "unknown name 'gausian_loss': did you mean 'gaussian_loss'?"
    )
    assert refusal(f"{file}:zzzz") == f"unknown name 'zzzz': {file} has no such name"
    assert "_hidden" not in refusal(f"{file}:hidden")


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("3", "int"),
        ("None", "NoneType"),
        ("'text'", "str"),
        ("b'bytes'", "bytes"),
        ("np.ones(3)", "ndarray"),
        ("[]", "list"),
        ("[Problem(name='a', function=square, x=np.ones(2)), 3]", "list"),
        ("lambda: 3", "int"),
        ("lambda: None", "NoneType"),
        ("np", "module"),
    ],
)
def test_something_else(write: Write, value: str, kind: str) -> None:
    file = write(f"found = {value}")
    assert refusal(f"{file}:found") == (
        f"{file}:found is a {kind}, not a jacbench.Problem: wrap the function in "
        "jacbench.Problem(name=..., function=..., x=...)"
    )


def test_a_function_that_is_the_function_itself(write: Write) -> None:
    file = write("")
    told = refusal(f"{file}:square")
    assert told.startswith(f"{file}:square could not be called: TypeError: square() missing 2 ")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("\nraise ValueError('first\\nsecond')", "ValueError: first second (line 9 of mine.py)"),
        ("def broken(:", "SyntaxError: invalid syntax (mine.py, line 8)"),
        ("import no_such_module_of_the_tests", "ModuleNotFoundError: No module named "),
        ("np.linalg.inv(np.zeros((2, 2)))", "LinAlgError: Singular matrix (line 8 of mine.py)"),
        ("import sys; sys.exit('not here')", "SystemExit: not here (line 8 of mine.py)"),
    ],
)
def test_a_file_that_raises(write: Write, text: str, told: str) -> None:
    file = write(text)
    assert refusal(f"{file}:found").startswith(f"{file}:found: the file does not import: {told}")


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("raise KeyError('weights')", "KeyError: 'weights' (line 9 of mine.py)"),
        ("np.linalg.inv(np.zeros((2, 2)))", "LinAlgError: Singular matrix (line 9 of mine.py)"),
        ("exit(3)", "SystemExit: 3 (line 9 of mine.py)"),
        ("return Problem(name='a', x=np.ones(2))", "JacbenchError: problem 'a': it has no "),
    ],
)
def test_a_function_that_raises(write: Write, statement: str, told: str) -> None:
    file = write(f"def found():\n    {statement}\n")
    assert refusal(f"{file}:found").startswith(f"{file}:found could not be called: {told}")


def test_a_generator_that_raises(write: Write) -> None:
    file = write(
        "def found():\n"
        "    yield Problem(name='a', function=square, x=np.ones(2))\n"
        "    raise RuntimeError('half way')\n"
    )
    assert "RuntimeError: half way" in refusal(f"{file}:found")


def test_a_file_that_failed_is_tried_anew(write: Write) -> None:
    file = write("raise ValueError")
    refusal(f"{file}:found")
    write("found = Problem(name='later', function=square, x=np.ones(3))")
    assert names(f"{file}:found") == ["later"]


def test_a_long_message_is_cut(write: Write) -> None:
    file = write("raise ValueError('x' * 5000)")
    assert len(refusal(f"{file}:found")) < len(file) + 400
