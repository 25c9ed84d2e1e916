"""A hash follows what defines a problem or a method, and nothing that differs by process."""

from __future__ import annotations

import functools
import importlib.util
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jacbench import problems, read
from jacbench.backend import Method, registry
from jacbench.problems.problem import Problem
from jacbench.results import source_hash
from tests.runs import environment, run

SCRIPT = """
import functools
import numpy as np
from jacbench.backend import Method, MethodInfo, Prepared
from jacbench.problems.problem import Problem

SCALE = 2.0
TABLE = np.array([1.0, 2.0])


def helper(x):
    return x * SCALE


def factor(power, *, shift=0.5):
    def function(xp, x, A):
        return xp.sin(helper(x)) ** power + shift + A @ x + TABLE

    return function


class Twice:
    by = 2

    def times(self, x):
        return x * self.by


class Base(Method):
    chunking = "whole"

    def layout(self, target):
        return None

    def prepare(self, target):
        return Prepared(self.call)


class Mine(Base):
    info = MethodInfo("mine.method", "a summary")

    def __init__(self, transform):
        self.transform = transform

    def call(self, x):
        return self.transform(x) + 1


problem = Problem(
    name="mine",
    function=factor(3),
    x=np.array([1.0, 2.0]),
    constants=(np.eye(2),),
    jacobian=lambda x, A: np.diag(x),
    summary="one line",
)
by_object = Problem(name="o", function=lambda xp, x: twice.times(x), x=np.ones(2))
twice = Twice()
partly = Problem(name="p", function=functools.partial(lambda k, xp, x: k * x, 3), x=np.ones(2))
method = Mine(np.sin)
"""


def loaded(text: str, folder: Path, name: str = "mine_of_the_tests") -> Any:
    """Import ``text`` from a file of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.py"
    path.write_text(text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_is_sixteen_digits(tmp_path: Path) -> None:
    mine = loaded(SCRIPT, tmp_path)
    for found in (source_hash.of_problem(mine.problem), source_hash.of_method(mine.method)):
        assert re.fullmatch(r"[0-9a-f]{16}", found)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("xp.sin(", "xp.cos("),
        ("return x * SCALE", "return x / SCALE"),
        ("SCALE = 2.0", "SCALE = 2.5"),
        ("TABLE = np.array([1.0, 2.0])", "TABLE = np.array([1.0, 2.25])"),
        ("function=factor(3)", "function=factor(4)"),
        ("shift=0.5", "shift=0.25"),
        ("x=np.array([1.0, 2.0])", "x=np.array([1.0, 2.5])"),
        ("constants=(np.eye(2),)", "constants=(2 * np.eye(2),)"),
        ("np.eye(2)", "np.eye(2, dtype=int)"),
        ("np.diag(x)", "np.diag(2 * x)"),
        ('summary="one line"', "in_axes=(0, None)"),
        ('summary="one line"', "elsewhere=np.zeros(2)"),
    ],
)
def test_an_edited_problem_is_another(old: str, new: str, tmp_path: Path) -> None:
    assert old in SCRIPT
    before = loaded(SCRIPT, tmp_path / "before").problem
    after = loaded(SCRIPT.replace(old, new), tmp_path / "after").problem
    assert source_hash.of_problem(before) != source_hash.of_problem(after)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('name="mine"', 'name="yours"'),
        ('summary="one line"', 'summary="another"'),
        ("class Twice:", "class Unused:\n    pass\n\n\nclass Twice:"),
        ("self.transform(x) + 1", "self.transform(x) + 2"),
    ],
)
def test_what_a_problem_does_not_use_changes_nothing(old: str, new: str, tmp_path: Path) -> None:
    before = loaded(SCRIPT, tmp_path / "before").problem
    after = loaded(SCRIPT.replace(old, new), tmp_path / "after" / "deeper").problem
    assert source_hash.of_problem(before) == source_hash.of_problem(after)


@pytest.mark.parametrize(
    ("of", "old", "new"),
    [
        ("by_object", "twice.times(x)", "twice.times(2 * x)"),
        ("partly", "k * x, 3)", "k * x, 4)"),
        ("partly", "k * x, 3)", "k / x, 3)"),
    ],
)
def test_partials_and_objects_are_looked_into(of: str, old: str, new: str, tmp_path: Path) -> None:
    assert old in SCRIPT
    before = getattr(loaded(SCRIPT, tmp_path / "before"), of)
    after = getattr(loaded(SCRIPT.replace(old, new), tmp_path / "after"), of)
    assert source_hash.of_problem(before) != source_hash.of_problem(after)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("self.transform(x) + 1", "self.transform(x) + 2"),
        ("return Prepared(self.call)", "return Prepared(self.call, {})"),
        ('chunking = "whole"', 'chunking = "loop"'),
        ("method = Mine(np.sin)", "method = Mine(np.cos)"),
    ],
)
def test_an_edited_method_is_another(old: str, new: str, tmp_path: Path) -> None:
    assert old in SCRIPT
    before = loaded(SCRIPT, tmp_path / "before").method
    after = loaded(SCRIPT.replace(old, new), tmp_path / "after").method
    assert source_hash.of_method(before) != source_hash.of_method(after)


def test_a_method_s_summary_changes_its_hash_no_more_than_its_problem(tmp_path: Path) -> None:
    mine = loaded(SCRIPT, tmp_path)
    other = loaded(SCRIPT.replace("np.eye(2)", "np.ones((2, 2))"), tmp_path / "other")
    assert source_hash.of_method(mine.method) == source_hash.of_method(other.method)


def without_source(text: str) -> Callable[..., Any]:
    """Return what a prompt would define: no file holds its text."""
    names: dict[str, Any] = {}
    exec(compile(text, "<nowhere>", "exec"), names)  # noqa: S102
    found: Callable[..., Any] = names["f"]
    return found


def of_function(function: Callable[..., Any]) -> str:
    return source_hash.of_problem(Problem(name="p", function=function, x=np.ones(2)))


def test_without_source_the_code_counts() -> None:
    one, same, other = (
        without_source(f"def f(xp, x):\n    return {body}")
        for body in ("x * 2.5", "x * 2.5", "x * 3.5")
    )
    assert of_function(one) == of_function(same) != of_function(other)


def test_two_lambdas_in_one_line_are_two() -> None:
    one, other = (lambda xp, x: xp.sin(x), lambda xp, x: xp.cos(x))
    assert of_function(one) != of_function(other)


def test_what_is_no_function_of_python_s_goes_by_its_name() -> None:
    def problem(native: Any) -> Problem:
        return Problem(name="p", native={"numpy": native}, x=np.ones(2))

    hashes = [source_hash.of_problem(problem(f)) for f in (np.sin, np.cos, np.sin, abs)]
    assert hashes[0] == hashes[2]
    assert len(set(hashes)) == 3


def test_a_decorated_function_is_looked_into() -> None:
    def twice(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapped(*arguments: Any) -> Any:
            return 2 * function(*arguments)

        return wrapped

    assert of_function(twice(lambda xp, x: xp.sin(x))) != of_function(
        twice(lambda xp, x: xp.cos(x))
    )


def test_what_holds_itself_ends() -> None:
    held: list[Any] = [1.0]
    held.append(held)
    assert of_function(lambda xp, x: x * held[0]) != of_function(lambda xp, x: x * held[0] * 2)


def test_a_native_function_by_name_needs_no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    def problem(name: str) -> Problem:
        return Problem(name="p", native={"torch": name}, x=np.ones(2))

    monkeypatch.setitem(sys.modules, "torch", None)
    hashes = {
        source_hash.of_problem(problem(f"jacbench_torch.problems.{name}"))
        for name in ("nn:one", "nn:other", "awkward:one")
    } | {source_hash.of_problem(problem("nowhere_at_all.problems:f"))}
    assert len(hashes) == 4


EVERYTHING = """
import json, sys
from jacbench import problems, read, registry; from jacbench.results import source_hash as source
found = {}
for name in json.load(sys.stdin):
    found[name] = source.of_problem(problems.get(name))
