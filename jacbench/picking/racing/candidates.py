"""All candidates of a contest, and what is known of each so far."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from jacbench.core.cell import CellResult
from jacbench.measuring.statistics import Interval
from jacbench.picking.bench import Bench, Entry, Offer
from jacbench.picking.candidate import Candidate
from jacbench.picking.options import PickOptions
from jacbench.workers.lost import LostError


@dataclass
class Known:
    """What is known of one candidate so far.

    Attributes
    ----------
    offer, bench
        What its library says of it, and where it is checked and timed.
    entry
        How it was checked; None: not yet.
    entering_s
        What that took, seconds: what it takes again where its process is lost.
    lost
        True where it failed only after that.
    fate, reason
        What became of it, in a word and in a line; an empty fate: still open.
    call_s
        The least time of a call that was seen, seconds; None unless it agreed.
    ratio, against
        Its cost over that of the winner of its last race, and who that was.
    result
        Its verdict and figures.
    visits
        What it took where it was measured at length, seconds, by the number of the visit: all that
        have a visit of one number had it in turn.
    """

    offer: Offer
    bench: Bench
    entry: Entry | None = None
    entering_s: float = 0.0
    lost: bool = False
    fate: str = ""
    reason: str | None = None
    call_s: float | None = None
    ratio: Interval | None = None
    against: Candidate | None = None
    result: CellResult | None = None
    visits: dict[int, list[float]] = field(default_factory=dict)

    @property
    def candidate(self) -> Candidate:
        """Which it is."""
        return self.offer.candidate

    @property
    def format(self) -> str:
        """The form in which it answers."""
        return self.candidate.format

    @property
    def agrees(self) -> bool:
        """Whether it was found right, and can still be called."""
        return self.entry is not None and self.entry.call_s is not None and not self.lost

    @property
    def again_s(self) -> float:
        """What it takes before it can be called now, seconds: it may have to be prepared again."""
        return 0.0 if self.bench.ready(self.candidate) else self.entering_s

    def lose(self, exc: LostError) -> None:
        """Take it out, with the verdict of what it was lost by."""
        self.lost, self.fate, self.reason = True, str(exc.verdict), exc.reason
        if self.result is not None:
            self.result = replace(self.result, verdict=exc.verdict, reason=exc.reason)


class Field:
    """The candidates over all libraries that are wanted, in the order of their offers.

    Parameters
    ----------
    benches
        Which offer them.
    options
        What is wanted of them.
    """

    def __init__(self, benches: Sequence[Bench], options: PickOptions) -> None:
        self.options = options
        self._known: dict[Candidate, Known] = {}
        for bench in benches:
            for offer in bench.offers():
                if self._is_wanted(offer):
                    self.add(Known(offer, bench))

    def _is_wanted(self, offer: Offer) -> bool:
        """Say whether its structure may be used, and its format is asked for or it is today's."""
        if offer.structure and not self.options.structure:
            return False
        form = self.options.form
        return form is None or offer.candidate.format == form or self.is_today(offer)

    def __iter__(self) -> Iterator[Known]:
        return iter(self._known.values())

    def __getitem__(self, candidate: Candidate) -> Known:
        return self._known[candidate]

    def get(self, candidate: Candidate) -> Known | None:
        """Return what is known of a candidate, or None where nobody offers it."""
        return self._known.get(candidate)

    def add(self, known: Known) -> None:
        """Take in one more."""
        self._known[known.candidate] = known

    def is_today(self, offer: Offer) -> bool:
        """Say whether it is the method that is used today."""
        return offer.candidate.method == self.options.today

    def today(self) -> Known | None:
        """Return what is used today, as its method does it by itself, if it is here."""
        whole = (k for k in self if self.is_today(k.offer) and not k.candidate.chunk_size)
        return next(whole, None)

    def formats(self) -> list[str]:
        """Return the formats in which somebody agrees."""
        return list(dict.fromkeys(k.format for k in self if k.agrees))

    def of(self, form: str) -> list[Known]:
        """Return everybody of one format."""
        return [k for k in self if k.format == form]

    def best_s(self, form: str) -> float | None:
        """Return the least time of a call that was seen in a format, seconds."""
        return min((k.call_s for k in self.of(form) if k.call_s), default=None)

    def leaders(self, form: str) -> list[Known]:
        """Return who is picked, and who is as fast."""
        return [k for k in self.of(form) if k.fate in ("picked", "equal")]

    def picked(self, form: str) -> Known | None:
        """Return who is picked in a format, or None."""
        return next((k for k in self.of(form) if k.fate == "picked"), None)

    def pick_next(self, form: str) -> bool:
        """Let the fastest of the others take an empty place; say whether there was one."""
        after = ("equal", "open", "slower", "dropped")
        rest = [k for k in self.of(form) if k.agrees and k.fate in after]
        if rest:
            min(rest, key=lambda k: k.call_s or math.inf).fate = "picked"
        return bool(rest)

    def extra_s(self, known: Known) -> float:
        """Return the share of the preparation that falls to one call, where calls are counted."""
        calls = self.options.calls
        return 0.0 if calls is None else self.preparation_s(known) / calls

    def preparation_s(self, known: Known) -> float:
        """Return what has to be done once, with the start of a compiler: others wait for it too."""
        prepared = known.entry.result.prepare_s if known.entry is not None else None
        if not known.offer.compiled:
            return prepared or 0.0
        beside = [k for k in self if k.offer.compiled and k.bench is known.bench]
        return (prepared or 0.0) + max(k.entry.start_s for k in beside if k.entry is not None)
