"""Racing: every candidate is timed a little, in turn, and what is clearly slower drops out.

In each round every candidate still in the race is timed for some milliseconds, in random order, so
that a noisy moment hits all alike. Against the leader each has one ratio a round; who is slower by
the interval of its ratios is dropped, so that time goes where it is still open who wins. Intervals
are looked at after a few numbers of rounds only: who looks after each is wrong far more often.

Reference: K. Jamieson and A. Talwalkar, Non-stochastic best arm identification and hyperparameter
optimization (AISTATS 2016), for successive halving; J. Maron and A. Moore, Hoeffding races (NIPS
1993), for dropping by intervals.
"""

from __future__ import annotations

import math
import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from jacbench.measuring.statistics import Interval
from jacbench.picking.candidate import Candidate
from jacbench.picking.racing import apart

HOPELESS = 3.0
"""Times the leader's: who takes longer in its first warm calls is not raced at all."""
DOUBTFUL = 10.0
"""Up to so many times it is timed once more before that.

Its first calls may have been disturbed, as by another library that was checked at the same time.
"""
SLOWER = 1.03
"""A candidate whose interval lies above this ratio drops out: addresses and the like make one a
little faster or slower for all the life of a process."""
EQUAL = 1.05
"""Candidates are tied where their intervals lie within this ratio of the leader's time."""
NEAR = 1.02
"""Who is tied with the winner within this ratio takes its place where it is preferred to it."""
MISS = 0.005
"""How often one of those as fast as the leader may be told slower, at each look."""
LOOKS = (5, 8, 12, 17, 24)
"""After so many rounds the intervals are looked at."""
MOST_ROUNDS = LOOKS[-1]
_EARLY = ((2, 1.6), (3, 1.35), (4, 1.25))
"""After so many rounds, who was that much slower in every one of them drops out."""


@dataclass(frozen=True)
class Standing:
    """How a race ended.

    Attributes
    ----------
    winner
        The candidate with the smallest cost.
    ratios
        For every other that finished: its cost over the winner's, with the interval; its ends are
        NaN where there were too few rounds to say.
    equals
        Those of them that are tied with the winner: no interval tells them apart.
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
    takes_s: Callable[[Candidate], float] = lambda _: 0.0,
    rank: Callable[[Candidate], tuple[float, ...]] = lambda _: (),
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
    takes_s
        What a block is expected to take: a round begins only where it will end before the deadline.
    rank
        Of those that are tied and nearly as fast, the one of the least rank wins.
    """
    extra = extra_s or {}
    runners = [
        _Runner(c, call_s[c], extra.get(c, 0.0)) for c in sorted(call_s, key=Candidate.order)
    ]
    best = min(r.typical() for r in runners)

    def fits(timed: Sequence[_Runner]) -> bool:
        return clock() + sum(takes_s(r.candidate) for r in timed) < deadline

    each_round()
    for runner in runners:
        if HOPELESS < runner.typical() / best <= DOUBTFUL and fits([runner]):
            runner.first_s = min(runner.first_s, block(runner.candidate))
    first = {r.candidate: r.typical() for r in runners}
    dropped = {c: cost / best for c, cost in first.items() if cost > HOPELESS * best}
    runners = [r for r in runners if r.candidate not in dropped]
    rng = random.Random(seed)  # noqa: S311 - an order, no secret
    rounds, decided = 0, len(runners) == 1
    while not decided and rounds < MOST_ROUNDS and fits(runners):
        each_round()
        for runner in rng.sample(runners, len(runners)):
            runner.seconds.append(block(runner.candidate))
        rounds += 1
        lost = [r for r in runners if not math.isfinite(r.seconds[-1])]
        if len(lost) == len(runners):
            for runner in runners:
                runner.seconds.pop()
            break
        dropped.update({r.candidate: math.inf for r in lost})
        runners = [r for r in runners if r not in lost]
        leader = min(runners, key=_Runner.typical)
        gone = _slower(runners, leader)
        dropped.update(gone)
        runners = [r for r in runners if r.candidate not in gone]
        decided = len(runners) == 1 or (rounds in LOOKS and _settled(runners, leader))
    # as many rounds as there may be tell no more: who is left is tied
    decided = decided or rounds >= MOST_ROUNDS
    return _standing(runners, dropped, rounds, rank, decided=decided)


def _standing(
    runners: list[_Runner],
    dropped: Mapping[Candidate, float],
    rounds: int,
    rank: Callable[[Candidate], tuple[float, ...]],
    *,
    decided: bool,
) -> Standing:
    fastest = min(runners, key=_Runner.typical)
    ratios = _ratios(runners, fastest)
    near = [r for r in runners if r is fastest or _is_near(ratios[r.candidate])]
    winner = fastest
    if len(near) > 1:
        winner = min(near, key=lambda r: (rank(r.candidate), r.typical()))
    if winner is not fastest:
        ratios = _ratios(runners, winner)
    equals = tuple(c for c, ratio in ratios.items() if ratio.low <= SLOWER)
    return Standing(winner.candidate, ratios, equals, dict(dropped), rounds, decided)


def _is_near(ratio: Interval) -> bool:
    return ratio.low <= 1 and ratio.estimate <= NEAR


def _ratios(runners: Sequence[_Runner], leader: _Runner) -> dict[Candidate, Interval]:
    """Return for every other its cost over the leader's, with the interval."""
    rivals = [r for r in runners if r is not leader]
    found = apart.intervals([_paired(r, leader) for r in rivals], MISS)
    return {r.candidate: ratio for r, ratio in zip(rivals, found, strict=True)}


def _paired(runner: _Runner, leader: _Runner) -> list[float]:
    return [a / b for a, b in zip(runner.costs(), leader.costs(), strict=True)]


def _slower(runners: Sequence[_Runner], leader: _Runner) -> dict[Candidate, float]:
    """Return who is clearly slower than the leader, and how much."""
    found = {r.candidate: out for r in runners if (out := _early(r, leader)) is not None}
    if len(leader.seconds) in LOOKS:
        left = [r for r in runners if r.candidate not in found]
        ratios = _ratios(left, leader)
        found |= {c: ratio.estimate for c, ratio in ratios.items() if ratio.low > SLOWER}
    return found


def _early(runner: _Runner, leader: _Runner) -> float | None:
    """Return the ratio of a runner that was far slower in every round, or None."""
    if runner is leader:
        return None
    ratios = _paired(runner, leader)
    for rounds, limit in _EARLY:
        if len(ratios) >= rounds and min(ratios) > limit:
            return statistics.median(ratios)
    return None


def _settled(runners: Sequence[_Runner], leader: _Runner) -> bool:
    """Say whether all are known to be as fast as the leader."""
    return all(ratio.high < EQUAL for ratio in _ratios(runners, leader).values())
