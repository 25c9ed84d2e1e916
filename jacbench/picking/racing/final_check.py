"""The last check of a pick: its memory, its traces, and whether what was timed is right."""

from __future__ import annotations

from dataclasses import replace

from jacbench.core.cell import Verdict
from jacbench.measuring.deadline import Deadline
from jacbench.measuring.memory import format_size
from jacbench.picking.racing.candidates import Field, Known
from jacbench.picking.racing.draws import Draws
from jacbench.picking.racing.measuring import Measuring
from jacbench.picking.racing.sampling import SLOW_S
from jacbench.workers.lost import LostError

AGAIN_S, AGAIN_CALLS = 4.0, 40
"""Seconds, beside so many calls, that are left where a pick is asked again at new points."""
CALLS = 4
"""Calls that the last check takes: two for the memory, two for the traces."""


class LastCheck:
    """What only a pick has to pass; who does not gives way to the next.

    Parameters
    ----------
    field
        Who is picked.
    deadline
        The time there is.
    draws
        Gives the processes all their processors again.
    measuring
        Lets another take the place of a pick that gives way.

    Attributes
    ----------
    skipped
        The labels of picks for which there was no time to ask them again at new points.
    """

    def __init__(
        self, field: Field, deadline: Deadline, draws: Draws, measuring: Measuring
    ) -> None:
        self._field, self._deadline, self._draws = field, deadline, draws
        self._measuring = measuring
        self.skipped: list[str] = []

    def check(self) -> None:
        """Check every pick, and measure the memory of what is used today."""
        self._draws.unbind()
        for form in self._field.formats():
            while (picked := self._field.picked(form)) is not None and not self._passes(picked):
                self._measuring.fill(form)
        today = self._field.today()
        if today is not None and today.agrees and self._measuring.has_time(today):
            _weigh(today)

    def _passes(self, picked: Known) -> bool:
        """Say whether a pick stays: within its memory, and without a trace on its process."""
        call_s = picked.call_s or 0.0
        left = self._deadline.left() - picked.again_s
        if left < 0 < picked.again_s or (call_s > SLOW_S and left < CALLS * call_s):
            self.skipped.append(picked.candidate.label)
            return True
        _weigh(picked)
        if (too_much := self._too_much(picked)) is not None:
            picked.lose(LostError(Verdict.TOO_LARGE, too_much))
        elif not picked.lost:
            again = self._deadline.left() > AGAIN_S + AGAIN_CALLS * call_s
            _look_for_traces(picked, again=again)
            if not (again or picked.lost):
                self.skipped.append(picked.candidate.label)
        return not picked.lost

    def _too_much(self, picked: Known) -> str | None:
        """Return by how much it needs more memory than is allowed, or None."""
        peak = picked.result.peak_bytes if picked.result is not None else None
        allowed = self._field.options.memory_bytes
        if allowed is None or peak is None or peak <= allowed:
            return None
        return f"it needs {format_size(peak)}, more than the {format_size(allowed)} allowed"


def _weigh(known: Known) -> None:
    """Note the peak memory of a call, once."""
    if known.result is None or known.result.peak_bytes is not None:
        return
    try:
        peak = known.bench.peak(known.candidate)
    except LostError as exc:
        known.lose(exc)
    else:
        known.result = replace(known.result, peak_bytes=peak)


def _look_for_traces(picked: Known, *, again: bool) -> None:
    """Call it again; it is lost where that fails, is wrong, or changes its process."""
    try:
        changed = picked.bench.changes(picked.candidate, again=again)
    except LostError as exc:
        picked.lose(exc)
    else:
        if changed is not None:
            picked.lose(LostError(Verdict.FAILED, changed))
