"""Entering: who is prepared and checked, in which order, and why others are not."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial

from jacbench.core import redaction
from jacbench.core.cell import Verdict
from jacbench.core.errors import JacbenchError
from jacbench.core.progress import Progress
from jacbench.core.units import format_seconds
from jacbench.measuring.deadline import Deadline
from jacbench.picking.bench import Bench
from jacbench.picking.racing.candidates import Field, Known
from jacbench.picking.racing.races import RACING_SHARE
from jacbench.workers.pool import Abreast

ONE_SHARE = 0.3
"""Share of the time limit that one candidate may take to enter."""
LEAST_ENTERING_S = 5.0
"""What it may take while there is so much time, seconds."""
GRACE_S = 1.0
"""What one may take that begins to enter in time, seconds."""
ENTERING_SHARE = 0.6
"""Share of the time limit after which nobody else enters."""
HOPELESS_PASSES = 10.0
"""A loop that cannot be faster than this many times the best so far is not tried."""
ENTERING_CALLS = 5
"""Calls of a candidate that checking it takes: three to compare, two to warm up."""
PROBING_CALLS = 40
"""Calls of the function that looking for a structure takes, about."""
LOOKING_SHARE = 0.4
"""Share of the time limit in which structure may be looked for before plain methods are tried."""
TODAY_SHARE = 0.5
"""Share of the time left that what is used today may take to enter after others: one that takes
longer may take the process of those with it, which then have to be prepared again."""
LIKELY = 4.0
"""Times what it takes at the least that a loop is likely to take: two calls a pass."""
FIRST_SHARE = 0.1
"""Share of the time left that what is used today may take to enter before all others."""
NO_TIME = "no time"
"""The fate of one that may win, and is left out for want of time."""


class Entering:
    """The way into a contest.

    Parameters
    ----------
    field
        Who may enter.
    deadline
        The time there is.
    call_s
        The time of one call of the function itself, by backend, seconds.
    passes
        How many passes a mode needs: ``{"reverse": m, "forward": n}``.
    progress
        Is told what goes on.
    runner
        Lets benches check at the same time.
    """

    def __init__(
        self,
        field: Field,
        deadline: Deadline,
        call_s: Mapping[str, float],
        passes: Mapping[str, int],
        progress: Progress,
        runner: Abreast,
    ) -> None:
        self._field, self._deadline = field, deadline
        self._progress, self._runner = progress, runner
        self._call_s, self._passes = call_s, passes
        self._compiled_s = 0.0

    def enter_all(self, *, compiled: bool) -> None:
        """Check everyone who may win, of those that compile for seconds or of the others.

        In one process the most promising of all libraries comes first. Compilers that run for
        seconds use every processor: they come one after another.
        """
        waiting = [known for known in self.order() if not self._is_refused(known)]
        waiting = [known for known in waiting if known.offer.compiled is compiled]
        if compiled or self._runner.alone:
            self._enter_in_turn(waiting)
            return
        by_bench: dict[Bench, list[Known]] = {}
        for known in waiting:
            by_bench.setdefault(known.bench, []).append(known)
        tasks = [partial(self._enter_in_turn, alike) for alike in by_bench.values()]

        def give_up() -> None:
            for bench in by_bench:
                bench.close()

        self._runner.each(tasks, give_up)

    @staticmethod
    def _is_refused(known: Known) -> bool:
        """Note for one that its library refuses why it does."""
        if known.offer.reason is None:
            return False
        known.fate, known.reason = str(Verdict.UNSUPPORTED), known.offer.reason
        return True

    def _enter_in_turn(self, waiting: Sequence[Known]) -> None:
        waiting = list(waiting)
        while waiting and not self._runner.stopped.is_set():
            # anew each time: what comes first depends on how much time is left
            waiting.sort(key=self._outlook)
            known = waiting.pop(0)
            if (spared := self._not_worth(known)) is not None:
                known.fate, known.reason = spared
            else:
                self.enter(known)

    def leave_out_compiled(self) -> None:
        """Say of those that compile for seconds that they are not wanted."""
        for known in self._field:
            if known.offer.compiled and not known.fate:
                known.fate, known.reason = "not tried", "compilers are left out"

    def enter(self, known: Known) -> None:
        """Prepare and check one; its entry, or why there is none, is noted."""
        self._progress.begin(f"checking {known.candidate.label}")
        begun = time.monotonic()
        try:
            with self._compiling() if known.offer.compiled else nullcontext():
                entry = known.bench.enter(known.candidate, self._entering_s(known))
        except JacbenchError as exc:  # what it is held against, or its process, is not to be had
            known.fate, known.reason = str(Verdict.FAILED), redaction.one_line(exc, 300)
            return
        known.entering_s = time.monotonic() - begun
        known.entry, known.result, known.call_s = entry, entry.result, entry.call_s
        if entry.call_s is None:
            known.fate, known.reason = str(entry.result.verdict), entry.result.reason

    @contextmanager
    def _compiling(self) -> Iterator[None]:
        """Count what goes on as compiling, and not against the time limit."""
        begun = time.monotonic()
        try:
            with self._deadline.uncounted():
                yield
        finally:
            self._compiled_s += time.monotonic() - begun

    def _entering_s(self, known: Known) -> float:
        """Return what one candidate may take to enter: one that hangs leaves time for others."""
        options = self._field.options
        if known.offer.compiled:
            return max(GRACE_S, options.compile_limit_s - self._compiled_s)
        # what is used today may take long to compare with, once there is something to compare
        seen = self._field.best_s(known.format) is not None
        left = self._deadline.left()
        if seen and self._field.is_today(known.offer):
            return max(GRACE_S, TODAY_SHARE * left)
        may_s = max(LEAST_ENTERING_S, ONE_SHARE * self._deadline.limit_s)
        return max(GRACE_S, min(may_s, left))

    # --- in which order ---

    def order(self) -> list[Known]:
        """Return who has not entered yet, the most promising first."""
        waiting = [k for k in self._field if k.entry is None and not k.fate]
        return sorted(waiting, key=self._outlook)

    def _outlook(self, known: Known) -> tuple[int, float, bool]:
        """Return a place in the order, and a rough guess of the time of a call: loops come last.

        What has to find a structure first comes after plain methods of the cheaper mode: in a
        short time one of those is a better answer than none. Where so many passes would take much
        of the time, it comes before them: looking takes a few calls, whatever the passes.
        """
        offer = known.offer
        special = bool(offer.structure) or known.format != "dense"
        fewest = min(self._passes.values(), default=1) if special else 1
        share = 1.0 if offer.chunking == "loop" and not special else 0.1
        guess = share * self._passes.get(offer.mode, fewest) * self._of_call_s(known)
        soon = FIRST_SHARE * self._deadline.left()
        slow = PROBING_CALLS * self._of_call_s(known) > soon
        quick = ENTERING_CALLS * LIKELY * self._least_s(known) < soon
        passes = min(self._passes.values(), default=1)
        early = self._deadline.left(LOOKING_SHARE) > 0
        if (
            special
            and early
            and not slow
            and ENTERING_CALLS * passes * self._of_call_s(known) > soon
        ):
            # samples save passes by their number, which may be two
            return 0, guess * (10 if offer.structure == "samples" else 1), special
        if self._field.is_today(offer) and (slow or quick):
            return 1, 0.0, False  # whatever becomes of the others, that is known
        last = bool(offer.eager_form_of) or (slow and bool(offer.structure))
        return 2, math.inf if last else guess, special

    def _least_s(self, known: Known) -> float:
        """Return what a loop over passes takes at the least, seconds; 0 for what is no loop.

        A pass costs at least half a call of the function: forward evaluates it, reverse more.
        """
        if known.offer.chunking != "loop":
            return 0.0
        return 0.5 * self._passes.get(known.offer.mode, 0) * self._of_call_s(known)

    def _of_call_s(self, known: Known) -> float:
        """Return the time of one call of the function itself, seconds."""
        return self._call_s.get(known.bench.backend, 0.0)

    # --- who is spared ---

    def _not_worth(self, known: Known) -> tuple[str, str] | None:
        """Return the fate of a candidate that is not tried, and why; None: it is."""
        best = self._field.best_s(known.format)
        if best is not None and (reason := self._too_long(known)) is not None:
            # one that cannot win is spared whatever time there is
            return "not tried" if self._least_s(known) > best else NO_TIME, reason
        if self._field.is_today(known.offer):
            return None
        reason = self._compiled_instead(known) or self._hopeless(known, best)
        if reason is not None:
            return "not tried", reason
        reason = self._no_time(known)
        return None if reason is None else (NO_TIME, reason)

    def _no_time(self, known: Known) -> str | None:
        """Return that one comes too late, or None."""
        options = self._field.options
        if known.offer.compiled and self._compiled_s >= options.compile_limit_s:
            return f"the compile limit of {options.compile_limit_s:g} s leaves no time for it"
        # compiling is not counted: it is worth it while there is time to race
        share = RACING_SHARE if known.offer.compiled else ENTERING_SHARE
        if self._deadline.left(share) >= 0:
            return None
        return f"the time limit of {self._field.options.time_limit_s:g} s leaves no time for it"

    def _too_long(self, known: Known) -> str | None:
        """Return why there is no time even to check a loop, or None."""
        likely = ENTERING_CALLS * LIKELY * self._least_s(known)
        if likely <= max(0.0, self._deadline.left()):
            return None
        return (
            f"{self._at_least(known)}, and it is called {ENTERING_CALLS} times to be checked: "
            f"the time limit of {self._field.options.time_limit_s:g} s leaves no time for that"
        )

    def _compiled_instead(self, known: Known) -> str | None:
        """Return that a compiled form of the same passes is right, or None."""
        compiled = known.offer.eager_form_of
        twin = self._field.get(replace(known.candidate, method=compiled))
        if twin is None or not twin.agrees or self._field.options.calls is not None:
            return None
        return f"{compiled} runs the same passes, compiled"

    def _hopeless(self, known: Known, best: float | None) -> str | None:
        """Return why a loop cannot come near the best so far, or None."""
        if best is None or self._least_s(known) <= HOPELESS_PASSES * best:
            return None
        return f"{self._at_least(known)}, and {format_seconds(best)} has been seen"

    def _at_least(self, known: Known) -> str:
        passes, least = self._passes[known.offer.mode], self._least_s(known)
        return f"{passes} passes one at a time take at least {format_seconds(least)}"
