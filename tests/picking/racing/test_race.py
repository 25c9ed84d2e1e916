"""Racing on planted times: who wins, who drops out, who is equal, and when it ends."""

from __future__ import annotations

import itertools
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jacbench.picking.candidate import Candidate
from jacbench.picking.racing.race import LOOKS, MOST_ROUNDS, race


def named(*names):
    return [Candidate("jacobian", name) for name in names]


class Track:
    """Candidates of known times, and a noise that is the same for all within a round."""

    def __init__(self, times, noise=0.0, seed=0):
        self.times, self.noise = times, noise
        self.rng = random.Random(seed)  # noqa: S311
        self.blocks = []
        self.moment = 1.0

    def each_round(self):
        self.moment = self.rng.choice((1.0, 1.0, 1.8))

    def __call__(self, candidate):
        self.blocks.append(candidate)
        own = 1 + self.noise * self.rng.gauss(0, 1)
        return self.times[candidate] * self.moment * own


def raced(times, noise=0.0, **options):
    track = Track(times, noise)
    return race(times, track, each_round=track.each_round, **options), track


def test_the_fastest_wins_and_the_slow_drop_out_early():
    a, b, c = named("a", "b", "c")
    standing, track = raced({a: 1e-5, b: 1.5e-5, c: 2e-5}, noise=0.01)
    assert standing.winner == a
    assert set(standing.dropped) == {b, c}
    assert standing.decided
    assert track.blocks.count(c) < track.blocks.count(a) or standing.rounds == 1


def test_hopeless_candidates_are_never_timed():
    a, b = named("a", "b")
    standing, track = raced({a: 1e-5, b: 1e-3})
    assert standing.winner == a
    assert standing.dropped[b] == pytest.approx(100)
    assert track.blocks == []


def test_a_doubtful_candidate_is_timed_once_more():
    a, b = named("a", "b")
    standing, track = raced({a: 1e-5, b: 5e-5})
    assert standing.winner == a
    assert track.blocks == [b]


def test_first_calls_that_were_disturbed_do_not_decide():
    a, b, c = named("a", "b", "c")
    track = Track({a: 1e-5, b: 1.3e-5, c: 2e-5})
    first = {a: 6e-5, b: 1.3e-5, c: 3e-5}  # another library was checked beside a
    standing = race(first, track, each_round=track.each_round)
    assert standing.winner == a


def test_equal_candidates_are_said_to_be_equal():
    a, b, c = named("a", "b", "c")
    standing, _ = raced({a: 1e-5, b: 1e-5, c: 2e-5}, noise=0.01)
    assert standing.winner in (a, b)
    (other,) = standing.equals
    assert {standing.winner, other} == {a, b}
    assert standing.ratios[other].low < 1.03
    assert set(standing.dropped) == {c}


def test_a_few_percent_are_told_apart_where_the_noise_is_small():
    a, b = named("a", "b")
    standing, _ = raced({a: 1e-5, b: 1.05e-5}, noise=0.005)
    assert standing.winner == a
    assert standing.equals == ()


def test_a_noisy_moment_that_hits_all_does_not_decide():
    a, b = named("a", "b")
    for seed in range(20):
        track = Track({a: 1e-5, b: 1.1e-5}, noise=0.01, seed=seed)
        standing = race({a: 1e-5, b: 1e-5}, track, each_round=track.each_round, seed=seed)
        assert standing.winner == a


def test_preparation_counts_where_calls_are_counted():
    a, b = named("a", "b")
    quick_to_call = {a: 1e-5, b: 2e-5}
    few = {a: 1.0 / 10, b: 0.0}
    many = {a: 1.0 / 10**7, b: 0.0}
    assert raced(quick_to_call, extra_s=few)[0].winner == b
    assert raced(quick_to_call, extra_s=many)[0].winner == a


def test_it_ends_at_the_deadline_and_says_that_nothing_is_decided():
    a, b = named("a", "b")
    ticks = itertools.count()
    track = Track({a: 1e-5, b: 1.03e-5}, noise=0.04)
    standing = race(track.times, track, deadline=3.0, clock=lambda: float(next(ticks)))
    assert standing.rounds == 3
    assert not standing.decided


