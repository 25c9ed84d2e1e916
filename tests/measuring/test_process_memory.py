"""Memory of another process, as the system tells it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from jacbench.measuring import process_memory

CODE = """
import subprocess, sys
kept = bytearray(b"x" * {own})
child = "kept = bytearray(b'x' * {child}); print('ready', flush=True); input()"
with subprocess.Popen([sys.executable, "-c", child], stdin=subprocess.PIPE) as process:
    input()
    process.communicate(b"\\n")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_a_process_and_its_child_are_counted() -> None:
    own, child = 60 * 2**20, 90 * 2**20
    code = CODE.format(own=own, child=child)
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        found = process_memory.resident_bytes(process.pid)
        process.communicate(b"\n")
    assert found is not None
    assert own + child < found < own + child + 200 * 2**20
    assert process_memory.resident_bytes(process.pid) is None


def test_system_that_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(path: object) -> bytes:
        raise OSError(2, "No such file or directory")

    monkeypatch.setattr(process_memory.Path, "read_bytes", nothing)
    assert process_memory.resident_bytes(os.getpid()) is None
