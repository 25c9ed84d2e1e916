"""The contest: candidates enter, race, and those left are measured at length."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from jacbench.core.errors import JacbenchError
from jacbench.core.progress import Progress
from jacbench.measuring.deadline import Deadline
from jacbench.picking.answer import UNMEASURED, Row
from jacbench.picking.bench import Bench
from jacbench.picking.candidate import Candidate
from jacbench.picking.options import PickOptions
from jacbench.picking.racing import rows
from jacbench.picking.racing.admission import Entering
from jacbench.picking.racing.candidates import Field
from jacbench.picking.racing.chunks import Chunks
from jacbench.picking.racing.draws import Draws
from jacbench.picking.racing.final_check import LastCheck
from jacbench.picking.racing.measuring import Measuring
from jacbench.picking.racing.races import FIRST_SHARE, RACING_SHARE, Heats
from jacbench.picking.racing.speedup import Speedup, speedup
from jacbench.workers.lost import LostError
from jacbench.workers.pool import ALONE, Abreast


class Contest:
    """One function's candidates over all of its libraries.

    Parameters
    ----------
    benches
        Where candidates are checked and timed, one for each library.
    call_s
        The time of one call of the function itself, by backend, seconds.
    passes
        How many passes a mode needs: ``{"reverse": m, "forward": n}``.
    options
        What was asked.
    progress
        Is told what goes on: for a progress line.
    runner
        Lets benches that are processes of their own check candidates at the same time.

    Attributes
    ----------
    seconds
        What each stage took so far, seconds.
    """

    def __init__(
        self,
        benches: Sequence[Bench],
        call_s: Mapping[str, float],
        passes: Mapping[str, int],
        options: PickOptions,
        deadline: Deadline,
        progress: Progress,
        runner: Abreast = ALONE,
        *,
        bind: bool = True,
    ) -> None:
        self._compile, self._benches = bool(options.compile), benches
        self._deadline = deadline
        self.seconds: dict[str, float] = {}
        for bench in benches:
            bench.hold(deadline.left)
        draws = Draws(benches, options, bind=bind)
        self._field = field = Field(benches, options)
        self._entering = Entering(field, deadline, call_s, passes, progress, runner)
        self._heats = Heats(field, deadline, draws, progress)
        self._chunks = Chunks(field, deadline, passes, self._entering, self._heats)
        self._measuring = Measuring(field, deadline, draws, progress)
        self._last_check = LastCheck(field, deadline, draws, self._measuring)

    def run(self) -> None:
        """Go through all the stages."""
        with self._spent("checking"):
            self._entering.enter_all(compiled=False)
        to_come = self._compile and any(k.offer.compiled and not k.fate for k in self._field)
        share = FIRST_SHARE if to_come else RACING_SHARE
        with self._spent("racing"):
            for form in self._field.formats():
                self._heats.race(form, share)
            self._chunks.try_all(share)
        if self._compile:
            self._try_compiled()
        else:
            self._entering.leave_out_compiled()
        with self._spent("measuring"):
            self._measuring.measure()
        with self._spent("memory"):
            self._last_check.check()

    def _try_compiled(self) -> None:
        """Try what compiles for seconds: its time is not counted."""
        with self._spent("compiling"):
            self._entering.enter_all(compiled=True)
            self._revive()
        entered = [known for known in self._field if known.offer.compiled and known.agrees]
        with self._spent("racing"):
            for form in dict.fromkeys(known.format for known in entered):
                self._heats.again(form)

    def _revive(self) -> None:
        """Start what compilers took with them: that is time of theirs, too."""
        with self._deadline.uncounted():
            for bench in self._benches:
                with suppress(LostError, JacbenchError):  # told of whoever is called next
                    bench.revive()

    @contextmanager
    def _spent(self, on: str) -> Iterator[None]:
        begun = time.monotonic()
        try:
            yield
        finally:
            self.seconds[on] = self.seconds.get(on, 0.0) + time.monotonic() - begun

    # --- the outcome ---

    @property
    def decided(self) -> bool:
        """False where somebody who may be faster was not measured, or not to the end."""
        return not self._heats.open and not any(k.fate in UNMEASURED for k in self._field)

    @property
    def speedup(self) -> Speedup | None:
        """The time of what is used today over that of the pick; None: they are not compared."""
        return speedup(self._field)

    @property
    def not_asked_again(self) -> list[str]:
        """The labels of picks that were not checked once more after timing, for want of time."""
        return self._last_check.skipped

    def picks(self) -> dict[str, Candidate]:
        """Return who won, by format."""
        found = {form: self._field.picked(form) for form in self._field.formats()}
        return {form: known.candidate for form, known in found.items() if known is not None}

    def today(self) -> Candidate | None:
        """Return the candidate that the user is taken to use now, if it was found."""
        known = self._field.today()
        return None if known is None else known.candidate

    def bench_of(self, candidate: Candidate) -> Bench:
        """Return where a candidate was measured."""
        return self._field[candidate].bench

    def rows(self) -> list[Row]:
        """Return what became of every candidate."""
        found = self.speedup
        return rows.rows(self._field, None if found is None else found.ratio)
