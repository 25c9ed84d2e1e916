"""``jacbench.gate``: the command as a function."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from jacbench.core.errors import JacbenchError
from jacbench.core.interrupts import counted_interrupts
from jacbench.core.progress import Progress, Quiet
from jacbench.gating import results_file
from jacbench.gating.gate import Asked, GateRun, default_limits, limits_of
from jacbench.gating.gate import gate as measured
from jacbench.gating.settings import GateSettings
from jacbench.gating.side import commits, interpreter
from jacbench.results import writer

DEFAULT = ("basics/*",)
"""Problems where none are named."""


def gate(
    *what: str,
    base_python: str | None = None,
    head_python: str | None = None,
    base_ref: str | None = None,
    head_ref: str | None = None,
    path: Sequence[str] = (),
    methods: Sequence[str] = (),
    operators: Sequence[str] = ("jacobian",),
    devices: Sequence[str] = (),
    dtypes: Sequence[str] = (),
    policy: str | os.PathLike[str] | None = None,
    output: str | os.PathLike[str] | None = None,
    settings: GateSettings | None = None,
    progress: Progress | None = None,
) -> GateRun:
    """Compare base with head side by side and say what became wrong, or is really slower.

    Parameters
    ----------
    what
        Shell patterns over problem names (none: ``basics/*``), and ``FILE.py:NAME`` for a
        :class:`~jacbench.Problem`, a sequence of them, or a function that returns either. The file
        is looked for on each side.
    base_python, head_python
        An interpreter, or a virtual environment's folder; None: the one that runs now.
    base_ref, head_ref
        A commit of the repository around the working folder; None: the working folder as it is.
        Each is checked out in a private folder, which is removed in the end.
    path
        Folders of a checkout that are imported from; empty: its root, and ``src``.
    methods, operators, devices, dtypes
        Patterns and names, as on the command line.
    policy
        A TOML file with limits by pattern, see :mod:`jacbench.results.policy`; None:
        :data:`jacbench.gating.settings.LIMITS`.
    output
        A folder that gets head's results with what the gate says of each cell; None: none.
    settings
        How to measure; None: the defaults.
    progress
        Is told what goes on.

    Raises
    ------
    JacbenchError
        For what was asked wrongly, in one line, before anything is measured.
    """
    if base_python is None and base_ref is None:
        raise JacbenchError(
            "nothing to compare with: give --base-python or --base-ref (or --self-test)"
        )
    settings = settings or GateSettings()
    folder = None if output is None else Path(output)
    if folder is not None:
        writer.check_folder(folder)
    limits = default_limits if policy is None else limits_of(Path(policy))
    asked = Asked(
        what=what or DEFAULT,
        methods=methods,
        operators=operators,
        devices=devices,
        dtypes=dtypes,
        threads=settings.threads,
    )
    sides = {"base": interpreter("base", base_python), "head": interpreter("head", head_python)}
    refs = {"base": base_ref, "head": head_ref}
    with counted_interrupts(), commits(refs, sides, path) as found:
        done = measured(asked, found, settings, progress or Quiet(), limits)
        if folder is not None:
            done.path = results_file.write(done, folder)
    return done
