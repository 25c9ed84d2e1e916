"""Sizes are read and written, what cannot fit is refused with its bytes, and a peak is a peak."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

from jacbench.core.errors import JacbenchError
from jacbench.measuring import memory


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", 1),
        ("1000", 1000),
        ("1000B", 1000),
        ("1e9", 10**9),
        ("2k", 2000),
        ("2kB", 2000),
        ("2KiB", 2048),
        ("500 MB", 500 * 10**6),
        ("500mb", 500 * 10**6),
        ("1.5GiB", 3 * 2**29),
        ("  2GiB ", 2**31),
        ("2gi", 2**31),
        ("1TB", 10**12),
        ("1TiB", 2**40),
    ],
)
def test_parse_size(text: str, size: int) -> None:
    assert memory.parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "much", "GiB", "-1GB", "0", "0.5", "1.2.3", "2 PiB", "1e", "1e400", "inf", "nan"]
)
def test_no_size(text: str) -> None:
    with pytest.raises(JacbenchError) as caught:
        memory.parse_size(text)
    assert str(caught.value) == f"--memory {text!r}: give a size such as 2GiB or 500MB"


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (1536, "1.5 KiB"),
        (1e6, "977 KiB"),
        (2**20 - 1, "1024 KiB"),
        (2**31, "2 GiB"),
        (2**54, "16384 TiB"),
    ],
)
def test_format_size(size: int, text: str) -> None:
    assert memory.format_size(size) == text


@given(st.integers(1, 10**18))
def test_a_written_size_can_be_read(size: int) -> None:
    assert memory.parse_size(memory.format_size(size)) == pytest.approx(size, rel=0.01)


def test_refusal_names_the_bytes_and_a_limit_that_is_enough() -> None:
    need = memory.needed(1000, 2000, "float64")
    reason = memory.too_large(1000, 2000, "float64", need - 1)
    assert reason is not None
    assert "\n" not in reason
    assert reason.startswith(f"a 1000 x 2000 Jacobian needs {need} bytes (107 MiB) to check, ")
    assert "more than the 107 MiB of --memory: allow it with --memory " in reason
    assert memory.too_large(1000, 2000, "float64", need) is None


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.sampled_from(["float32", "float64"]))
def test_the_limit_that_is_proposed_is_enough(m: int, n: int, dtype: str) -> None:
    reason = memory.too_large(m, n, dtype, 1)
    assert reason is not None
    proposed = re.search(r"allow it with --memory (\S+)$", reason)
    assert proposed is not None
    assert memory.too_large(m, n, dtype, memory.parse_size(proposed[1])) is None


def test_needs_more_in_float64() -> None:
    assert memory.needed(10, 10, "float64") > memory.needed(10, 10, "float32") >= 10 * 10 * 8


def test_default_limit_is_a_share_of_what_is_available(monkeypatch: pytest.MonkeyPatch) -> None:
    need = memory.needed(100, 100, "float64")
    monkeypatch.setattr(memory, "available", lambda: int(need / memory.GUARD_SHARE) + 1)
    assert memory.too_large(100, 100, "float64", None) is None
    monkeypatch.setattr(memory, "available", lambda: int(need / memory.GUARD_SHARE) - 10)
    reason = memory.too_large(100, 100, "float64", None)
    assert reason is not None
    assert re.search(r"more than 80% of the [\d.]+ KiB available: allow it with", reason)


def test_unknown_memory_refuses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available", lambda: None)
    assert memory.too_large(10**7, 10**7, "float64", None) is None


def test_this_machine_could_not_hold_everything() -> None:
    if memory.available() is None:
        pytest.skip("no /proc/meminfo here")
    assert "80%" in (memory.too_large(10**9, 10**9, "float64", None) or "")


PEAK = """
import numpy as np
from jacbench.measuring import memory

if not memory.prepare_to_measure():
    raise SystemExit("cannot")
