"""The two sides: an interpreter, a folder and what is imported from where."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from jacbench.core.errors import JacbenchError
from jacbench.measuring import threads as environment

_FIND = "import jacbench.gating.worker; print('found')"


@dataclass(frozen=True)
class Side:
    """Base or head.

    Attributes
    ----------
    name
        ``base`` or ``head``.
    label
        What a person calls it: a commit, an interpreter.
    python
        The interpreter, an absolute path.
    root
        The folder that the user's files are looked for in.
    path
        Folders that are imported from before everything installed.
    """

    name: str
    label: str
    python: str
    root: Path
    path: tuple[Path, ...] = ()

    def environment(self, threads: int) -> dict[str, str]:
        """Return the environment of this side's workers, with the pins for ``threads``."""
        env = environment.without_pytest(os.environ, first=self.path)
        return {**env, **environment.pins(threads)}

    def check(self) -> None:
        """Raise, in one line, where jacbench cannot be imported here."""
        with tempfile.TemporaryDirectory(prefix="jacbench-") as nowhere:
            try:
                done = subprocess.run(
                    [self.python, "-c", _FIND],
                    env=self.environment(1),
                    cwd=nowhere,  # not the caller's checkout, which would be imported instead
                    capture_output=True,
                    text=True,
                    timeout=120,
                    check=False,
                )
            except (OSError, subprocess.SubprocessError) as exc:
                why = getattr(exc, "strerror", None) or type(exc).__name__
                raise JacbenchError(
                    f"--{self.name}-python {self.python!r} does not run ({why}): give the path of "
                    "a Python interpreter"
                ) from None
        if done.returncode != 0 or done.stdout.split()[-1:] != ["found"]:
            last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise JacbenchError(
                f"{self.name} ({self.label}) cannot import this jacbench's gate ({last[:200]}): "
                f"install the same jacbench there, {self.python} -m pip install jacbench"
            )


def interpreter(name: str, python: str | None) -> Side:
    """Return a side that is another environment; None is the one that runs now."""
    if python is None:
        return Side(name, "this environment", sys.executable, Path.cwd())
    # Not resolved: a virtual environment's interpreter is a link, and its place is what counts.
    path = Path(python).expanduser()
    found = path / "bin" / "python" if path.is_dir() else path
    absolute = str(found.absolute()) if len(found.parts) > 1 else str(found)
    return Side(name, python, absolute, Path.cwd())


@contextmanager
def commits(
    refs: dict[str, str | None], sides: dict[str, Side], folders: Sequence[str]
) -> Iterator[dict[str, Side]]:
    """Check out the commits that ``refs`` names, each in a folder of its own, and yield the sides.

    Parameters
    ----------
    refs
        For ``base`` and ``head`` a commit of the repository around the working folder, or None for
        the working folder as it is.
    sides
        The sides so far.
    folders
        Folders of the repository that are imported from; empty: its root, and ``src``.
    """
    if all(ref is None for ref in refs.values()):
        yield sides
        return
    top = Path(_git(Path.cwd(), "rev-parse", "--show-toplevel"))
    inside = Path.cwd().resolve().relative_to(top.resolve())
    with tempfile.TemporaryDirectory(prefix="jacbench-gate-") as scratch:
        trees: list[Path] = []
        try:
            found = {}
            for name, ref in refs.items():
                root, label = top, "the working tree"
                if ref is not None:
                    commit = _git(
                        top, "rev-parse", "--verify", "--end-of-options", f"{ref}^{{commit}}"
                    )
                    root, label = Path(scratch) / name, f"{ref} ({commit[:10]})"
                    trees.append(root)
                    _git(top, "worktree", "add", "--quiet", "--detach", str(root), commit)
                path = [root / f for f in folders] if folders else [root, root / "src"]
                found[name] = Side(
                    name,
                    label,
                    sides[name].python,
                    root / inside,
                    tuple(entry for entry in path if entry.is_dir()),
                )
            yield found
        finally:
            for tree in trees:
                subprocess.run(
                    ["git", "-C", str(top), "worktree", "remove", "--force", str(tree)],
                    capture_output=True,
                    check=False,
                )


def _git(folder: Path, *words: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
    except (OSError, subprocess.SubprocessError) as exc:
        raise JacbenchError(f"git does not run ({type(exc).__name__}): install git") from None
    if done.returncode != 0:
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise JacbenchError(
            f"git {words[0]} failed for {words[-1]!r}: {said[:200]}: give a commit of the "
            "repository that you are in (on hosted CI, fetch it first: fetch-depth: 0)"
        )
    return done.stdout.strip()
