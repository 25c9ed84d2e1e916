"""``jacbench gate``: which cells became wrong or really slower between base and head."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jacbench.core.cell import Cell
from jacbench.core.errors import JacbenchError
from jacbench.core.progress import Progress
from jacbench.gating.cell_outcome import judged
from jacbench.gating.measurement import INTERRUPTED, Measurement
from jacbench.gating.outcome import Judged, Outcome, counted
from jacbench.gating.record import SIDES, Subject
from jacbench.gating.settings import LIMITS, GateSettings
from jacbench.gating.side import Side
from jacbench.gating.side_worker import Arm, ArmError
from jacbench.gating.stages import LimitsOf, judge
from jacbench.measuring.deadline import Deadline
from jacbench.problems import from_file
from jacbench.results import policy as policies
from jacbench.results.policy import Limits
from jacbench.results.run import json_safe
from jacbench.running.selection import Selection

SCHEMA = 1
"""Version of the object that ``--json`` writes, described by ``gate.schema.json``."""


@dataclass
class GateRun:
    """What the gate found.

    Attributes
    ----------
    judged
        Every cell of either side with its outcome.
    sides
        Base and head.
    about
        For each side the fingerprint, and whether the clock leaves waiting out.
    absent
        Backends that are absent on head, and why.
    seconds
        Wall time of the whole gate.
    settings
        How it measured.
    stopped
        Why it ended before every cell was decided; None where it did not.
    path
        The results file, once written.
    """

    judged: list[Judged]
    sides: Mapping[str, Side]
    about: Mapping[str, Any]
    absent: Mapping[str, str]
    seconds: float
    settings: GateSettings
    stopped: str | None = None
    path: Path | None = None

    @property
    def interrupted(self) -> bool:
        """True where Ctrl-C or SIGTERM ended it."""
        return self.stopped == INTERRUPTED

    @property
    def ok(self) -> bool:
        """True where nothing became wrong or really slower."""
        return not any(one.outcome.fails for one in self.judged)

    def to_json(self) -> dict[str, Any]:
        """Return the object that ``--json`` prints."""
        sides = {
            name: {"label": side.label, **self.about.get(name, {})}
            for name, side in self.sides.items()
        }
        found: dict[str, Any] = json_safe(
            {
                "schema": SCHEMA,
                "ok": self.ok,
                "stopped": self.stopped,
                **sides,
                "absent": dict(self.absent),
                "settings": asdict(self.settings),
                "seconds": self.seconds,
                "counts": {str(key): value for key, value in counted(self.judged).items()},
                "cells": [one.to_json() for one in self.judged],
            }
        )
        return found


def default_limits(cell: Cell) -> Limits:
    """Return the limits that hold where no policy says others."""
    del cell
    return LIMITS


def limits_of(policy: Path) -> LimitsOf:
    """Return the limits that a policy file gives, the gate's own where it says nothing."""
    return policies.read(policy, LIMITS).limits


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Which cells: patterns over names of problems and ``FILE.py:NAME``, and what selects."""

    what: Sequence[str] = ("basics/*",)
    methods: Sequence[str] = ()
    operators: Sequence[str] = ("jacobian",)
    devices: Sequence[str] = ()
    dtypes: Sequence[str] = ()
    threads: int = 1

    def selection(self, item: str) -> dict[str, Any]:
        """Return the fields of the :class:`Selection` for one of :attr:`what`."""
        chosen = Selection(
            problems=[] if from_file.is_named(item) else [item],
            methods=self.methods,
            operators=self.operators,
            devices=self.devices,
            dtypes=self.dtypes,
            threads=[self.threads],
        )
        return asdict(chosen)

    def files(self, item: str) -> list[str]:
        """Return ``item`` where it names something in a file, ``FILE.py:NAME``.

        What lies below the working folder is named from there: each side has its own.
        """
        here = f"{Path.cwd()}{os.sep}"
        return [item.removeprefix(here)] if from_file.is_named(item) else []


def gate(
    asked: Asked,
    sides: Mapping[str, Side],
    settings: GateSettings,
    progress: Progress,
    limits: LimitsOf = default_limits,
) -> GateRun:
    """Measure base against head and return what became of each cell.

    Raises
    ------
    JacbenchError
        For what was asked wrongly, in one line.
    """
    for side in sides.values():
        side.check()
    deadline = Deadline(settings.time_limit_s)
    with tempfile.TemporaryDirectory(prefix="jacbench-gate-", ignore_cleanup_errors=True) as folder:
        measurement = Measurement(sides, settings, deadline, progress, Path(folder))
        sets = cells_of(measurement, asked)
        cells = sets.cells
        if not any(cells.values()):
            raise JacbenchError("nothing is selected on either side: see jacbench list")
        both = [cell for cell in cells["base"] if cell in set(cells["head"])]
        subjects = [Subject(cell) for cell in both]
        found = judge(measurement, subjects, limits) if subjects else {}
        done = [
            judged(subject, first, second, limits(subject.cell))
            for subject, (first, second) in found.items()
        ]
        done += [
            Judged(cell, outcome, sets.reasons.get(cell))
            for name, outcome in (("base", Outcome.GONE), ("head", Outcome.NEW))
            for cell in cells[name]
            if cell not in set(both)
        ]
        return GateRun(
            done,
            sides,
            measurement.about,
            sets.absent,
            deadline.spent(),
            settings,
            measurement.stopped,
        )


@dataclass
class Found:
    """The cells of both sides.

    Attributes
    ----------
    cells
        By side, in the order asked for.
    reasons
        Why base does not have a cell, where it said so.
    absent
        Backends that are absent on head, and why.
    files
        What is named as ``FILE.py:NAME`` and there on both sides.
    """

    cells: dict[str, list[Cell]]
    reasons: dict[Cell, str]
    absent: dict[str, str]
    files: list[str]


def cells_of(measurement: Measurement, asked: Asked) -> Found:
    """Ask each side which cells it has.

    Head has to know all that is asked for; what base refuses, a file or a name that it does not
    have yet, is new in head.
    """
    found = Found({name: [] for name in SIDES}, {}, {}, [])
    try:
        with measurement.arms() as arms:
            for item in asked.what:
                new = _ask(arms["head"], asked, item, found)
                try:
                    _ask(arms["base"], asked, item, found)
                except JacbenchError as exc:
                    found.reasons |= dict.fromkeys(new, str(exc))
                else:
                    found.files += asked.files(item)
    except ArmError as exc:
        raise JacbenchError(f"{exc.side} could not be asked what it has: {exc.reason}") from None
    measurement.files = found.files
    return found


def _ask(arm: Arm, asked: Asked, item: str, found: Found) -> list[Cell]:
    """Add the cells that one side has for ``item`` to what is ``found``."""
    answer = arm.cells(asked.selection(item), asked.files(item))
    cells = [Cell(**row) for row in answer["cells"]]
    known = found.cells[arm.side.name]
    known += [cell for cell in cells if cell not in known]
    if arm.side.name == "head":
        found.absent.update(answer["absent"])
    return cells
