"""A test process that held too much is told of, with the file that it grew in."""

from __future__ import annotations

import sys

import pytest

from tests import memory


def account_of(monkeypatch: pytest.MonkeyPatch, marks: list[int], files: list[str]) -> object:
    """Return what is told of a process whose peak stood at ``marks``, before and after files."""
    left = iter(marks)
    monkeypatch.setattr(memory, "held", lambda field="VmRSS": next(left) if "HWM" in field else 0)
    account = memory.Account()
    for file in files:
        account.after(file)
    return account.told()


def test_the_file_that_raised_the_peak_most_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    files = ["a.py", "b.py", "a.py", "c.py"]
    told = account_of(monkeypatch, [100, 900, 1500, 1600, 1700], files)
    assert told == (
        "a test process held 1700 MiB at its peak, more than 1536 MiB: "
        "it grew most, by 900 MiB, during a.py"
    )


def test_nothing_is_told_up_to_what_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert account_of(monkeypatch, [100, 1536], ["a.py"]) is None


def test_a_mark_that_was_set_back_hides_no_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    told = account_of(monkeypatch, [100, 1600, 300], ["a.py", "b.py"])
    assert told is not None
    assert "1600 MiB at its peak" in told


def test_it_lets_go_once_for_as_much_again(monkeypatch: pytest.MonkeyPatch) -> None:
    account, gone = memory.Account(), []
    monkeypatch.setattr(memory, "let_go", lambda: gone.append(True))
    account.base = memory.held() - memory.KEPT - 1
    account.after("a.py")
    account.after("a.py")
    assert len(gone) == (1 if sys.platform == "linux" else 0)


@pytest.mark.skipif(sys.platform != "linux", reason="told by Linux alone")
def test_the_peak_is_at_least_what_is_held() -> None:
    assert memory.held("VmHWM") >= memory.held() > 0
