"""Every method on one problem: checked, timed roughly, and then one against another.

For the scripts beside this folder, which set the threads before they import it.
"""

from __future__ import annotations

import functools
import math
import time
import warnings
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import interleaved
import numpy as np
from interleaved import Ratio

from jacbench.backend import Target, registry
from jacbench.core import tree
from jacbench.core.errors import JacbenchError
from jacbench.problems.problem import Problem
from jacbench.running import selection
from jacbench.running.prepared_cells import Harness, Limits

from .apart import Hold, no_one
from .case import Case

LIBRARIES = ("torch", "jax", "autograd")
SAMPLE_S = 5e-3
"""How long a sample takes where two times are far apart."""
SLOW_S = 0.05
"""A call from which on one is a sample."""

ENDS = "left out: it ends the process that tries it"

_CONSENT = 1e-4


@dataclass(frozen=True)
class Contender:
    """A method that is right here, ready to be timed.

    Attributes
    ----------
    method
        Its name, or what else it is called in a table.
    call
        Computes the Jacobian, and returns when it is there.
    once_s
        The least time of a few calls, seconds.
    """

    method: str
    call: Callable[[], Any]
    once_s: float


@dataclass
class Field:
    """Who competes, and who does not and why."""

    contenders: list[Contender] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)

    def get(self, method: str) -> Contender | None:
        """Return the contender of that name, if it competes."""
        return next((c for c in self.contenders if c.method == method), None)

    def best(self, *, structured: bool | None = None) -> Contender | None:
        """Return the fastest by its rough time; of those with, or without, a structure."""
        kept = [
            c
            for c in self.contenders
            if structured is None or bool(_info(c.method).structure) == structured
        ]
        return min(kept, key=lambda c: c.once_s, default=None)


def configure() -> dict[str, Any]:
    """Set every installed library to one thread and full precision; return the settings."""
    # what a method warns of was kept when it was settled; the clock's calls would repeat it
    warnings.simplefilter("ignore")
    found = {}
    for name, descriptor in registry.descriptors().items():
        if descriptor.absent() is None:
            found[name] = dict(registry.load(name).configure(1))
    return found


def contender(name: str, call: Callable[[], Any]) -> Contender:
    """Return ``call`` with its rough time."""
    call()
    once_s = _seconds(call)
    if once_s < 1:
        once_s = min(once_s, *(_seconds(call) for _ in range(4)))
    return Contender(name, call, once_s)


def compete(
    problem: Problem,
    *,
    operator: str = "jacobian",
    methods: Sequence[str] = (),
    chunk_size: int | None = None,
    oracles: bool = False,
    compiled: bool = True,
    without: Collection[str] = (),
    hold: Hold = no_one,
) -> Field:
    """Settle ``problem`` by every method that matches, as a run does; keep those that agree."""
    given = {problem.name: problem}
    chosen = selection.Selection(methods=methods, operators=[operator])
    harness = Harness(1, Limits(chunk_size), given, verify_pins=False)
    found = Field()
    for cell in selection.cells(chosen, given=given):
        oracle = registry.descriptor_of(cell.method).oracle
        if problem.written_for(cell.backend) or (oracle and not oracles):
            continue
        if not compiled and cell.method.startswith("torch.compile"):
            continue
        if cell.method in without:
            found.left_out[cell.method] = ENDS
            continue
        hold([cell.method])
        settled = harness.settle(cell)
        if settled.prepared is None:
            found.left_out[cell.method] = f"{settled.result.verdict}: {settled.result.reason}"
            continue
        call = functools.partial(settled.prepared.call, settled.x)
        found.contenders.append(contender(cell.method, call))
    return found


def compete_by_consent(
    case: Case, *, compiled: bool = True, without: Collection[str] = (), hold: Hold = no_one
) -> Field:
    """Do the same for a function that has no float64: the first method is the others' reference."""
    backend = registry.load(str(case.library))
    function, x = case.asked()
    target = Target(
        function=function,
        x=x,
        constants=(),
        y_shape=backend.to_numpy(function(x)).shape,
        device="cpu",
        dtype=case.dtype,
        elsewhere=x,
    )
    found, expected = Field(), None
    for method in backend.methods():
        name = method.info.name
        if method.info.operator != "jacobian" or method.info.by_intermediate:
            continue
        if method.info.compiled and not compiled:
            continue
        if name in without:
            found.left_out[name] = ENDS
            continue
        hold([name])
        try:
            prepared = method.prepare(target)
            layout = prepared.layout or method.layout(target)
            arrays = [backend.to_numpy(a) for a in tree.leaves(prepared.call(x))]
            answer = layout.matrix(arrays, math.prod(target.y_shape))
        except Exception as exc:  # noqa: BLE001 - whatever a method raises: it does not compete
            found.left_out[name] = f"{type(exc).__name__}: {' '.join(str(exc).split())[:200]}"
            continue
        expected = answer if expected is None else expected
        if np.linalg.norm(answer - expected) > _CONSENT * np.linalg.norm(expected):
            found.left_out[name] = "disagrees with the first method"
            continue
        found.contenders.append(contender(name, functools.partial(prepared.call, x)))
    return found


def compared(
    one: Contender, other: Contender, blocks: int, seed: int = 0, hold: Hold = no_one
) -> Ratio:
    """Return the time of ``one`` over that of ``other``, in short interleaved blocks."""
    hold([one.method, other.method])
    near = 0.2 < one.once_s / other.once_s < 5
    if near and max(one.once_s, other.once_s) < SLOW_S:
        return interleaved.ratio(one.call, other.call, blocks, seed)
    return _far_apart(one, other, blocks, seed)


def shortlist(
    found: Sequence[Contender], blocks: int, seed: int = 0, hold: Hold = no_one
) -> list[Contender]:
    """Return those within twice the least rough time, the fastest in interleaved blocks first."""
    least_s = min(c.once_s for c in found)
    near = [c for c in found if c.once_s <= 2 * least_s]
    if len(near) == 1:
        return near
    hold([c.method for c in near])
    rng = np.random.default_rng([seed, 0x5C])
    times_s = np.empty((blocks, len(near)))
    for block in times_s:
        for index in rng.permutation(len(near)):
            block[index] = _sample_s(near[index])
    order = np.argsort(np.median(times_s, axis=0), kind="stable")
    return [near[index] for index in order]


def _far_apart(one: Contender, other: Contender, blocks: int, seed: int) -> Ratio:
    """Do the same where one number of calls would suit only one of the two."""
    rng = np.random.default_rng(seed)
    arms = (one, other)
    times_s = np.empty((blocks, 2))
    for block in times_s:
        for arm in rng.permutation(2):
            block[arm] = _sample_s(arms[arm])
    return interleaved.summary(times_s, _calls(other), rng)


def _sample_s(arm: Contender) -> float:
    if arm.once_s < 1:
        arm.call()  # untimed: it finds the caches as another left them
    calls = _calls(arm)
    start = time.perf_counter()
    for _ in range(calls):
        arm.call()
    return (time.perf_counter() - start) / calls


def _calls(arm: Contender) -> int:
    return max(1, round(SAMPLE_S / arm.once_s))


def _seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


@functools.cache
def _info(method: str) -> Any:
    try:
        return registry.method(method).info
    except JacbenchError:  # a library called directly, no method of ours
        return registry.method("numpy.analytic").info
