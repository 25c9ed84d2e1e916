"""Series of planted noise whose truth is known: what intervals and races are tried on.

Each is a logarithm of a time over the undisturbed one, of rounds in the order of time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Kind = Callable[[np.random.Generator, tuple[int, ...]], Floats]

CORRELATION = 0.9
"""Of neighbouring rounds that hang together: they forget within some ten of them."""


def independent(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Return normal noise of 5 %."""
    return rng.normal(0, 0.05, shape)


def heavy_tailed(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Return noise of Student's distribution of two degrees of freedom: it has no variance."""
    return 0.03 * rng.standard_t(2, shape)


def spiky(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Return noise of 2 %, of which every twelfth round takes three times as long."""
    return rng.normal(0, 0.02, shape) + np.where(rng.random(shape) < 0.08, np.log(3.0), 0.0)


def bimodal(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Return noise of 1 %, of which every third round takes a fifth longer."""
    return rng.normal(0, 0.01, shape) + np.where(rng.random(shape) < 0.35, 0.2, 0.0)


def drifting(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Return noise of 3 % on a machine that becomes slower by a tenth from first to last."""
    steps = np.linspace(-0.05, 0.05, int(np.prod(shape[1:]))).reshape(shape[1:])
    return rng.normal(0, 0.03, shape) + steps


def autocorrelated(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Return noise of 5 % that wanders: a first-order autoregression over all rounds."""
    steps = rng.normal(0, 1, (shape[0], int(np.prod(shape[1:]))))
    own = np.sqrt(1 - CORRELATION**2)
    for i in range(1, steps.shape[1]):
        steps[:, i] = CORRELATION * steps[:, i - 1] + own * steps[:, i]
    return 0.05 * steps.reshape(shape)


KINDS: Mapping[str, Kind] = {
    "normal": independent,
    "heavy-tailed": heavy_tailed,
    "spiky": spiky,
    "bimodal": bimodal,
    "drifting": drifting,
    "autocorrelated": autocorrelated,
}


def visits(
    kind: str, rng: np.random.Generator, shape: tuple[int, int, int], between: float
) -> Floats:
    """Return trials x visits x rounds of noise; visits differ by ``between`` besides."""
    own = rng.normal(0, between, (*shape[:2], 1)) if between else 0.0
    found: Floats = KINDS[kind](rng, shape) + own
    return found


def typical(kind: str, rounds: int) -> float:
    """Return the median of a visit of so many rounds, of a visit in the middle of all."""
    if kind in ("normal", "heavy-tailed", "drifting", "autocorrelated"):
        return 0.0  # as much above as below
    rng = np.random.default_rng(0)
    return float(np.median(np.median(KINDS[kind](rng, (20_000, 1, rounds)), axis=2)))
