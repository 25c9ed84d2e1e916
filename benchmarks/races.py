"""How often a race wrongs a candidate, by simulation with planted clocks.

Six candidates race. *Wronged*: of six that are as fast as each other within 3 %, one is dropped or
told slower: no more than 5 % of races, also where what a block takes wanders from round to round.
*Dropped*: of three others that take longer, how many are dropped or told slower, and after how many
rounds in the median.

    python -m benchmarks.races [--trials N] [--json FILE]
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from benchmarks import noise, provenance
from benchmarks.noise import Floats
from jacbench.picking.candidate import Candidate
from jacbench.picking.racing.race import MOST_ROUNDS, race

FIELD = tuple(Candidate("jacobian", f"m{i}") for i in range(6))
KINDS = (*noise.KINDS, "each wanders")
"""Those of a machine, which hits whoever is timed then; and of every candidate by itself."""
WITHIN = tuple(float(ratio) for ratio in np.linspace(1.0, 1.03, len(FIELD)))


@dataclasses.dataclass(frozen=True)
class Shares:
    """What became of many races."""

    noise: str
    spread: float
    wronged: float
    dropped: Mapping[str, float]
    rounds: Mapping[str, float]


class Track:
    """Blocks that take what is planted, one after another in the order in which they are timed."""

    def __init__(self, kind: str, spread: float, times: tuple[float, ...], seed: int) -> None:
        rng = np.random.default_rng(seed)
        self._times = dict(zip(FIELD, times, strict=True))
        self._each = kind == "each wanders"
        shape = (len(FIELD), MOST_ROUNDS) if self._each else (1, len(FIELD) * MOST_ROUNDS)
        made = noise.KINDS["autocorrelated" if self._each else kind](rng, shape)
        self._noise: Floats = spread / 0.05 * made
        self.counts = dict.fromkeys(FIELD, 0)

    def __call__(self, candidate: Candidate) -> float:
        """Return what this block of a candidate takes."""
        own, done = self.counts[candidate], sum(self.counts.values())
        self.counts[candidate] += 1
        row, column = (FIELD.index(candidate), own) if self._each else (0, done)
        return self._times[candidate] * float(np.exp(self._noise[row, column]))


def raced(
    kind: str, spread: float, times: tuple[float, ...], seed: int
) -> tuple[set[Candidate], dict[Candidate, int]]:
    """Return who was dropped or told slower, and how often each was timed."""
    track = Track(kind, spread, times, seed)
    standing = race(dict.fromkeys(FIELD, 1.0), track, seed=seed)
    told = {c for c in standing.ratios if c not in standing.equals}
    return told | set(standing.dropped), track.counts


def shares(kind: str, spread: float, trials: int) -> Shares:
    """Return what became of many races of one kind of noise."""
    wronged = [bool(raced(kind, spread, WITHIN, seed)[0]) for seed in range(trials)]
    dropped, rounds = {}, {}
    for ratio in (1.5, 1.2):
        times = (1.0,) * 3 + (ratio,) * 3
        found = [raced(kind, spread, times, seed) for seed in range(max(1, trials // 4))]
        dropped[f"{ratio:g}"] = float(np.mean([[c in out for c in FIELD[3:]] for out, _ in found]))
        counts = [[counts[c] for c in FIELD[3:]] for _, counts in found]
        rounds[f"{ratio:g}"] = float(np.median(counts))
    return Shares(kind, spread, float(np.mean(wronged)), dropped, rounds)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=int, default=400)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    rows = [shares(kind, spread, asked.trials) for kind in KINDS for spread in (0.01, 0.05)]
    print(f"{'noise':16}{'of':>5}{'wronged':>10}{'1.5 x: dropped':>17}{'rounds':>8}", end="")
    print(f"{'1.2 x: dropped':>17}{'rounds':>8}")
    for row in rows:
        print(f"{row.noise:16}{row.spread:>5.0%}{row.wronged:>10.1%}", end="")
        for ratio in row.dropped:
            print(f"{row.dropped[ratio]:>17.0%}{row.rounds[ratio]:>8g}", end="")
        print()
    if asked.json:
        provenance.write(asked.json, rows=[dataclasses.asdict(row) for row in rows])


if __name__ == "__main__":
    sys.exit(main())
