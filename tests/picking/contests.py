"""Contests on planted candidates, run to their end."""

from __future__ import annotations

from jacbench.core.progress import Quiet
from jacbench.measuring.deadline import Deadline
from jacbench.picking.candidate import Candidate
from jacbench.picking.options import PickOptions
from jacbench.picking.racing.contest import Contest
from tests.picking.simulated import Planted, SimulatedBench

PASSES = {"reverse": 200, "forward": 100}


def run(*benches, left_s=None, **options):
    """Return the contest of all ``benches``, with ``left_s`` of its time limit left."""
    call_s = {bench.backend: 1e-5 for bench in benches}
    asked = PickOptions(**{"compile": True, **options})
    made = Contest(benches, call_s, PASSES, asked, Deadline(left_s or asked.time_limit_s), Quiet())
    made.run()
    return made


def contest(*planted: Planted, **options):
    """Return the contest of one bench, and the bench."""
    bench = SimulatedBench(*planted)
    return run(bench, **options), bench


def row(made, method, chunk_size=None, operator="jacobian"):
    """Return what became of one candidate."""
    wanted = Candidate(operator, method, chunk_size)
    return next(row for row in made.rows() if row.candidate == wanted)


class Late(SimulatedBench):
    """A bench of which one step raises, or says something, for one method."""

    def __init__(self, *planted, step, method, does, **options):
        super().__init__(*planted, **options)
        self.step, self.method, self.does = step, method, does

    def _late(self, step, candidate):
        if (step, candidate.method) == (self.step, self.method):
            if isinstance(self.does, Exception):
                raise self.does
            return self.does
        return None

    def enter(self, candidate, time_limit_s=None):
        self._late("enter", candidate)
        return super().enter(candidate, time_limit_s)

    def peak(self, candidate):
        self._late("peak", candidate)
        return super().peak(candidate)

    def changes(self, candidate, *, again=False):
        return self._late("changes", candidate)