def test_without_time_for_a_round_the_first_calls_decide():
    a, b = named("a", "b")
    standing = race({a: 2e-5, b: 1e-5}, lambda c: 1.0, deadline=-1.0, clock=lambda: 0.0)
    assert standing.winner == b
    assert not standing.decided


def test_one_that_is_lost_on_the_way_cannot_win():
    a, b = named("a", "b")
    standing = race({a: 1e-5, b: 1e-5}, lambda c: math.inf if c == a else 1e-5)
    assert standing.winner == b


def test_of_ties_that_are_near_the_preferred_one_wins():
    a, b, c = named("a", "b", "c")
    rank = {a: (2.0,), b: (1.0,), c: (0.0,)}
    standing, _ = raced({a: 1e-5, b: 1.005e-5, c: 1.2e-5}, noise=0.01, rank=rank.__getitem__)
    assert standing.winner == b
    assert standing.ratios[a].estimate == pytest.approx(1 / 1.005, rel=0.02)
    assert a in standing.equals


def test_too_few_rounds_tell_nobody_slower():
    a, b = named("a", "b")
    ticks = itertools.count()
    track = Track({a: 1e-5, b: 1.3e-5})
    standing = race(track.times, track, deadline=2.0, clock=lambda: float(next(ticks)))
    assert standing.winner == a
    assert math.isnan(standing.ratios[b].low)
    assert (standing.equals, standing.dropped, standing.decided) == ((), {}, False)


def test_a_round_begins_only_where_it_will_end_in_time():
    a, b = named("a", "b")
    now = [0.0]
    track = Track({a: 1.0, b: 1.2})

    def block(candidate):
        now[0] += 2 * track.times[candidate]
        return track(candidate)

    takes = {a: 2.0, b: 2.4}.__getitem__
    standing = race(track.times, block, deadline=9.0, clock=lambda: now[0], takes_s=takes)
    assert standing.rounds == 2
    assert now[0] <= 9.0


def test_a_machine_that_slows_down_within_each_round_tells_nobody_slower():
    every = named(*"abcdef")
    for seed in range(10):
        since = [0]

        def block(candidate, since=since):
            since[0] += 1
            return 1e-5 * 1.05 ** since[0]

        def begin(since=since):
            since[0] = 0

        standing = race(dict.fromkeys(every, 1e-5), block, each_round=begin, seed=seed)
        assert not standing.dropped
        assert len(standing.equals) == 5


def test_one_slow_round_of_many_drops_nobody():
    a, b = named("a", "b")
    turns = itertools.count()

    def block(candidate):
        return 3e-5 if candidate == b and next(turns) == 1 else 1e-5

    standing = race({a: 1e-5, b: 1e-5}, block)
    assert not standing.dropped


def test_one_lucky_round_of_many_wins_nothing():
    a, b = named("a", "b")
    turns = itertools.count()

    def block(candidate):
        return 0.4e-5 if candidate == b and next(turns) == 1 else {a: 1e-5, b: 1.3e-5}[candidate]

    assert race({a: 1e-5, b: 1e-5}, block).winner == a


def test_a_single_candidate_wins_without_a_race():
    (a,) = named("a")
    standing, track = raced({a: 1e-5})
    assert standing.winner == a
    assert standing.decided
    assert track.blocks == []


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(1e-6, 1e-2), min_size=1, max_size=8))
def test_without_noise_the_winner_is_within_two_percent_of_the_fastest(times):
    candidates = named(*(f"m{i}" for i in range(len(times))))
    known = dict(zip(candidates, times, strict=True))
    standing, _ = raced(known)
    assert known[standing.winner] <= 1.02 * min(times)
    assert standing.rounds <= MOST_ROUNDS
    every = {standing.winner, *standing.ratios, *standing.dropped}
    assert every == set(candidates)
    assert standing.rounds >= LOOKS[0] or len(standing.ratios) == 0
