"""The driver's end: what a worker answers, and one line or verdict where it does not."""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jacbench.core.cell import CellResult, Verdict
from jacbench.core.errors import JacbenchError
from jacbench.gating.settings import GateSettings
from jacbench.gating.side import Side, interpreter
from jacbench.gating.side_worker import Arm, ArmError
from jacbench.gating.worker import PROTOCOL
from tests.runs import ROOT
from tests.samples import cell

HEAD = f"""
import os, sys, time
sys.path.insert(0, {str(ROOT)!r})
from jacbench.workers.channel import Upward
channel = Upward()
first = channel.receive()
def ready():
    channel.send("ready", protocol={PROTOCOL})
"""
LINEAR = cell("numpy.analytic", problem="basics/linear-sum")
Begin = Callable[..., Arm]


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Begin]:
    """Begin arms of which an interpreter of the test's own is the worker."""
    begun: list[Arm] = []

    def made(script: str | None, **settings: Any) -> Arm:
        here = tmp_path / f"{len(begun)}"
        side = interpreter("head", None)
        if script is not None:
            file = tmp_path / "fake.py"
            file.write_text(HEAD + textwrap.dedent(script), encoding="utf-8")
            python = tmp_path / "python"
            python.write_text(f"#!/bin/sh\nexec {sys.executable} {file}\n", encoding="utf-8")
            python.chmod(0o755)
            side = replace(side, python=str(python), label="a fake")
        begun.append(Arm(side, GateSettings(**settings), here))
        return begun[-1]

    yield made
    for arm in begun:
        arm.kill()


def test_a_real_worker(begin: Begin) -> None:
    arm = begin(None)
    arm.start([])
    asked = {"problems": [LINEAR.problem], "methods": [LINEAR.method], "operators": ["jacobian"]}
    found = arm.cells(asked, [])
    assert [row["method"] for row in found["cells"]] == [LINEAR.method]
    settled = arm.settle(LINEAR)
    result = CellResult.from_json(settled["result"])
    assert result.verdict is Verdict.AGREES
    assert result.problem_hash
    assert settled["prepare_s"] >= 0
    assert settled["call_s"] > 0
    answer = arm.block(LINEAR, 3, 2, 0.0)
    assert len(answer["seconds"]) == 3
    assert min(answer["seconds"]) > 0
    peak = arm.memory(LINEAR)
    assert peak is None or peak >= 0
    about = arm.about()
    assert set(about) == {"fingerprint", "discounts_waiting"}
    assert about["fingerprint"]["settings"]["numpy"]["measured_cores"] > 0
    # A mistake in what is asked is one line, and the worker lives on.
    with pytest.raises(JacbenchError, match=r"^head \(this environment\): unknown problem 'no/"):
        arm.cells({**asked, "problems": ["no/such"]}, [])
    assert arm.settle(LINEAR)["call_s"] > 0
    # What was never settled cannot be timed: a verdict, not an end.
    with pytest.raises(ArmError) as caught:
        arm.block(replace(LINEAR, dtype="float32"), 1, 1, 0.0)
    assert caught.value.verdict == "failed"
    assert caught.value.reason.startswith("KeyError: ")


def test_a_call_that_fails_after_many(begin: Begin, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        textwrap.dedent("""
            import itertools
            import numpy as np
            from jacbench import Problem

            count = itertools.count()

            def jacobian(x):
                if next(count) > 2000:
                    raise RuntimeError("worn out")
                return np.diag(2 * x)

            mine = Problem(
                name="my/own", function=lambda xp, x: x * x, x=np.ones(2), jacobian=jacobian
            )
        """),
        encoding="utf-8",
    )
    arm = begin(None)
    arm.side = replace(arm.side, root=tmp_path)
    arm.start(["mine.py:mine"])
    mine = cell("numpy.analytic", problem="my/own")
    assert arm.settle(mine)["call_s"] > 0
    with pytest.raises(ArmError) as caught:
        arm.block(mine, 6, 1000, 0.0)
    assert (caught.value.verdict, caught.value.reason) == ("failed", "RuntimeError: worn out")


def test_what_does_not_run(tmp_path: Path) -> None:
    side = Side("base", "an old one", str(tmp_path / "absent"), tmp_path)
    with pytest.raises(JacbenchError) as caught:
        Arm(side, GateSettings(), tmp_path / "folder")
    assert str(caught.value) == "base (an old one) does not start: No such file or directory"


