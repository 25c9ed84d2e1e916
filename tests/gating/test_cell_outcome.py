"""What both stages found becomes one outcome: planted faults are named, noise is not."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from jacbench.core.cell import Cell, Verdict
from jacbench.gating.outcome import Judged, Outcome
from jacbench.gating.settings import LIMITS
from jacbench.results.policy import Limits
from tests.gating.simulated import (
    ONE,
    TWO,
    Event,
    Machine,
    Version,
    gate_run,
    outcomes,
    raising,
    slower,
)

AGREES, WRONG = Verdict.AGREES, Verdict.DISAGREES
UNCONFIRMED = "fresh workers did not say so again"


def only(machine: Machine, **parts: object) -> Judged:
    (one,) = outcomes(machine, **parts)
    return one


def head(version: Version, **parts: object) -> Judged:
    """Return what the gate says of a cell of which head has another version."""
    return only(Machine({("head", ONE): version}, **parts))


def by_launch(*verdicts: Verdict) -> Version:
    """Return a version with a verdict for each worker, the last one for all that follow."""
    return Version(verdict=lambda n: verdicts[min(n, len(verdicts) - 1)])


# Times


@pytest.mark.parametrize("seed", range(12))
def test_identical_versions_pass(seed: int) -> None:
    run = gate_run(Machine(seed=seed), (ONE, TWO), seed=seed)
    assert run.ok
    assert [one.outcome for one in run.judged] == [Outcome.PASS, Outcome.PASS]
    assert [one.reason for one in run.judged] == [None, None]


@pytest.mark.parametrize("seed", range(6))
def test_ten_percent_are_a_regression_that_fresh_workers_confirm(seed: int) -> None:
    machine = Machine({("head", ONE): slower(1.1)}, seed=seed)
    run = gate_run(machine, (ONE, TWO), seed=seed)
    one, other = run.judged
    assert (one.outcome, other.outcome) == (Outcome.REGRESSION, Outcome.PASS)
    assert not run.ok
    assert one.reason is not None
    assert one.reason.startswith("time x 1.")
    assert machine.arms == {"base": 8, "head": 8}
    # The figures are of both stages.
    assert one.time is not None
    assert one.time.pairs == 80
    assert one.time.ratio.estimate == pytest.approx(1.1, rel=0.01)
    assert one.base_s == pytest.approx(1e-4, rel=0.02)
    assert one.head_s == pytest.approx(1.1e-4, rel=0.02)


def test_a_spike_of_the_first_stage_is_inconclusive() -> None:
    one = head(Version(call_s=lambda n: 1.3e-4 if n < 4 else 1e-4))
    assert one.outcome is Outcome.INCONCLUSIVE
    assert one.reason is not None
    assert re.match(r"time x 1\.(29|3)", one.reason)
    assert one.reason.endswith(UNCONFIRMED)


def test_a_regression_that_time_ran_out_on_is_inconclusive() -> None:
    for what in ("start", "block"):
        machine = Machine({("head", ONE): slower(1.1)}, trouble=stop_at(4, what))
        run = gate_run(machine)
        (one,) = run.judged
        assert one.outcome is Outcome.INCONCLUSIVE
        assert run.interrupted
        assert one.reason is not None
        assert "time x 1." in one.reason
        assert one.reason.endswith("no time was left to confirm it in fresh workers")


def stop_at(launch: int, what: str = "start") -> Callable[[Event], None]:
    """Interrupt at such a question to the how-manieth worker of head."""

    def trouble(event: Event) -> None:
        if (event.side, event.launch, event.what) == ("head", launch, what):
            raise KeyboardInterrupt

    return trouble


def test_faster() -> None:
    one = head(slower(0.8))
    assert one.outcome is Outcome.FASTER
    assert one.reason is None
    assert head(slower(0.98)).outcome is Outcome.PASS


def test_noise_is_inconclusive_with_its_figures() -> None:
    one = only(Machine(noise=3.0), extensions=0)
    assert one.outcome is Outcome.INCONCLUSIVE
    assert one.reason is not None
    assert one.reason.startswith("time x ")


# Preparation and memory


def test_a_longer_preparation_is_a_regression() -> None:
    sides = {
        ("base", ONE): Version(prepare_s=lambda _: 0.1),
        ("head", ONE): Version(prepare_s=lambda _: 0.15),
    }
    one = only(Machine(sides))
    assert one.outcome is Outcome.REGRESSION
    assert one.reason is not None
    assert one.reason.startswith("preparation x 1.")
    assert one.head_prepare_s == pytest.approx(0.15, rel=0.05)
    assert one.base_prepare_s == pytest.approx(0.1, rel=0.05)


def test_a_preparation_below_ten_milliseconds_is_never_judged() -> None:
    one = head(Version(prepare_s=lambda _: 9e-3))
    assert one.outcome is Outcome.PASS
    assert one.preparation is None
    assert one.head_prepare_s == pytest.approx(9e-3, rel=0.05)


def test_time_and_preparation_are_confirmed_each() -> None:
    # First the call, then the preparation: neither was said twice.
    sides = {
        ("base", ONE): Version(prepare_s=lambda _: 0.1),
        ("head", ONE): Version(
            call_s=lambda n: 1.3e-4 if n < 4 else 1e-4,
            prepare_s=lambda n: 0.1 if n < 4 else 0.2,
        ),
    }
    one = only(Machine(sides))
    assert one.outcome is Outcome.INCONCLUSIVE
    assert one.reason is not None
    assert one.reason.endswith(UNCONFIRMED)


def test_more_memory_in_every_launch_is_a_regression() -> None:
    one = head(Version(peak=lambda _: 2**26))
    assert one.outcome is Outcome.REGRESSION
    assert one.reason == "needs 64 MiB of memory where base needs 16 MiB"
    assert (one.base_peak, one.head_peak) == (2**24, 2**26)


@pytest.mark.parametrize(
    "peak",
    [
        lambda n: 2**26 if n else 2**24,  # not in the first launch
        lambda _: int(1.15 * 2**24),  # less than a fifth more
        lambda _: None,  # the system does not say
    ],
)
def test_no_regression_of_memory(peak: Callable[[int], int | None]) -> None:
    assert head(Version(peak=peak)).outcome is Outcome.PASS


def test_a_little_of_nothing_is_no_regression_of_memory() -> None:
    sides = {
        ("base", ONE): Version(peak=lambda _: 2**10),
        ("head", ONE): Version(peak=lambda _: 2**19),
    }
    assert only(Machine(sides)).outcome is Outcome.PASS


def test_memory_that_fresh_workers_do_not_need_is_inconclusive() -> None:
    one = head(Version(peak=lambda n: 2**26 if n < 4 else 2**24))
    assert one.outcome is Outcome.INCONCLUSIVE
    assert one.reason is not None
    assert one.reason.endswith(UNCONFIRMED)


# Verdicts


def test_wrong_in_head() -> None:
    run = gate_run(Machine({("head", ONE): by_launch(WRONG)}), (ONE, TWO))
    one, other = run.judged
    assert (one.outcome, other.outcome) == (Outcome.WRONG, Outcome.PASS)
    assert not run.ok
    assert one.reason == "disagrees: as planted"
    assert one.base is not None
    assert one.head is not None
    assert (one.base.verdict, one.head.verdict) == (AGREES, WRONG)
    assert one.time is None


def test_wrong_once_is_inconclusive() -> None:
    one = head(by_launch(WRONG, AGREES))
    assert one.outcome is Outcome.INCONCLUSIVE
    assert one.reason == f"head: disagrees: as planted; {UNCONFIRMED}"
    # It is shown as it was, not as it became.
    assert one.head is not None
    assert one.head.verdict is WRONG


def test_wrong_once_in_each_stage_is_wrong() -> None:
    one = head(by_launch(AGREES, WRONG, AGREES, AGREES, AGREES, AGREES, WRONG, AGREES))
    assert one.outcome is Outcome.WRONG


def test_wrong_in_the_second_stage_alone_is_inconclusive() -> None:
    # The second stage was for a time: what it adds was said once.
    slow_then_wrong = by_launch(AGREES, AGREES, AGREES, AGREES, WRONG)
    slow_then_wrong.call_s = lambda _: 1.3e-4
    one = head(slow_then_wrong)
    assert one.outcome is Outcome.INCONCLUSIVE
    assert one.reason is not None
    assert "disagrees: as planted" in one.reason
    assert one.head is not None
    assert one.head.verdict is WRONG


@pytest.mark.parametrize("launch", [4, 5])
def test_wrong_and_no_time_to_ask_again_is_wrong(launch: int) -> None:
    # Interrupted in the second stage: before its turn, it is as if there was none.
    machine = Machine({("head", ONE): by_launch(WRONG)}, trouble=stop_at(launch))
    run = gate_run(machine)
    assert run.interrupted
    assert run.judged[0].outcome is Outcome.WRONG


def test_right_in_head() -> None:
    run = gate_run(Machine({("base", ONE): by_launch(WRONG)}))
    (one,) = run.judged
    assert run.ok
    assert one.outcome is Outcome.RIGHT
    assert one.reason == "base: disagrees: as planted"


@pytest.mark.parametrize(
    ("base", "here", "outcome"),
    [
        (AGREES, Verdict.UNSUPPORTED, Outcome.GONE),
        (AGREES, Verdict.FAILED, Outcome.WRONG),
        (AGREES, Verdict.KNOWN_FAULT, Outcome.WRONG),
        (AGREES, Verdict.TOO_LARGE, Outcome.WRONG),
        (Verdict.UNSUPPORTED, AGREES, Outcome.RIGHT),
        (Verdict.UNSUPPORTED, WRONG, Outcome.WRONG),
        (Verdict.UNSUPPORTED, Verdict.UNSUPPORTED, Outcome.NEITHER),
        (Verdict.UNSUPPORTED, Verdict.TOO_LARGE, Outcome.NEITHER),
        (WRONG, WRONG, Outcome.NEITHER),
        (WRONG, Verdict.FAILED, Outcome.NEITHER),
        (Verdict.KNOWN_FAULT, AGREES, Outcome.RIGHT),
        (Verdict.KNOWN_FAULT, WRONG, Outcome.WRONG),
    ],
)
def test_verdicts_of_both(base: Verdict, here: Verdict, outcome: Outcome) -> None:
    one = only(Machine({("base", ONE): by_launch(base), ("head", ONE): by_launch(here)}))
    assert one.outcome is outcome
    assert one.reason


@pytest.mark.parametrize("what", ["settle", "block"])
@pytest.mark.parametrize("verdict", ["crashed", "timed out"])
def test_head_dies_or_hangs(what: str, verdict: str) -> None:
    def trouble(event: Event) -> None:
        if (event.side, event.what, event.cell) == ("head", what, ONE):
            raise raising(verdict, "as planted")

    one, other = outcomes(Machine(trouble=trouble), (ONE, TWO))
    assert (one.outcome, other.outcome) == (Outcome.WRONG, Outcome.PASS)
    assert one.reason == f"{verdict}: as planted"
    assert one.head is not None
    assert one.head.verdict == verdict
    assert other.time is not None
    assert other.time.pairs == 40


def test_head_dies_once() -> None:
    def trouble(event: Event) -> None:
        if (event.side, event.what, event.cell, event.launch) == ("head", "block", ONE, 1):
            raise raising("crashed", "as planted")

    one, other = outcomes(Machine(trouble=trouble), (ONE, TWO))
    assert one.outcome is Outcome.INCONCLUSIVE
    assert one.reason == f"head: crashed: as planted; {UNCONFIRMED}"
    assert other.outcome is Outcome.PASS


# Policies


@pytest.mark.parametrize(
    ("version", "what"),
    [
        (slower(1.3), r"regression, which the policy ignores: time x 1\.(29|3)"),
        (by_launch(WRONG), "became wrong, which the policy ignores: disagrees: as planted"),
    ],
)
def test_what_the_policy_ignores_is_told(version: Version, what: str) -> None:
    def limits(cell: Cell) -> Limits:
        return Limits(time=1.05, preparation=1.15, memory=1.2, ignore=cell == ONE)

    run = gate_run(
        Machine({("head", ONE): version, ("head", TWO): version}), (ONE, TWO), limits=limits
    )
    one, other = run.judged
    assert one.outcome is Outcome.IGNORED
    assert one.reason is not None
    assert re.match(what, one.reason)
    assert other.outcome.fails
    assert not run.ok


def test_a_policy_of_its_own_limits() -> None:
    one = only(Machine({("head", ONE): slower(1.1)}), limits=lambda _: Limits(time=1.3))
    assert one.outcome is Outcome.PASS
    assert LIMITS.time == 1.05


# Cautions


def test_a_busy_machine_is_told() -> None:
    machine = Machine()

    def block(self: object, *words: object) -> dict[str, object]:
        answer = original(self, *words)
        answer["waited_s"] = 0.4 * answer["wall_s"]
        return answer

    from tests.gating import simulated

    original = simulated.FakeArm.block
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulated.FakeArm, "block", block)
        one = only(machine)
    assert one.cautions == (
        "the machine was busy: 40% of the time was spent waiting for a core, which is not in the "
        "figures",
    )
    assert only(Machine()).cautions == ()


def test_more_cores_are_told() -> None:
    def block(self: object, *words: object) -> dict[str, object]:
        answer = original(self, *words)
        if self.side.name == "head":
            answer["cpu_s"] = 1.9 * answer["wall_s"]
        return answer

    from tests.gating import simulated

    original = simulated.FakeArm.block
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulated.FakeArm, "block", block)
        one = only(Machine())
    assert one.cautions == ("head used 1.90 cores and base 1.00: wall time hides that",)


# A function that was changed


@pytest.mark.parametrize(
    ("probe", "told"), [((2.0, 0.5, -1.0 + 1e-9), False), ((2.0, 0.5, -1.1), True)]
)
def test_a_jacobian_that_is_another_one_is_told_and_fails_nothing(
    probe: tuple[float, ...], told: bool
) -> None:
    machine = Machine({("head", ONE): Version(probe=probe)})
    (one,) = outcomes(machine, [ONE])
    assert one.outcome is Outcome.PASS
    line = (
        "the Jacobian itself differs between base and head: by 0.05 of its norm; each side agrees "
        "with its own reference, so look whether that was meant"
    )
    assert (line in one.cautions) == told
    assert told or not one.cautions
