"""Runs over sizes whose times are known, for the tests of what is found in them."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from jacbench.core.cell import CellResult, Verdict
from jacbench.results.run import Run, Stretch, pooled
from jacbench.sweeping.outcome import Panel, Sweep, outcome
from jacbench.sweeping.sizes import Plan, plan
from tests import samples

Law = Callable[[float], float | Verdict]
"""From a size to seconds, or to the verdict of a cell without a time."""


def law(seconds: float, exponent: float, *, until: float = 1e9) -> Law:
    """Return a power law, which is too large beyond ``until``."""
    return lambda x: seconds * x**exponent if x <= until else Verdict.TOO_LARGE


def run_over(
    sizes: Plan, laws: Mapping[str, Law], *, noise: float = 0.0, seed: int = 0, rounds: int = 12
) -> Run:
    """Return a run of ``laws``, by method: visits and rounds with lognormal ``noise`` each."""
    found: list[CellResult] = []
    visits = {}
    for method, of in laws.items():
        rng = np.random.default_rng([seed, zlib.crc32(method.encode())])
        for point in sizes.points:
            seconds = of(point.x)
            cell = replace(samples.cell(method), problem=point.problem)
            if isinstance(seconds, Verdict):
                reason = f"as told of {point.problem}"
                found.append(CellResult(cell=cell, verdict=seconds, reason=reason))
                continue
            means = rng.normal(np.log(seconds), noise / 2, 3)
            drawn = [np.exp(rng.normal(mean, noise, rounds)).tolist() for mean in means]
            plain = replace(
                samples.agrees(method, None, m=4, n=5),
                cell=cell,
                peak_bytes=int(8 * point.x**2),
            )
            found.append(pooled(plain, [Stretch(samples=visit, iterations=10) for visit in drawn]))
            visits[cell] = drawn
    return samples.run(*found, visits=visits)


def swept(
    laws: Mapping[str, Law], *, n: str = "16:4096", noise: float = 0.0, seed: int = 0
) -> Sweep:
    """Return what is found of ``laws`` over ``n``."""
    sizes = plan("shape/square", {"n": n})
    return outcome(run_over(sizes, laws, noise=noise, seed=seed), sizes)


def panel_of(laws: Mapping[str, Law], *, n: str = "16:4096", noise: float = 0.0) -> Panel:
    """Return the only panel of that."""
    (only,) = swept(laws, n=n, noise=noise).panels
    return only
