"""The contest: candidates enter, race, and those left are measured at length."""

from __future__ import annotations

import math
import os
import random
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from jacbench import scrub
from jacbench.cell import CellResult, Verdict
from jacbench.errors import JacbenchError
from jacbench.memory import format_size
from jacbench.picking.answer import Row
from jacbench.picking.bench import Bench, Entry, Offer
from jacbench.picking.candidate import Candidate
from jacbench.picking.lost import LostError
from jacbench.picking.race import HOPELESS, Standing, race
from jacbench.statistics import Interval, median_interval, outliers, ratio_interval

ONE_SHARE = 0.3
"""Share of the time limit that one candidate may take to enter."""
LEAST_ENTERING_S, COMPILING_S = 5.0, 120.0
"""What it may take in any case, and what one that compiles may, seconds."""
SAMPLE_S = 1.5e-3
"""What one sample lasts, seconds: long against the clock, short against the machine's moods."""
REPEATS = 3
"""Samples in a block, after one call to warm up; their median counts."""
ENTERING_SHARE = 0.6
"""Share of the time limit after which nobody else enters."""
RACING_SHARE = 0.85
"""Share of it after which the race is ended, to measure who leads."""
HOPELESS_PASSES = 10.0
"""A loop that cannot be faster than this many times the best so far is not tried."""
VISITS, VISIT_S = 3, 0.1
"""Stretches and their length, seconds, in which those left are measured: as a run measures."""
ENTERING_CALLS = 5
"""Calls of a candidate that checking it takes: three to compare, two to warm up."""
PROBING_CALLS = 40
"""Calls of the function that looking for a structure takes, about."""
FIRST_SHARE = 0.1
"""Share of the time left that what is used today may take to enter before all others."""
SLOW_CALLS = 4
"""Calls that measuring one slower than a stretch takes, with a first one to warm up."""
PAIRS, LEAST_PAIRS = 8, 3
"""Pairs of blocks for the ratio to what is used today, and with how many it has an interval."""
MOST_MEASURED = 2
"""Candidates of one format that are measured at length, the fastest first."""
CHUNKS = (4, 16, 64)
"""A chunk is tried of all rows divided by each of these, as long as that helps."""
SMALLEST_CHUNK = 8


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What a pick was asked for.

    Attributes
    ----------
    time_limit_s
        What checking and timing may take, seconds; the start of workers and compilers that run for
        seconds are not counted.
    asked_s
        The time limit as the user gave it, of which that is what was left; None: the same.
    calls
        How often the Jacobian is wanted; None: often, so that preparation does not count.
    memory_bytes
        What a call may need; None: nothing was said.
    compile
        False: leave out what compiles for seconds.
    form
        The only format that is asked for; None: every one.
    structure
        False: leave out what relies on a structure of the Jacobian.
    today
        The method that the user uses now.
    threads
        For which everything is pinned; 1 lets candidates be timed on one and the same processor.
    bind
        True where the benches may be bound to processors.
    seed
        Of every order.
    """

    time_limit_s: float = 60.0
    asked_s: float | None = None
    calls: int | None = None
    memory_bytes: int | None = None
    compile: bool = True
    form: str | None = None
    structure: bool = True
    today: str | None = None
    threads: int = 1
    bind: bool = True
    seed: int = 0


@dataclass
class _Known:
    """What is known of one candidate so far."""

    offer: Offer
    bench: Bench
    entry: Entry | None = None
    lost: bool = False
    fate: str = ""
    reason: str | None = None
    call_s: float | None = None
    ratio: Interval | None = None
    against: Candidate | None = None
    result: CellResult | None = None


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
    terms
        What was asked.
    tell
        Is told in a word what goes on: for a progress line.
    """

    def __init__(
        self,
        benches: Sequence[Bench],
        call_s: Mapping[str, float],
        passes: Mapping[str, int],
        terms: Terms,
        tell: Callable[[str], None],
    ) -> None:
        self.benches, self.terms, self.tell = benches, terms, tell
        self._call_s, self._passes = call_s, passes
        self._known: dict[Candidate, _Known] = {}
        self.seconds: dict[str, float] = {}
        self.decided = True
        self.speedup: Interval | None = None
        self._begun = time.monotonic()
        self._rng = random.Random(terms.seed)  # noqa: S311 - an order, no secret
        self._cpus = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        for bench in benches:
            for offer in bench.offers():
                if offer.structure and not terms.structure:
                    continue
                if not self._is_wanted(offer.candidate):
                    continue
                self._known[offer.candidate] = _Known(offer, bench)

    def _is_wanted(self, candidate: Candidate) -> bool:
        """Say whether the format is asked for, or the method is what is used today."""
        form = self.terms.form
        return form is None or candidate.format == form or candidate.method == self.terms.today

    def run(self) -> None:
        """Go through all the stages."""
        with self._spent("checking"):
            self._enter_all(compiled=False)
        for form in self._formats():
            with self._spent("racing"):
                self._race(form)
        with self._spent("racing"):
            self._try_chunks()
        if self.terms.compile:
            self._try_compiled()
        else:
            for known in self._known.values():
                if known.offer.compiled and not known.fate:
                    known.fate, known.reason = "not tried", "compilers are left out"
        with self._spent("measuring"):
            self._measure()
            self._compare()
        with self._spent("memory"):
            self._weigh()

    @contextmanager
    def _spent(self, on: str) -> Iterator[None]:
        begun = time.monotonic()
        try:
            yield
        finally:
            self.seconds[on] = self.seconds.get(on, 0.0) + time.monotonic() - begun

    def _left(self, share: float) -> float:
        """Return how much of that share of the time limit is left, seconds."""
        return self._begun + share * self.terms.time_limit_s - time.monotonic()

    def _formats(self) -> list[str]:
        """Return the formats in which somebody agrees."""
        return list(dict.fromkeys(c.format for c, k in self._known.items() if _agrees(k)))

    # --- entering ---

    def _enter_all(self, *, compiled: bool) -> None:
        """Check everyone who may win, the most promising first."""
        waiting = [k for k in self._known.values() if k.entry is None and not k.fate]
        for known in sorted(waiting, key=self._outlook):
            if known.offer.reason is not None:
                known.fate, known.reason = str(Verdict.UNSUPPORTED), known.offer.reason
            elif known.offer.compiled is not compiled:
                continue
            elif (reason := self._not_worth(known)) is not None:
                known.fate, known.reason = "not tried", reason
            else:
                self._enter(known)

    def _outlook(self, known: _Known) -> tuple[float, bool]:
        """Return a rough guess of the time of a call: loops come last.

        What has to find a structure first comes after plain methods of the cheaper mode: in a
        short time one of those is a better answer than none.
        """
        offer = known.offer
        special = bool(offer.structure) or offer.candidate.format != "dense"
        fewest = min(self._passes.values(), default=1) if special else 1
        share = 1.0 if offer.chunking == "loop" and not special else 0.1
        guess = share * self._passes.get(offer.mode, fewest) * self._of_call_s(known)
        soon = FIRST_SHARE * self._left(1.0)
        slow = PROBING_CALLS * self._of_call_s(known) > soon
        if self._is_today(offer) and (slow or ENTERING_CALLS * self._least_s(known) < soon):
            return -1.0, False  # whatever becomes of the others, that is known
        last = bool(offer.eager_form_of) or (slow and bool(offer.structure))
        return math.inf if last else guess, special

    def _is_today(self, offer: Offer) -> bool:
        return offer.candidate.method == self.terms.today

    def _least_s(self, known: _Known) -> float:
        """Return what a loop over passes takes at the least, seconds; 0 for what is no loop.

        A pass costs at least half a call of the function: forward evaluates it, reverse more.
        """
        if known.offer.chunking != "loop":
            return 0.0
        return 0.5 * self._passes.get(known.offer.mode, 0) * self._of_call_s(known)

    def _of_call_s(self, known: _Known) -> float:
        """Return the time of one call of the function itself, seconds."""
        return self._call_s.get(known.bench.backend, 0.0)

    def _not_worth(self, known: _Known) -> str | None:
        """Return why a candidate need not be tried, or None."""
        offer = known.offer
        asked_s, least = self.terms.asked_s or self.terms.time_limit_s, self._least_s(known)
        best = self._best_s(offer.candidate.format)
        if best is not None and ENTERING_CALLS * least > max(0.0, self._left(1.0)):
            return (
                f"{self._passes[offer.mode]} passes one at a time take at least {_time(least)}, "
                f"and it is called {ENTERING_CALLS} times to be checked: the time limit of "
                f"{asked_s:g} s leaves no time for that"
            )
        if self._is_today(offer):
            return None
        if self._left(ENTERING_SHARE) < 0:
            return f"the time limit of {asked_s:g} s leaves no time for it"
        twin = self._known.get(replace(offer.candidate, method=offer.eager_form_of))
        if twin is not None and _agrees(twin) and self.terms.calls is None:
            return f"{offer.eager_form_of} runs the same passes, compiled"
        if best is None or least <= HOPELESS_PASSES * best:
            return None
        return (
            f"{self._passes[offer.mode]} passes one at a time take at least {_time(least)}, and "
            f"{_time(best)} has been seen"
        )

    def _best_s(self, form: str) -> float | None:
        seen = [k.call_s for c, k in self._known.items() if c.format == form and k.call_s]
        return min(seen, default=None)

    def _enter(self, known: _Known) -> None:
        candidate = known.offer.candidate
        self.tell(f"checking {candidate.label}")
        begun = time.monotonic()
        try:
            entry = known.bench.enter(candidate, self._entering_s(known))
        except JacbenchError as exc:  # what it is held against, or its process, is not to be had
            known.fate, known.reason = str(Verdict.FAILED), scrub.one_line(exc, 300)
            return
        finally:
            if known.offer.compiled:  # what compiles for seconds is not counted
                self._begun += time.monotonic() - begun
        known.entry, known.result, known.call_s = entry, entry.result, entry.call_s
        if entry.call_s is None:
            known.fate, known.reason = str(entry.result.verdict), entry.result.reason

    def _entering_s(self, known: _Known) -> float:
        """Return what one candidate may take to enter: one that hangs leaves time for others."""
        if known.offer.compiled:
            return max(COMPILING_S, self.terms.time_limit_s)
        # what is used today may take long to compare with, once there is something to compare
        seen = self._best_s(known.offer.candidate.format) is not None
        share = 1.0 if seen and self._is_today(known.offer) else ONE_SHARE
        return max(LEAST_ENTERING_S, share * self.terms.time_limit_s)

    # --- racing ---

    def _running(self, form: str) -> list[_Known]:
        return [k for c, k in self._known.items() if c.format == form and _agrees(k) and not k.fate]

    def _race(self, form: str) -> None:
        running = self._running(form)
        if not running:
            return
        self.tell(f"racing {len(running)} candidates ({form})")
        standing = race(
            {k.offer.candidate: k.call_s or 0.0 for k in running},
            self._block,
            extra_s=self._extra(running),
            deadline=time.monotonic() + self._left(RACING_SHARE),
            seed=self.terms.seed,
            each_round=self._bind,
        )
        self._stand(standing)

    def _extra(self, running: Sequence[_Known]) -> dict[Candidate, float]:
        """Return the share of the preparation that falls to one call, where calls are counted."""
        if self.terms.calls is None:
            return {}
        calls = self.terms.calls
        return {k.offer.candidate: self._preparation_s(k) / calls for k in running}

    def _stand(self, standing: Standing) -> None:
        winner = standing.winner
        for candidate, ratio in standing.dropped.items():
            self._place(candidate, "dropped", Interval(ratio, math.nan, math.nan), winner)
        for candidate, interval in standing.ratios.items():
            fate = "equal" if candidate in standing.equals else "slower"
            self._place(candidate, fate, interval, winner)
        self._place(winner, "picked", Interval(1.0, 1.0, 1.0), winner)
        self.decided = self.decided and standing.decided

    def _place(self, candidate: Candidate, fate: str, ratio: Interval, winner: Candidate) -> None:
        known = self._known[candidate]
        if not known.lost:
            known.fate, known.ratio, known.against = fate, ratio, winner

    def _block(self, candidate: Candidate) -> float:
        known = self._known[candidate]
        iterations = max(1, round(SAMPLE_S / max(known.call_s or SAMPLE_S, 1e-9)))
        repeats = 1 if (known.call_s or 0.0) > 10 * SAMPLE_S else REPEATS
        try:
            seconds = statistics.median(known.bench.block(candidate, repeats, iterations))
        except LostError as exc:
            self._lose(known, exc)
            return math.inf
        known.call_s = min(known.call_s or seconds, seconds)
        return seconds

    def _lose(self, known: _Known, exc: LostError) -> None:
        known.lost, known.fate, known.reason = True, str(exc.verdict), exc.reason
        if known.result is not None:
            known.result = replace(known.result, verdict=exc.verdict, reason=exc.reason)

    def _bind(self) -> None:
        """Put all benches on one processor, drawn anew: else cores would be compared."""
        if self.terms.bind and self.terms.threads == 1 and len(self._cpus) > 1:
            cpu = self._rng.choice(self._cpus)
            for bench in self.benches:
                bench.bind([cpu])

    # --- variants of who leads ---

    def _leaders(self, form: str) -> list[_Known]:
        return [
            k for c, k in self._known.items() if c.format == form and k.fate in ("picked", "equal")
        ]

    def _try_chunks(self) -> None:
        """Try smaller and smaller chunks of whoever leads and takes them, while that helps."""
        for form in self._formats():
            chunkable = [k for k in self._leaders(form) if k.offer.chunking == "chunked"]
            added = [new for known in chunkable for new in self._chunks_of(known)]
            if added:
                self._again(form)

    def _chunks_of(self, known: _Known) -> list[_Known]:
        total = self._passes.get(known.offer.mode, 0)
        added = []
        for divisor in CHUNKS:
            size = math.ceil(total / divisor)
            if size < SMALLEST_CHUNK or self._left(RACING_SHARE) < 0:
                break
            candidate = replace(known.offer.candidate, chunk_size=size)
            new = _Known(replace(known.offer, candidate=candidate), known.bench)
            self._known[candidate] = new
            self._enter(new)
            added.append(new)
            if not _agrees(new) or (new.call_s or 0.0) > HOPELESS * (known.call_s or 0.0):
                break
        return added

    def _try_compiled(self) -> None:
        """Try what compiles for seconds: its time is not counted."""
        with self._spent("compiling"):
            self._enter_all(compiled=True)
        entered = [k for k in self._known.values() if k.offer.compiled and _agrees(k)]
        with self._spent("racing"):
            for form in dict.fromkeys(k.offer.candidate.format for k in entered):
                self._again(form)

    def _again(self, form: str) -> None:
        """Race newcomers against those who lead."""
        for known in self._leaders(form):
            known.fate = ""
        self._race(form)

    # --- figures ---

    def _measure(self) -> None:
        """Measure who leads, who is next and what is used today, interleaved, at length."""
        chosen = [k for form in self._formats() for k in self._to_measure(form)]
        if (today := self._today()) is not None and _agrees(today) and today not in chosen:
            chosen.append(today)
        visits: dict[Candidate, list[list[float]]] = {k.offer.candidate: [] for k in chosen}
        for visit in range(VISITS):
            self._bind()
            for known in self._rng.sample(chosen, len(chosen)):
                if known.lost or not self._has_time(known, visit):
                    continue
                candidate = known.offer.candidate
                self.tell(f"measuring {candidate.label}")
                visits[candidate].append(self._stretch(known))
        for known in chosen:
            known.result = _with_figures(known, visits[known.offer.candidate])
        for form in self._formats():
            self._fill(form)

    def _has_time(self, known: _Known, visit: int) -> bool:
        """Say whether to measure one now: a slow one once, and not beyond the time limit."""
        call_s = known.call_s or 0.0
        if call_s > VISIT_S:
            return not visit and self._left(1.0) > SLOW_CALLS * call_s
        return not visit or self._left(1.0) > 0

    def _fill(self, form: str) -> None:
        """Let somebody else take the place of a pick that was lost, and measure it."""
        while self._picked(form) is None and self._next(form):
            known = self._picked(form)
            if known is None or known.result is None or known.result.median_s is not None:
                return
            if self._has_time(known, 0):
                visits = 1 if (known.call_s or 0.0) > VISIT_S else VISITS
                stretches = [self._stretch(known) for _ in range(visits) if not known.lost]
                known.result = _with_figures(known, stretches)

    def _to_measure(self, form: str) -> list[_Known]:
        raced = [k for k in self._known.values() if k.offer.candidate.format == form]
        raced = [k for k in raced if k.fate in ("picked", "equal", "slower")]
        return sorted(raced, key=lambda k: (k.fate != "picked", k.call_s or 0.0))[:MOST_MEASURED]

    def _stretch(self, known: _Known) -> list[float]:
        call_s = max(known.call_s or SAMPLE_S, 1e-9)
        iterations = max(1, round(2 * SAMPLE_S / call_s))
        repeats = max(2, int(VISIT_S / (iterations * call_s)))
        try:
            return list(known.bench.block(known.offer.candidate, repeats, iterations))
        except LostError as exc:
            self._lose(known, exc)
            return []

    def _today(self) -> _Known | None:
        every = self._known.items()
        whole = (k for c, k in every if c.method == self.terms.today and not c.chunk_size)
        return next(whole, None)

    def _compare(self) -> None:
        """Find how many times faster the pick is than what is used today, by paired blocks."""
        self.speedup, today = None, self._today()
        if today is None or not _agrees(today):
            return
        picked = self._picked(today.offer.candidate.format)
        if picked is None:
            return
        if today is picked:
            self.speedup = Interval(1.0, 1.0, 1.0)
            return
        ratios: list[float] = []
        slow_s = (today.call_s or 0.0) + (picked.call_s or 0.0)
        for _ in range(PAIRS):
            if self._left(1.0) < (2 * slow_s if slow_s > VISIT_S or ratios else 0.0):
                break
            self._bind()
            pair = self._rng.sample((today, picked), 2)
            seconds = {k.offer.candidate: self._block(k.offer.candidate) for k in pair}
            if today.lost or picked.lost:
                break
            ratios.append(seconds[today.offer.candidate] / seconds[picked.offer.candidate])
        if picked.lost:
            self._fill(picked.offer.candidate.format)
            self._compare()
        elif not today.lost:
            self.speedup = self._speedup(today, picked, ratios)

    @staticmethod
    def _speedup(today: _Known, picked: _Known, ratios: Sequence[float]) -> Interval | None:
        """Return the ratio by pairs; without an interval where there was no time for some."""
        if len(ratios) >= LEAST_PAIRS:
            return ratio_interval([ratios], confidence=0.95)
        rough = (today.call_s or 0.0) / (picked.call_s or math.inf)
        return Interval(statistics.median(ratios or [rough]), math.nan, math.nan)

    def _weigh(self) -> None:
        """Measure the memory of who leads; whoever needs more than is allowed gives way."""
        if self.terms.bind and len(self._cpus) > 1:
            for bench in self.benches:
                bench.bind(self._cpus)
        for form in self._formats():
            while (picked := self._picked(form)) is not None and not self._passes_at_last(picked):
                self._fill(form)
                if self._today_in(form):
                    self._compare()
        today = self._today()
        if today is not None and _agrees(today) and self._has_time(today, 0):
            self._peak(today)

    def _today_in(self, form: str) -> bool:
        today = self._today()
        return today is not None and today.offer.candidate.format == form

    def _passes_at_last(self, picked: _Known) -> bool:
        """Say whether a pick stays: within its memory, and without a trace on its process."""
        call_s = picked.call_s or 0.0
        if call_s > VISIT_S and self._left(1.0) < SLOW_CALLS * call_s:
            return True
        self._peak(picked)
        peak = picked.result.peak_bytes if picked.result is not None else None
        allowed = self.terms.memory_bytes
        if allowed is not None and peak is not None and peak > allowed:
            told = f"it needs {format_size(peak)}, more than the {format_size(allowed)} allowed"
            self._lose(picked, LostError(Verdict.TOO_LARGE, told))
        elif not picked.lost:
            try:
                changed = picked.bench.changes(picked.offer.candidate)
            except LostError as exc:
                self._lose(picked, exc)
            else:
                if changed is not None:
                    self._lose(picked, LostError(Verdict.FAILED, changed))
        return not picked.lost

    def _peak(self, known: _Known) -> None:
        if known.result is None or known.result.peak_bytes is not None:
            return
        try:
            peak = known.bench.peak(known.offer.candidate)
        except LostError as exc:
            self._lose(known, exc)
        else:
            known.result = replace(known.result, peak_bytes=peak)

    def _picked(self, form: str) -> _Known | None:
        found = (k for c, k in self._known.items() if c.format == form and k.fate == "picked")
        return next(found, None)

    def _next(self, form: str) -> bool:
        """Let the fastest of the others take an empty place; say whether there was one."""
        rest = [
            k
            for c, k in self._known.items()
            if c.format == form and _agrees(k) and k.fate in ("equal", "slower", "dropped")
        ]
        if rest:
            min(rest, key=lambda k: k.call_s or math.inf).fate = "picked"
        return bool(rest)

    # --- the outcome ---

    def picks(self) -> dict[str, Candidate]:
        """Return who won, by format."""
        found = {form: self._picked(form) for form in self._formats()}
        return {form: k.offer.candidate for form, k in found.items() if k is not None}

    def today(self) -> Candidate | None:
        """Return the candidate that the user is taken to use now, if it was found."""
        known = self._today()
        return None if known is None else known.offer.candidate

    def bench_of(self, candidate: Candidate) -> Bench:
        """Return where a candidate was measured."""
        return self._known[candidate].bench

    def rows(self) -> list[Row]:
        """Return what became of every candidate."""
        picks = {form: self._known[c] for form, c in self.picks().items()}
        return [self._row(known, picks.get(c.format)) for c, known in self._known.items()]

    def _row(self, known: _Known, picked: _Known | None) -> Row:
        ratio = self._ratio(known, picked)
        return Row(
            candidate=known.offer.candidate,
            backend=known.bench.backend,
            fate=known.fate or "not tried",
            reason=known.reason,
            result=known.result,
            call_s=self._typical_s(known, picked, ratio),
            ratio=ratio,
            calls_to_break_even=self._break_even(known, picked),
            start_s=known.entry.start_s if known.entry and known.offer.compiled else None,
            structure=known.offer.structure,
        )

    def _ratio(self, known: _Known, picked: _Known | None) -> Interval | None:
        """Return the time over that of the pick: who dropped out early was held against another."""
        if known.ratio is None or picked is None or known.lost:
            return None
        if known is self._today() and self.speedup is not None and self.terms.calls is None:
            return self.speedup
        if known.against == picked.offer.candidate:
            return known.ratio
        ends = [self._over_the_last(k) for k in (known, picked)]
        if ends[0][0] != ends[1][0]:  # whoever won then was lost later
            return None
        return Interval(ends[0][1] / ends[1][1], math.nan, math.nan)

    def _over_the_last(self, known: _Known) -> tuple[Candidate, float]:
        """Return the winner of the last race that a chain of ratios leads to, and their product."""
        ratio = 1.0
        while known.against is not None and known.against != known.offer.candidate:
            ratio *= known.ratio.estimate if known.ratio is not None else math.nan
            known = self._known[known.against]
        return known.offer.candidate, ratio

    def _typical_s(
        self, known: _Known, picked: _Known | None, ratio: Interval | None
    ) -> float | None:
        """Return the time of a call where it was not measured at length: by its ratio."""
        best = None if picked is None or picked.result is None else picked.result.median_s
        if best is None or ratio is None or self.terms.calls is not None:
            return known.call_s
        return best * ratio.estimate

    def _preparation_s(self, known: _Known) -> float:
        """Return what has to be done once, with the start of a compiler: others wait for it too."""
        prepared = known.entry.result.prepare_s if known.entry is not None else None
        if not known.offer.compiled:
            return prepared or 0.0
        beside = [k for k in self._known.values() if k.offer.compiled and k.bench is known.bench]
        return (prepared or 0.0) + max(k.entry.start_s for k in beside if k.entry is not None)

    def _break_even(self, known: _Known, other: _Known | None) -> float | None:
        """Return from how many calls on the faster of two has made up for its preparation."""
        if other is None or known is other or not (_agrees(known) and _agrees(other)):
            return None
        faster, slower = sorted((known, other), key=lambda k: k.call_s or 0.0)
        saved = (slower.call_s or 0.0) - (faster.call_s or 0.0)
        spent = self._preparation_s(faster) - self._preparation_s(slower)
        return spent / saved if saved > 0 and spent > 0 else None


def _agrees(known: _Known) -> bool:
    return known.entry is not None and known.entry.call_s is not None and not known.lost


def _with_figures(known: _Known, visits: Sequence[Sequence[float]]) -> CellResult | None:
    pooled = [second for visit in visits for second in visit]
    if known.result is None or not pooled:
        return known.result
    interval = median_interval(visits)
    quartiles = statistics.quantiles(pooled, n=4) if len(pooled) > 1 else [pooled[0]] * 3
    return replace(
        known.result,
        median_s=interval.estimate,
        low_s=interval.low,
        high_s=interval.high,
        iqr_s=quartiles[2] - quartiles[0],
        outliers=outliers(pooled),
        visits=sum(1 for visit in visits if visit),
        rounds=len(pooled),
    )


def _time(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"