for name in ("numpy.analytic", "numpy.complex-step"):
    found[name] = source.of_method(registry.method(name))
print(json.dumps(found, sort_keys=True))
"""


def test_another_process_finds_the_same(tmp_path: Path) -> None:
    names = [name for name in problems.names() if name.startswith(("basics/", "wrt/"))]
    code = EVERYTHING.replace("json.load(sys.stdin)", repr(names))
    told = []
    for seed in ("1", "2"):
        folder = tmp_path / seed
        folder.mkdir()
        env = environment(PYTHONHASHSEED=seed)
        done = run([sys.executable, "-c", code], folder, env=env)
        assert done.returncode == 0, done.stderr
        told.append(done.stdout)
    assert told[0] == told[1]
    here = {name: source_hash.of_problem(problems.get(name)) for name in names}
    assert all(f'"{name}": "{value}"' in told[0] for name, value in here.items())
    assert len(set(here.values())) == len(names)


def test_methods_of_one_class_differ() -> None:
    methods: list[Method] = list(registry.load("numpy").methods())
    assert len({source_hash.of_method(method) for method in methods}) == len(methods)


COMMITTED = Path(__file__).parents[2] / "results" / "cpu-amd-epyc-2-cores-basics.json"


def own_classes(method: Method) -> set[type]:
    """Return what a hash of the method may name of jacbench itself, not of a backend's package."""
    known = (*type(method).__mro__, type(method.info))
    return {cls for cls in known if cls.__module__.partition(".")[0] == "jacbench"}


def test_a_class_of_jacbench_that_moves_makes_no_stored_method_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stored = {result.cell.method for result in read(COMMITTED).cells}
    methods = {name: registry.method(name) for name in stored & set(registry.method_names())}
    before = {name: source_hash.of_method(method) for name, method in methods.items()}
    moved = set().union(*map(own_classes, methods.values()))
    assert Method in moved
    for cls in moved:
        monkeypatch.setattr(cls, "__module__", "jacbench.somewhere.new")
    assert {name: source_hash.of_method(method) for name, method in methods.items()} == before
