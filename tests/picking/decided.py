"""Answers over planted benches, one step of which may raise."""

from __future__ import annotations

from jacbench.core.progress import Quiet
from jacbench.picking import decide as deciding
from jacbench.picking.options import PickOptions
from tests.picking.simulated import Planted, SimulatedBench

DESCRIBED = {"name": "f", "kind": "planted", "device": "cpu", "notes": ["said before"]}


class Faulty(SimulatedBench):
    """A bench of which one step raises."""

    def __init__(self, *planted, step="", raises=None, look=None, **options):
        super().__init__(*planted, **options)
        self.step, self.raises, self.look = step, raises, look

    def __getattribute__(self, name):
        own = super().__getattribute__
        if name[0] != "_" and name == own("__dict__").get("step"):
            raise own("raises")
        return own(name)

    def examine(self, time_limit_s, part=1.0):
        self.part = part
        return self.look or super().examine(time_limit_s, part)


def decide(*benches, **wanted):
    """Return the answer of ``benches``."""
    known = {"time_limit_s": 5.0, "compile": False, **wanted}
    return deciding.decide(
        benches, DESCRIBED, PickOptions(**known), Quiet(), starting_s=0.0, bind=False
    )


def sim(*names, **options):
    """Return a bench of candidates, each slower than the one before it."""
    return Faulty(*(Planted(name, 1e-5 * (i + 1)) for i, name in enumerate(names)), **options)
