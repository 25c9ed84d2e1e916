"""Trying a mutation: applied to a copy of the repository, in which the tests are run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tests.mutations.mutation import ROOT, MovedError, Mutation

FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+::[^\[\s]+)", re.MULTILINE)
PYTEST = ("-m", "pytest", "-x", "-q", "--tb=no", "-rfE", "-p", "no:cacheprovider")
"""Ran so that a failing test ends it; Hypothesis draws the same examples each time."""


@dataclass(frozen=True)
class Outcome:
    """What became of a mutation.

    Attributes
    ----------
    what
        ``killed``, ``survived``, ``timed out``, or ``broken``: the tests could not be run.
    by
        The test that noticed, or why they could not.
    seconds
        What the tests took.
    """

    what: str
    by: str = ""
    seconds: float = 0.0

    @property
    def noticed(self) -> bool:
        """Whether a test failed."""
        return self.what == "killed"


class Copy:
    """A copy of the repository as it stands, in which tests import what was copied."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        told = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True)
        for name in filter(None, told.stdout.split("\0")):
            if (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, folder / name)
        found = self._run(["-c", "import jacbench; print(jacbench.__file__)"], 120.0).stdout
        if not found.startswith(f"{folder}{os.sep}"):
            raise RuntimeError(f"tests in {folder} would import {found.strip()}")

    def tried(self, mutation: Mutation, limit_s: float) -> Outcome:
        """Apply a mutation, run its tests, and take it back."""
        path = self.folder / mutation.file
        try:
            source = path.read_text(encoding="utf-8")
            self._write(path, mutation.applied(source))
        except (MovedError, OSError) as exc:
            return Outcome("broken", str(exc))
        begun = time.monotonic()
        try:
            found = self.outcome(mutation.tests, limit_s)
            return replace(found, seconds=time.monotonic() - begun)
        finally:
            self._write(path, source)

    def outcome(self, tests: Sequence[str], limit_s: float) -> Outcome:
        """Return what these tests say of the copy as it is now."""
        try:
            done = self._run([*PYTEST, "--hypothesis-seed=0", *tests], limit_s)
        except subprocess.TimeoutExpired:
            return Outcome("timed out", f"after {limit_s:g} s")
        if done.returncode == 0:
            return Outcome("survived")
        found = FAILED.search(done.stdout)
        if done.returncode != 1 or found is None:
            last = (done.stdout + done.stderr).strip().splitlines()[-1:]
            return Outcome("broken", " ".join(last))
        return Outcome("killed", found[1])

    def _run(self, words: Sequence[str], limit_s: float) -> subprocess.CompletedProcess[str]:
        # before the editable installation, from which the plugin of pytest would come
        path = os.pathsep.join([str(self.folder), str(self.folder / "backends")])
        return subprocess.run(
            [sys.executable, *words],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=limit_s,
            check=False,
        )

    @staticmethod
    def _write(path: Path, source: str) -> None:
        path.write_text(source, encoding="utf-8")
        # one written within the same second, of the same size, would be taken for it
        for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
            compiled.unlink()
