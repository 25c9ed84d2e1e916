"""The whole gate with simulated arms: which cells, what is kept, and the object that is written."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from jacbench.core.cell import Cell, Verdict
from jacbench.core.errors import JacbenchError
from jacbench.core.progress import Quiet
from jacbench.gating import gate as gates
from jacbench.gating import measurement
from jacbench.gating.gate import Asked, GateRun, gate
from jacbench.gating.outcome import Outcome, counted
from jacbench.gating.settings import GateSettings
from jacbench.gating.side import Side
from tests.gating.simulated import (
    ONE,
    SIDES_HERE,
    THREE,
    TWO,
    Event,
    FakeArm,
    Machine,
    Version,
    gate_run,
    raising,
    slower,
)
from tests.runs import strict

WRONG = Version(verdict=lambda _: Verdict.DISAGREES)


def schema_errors(found: Any, name: str = "gate") -> list[str]:
    """Return what is wrong with ``found``, once it has been JSON."""
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema checks the schema")
    file = resources.files("jacbench.gating").joinpath(f"{name}.schema.json")
    schema = strict(file.read_text(encoding="utf-8"))
    validator = jsonschema.Draft202012Validator(schema)
    validator.check_schema(schema)
    again = strict(json.dumps(found, allow_nan=False))
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(again)]


def described(schema: Any, where: str = "$") -> Iterator[str]:
    """Yield the places of properties that say not what they are."""
    if isinstance(schema, dict):
        for name, value in schema.get("properties", {}).items():
            if "$ref" not in value and "description" not in value:
                yield f"{where}.{name}"
        for name, value in schema.items():
            yield from described(value, f"{where}.{name}")


@contextmanager
def simulated(machine: Machine) -> Iterator[None]:
    def arm(side: Side, settings: GateSettings, folder: Path) -> FakeArm:
        return FakeArm(machine, side)

    with mock.patch.object(measurement, "Arm", arm), mock.patch.object(Side, "check"):
        yield


def run(machine: Machine, **settings: Any) -> GateRun:
    quick = {"launches": 2, "blocks": 4, "extensions": 0, **settings}
    with simulated(machine):
        return gate(Asked(), SIDES_HERE, GateSettings(**quick), Quiet())


# Which cells


def test_cells_of_one_side_are_told_and_fail_nothing() -> None:
    machine = Machine(cells={"base": [ONE, TWO], "head": [ONE, THREE]})
    found = run(machine)
    assert {one.cell: one.outcome for one in found.judged} == {
        ONE: Outcome.PASS,
        TWO: Outcome.GONE,
        THREE: Outcome.NEW,
    }
    assert found.ok
    assert found.absent == {"jax": "jax is absent"}
    assert {event.cell for event in machine.asked} == {None, ONE}
    assert machine.open == 0


@pytest.mark.parametrize(("base", "head"), [([ONE], []), ([], [ONE])])
def test_nothing_in_common(base: list[Cell], head: list[Cell]) -> None:
    found = run(Machine(cells={"base": base, "head": head}))
    assert [one.outcome for one in found.judged] == [Outcome.GONE if base else Outcome.NEW]
    assert found.ok
    assert schema_errors(found.to_json()) == []


def test_nothing_at_all() -> None:
    with pytest.raises(JacbenchError, match=r"^nothing is selected on either side"):
        run(Machine())


@pytest.mark.parametrize("what", ["start", "cells"])
def test_a_worker_that_dies_before_it_said_what_it_has(what: str) -> None:
    def trouble(event: Event) -> None:
        if (event.side, event.what) == ("head", what):
            raise raising("crashed")

    machine = Machine(cells={"base": [ONE], "head": [ONE]}, trouble=trouble)
    with pytest.raises(JacbenchError) as caught:
        run(machine)
    assert str(caught.value) == (
        "head (the head) could not be asked what it has: the worker exited with status 3"
    )
    assert machine.open == 0


def test_the_catalogue_and_files_are_told_apart() -> None:
    asked = Asked(what=["basics/*", "mine.py:loss", "nn/*"], methods=["torch.*"], threads=3)
    assert [asked.files(item) for item in asked.what] == [[], ["mine.py:loss"], []]
    selections = [asked.selection(item) for item in asked.what]
    assert [one["problems"] for one in selections] == [["basics/*"], [], ["nn/*"]]
    assert all((one["methods"], one["threads"]) == (["torch.*"], [3]) for one in selections)


def test_what_base_refuses_is_new_and_what_head_refuses_is_a_mistake() -> None:
    def refusing(side: str) -> Callable[[Event], None]:
        def trouble(event: Event) -> None:
            if (event.side, event.what) == (side, "cells"):
                raise JacbenchError(f"{side}: there is no file 'mine.py' here")

        return trouble

    cells = {"base": [ONE], "head": [ONE]}
    found = run(Machine(cells=cells, trouble=refusing("base")))
    assert [(one.outcome, one.reason) for one in found.judged] == [
        (Outcome.NEW, "base: there is no file 'mine.py' here")
    ]
    assert found.ok
    with pytest.raises(JacbenchError, match=r"^head: there is no file"):
        run(Machine(cells=cells, trouble=refusing("head")))


def test_a_file_below_is_looked_for_on_both_sides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An absolute path would name one and the same file for both commits.
    monkeypatch.chdir(tmp_path)
    asked = Asked(what=[f"{tmp_path / 'models' / 'mine.py'}:loss", "/elsewhere/other.py:loss"])
    files = [name for item in asked.what for name in asked.files(item)]
    assert files == [f"{Path('models', 'mine.py')}:loss", "/elsewhere/other.py:loss"]


# What a run says


def test_counts_and_ok() -> None:
    machine = Machine({("head", ONE): slower(1.5), ("head", TWO): WRONG, ("base", THREE): WRONG})
    found = gate_run(machine, (ONE, TWO, THREE))
    assert counted(found.judged) == {Outcome.WRONG: 1, Outcome.REGRESSION: 1, Outcome.RIGHT: 1}
    assert not found.ok
    assert not found.interrupted
    assert gate_run(Machine()).ok


def test_both_sides_are_described() -> None:
    found = gate_run(Machine())
    assert set(found.about) == {"base", "head"}
    for about in found.about.values():
        assert about["fingerprint"]["settings"] == {"tiny": {"threads": 1}}
        assert about["discounts_waiting"] is True


def stop(event: Event) -> None:
    if event.launch == 1:
        raise KeyboardInterrupt


def die(event: Event) -> None:
    if event.what == "block" and event.side == "head":
        raise raising("crashed")


@pytest.mark.parametrize(
    "machine",
    [
        Machine,
        lambda: Machine({("head", ONE): slower(1.5), ("head", TWO): WRONG}),
        lambda: Machine({("base", ONE): WRONG, ("base", TWO): WRONG, ("head", TWO): WRONG}),
        lambda: Machine({("head", ONE): Version(prepare_s=lambda _: 0.1, peak=lambda _: None)}),
        lambda: Machine({("head", ONE): slower(1e7)}, noise=0.0),
        lambda: Machine(noise=3.0),
        lambda: Machine(trouble=stop),
        lambda: Machine(trouble=die),
    ],
)
def test_its_object_holds_to_the_schema(machine: Callable[[], Machine]) -> None:
    found = gate_run(machine(), (ONE, TWO)).to_json()
    assert schema_errors(found) == []
    assert found["schema"] == gates.SCHEMA
    assert [row["problem"] for row in found["cells"]] == ["a/one", "a/two"]


def test_the_schema_refuses_what_is_not_said() -> None:
    good = gate_run(Machine(), (ONE,)).to_json()
    for broken in (
        {**good, "schema": 2},
        {**good, "surprise": 1},
        {**good, "counts": {"no such outcome": 1}},
        {**good, "cells": [{**good["cells"][0], "outcome": "fine"}]},
        {**good, "cells": [{**good["cells"][0], "time": {}}]},
        {**good, "cells": [{k: v for k, v in good["cells"][0].items() if k != "base"}]},
    ):
        assert schema_errors(broken)


def test_the_schema_knows_every_outcome_and_says_what_each_thing_is() -> None:
    file = resources.files("jacbench.gating").joinpath("gate.schema.json")
    schema = strict(file.read_text(encoding="utf-8"))
    outcomes = {str(outcome) for outcome in Outcome}
    assert set(schema["$defs"]["gate_cell"]["properties"]["outcome"]["enum"]) == outcomes
    assert set(schema["properties"]["counts"]["propertyNames"]["enum"]) == outcomes
    assert list(described(schema)) == []
    other = resources.files("jacbench.gating").joinpath("selftest.schema.json")
    assert list(described(strict(other.read_text(encoding="utf-8")))) == []