@pytest.mark.parametrize(
    ("script", "told"),
    [
        (
            "channel.send('ready', protocol=99)",
            "head (a fake) speaks version 99 of the gate, not 1: install the same jacbench on both "
            "sides",
        ),
        (
            "channel.send('ready')",
            "head (a fake) speaks version None of the gate, not 1: install the same jacbench on "
            "both sides",
        ),
        ("channel.send('refused', reason='no way')", "head (a fake): no way"),
    ],
)
def test_what_is_refused_at_the_start(begin: Begin, script: str, told: str) -> None:
    with pytest.raises(JacbenchError) as caught:
        begin(script).start([])
    assert str(caught.value) == told


@pytest.mark.parametrize(
    ("script", "verdict", "reason"),
    [
        ("os._exit(9)", "crashed", "the worker exited with status 9"),
        ("raise ValueError('x')", "crashed", "the worker exited with status 1: ValueError: x"),
        ("time.sleep(3600)", "crashed", "did not start within 0.3 s"),
    ],
)
def test_a_worker_that_does_not_start(begin: Begin, script: str, verdict: str, reason: str) -> None:
    with pytest.raises(ArmError) as caught:
        begin(script, start_timeout_s=0.3 if "sleep" in script else 60.0).start([])
    assert (caught.value.verdict, caught.value.reason) == (verdict, reason)


@pytest.mark.parametrize(
    ("script", "verdict", "reason"),
    [
        ("os.kill(os.getpid(), 9)", "crashed", "the worker was killed by SIGKILL"),
        ("sys.exit(3)", "crashed", "the worker exited with status 3"),
        ("time.sleep(3600)", "timed out", "took longer than 0.3 s: allow more with --timeout"),
        ("channel.send('failed', verdict='failed', reason='r')", "failed", "r"),
    ],
)
def test_a_worker_that_does_not_answer(
    begin: Begin, script: str, verdict: str, reason: str
) -> None:
    arm = begin(f"""
        ready()
        channel.receive()
        {script}
        channel.receive()
    """, timeout_s=0.3 if "sleep" in script else 60.0)  # fmt: skip
    arm.start([])
    with pytest.raises(ArmError) as caught:
        arm.settle(LINEAR)
    assert (caught.value.verdict, caught.value.reason) == (verdict, reason)
    assert Verdict(caught.value.verdict).is_fault


def test_a_killed_cell_is_not_blamed_with_what_an_earlier_one_printed(begin: Begin) -> None:
    arm = begin("""
        ready()
        channel.receive()
        print("ValueError: of the first", file=sys.stderr, flush=True)
        channel.send("answer")
        channel.receive()
        os.kill(os.getpid(), 9)
    """)
    arm.start([])
    arm.settle(LINEAR)
    with pytest.raises(ArmError) as caught:
        arm.settle(LINEAR)
    assert caught.value.reason == "the worker was killed by SIGKILL"


@pytest.fixture
def greedy(tmp_path: Path) -> None:
    """Write a user's file of which one function takes 1.5 GB for a moment."""
    (tmp_path / "mine.py").write_text(
        textwrap.dedent("""
            import time
            import numpy as np
            from jacbench import Problem

            def jacobian(x):
                taken = np.ones(1_500_000_000, dtype=np.uint8)
                time.sleep(0.3)
                return np.diag(2 * x) * taken[0]

            greedy = Problem(
                name="my/greedy", function=lambda xp, x: x * x, x=np.ones(2), jacobian=jacobian
            )
        """),
        encoding="utf-8",
    )


@pytest.mark.usefixtures("greedy")
def test_memory_beyond_the_limit_ends_a_worker(begin: Begin, tmp_path: Path) -> None:
    arm = begin(None, memory="100MiB")
    arm.side = replace(arm.side, root=tmp_path)
    arm.start(["mine.py:greedy"])
    with pytest.raises(ArmError) as caught:
        arm.settle(cell("numpy.analytic", problem="my/greedy"))
    assert caught.value.verdict == "too large"
    assert re.fullmatch(
        r"used [\d.]+ [MG]iB, more than the 100 MiB of --memory: killed", caught.value.reason
    )


def test_importing_a_library_is_not_counted(begin: Begin) -> None:
    torch = cell("torch.func.jacrev", problem="basics/linear-sum", backend="torch")
    arm = begin(None, memory="100MiB")
    arm.start([])
    assert arm.settle(torch)["result"]["verdict"] == "agrees"