memory.peak_bytes(lambda: np.ones(10))
{setup}
print(memory.peak_bytes(lambda: {call}))
"""


def peak(call: str, setup: str = "") -> int:
    """Measure in a process of its own: measuring changes how the allocator works."""
    if not sys.platform.startswith("linux"):
        pytest.skip("peaks are read from /proc")
    code = PEAK.format(call=call, setup=setup)
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": ":".join(filter(None, sys.path)), "OPENBLAS_NUM_THREADS": "1"},
    )
    if done.stderr.strip() == "cannot":
        pytest.skip("this kernel does not let a process reset its peak")
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("np.ones(10**6)", 8_000_000),
        ("np.ones(10**6) + np.ones(10**6)", 16_000_000),  # the sum reuses one of the two
        ("np.ones(4 * 10**6).sum()", 32_000_000),  # freed again, but it was the peak
    ],
)
def test_peak_of_a_known_allocation(call: str, expected: int) -> None:
    assert peak(call) == pytest.approx(expected, rel=0.1)


def test_what_was_held_before_is_not_counted() -> None:
    assert peak("np.ones(10**6)", "held = np.ones(10**7)") == pytest.approx(8_000_000, rel=0.1)


def test_an_earlier_peak_is_forgotten() -> None:
    assert peak("np.ones(10**6)", "np.ones(10**7).sum()") == pytest.approx(8_000_000, rel=0.1)


def test_a_small_call_has_a_small_peak() -> None:
    assert 0 <= peak("1 + 1") < 500_000


def test_peaks_are_not_measured_where_the_system_cannot_tell(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert memory.prepare_to_measure() is False


LEAK = """
import gc
import numpy as np
from jacbench.measuring import memory

if not memory.prepare_to_measure():
    raise SystemExit("cannot")
held = []
{setup}
found = memory.leak_bytes(lambda: {call})
print(found or 0)
"""


def leak(call: str, setup: str = "") -> int:
    """Look for a leak in a process of its own."""
    if not sys.platform.startswith("linux"):
        pytest.skip("memory is read from /proc")
    done = subprocess.run(
        [sys.executable, "-c", LEAK.format(call=call, setup=setup)],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": ":".join(filter(None, sys.path)), "OPENBLAS_NUM_THREADS": "1"},
    )
    if done.stderr.strip() == "cannot":
        pytest.skip("this kernel does not let a process reset its peak")
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.parametrize("size", [2**20, 2**16])
def test_what_every_call_keeps_is_a_leak(size: int) -> None:
    assert leak(f"held.append(np.ones({size} // 8))") == pytest.approx(size, rel=0.2)


GROWS_IN_STEPS = """
calls = 0
def call():
    global calls
    calls += 1
    if calls & (calls - 1) == 0:
        held.append(np.ones(2**17))
"""
CYCLES = """
def call():
    cycle = [np.ones(2**15)]
    cycle.append(cycle)
"""
FILLS_A_CACHE = """
def call():
    if len(held) < 5:
        held.append(np.ones(2**17))
"""


@pytest.mark.parametrize(
    ("call", "setup"),
    [
        ("np.ones(10**6).sum()", ""),
        ("call()", FILLS_A_CACHE),
        ("call()", CYCLES),
        ("call()", GROWS_IN_STEPS),
        ("held.append(1)", ""),
    ],
    ids=["temporary", "fills a cache", "cycles", "grows in steps", "a few bytes"],
)
def test_what_is_no_leak(call: str, setup: str) -> None:
    assert leak(call, setup) == 0


def test_a_slow_call_is_not_called_for_long() -> None:
    assert leak("calls()", "import time\ndef calls(): held.append(1); time.sleep(0.4)") == 0
    code = "time.sleep(0.4); held.append(np.ones(2**17)); assert len(held) < 4"
    assert leak("calls()", f"import time\ndef calls(): {code}") == 0


def test_a_leak_is_told_in_a_line() -> None:
    assert memory.leak_caution(1258291) == "leaks 1.2 MiB a call"


def test_a_peak_is_never_less_than_the_result() -> None:
    # pages that nobody has written to yet are not the process's
    assert peak("np.zeros(500_000)") >= 4_000_000
    assert peak("{'a': (np.zeros(500_000), [np.zeros(2)])}") >= 4_000_016


def test_a_sparse_result_is_its_entries_and_their_indices() -> None:
    matrix = scipy.sparse.eye_array(10, format="csr")
    parts = (matrix.data, matrix.indices, matrix.indptr)
    assert memory.size_of(matrix) == sum(part.nbytes for part in parts)
    assert memory.size_of(None) == 0
