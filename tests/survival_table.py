"""Print what becomes of a run with each kind of fault in it; exit with 1 where something is lost.

Run ``python tests/survival_table.py [--json FILE]``. For each fault a whole ``jacbench run`` as a
user would start it: the verdict of the faulty cell, how many of the other cells still have their
time, and how many seconds it took beyond the same run without the fault.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rich.console import Console
from rich.progress import track
from rich.table import Table

import jacbench
from tests.runs import environment, strict, tiny_site

PROBLEM = "basics/linear-sum"
GOOD = ("faulty.first", "faulty.last", "meddling.first", "meddling.last", "numpy.analytic")
QUICK = ("--visits", "2", "--cell-seconds", "0.05")
TIMEOUT = ("--timeout", "3", "--memory", "500MB")
CLI = [
    *(sys.executable, "-c"),
    # A shell may have Ctrl-C ignored in what it starts in the background.
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
    "from jacbench.cli import main; main()",
]

METHODS = {
    "hangs in a Python loop": "meddling.loops-forever",
    "sleeps for ever": "faulty.sleeps",
    "hangs in a native call that holds the GIL": "faulty.holds-gil",
    "exits the process": "faulty.exits",
    "is killed, as by the out-of-memory killer": "faulty.sigkill",
    "segfaults": "faulty.segfaults",
    "allocates past --memory": "meddling.grows",
    "raises MemoryError": "meddling.memory-error",
    "raises in prepare": "faulty.prepare-raises",
    "raises on the 50th call only": "faulty.raises-late",
    "prints to standard output": "faulty.prints",
    "changes the working directory": "meddling.changes-folder",
    "changes it on the 50th call only": "meddling.changes-folder-late",
    "changes NumPy's error state": "meddling.ignores-numpy-errors",
    "sets an environment variable": "meddling.sets-environment",
    "reseeds the random generator": "meddling.reseeds-random",
    "leaks memory per call": "meddling.leaks",
    "returns on another device": "meddling.lies-elsewhere",
    "is not deterministic": "meddling.varies",
    "varies in the last bits": "meddling.varies-in-last-bits",
    "gives notes that JSON cannot hold": "faulty.odd-notes",
    "raises an error that names paths": "faulty.tells-paths",
}
"""What a method does, and the one that does it. Those in the tests that need another library (a
changed default dtype, thread count or x64) are planted in tests/checking/test_process_state.py."""


@dataclass(frozen=True)
class Survival:
    """What became of one run."""

    fault: str
    verdict: str
    said: str
    kept: int
    others: int
    seconds: float | None


def words(*methods: str) -> list[str]:
    """Return the command for ``methods``."""
    chosen = [word for method in methods for word in ("--method", method)]
    return [*CLI, "run", PROBLEM, "--operator", "jacobian", *chosen, *QUICK, *TIMEOUT]


def run(folder: Path, *methods: str, **variables: str) -> tuple[dict[str, Any], float]:
    """Run ``methods`` and return the object of the results file, and the seconds it took."""
    started = time.monotonic()
    done = subprocess.run(
        [*words(*methods), "--output", str(folder)],
        env=environment(tiny_site(), **variables),
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.monotonic() - started
    assert "Traceback" not in done.stderr, done.stderr
    (path,) = folder.glob("jacbench-*.json")
    return strict(path.read_text(encoding="ascii"))["jacbench"], seconds


def kept(block: Mapping[str, Any]) -> int:
    """Return how many of the good cells have their time."""
    return sum(cell["method"] in GOOD and bool(cell["median_s"]) for cell in block["cells"])


def of_method(fault: str, method: str, scratch: Path, alone_s: float) -> Survival:
    """Run a faulty method among good ones."""
    block, seconds = run(scratch / method, *GOOD, method)
    (cell,) = (cell for cell in block["cells"] if cell["method"] == method)
    # How wide an interval is says nothing of the fault.
    cautions = [one for one in cell["cautions"] if one.startswith("leaks")]
    said = cell["reason"] or "; ".join(cautions) or _noted(cell["notes"]) or "its time stands"
    return Survival(fault, cell["verdict"], said, kept(block), len(GOOD), seconds - alone_s)


def _noted(notes: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}: {value}" for name, value in notes.items())


def interrupted(which: signal.Signals, times: int) -> Callable[[Path], Survival]:
    """Interrupt a run that hangs in one method."""

    def survive(scratch: Path) -> Survival:
        sign, folder = scratch / "sign", scratch / "out"
        env = environment(tiny_site(), FAULTY_SIGN=str(sign))
        command = [*words(*GOOD, "faulty.sleeps"), "--timeout", "300", "--output", str(folder)]
        with subprocess.Popen(command, env=env, stdout=-3, stderr=subprocess.PIPE) as process:
            while not sign.exists():
                time.sleep(0.02)
            started = time.monotonic()
            for _ in range(times):
                process.send_signal(which)
                time.sleep(0.05)
            process.communicate(timeout=60)
        seconds = time.monotonic() - started
        (path,) = folder.glob("jacbench-*.json")
        block = strict(path.read_text(encoding="ascii"))["jacbench"]
        begun = sum(
            cell["method"] in GOOD and cell["verdict"] == "agrees" for cell in block["cells"]
        )
        name = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}[which]
        fault = f"{name} {'twice' if times > 1 else 'once'}" if which is signal.SIGINT else name
        said = f"exit status {process.returncode}, the file is whole"
        return Survival(fault, "interrupted", said, kept(block), begun, seconds)

    return survive


def resumed(scratch: Path) -> Survival:
    """Interrupt a run, and resume it."""
    interrupted(signal.SIGINT, 1)(scratch)
    (path,) = (scratch / "out").glob("jacbench-*.json")
    before = {c["method"]: c["median_s"] for c in strict(path.read_text())["jacbench"]["cells"]}
    started = time.monotonic()
    done = subprocess.run(
        [*CLI, "run", "--resume", str(path), "--timeout", "3"],
        env=environment(tiny_site()),
        capture_output=True,
        text=True,
        check=False,
    )
    block = strict(path.read_text(encoding="ascii"))["jacbench"]
    after = {c["method"]: c["median_s"] for c in block["cells"]}
    same = all(after[method] == seconds for method, seconds in before.items() if seconds)
    said = "what was measured stands" if same else f"CHANGED: {done.stderr}"
    return Survival(
        *("--resume after Ctrl-C", "resumed", said, kept(block), len(GOOD)),
        time.monotonic() - started,
    )


def full_disk(scratch: Path) -> Survival:
    """Write into a file system that has no room left."""
    small = scratch / "small"
    small.mkdir()
    script = (
        f"mount -t tmpfs -o size=64k tmpfs {small} && head -c 60000 /dev/zero > {small}/full; "
        f'"$@" --output {small}'
    )
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", *words(*GOOD)],
        env=environment(tiny_site(), TMPDIR=str(scratch)),
        capture_output=True,
        text=True,
        check=False,
    )
    named = done.stdout.rpartition("results: ")[2].strip()
    if not named:
        said = (done.stderr.strip().splitlines() or ["not tried"])[-1]
        return Survival("a full disk", "not tried", said, 0, 0, None)
    block = strict(Path(named).read_text(encoding="ascii"))["jacbench"]
    said = "written to a temporary folder instead"
    return Survival("a full disk", "kept", said, kept(block), len(GOOD), None)


def two_at_once(scratch: Path) -> Survival:
    """Let two runs write into one folder."""
    folder = scratch / "out"
    command = [*words(*GOOD), "--output", str(folder)]
    both = [
        subprocess.Popen(command, env=environment(tiny_site()), stdout=-3, stderr=-3)
        for _ in range(2)
    ]
    assert [process.wait() for process in both] == [0, 0]
    found = [strict(p.read_text(encoding="ascii"))["jacbench"] for p in folder.glob("*.json")]
    said = f"{len(found)} files"
    return Survival(
        *("two runs into one folder", "kept", said, sum(map(kept, found)), 2 * len(GOOD)), None
    )


def cut_short(scratch: Path) -> Survival:
    """Read a results file of which the end is missing."""
    run(scratch / "out", *GOOD)
    (path,) = (scratch / "out").glob("*.json")
    whole = path.read_bytes()
    lines = set()
    for share in (0.0, 0.3, 0.6, 0.99):
        path.write_bytes(whole[: int(share * len(whole))])
        try:
            jacbench.read(path)
        except jacbench.JacbenchError as exc:
            lines.add(str(exc).partition("' ")[2].partition(":")[0])
    said = " or ".join(sorted(lines))
    return Survival("a results file cut short", "refused", said, 0, 0, None)


def starts_badly(fault: str, code: str, seconds: str) -> Callable[[Path], Survival]:
    """Start workers that take long, or for ever."""

    def survive(scratch: Path) -> Survival:
        (scratch / "sitecustomize.py").write_text(
            f"import sys\nif '--jacbench-worker' in sys.orig_argv:\n    {code}\n"
        )
        started = time.monotonic()
        done = subprocess.run(
            [*words(*GOOD), "--start-timeout", seconds, "--json", "-"],
            env=environment(scratch, tiny_site()),
            cwd=scratch,
            capture_output=True,
            text=True,
            check=False,
        )
        block = strict(done.stdout)
        verdicts = {cell["verdict"] for cell in block["cells"]}
        said = next((cell["reason"] for cell in block["cells"] if cell["reason"]), "waited for")
        others = 0 if verdicts == {"crashed"} else len(GOOD)
        seconds_ = time.monotonic() - started
        return Survival(fault, ", ".join(sorted(verdicts)), said, kept(block), others, seconds_)

    return survive


OTHERS: tuple[Callable[[Path], Survival], ...] = (
    starts_badly("a worker that starts slowly", "import time; time.sleep(2)", "60"),
    starts_badly("a worker that does not start", "import time; time.sleep(600)", "2"),
    interrupted(signal.SIGINT, 1),
    interrupted(signal.SIGINT, 2),
    interrupted(signal.SIGTERM, 1),
    resumed,
    full_disk,
    two_at_once,
    cut_short,
)


def main() -> int:
    """Print the table; return 1 where a neighbour lost its time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 170)
    found = []
    scratch = Path(tempfile.mkdtemp(prefix="jacbench-survival-"))
    try:
        alone_s = statistics.median(run(scratch / f"alone-{i}", *GOOD)[1] for i in range(3))
        quiet = not sys.stderr.isatty()
        for fault, method in track(METHODS.items(), disable=quiet, transient=True):
            found.append(of_method(fault, method, scratch, alone_s))
        for index, survive in enumerate(OTHERS):
            place = scratch / f"other-{index}"
            place.mkdir()
            found.append(survive(place))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    table = Table(title=f"beside {len(GOOD)} good cells; the run without a fault: {alone_s:.1f} s")
    for name in ("fault", "verdict", "what is said", "cells kept", "seconds more"):
        table.add_column(name, overflow="fold")
    for one in found:
        lost = one.kept < one.others
        more = "" if one.seconds is None else f"{max(0.0, one.seconds):.1f}"
        table.add_row(
            *(one.fault, one.verdict, one.said[:120], f"{one.kept} of {one.others}", more),
            style="bold red" if lost else None,
        )
    console.print(table)
    if asked.json:
        rows = [asdict(one) for one in found]
        content = {"alone_s": alone_s, "rows": rows, "python": sys.version.split()[0]}
        asked.json.write_text(json.dumps(content, indent=1) + os.linesep, encoding="utf-8")
    return int(any(one.kept < one.others for one in found))


if __name__ == "__main__":
    sys.exit(main())
