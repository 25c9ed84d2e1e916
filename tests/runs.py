"""What the tests of commands share: subprocesses as a user starts them, and the tiny backends."""

from __future__ import annotations

import atexit
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
JACBENCH = [
    *(sys.executable, "-c"),
    # A job in a shell's background has Ctrl-C ignored, and so has what it starts.
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
    "from jacbench.cli import main; main()",
]
PROBLEM = "basics/linear-sum"


def environment(*extra_path: Path, **variables: str) -> dict[str, str]:
    """Return this environment without what steers pytest, with folders to import from."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "COV_"))}
    inherited = [p for p in kept.get("PYTHONPATH", "").split(os.pathsep) if p]
    path = [*map(str, extra_path), *inherited]
    # A narrow or coloured terminal of whoever runs the tests changes nothing.
    for name in ("COLUMNS", "FORCE_COLOR", "NO_COLOR", "PYTHONIOENCODING"):
        kept.pop(name, None)
    return {**kept, "PYTHONPATH": os.pathsep.join(path), **variables}


def run(
    words: list[str],
    cwd: Path,
    *,
    env: Mapping[str, str] | None = None,
    timeout: float = 240,
) -> subprocess.CompletedProcess[str]:
    """Run a command in ``cwd``, away from the checkout, and keep what it says."""
    return subprocess.run(
        words,
        cwd=cwd,
        env=dict(env or environment()),
        capture_output=True,
        encoding="utf-8",
        timeout=timeout,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def jacbench(
    *words: str, cwd: Path, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command line."""
    return run([*JACBENCH, *words], cwd, env=env)


def pytest_in(
    cwd: Path, *words: str, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run pytest in ``cwd``."""
    return run([sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *words], cwd, env=env)


def strict(text: str) -> Any:
    """Parse JSON that has neither NaN nor infinities."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


@functools.cache
def scratch() -> Path:
    """Return a folder that lasts as long as the tests."""
    folder = Path(tempfile.mkdtemp(prefix="jacbench-tests-")).resolve()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _pip(*words: str) -> None:
    for name in ("pip", "setuptools"):
        # Asked of the metadata: looking for the module wakes setuptools' distutils, which warns.
        if not list(metadata.distributions(name=name)):
            pytest.skip(f"{name} is not installed")
    offline = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    done = run([sys.executable, "-m", "pip", words[0], *offline, "-q", *words[1:]], scratch())
    assert done.returncode == 0, done.stderr


@functools.cache
def tiny_site() -> Path:
    """Install the out-of-tree distribution; return the folder to import it from."""
    source = shutil.copytree(ROOT / "tests" / "thirdparty", scratch() / "thirdparty")
    site = scratch() / "tiny-site"
    _pip("install", "--target", str(site), str(source))
    return site


@functools.cache
def wheel_site() -> Path:
    """Build jacbench's wheel from the checkout and install it; return the folder."""
    source = scratch() / "checkout"
    source.mkdir()
    for name in ("pyproject.toml", "LICENSE"):
        shutil.copy(ROOT / name, source)
    (source / "README.md").write_text("Not the page itself: only its name is needed.\n")
    for name in ("jacbench", "backends"):
        # A build must not leave its folders in the checkout.
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    site = scratch() / "wheel-site"
    _pip("wheel", "--wheel-dir", str(scratch() / "wheels"), str(source))
    (wheel,) = (scratch() / "wheels").glob("jacbench-*.whl")
    _pip("install", "--target", str(site), str(wheel))
    return site
