"""Processors are named as people name them, and only those that exist are taken."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jacbench.core.errors import JacbenchError
from jacbench.measuring import affinity

linux = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processors can be chosen")


@pytest.mark.parametrize(
    ("text", "cpus"),
    [("0", (0,)), ("0,2-3", (0, 2, 3)), (" 3-4 , 1,3", (1, 3, 4)), ("7-7", (7,))],
)
def test_lists_and_ranges(text: str, cpus: tuple[int, ...]) -> None:
    assert affinity.parse(text) == cpus


@given(st.sets(st.integers(0, 500), min_size=1))
def test_what_is_spelled_is_parsed(cpus: set[int]) -> None:
    assert affinity.parse(affinity.spelled(sorted(cpus))) == tuple(sorted(cpus))


@pytest.mark.parametrize("text", ["", ",", "a", "1-", "-1", "3-2", "1..2", "0-999999", "1e3", "²"])
def test_anything_else_is_one_line(text: str) -> None:
    with pytest.raises(JacbenchError, match="give processors such as 0,2-3"):
        affinity.parse(text)


@linux
def test_processor_that_is_not_there() -> None:
    usable = affinity.spelled(sorted(os.sched_getaffinity(0)))
    with pytest.raises(JacbenchError) as caught:
        affinity.check((4000,))
    told = "--cpus 4000: processor 4000 is not among those that may be used here: choose from "
    assert str(caught.value) == told + usable
    with pytest.raises(JacbenchError, match="none is among those"):
        affinity.check(())


def test_system_that_binds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_setaffinity", raising=False)
    with pytest.raises(JacbenchError, match=r"^--cpus 0: this system binds no process"):
        affinity.check((0,))


@linux
def test_a_process_is_bound() -> None:
    cpu = max(os.sched_getaffinity(0))
    code = (
        "import os, sys\nfrom jacbench.measuring import affinity\n"
        "affinity.bind((int(sys.argv[1]),))\nprint(os.sched_getaffinity(0))\n"
    )
    words = [sys.executable, "-c", code, str(cpu)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout == f"{{{cpu}}}\n"
