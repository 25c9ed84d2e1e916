"""Racing: every candidate is timed a little, in turn, and what is clearly slower drops out.

In each round every candidate still in the race is timed for some milliseconds, in random order, so
that a noisy moment hits all alike. Against the leader each has one ratio a round; who is slower by
the interval of its ratios is dropped, so that time goes where it is still open who wins.

Reference: K. Jamieson and A. Talwalkar, Non-stochastic best arm identification and hyperparameter
optimization (AISTATS 2016), for successive halving; J. Maron and A. Moore, Hoeffding races (NIPS
1993), for dropping by intervals.
"""

from __future__ import annotations

import math
import random
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from jacbench.picking.racing.candidate import Candidate
from jacbench.statistics import Interval, ratio_interval

HOPELESS = 3.0
"""Times the leader's: who takes longer in its first warm calls is not raced at all."""
DOUBTFUL = 10.0
"""Up to so many times it is timed once more before that.

Its first calls may have been disturbed, as by another library that was checked at the same time.
"""
SLOWER = 1.01
"""A candidate whose interval lies above this ratio drops out."""
EQUAL = 1.02
"""Candidates are equal where their intervals lie within this ratio of the leader's time."""
CONFIDENCE = 0.99
LEAST_ROUNDS = 5
MOST_ROUNDS = 24
_EARLY = ((2, 1.6), (3, 1.35), (4, 1.2))
"""After so many rounds, who was that much slower in every one of them drops out."""


@dataclass(frozen=True)
class Standing:
    """How a race ended.

    Attributes
    ----------
    winner
        The candidate with the smallest cost.
    ratios
        For every other that finished: its cost over the winner's, with the interval.
    equals
        Those of them that no interval tells apart from the winner.
    dropped
        Who dropped out, with its cost over the leader's at that time.
    rounds
        How many rounds there were.
    decided
        False where time ran out before the intervals told all candidates apart or equal.
    """

    winner: Candidate
    ratios: Mapping[Candidate, Interval]
    equals: tuple[Candidate, ...]
    dropped: Mapping[Candidate, float]
    rounds: int
    decided: bool


@dataclass
class _Runner:
    """A candidate in the race."""

    candidate: Candidate
    first_s: float
    constant_s: float
    seconds: list[float] = field(default_factory=list)

    def costs(self) -> list[float]:
        # before the first round: what the first calls took
        return [second + self.constant_s for second in self.seconds or [self.first_s]]

    def typical(self) -> float:
        return statistics.median(self.costs())


def race(
    call_s: Mapping[Candidate, float],
    block: Callable[[Candidate], float],
    *,
    extra_s: Mapping[Candidate, float] | None = None,
    deadline: float = math.inf,
    seed: int = 0,
    each_round: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.monotonic,
) -> Standing:
    """Find the candidate of the smallest cost.

    Parameters
    ----------
    call_s
        For each candidate a first estimate of the time of a call, seconds. Not empty.
    block
        ``block(candidate)`` times some calls and returns the time of one, seconds; infinity where
        the candidate is lost.
    extra_s
        What is added to the time of a call: the share of the preparation that falls to one.
    deadline
        When, by ``clock``, the race has to end.
    seed
        Of the order within rounds.
    each_round
        Called before each round.
    clock
        Seconds.
    """
    extra = extra_s or {}
    runners = [
        _Runner(c, call_s[c], extra.get(c, 0.0)) for c in sorted(call_s, key=Candidate.order)
    ]
    best = min(r.typical() for r in runners)
    each_round()
    for runner in runners:
        if HOPELESS < runner.typical() / best <= DOUBTFUL and clock() < deadline:
            runner.first_s = min(runner.first_s, block(runner.candidate))
    first = {r.candidate: r.typical() for r in runners}
    dropped = {c: cost / best for c, cost in first.items() if cost > HOPELESS * best}
    runners = [r for r in runners if r.candidate not in dropped]
    rng = random.Random(seed)  # noqa: S311 - an order, no secret
    rounds, decided = 0, len(runners) == 1
    while not decided and rounds < MOST_ROUNDS and clock() < deadline:
        each_round()
        for runner in rng.sample(runners, len(runners)):
            runner.seconds.append(block(runner.candidate))
        rounds += 1
        lost = [r for r in runners if not math.isfinite(r.seconds[-1])]
        if len(lost) == len(runners):
            break
        dropped.update({r.candidate: math.inf for r in lost})
        runners = [r for r in runners if r not in lost]
        leader = min(runners, key=_Runner.typical)
        gone = {r.candidate: out for r in runners if (out := _out(r, leader)) is not None}
        dropped.update(gone)
        runners = [r for r in runners if r.candidate not in gone]
        decided = rounds >= LEAST_ROUNDS and all(_settled(r, leader) for r in runners)
        decided = decided or len(runners) == 1
    # as many rounds as there may be tell no more: who is left is equal
    decided = decided or rounds >= MOST_ROUNDS
    return _standing(runners, dropped, rounds, decided=decided)


def _standing(
    runners: list[_Runner], dropped: Mapping[Candidate, float], rounds: int, *, decided: bool
) -> Standing:
    if len(runners) == 1:
        return Standing(runners[0].candidate, {}, (), dict(dropped), rounds, decided)
    winner = min(runners, key=_Runner.typical)
    ratios = {r.candidate: _ratio(r, winner) for r in runners if r is not winner}
    equals = tuple(c for c, ratio in ratios.items() if ratio.low <= SLOWER)
    return Standing(winner.candidate, ratios, equals, dict(dropped), rounds, decided)


def _ratio(runner: _Runner, leader: _Runner) -> Interval:
    pairs = zip(runner.costs(), leader.costs(), strict=True)
    return ratio_interval([[one / other for one, other in pairs]], confidence=CONFIDENCE)


def _out(runner: _Runner, leader: _Runner) -> float | None:
    """Return the ratio of a runner that is clearly slower, or None."""
    if runner is leader:
        return None
    ratios = [a / b for a, b in zip(runner.costs(), leader.costs(), strict=True)]
    for rounds, limit in _EARLY:
        if len(ratios) >= rounds and min(ratios) > limit:
            return statistics.median(ratios)
    if len(ratios) < LEAST_ROUNDS:
        return None
    ratio = _ratio(runner, leader)
    return ratio.estimate if ratio.low > SLOWER else None


def _settled(runner: _Runner, leader: _Runner) -> bool:
    """Say whether a runner is known to be as fast as the leader."""
    return runner is leader or _ratio(runner, leader).high < EQUAL
