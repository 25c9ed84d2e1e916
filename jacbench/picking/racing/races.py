"""Heats: the candidates of one format race on their benches, and each is placed."""

from __future__ import annotations

import math
import time

from jacbench.core.errors import JacbenchError
from jacbench.core.progress import Progress
from jacbench.measuring.deadline import Deadline
from jacbench.measuring.statistics import Interval
from jacbench.picking.candidate import Candidate
from jacbench.picking.racing import sampling
from jacbench.picking.racing.candidates import Field
from jacbench.picking.racing.draws import Draws
from jacbench.picking.racing.race import Standing, race
from jacbench.structure.guard import is_guarded
from jacbench.workers.lost import LostError

RACING_SHARE = 0.85
"""Share of the time limit after which the race is ended, to measure who leads."""
FIRST_SHARE = 0.7
"""Share after which it is interrupted where others are to enter it: they need time to race too."""


class Heats:
    """Races within formats.

    Parameters
    ----------
    field
        Who may race.
    deadline
        The time there is.
    draws
        The processor of each round.
    progress
        Is told what goes on.

    Attributes
    ----------
    open
        The formats whose last race ran out of time before it told all apart or equal.
    """

    def __init__(self, field: Field, deadline: Deadline, draws: Draws, progress: Progress) -> None:
        self._field, self._deadline, self._draws, self._progress = field, deadline, draws, progress
        self.open: set[str] = set()

    def race(self, form: str, share: float = RACING_SHARE) -> None:
        """Race those of a format whose fate is open, up to that share of the time; place them."""
        running = [k for k in self._field.of(form) if k.agrees and not k.fate]
        if not running:
            return
        self._progress.begin(f"racing {len(running)} candidates ({form})")
        standing = race(
            {k.candidate: k.call_s or 0.0 for k in running},
            lambda candidate: sampling.block(self._field[candidate]),
            extra_s={k.candidate: self._field.extra_s(k) for k in running},
            deadline=time.monotonic() + self._deadline.left(share),
            seed=self._field.options.seed,
            each_round=self._draws.bind_to_one,
            clock=time.monotonic,
            takes_s=lambda candidate: sampling.block_s(self._field[candidate]),
            rank=self._rank,
        )
        self._stand(standing)
        if standing.decided:
            self.open.discard(form)
        else:
            self.open.add(form)

    def again(self, form: str, share: float = RACING_SHARE) -> None:
        """Race newcomers against who leads, and against all if the last race was cut short."""
        fates = {"picked", "equal", "open", *(["slower"] if form in self.open else [])}
        for known in self._field.of(form):
            if known.fate in fates:
                known.fate = ""
        self.race(form, share)

    def _rank(self, candidate: Candidate) -> tuple[bool, float]:
        """Return what is preferred: what holds for every x, today's, what is short to paste."""
        known = self._field[candidate]
        guessed = known.entry is not None and is_guarded(known.entry.result.notes)
        if known is self._field.today():
            return guessed, 0.0
        try:
            return guessed, sum(map(len, known.bench.code(candidate)))
        except (LostError, JacbenchError):
            return guessed, math.inf

    def _stand(self, standing: Standing) -> None:
        winner = standing.winner
        for candidate, ratio in standing.dropped.items():
            self._place(candidate, "dropped", Interval(ratio, math.nan, math.nan), winner)
        for candidate, interval in standing.ratios.items():
            told = "open" if math.isnan(interval.low) else "slower"
            fate = "equal" if candidate in standing.equals else told
            self._place(candidate, fate, interval, winner)
        self._place(winner, "picked", Interval(1.0, 1.0, 1.0), winner)

    def _place(self, candidate: Candidate, fate: str, ratio: Interval, winner: Candidate) -> None:
        known = self._field[candidate]
        if not known.lost:
            known.fate, known.ratio, known.against = fate, ratio, winner
