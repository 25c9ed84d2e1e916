"""Backends are found by entry point, and what they list is what they offer."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from jacbench.backend import STRUCTURES, Backend, Descriptor, MethodInfo, registry
from jacbench.core import operators
from jacbench.core.errors import JacbenchError

OWN = ("torch", "jax", "autograd", "numpy")
MODELS = {"flax": "jax", "equinox": "jax"}
"""Libraries whose models a backend adapts, and that are no backends themselves."""
PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


@pytest.fixture
def entries(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Let the entry points be those of a list."""
    offered: list[Any] = []
    monkeypatch.setattr(metadata, "entry_points", lambda **_: offered)
    registry._entries.cache_clear()
    yield offered
    registry._entries.cache_clear()


class Entry:
    value = "some.module:thing"

    def __init__(self, name: str, gives: object) -> None:
        self.name = name
        self.gives = gives

    def load(self) -> object:
        if isinstance(self.gives, BaseException):
            raise self.gives
        return self.gives


def descriptor(name: str, **parts: Any) -> Descriptor:
    known: dict[str, Any] = {
        "name": name,
        "module": "numpy",
        "distribution": "numpy",
        "install": f"pip install {name}",
        "methods": (MethodInfo(f"{name}.only", "the only one"),),
        "loader": "nowhere:Nothing",
    }
    return Descriptor(**known | parts)


def test_own_backends_are_registered_and_oracles_come_last() -> None:
    found = registry.descriptors()
    assert set(OWN) <= set(found)
    oracles = [d.oracle for d in found.values()]
    assert oracles == sorted(oracles)
    assert found["numpy"].oracle


@pytest.mark.parametrize("name", OWN)
def test_listed_methods_are_those_offered(name: str) -> None:
    pytest.importorskip(name)
    listed = [info.name for info in registry.descriptors()[name].methods]
    assert [method.info.name for method in registry.load(name).methods()] == listed
    assert len(set(listed)) == len(listed)
    for method in registry.load(name).methods():
        assert method.info in registry.descriptors()[name].methods
        assert method.info.name.startswith(f"{name}.")
        assert registry.method(method.info.name) is method
        assert registry.descriptor_of(method.info.name).name == name


@pytest.mark.parametrize("name", OWN)
def test_every_method_says_what_it_computes_in_one_line(name: str) -> None:
    for info in registry.descriptors()[name].methods:
        assert info.operator in operators.NAMES
        assert info.summary
        assert "\n" not in info.summary


def test_every_backend_has_an_extra_and_every_extra_a_use() -> None:
    project = tomllib.loads(PYPROJECT.read_text())["project"]
    backends = set(project["entry-points"][registry.GROUP])
    extras = project["optional-dependencies"]
    assert backends == set(OWN)
    # NumPy is no extra: it is always there.
    others = {"all", "cuda", "dev", "data", "plot", "sparse", *MODELS}
    assert set(extras) - others == backends - {"numpy"}
    assert extras["sparse"][0] == "jacbench[jax]"
    (everything,) = extras["all"]
    assert set(re.findall(r"\w+", everything.partition("[")[2])) == backends - {"numpy"} | {"data"}
    for library, backend in MODELS.items():
        assert extras[library][0] == f"jacbench[{backend}]"
        classes = registry.descriptors()[backend].model_classes
        assert any(known.lstrip("_").startswith(library) for known in classes)
    for name in backends - {"numpy"}:
        assert registry.descriptors()[name].install == f'pip install "jacbench[{name}]"'


def test_backend_is_loaded_once() -> None:
    assert registry.load("numpy") is registry.load("numpy")
    assert isinstance(registry.load("numpy"), Backend)


def test_unknown_names_are_told_with_what_is_near() -> None:
    with pytest.raises(JacbenchError, match=r"unknown method 'jax.jacrv': did you mean 'jax.jacre"):
        registry.method("jax.jacrv")
    with pytest.raises(JacbenchError, match="unknown backend 'tensorflow': known: autograd, jax"):
        registry.load("tensorflow")


def test_entry_points_that_give_no_descriptor_are_told_and_left_out(entries: list[Any]) -> None:
    entries += [
        Entry("raises", ImportError("two\nlines in /home/somebody/lib/thing.py")),
        Entry("text", "a string"),
        Entry("leaves", SystemExit("no licence")),
        Entry("twice", descriptor("good")),
        Entry("good", descriptor("good")),
    ]
    assert list(registry.descriptors()) == ["good"]
    assert registry.broken() == {
        "raises": "backend 'raises' is broken: ImportError: two lines in thing.py",
        "leaves": "backend 'leaves' is broken: SystemExit: no licence",
        "text": "backend 'text': some.module:thing is a str: the entry point must name a "
        "jacbench.backend.Descriptor",
        "twice": "backend 'good' is offered twice; some.module:thing is left out",
    }


def test_no_backend_at_all(entries: list[Any]) -> None:
    with pytest.raises(JacbenchError, match=r"no backend is registered under 'jacbench.backends'"):
        registry.descriptors()


def test_absent_library_is_told_with_the_command_that_installs_it() -> None:
    gone = descriptor("gone", module="no_such_library", distribution="no-such-library")
    assert gone.absent() == "backend 'gone' is not installed: run pip install gone"
    assert gone.version() is None
    with pytest.raises(JacbenchError, match="run pip install gone"):
        gone.load()


def test_devices_are_the_cpu_and_what_is_counted() -> None:
    assert descriptor("d").devices() == ["cpu"]
    assert descriptor("d", cuda_devices=lambda: 2).devices() == ["cpu", "cuda:0", "cuda:1"]


def test_a_structure_is_one_that_is_known() -> None:
    for structure in ("", *STRUCTURES):
        assert MethodInfo("fake.method", "there", structure=structure).structure == structure
    with pytest.raises(JacbenchError, match=r"structure 'sparce': give one of samples, sparse, "):
        MethodInfo("fake.method", "misspelt", structure="sparce")


def test_listed_but_not_offered(entries: list[Any]) -> None:
    methods = (MethodInfo("fake.method", "not there"),)
    entries.append(
        Entry(
            "fake",
            descriptor("fake", methods=methods, loader="jacbench_numpy.backend:NumpyBackend"),
        )
    )
    with pytest.raises(
        JacbenchError, match=r"'fake.method' is listed by its backend but not offer"
    ):
        registry.method("fake.method")


def test_of_two_backends_over_one_library_the_one_called_like_it_comes_first(
    entries: list[Any],
) -> None:
    entries += [Entry("evil", descriptor("evil", module="torch"))]
    entries += [Entry("torch", descriptor("torch", module="torch"))]
    assert list(registry.descriptors()) == ["torch", "evil"]
