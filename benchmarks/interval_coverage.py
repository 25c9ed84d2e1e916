"""How often the intervals that jacbench prints hold what they are said to hold.

By simulation, on planted noise of several kinds, and with visits that differ by nothing to 20 %
besides. Every figure is a share of trials; 95 % is what is said. Above 97 %, marked with a +, an
interval is longer than it need be: where a machine drifts from first to last, what differs between
visits is no chance; and a sweep's exponent allows for points that lie on no power law, which these
do. In one place it is short, and nothing measured could tell: see the last line but one.

    python -m benchmarks.interval_coverage [--trials N] [--json FILE]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from benchmarks import noise, provenance
from benchmarks.noise import Floats
from jacbench.measuring.statistics import (
    Interval,
    independent_ratio_interval,
    log_medians,
    median_interval,
    paired_interval,
)
from jacbench.running.settings import Settings
from jacbench.sweeping.fit import power_law

BETWEEN = (0.0, 0.01, 0.05, 0.2)
"""By how much visits differ besides: the standard deviation of a logarithm."""
VISITS = Settings().visits
ROUNDS = 33
"""Of a visit: a tenth of a second in rounds of three milliseconds."""
SHORT = 16
"""Of a visit in a pick."""
SIZES = (64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0)
EXPONENT = 1.5
LONG = 0.97

Holds = Callable[[str, float, int, np.random.Generator], float]


def of_median(kind: str, between: float, trials: int, rng: np.random.Generator) -> float:
    """Return how often the interval of a cell's median holds that of a typical visit."""
    found = noise.visits(kind, rng, (trials, VISITS, ROUNDS), between)
    truth = np.exp(noise.typical(kind, ROUNDS))
    return _share((median_interval(_samples(one)) for one in found), truth)


def of_two_runs(kind: str, between: float, trials: int, rng: np.random.Generator) -> float:
    """Return how often ``compare``'s interval holds the ratio of two runs that differ by 1.3."""
    base, new = (noise.visits(kind, rng, (trials, VISITS, ROUNDS), between) for _ in range(2))
    pairs = zip(base, new + np.log(1.3), strict=True)
    return _share((independent_ratio_interval(*map(_samples, pair)) for pair in pairs), 1.3)


def of_speedup(kind: str, between: float, trials: int, rng: np.random.Generator) -> float:
    """Return how often ``pick``'s interval holds a speed-up of 3, of stretches in turn."""
    # the machine's own noise runs on from the one's stretch to the other's; what a visit adds is
    # each one's own
    shape = (trials, VISITS, 2, SHORT)
    machine = (
        noise.KINDS[kind](rng, shape) + rng.normal(0, between / np.sqrt(2), shape[:3])[..., None]
    )
    medians = np.median(machine, axis=3)
    swapped = rng.random((trials, VISITS)) < 0.5
    first, second = medians[..., 0], medians[..., 1]
    logs = np.where(swapped, first - second, second - first) + np.log(3.0)
    return _share((paired_interval(np.exp(one).tolist()) for one in logs), 3.0)


def of_exponent(kind: str, between: float, trials: int, rng: np.random.Generator) -> float:
    """Return how often ``sweep``'s interval holds the exponent that was planted."""
    held = []
    for _ in range(max(1, trials // 10)):
        found = noise.visits(kind, rng, (len(SIZES), VISITS, ROUNDS), between)
        times = [
            log_medians(_samples(one + EXPONENT * np.log(size)))
            for one, size in zip(found, SIZES, strict=True)
        ]
        offs = [off for _, off in times if off is not None]
        fit = power_law(SIZES, [log for log, _ in times], offs)
        assert fit is not None
        held.append(fit.exponent.low <= EXPONENT <= fit.exponent.high)
    return float(np.mean(held))


FIGURES: dict[str, Holds] = {
    "median of a cell": of_median,
    "ratio of two runs": of_two_runs,
    "speed-up of a pick": of_speedup,
    "exponent of a sweep": of_exponent,
}


def _samples(logs: Floats) -> Sequence[Sequence[float]]:
    found: Sequence[Sequence[float]] = np.exp(logs).tolist()
    return found


def _share(intervals: Sequence[Interval], truth: float) -> float:
    return float(np.mean([one.low <= truth <= one.high for one in intervals]))


def table(trials: int, seed: int = 0) -> list[dict[str, object]]:
    """Return a row for every figure, kind of noise and difference between visits."""
    rng = np.random.default_rng(seed)
    return [
        {"figure": figure, "noise": kind, "visits differ by": b, "held": of(kind, b, trials, rng)}
        for figure, of in FIGURES.items()
        for kind in noise.KINDS
        for b in BETWEEN
    ]


def two_states(trials: int, seed: int = 0) -> float:
    """Return how often a median's interval holds, where a third of all visits is a fifth slower."""
    rng = np.random.default_rng(seed)
    state = np.where(rng.random((trials, VISITS, 1)) < 0.35, 0.2, 0.0)
    found = rng.normal(0, 0.01, (trials, VISITS, ROUNDS)) + state
    return _share([median_interval(_samples(one)) for one in found], 1.0)


def one_visit(trials: int, seed: int = 0) -> float:
    """Return how often it holds of a single visit, whose rounds hang together."""
    rng = np.random.default_rng(seed)
    found = noise.visits("autocorrelated", rng, (trials, 1, 2 * ROUNDS), 0.0)
    return _share([median_interval(_samples(one)) for one in found], 1.0)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    rows = table(asked.trials)
    print(f"{VISITS} visits of {ROUNDS} rounds (a pick's: {SHORT}); visits differ by:")
    print(f"{'':36}" + "".join(f"{between:>9.0%}" for between in BETWEEN))
    for i in range(0, len(rows), len(BETWEEN)):
        figure, kind = rows[i]["figure"], rows[i]["noise"]
        shares = [float(str(row["held"])) for row in rows[i : i + len(BETWEEN)]]
        held = "".join(f"{share:>8.1%}{'+' if share > LONG else ' '}" for share in shares)
        print(f"{figure:20} {kind:15}{held}")
    short = two_states(asked.trials)
    print(f"short by nature: visits in two states, of which six may have seen one: {short:.1%}")
    print(f"one visit only, autocorrelated: {one_visit(asked.trials):.1%}")
    if asked.json:
        provenance.write(asked.json, rows=rows, short=short)


if __name__ == "__main__":
    sys.exit(main())
