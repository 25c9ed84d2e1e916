"""The rule: from paired ratios to regression, pass or inconclusive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from jacbench.gating.settings import CONFIDENCE
from jacbench.measuring.statistics import Interval, ratio_interval


class State(StrEnum):
    """What paired measurements say of head against base."""

    REGRESSION = "regression"
    PASS = "pass"  # noqa: S105 - not a password
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class Decision:
    """A state, with the ratio head over base and its 99 % interval."""

    state: State
    ratio: Interval
    pairs: int

    @property
    def faster(self) -> bool:
        """True where head is really faster: the mirror image of a regression of 5 %."""
        return self.ratio.high < 1 / 1.01 and self.ratio.estimate < 1 / 1.03


def decide(launches: Sequence[Sequence[float]], limit: float, *, seed: int = 0) -> Decision:
    """Return what the ratios head over base say.

    Parameters
    ----------
    launches
        Ratios of paired blocks, a sequence for each launch of fresh workers.
    limit
        The ratio that is not tolerated, above 1. With 1.05, as by default for times: *regression*
        where the whole interval lies above 1.01 and the estimate above 1.03, *pass* where the
        interval lies below 1.05, else *inconclusive*. Other limits keep these proportions.
    seed
        Of the bootstrap.
    """
    interval = ratio_interval(launches, confidence=CONFIDENCE, seed=seed)
    excess = limit - 1
    if interval.low > 1 + excess / 5 and interval.estimate > 1 + 3 * excess / 5:
        state = State.REGRESSION
    elif interval.high < limit:
        state = State.PASS
    else:
        state = State.INCONCLUSIVE
    return Decision(state, interval, sum(map(len, launches)))
