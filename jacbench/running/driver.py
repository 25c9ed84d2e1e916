"""Runs cells in workers: one works at a time wherever a clock runs, in an order drawn at random."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from jacbench.core.cell import Cell
from jacbench.core.interrupts import counted_interrupts
from jacbench.core.progress import Progress
from jacbench.results import fingerprint
from jacbench.results.run import Run
from jacbench.running.account import Account
from jacbench.running.backend_worker import POLL_S, Crew, Shop
from jacbench.running.ledger import Tally
from jacbench.running.schedule import Rounds
from jacbench.running.settings import Settings
from jacbench.running.time_budget import Budget

SAVE_S = 15.0
"""A results file under way is written again after this time, seconds."""
SIDE_BY_SIDE_POLL_S = 0.005
"""How long to wait for one of several workers before the next is looked after, seconds."""


class Save(Protocol):
    """What keeps a run while it goes on, and at its end."""

    def __call__(self, run: Run, *, final: bool) -> None:
        """Keep ``run``; ``final`` where nothing more will come."""


def keep_nothing(run: Run, *, final: bool) -> None:
    """Save nothing."""
    del run, final


def drive(
    cells: Sequence[Cell],
    settings: Settings,
    progress: Progress,
    save: Save = keep_nothing,
    before: Run | None = None,
) -> Run:
    """Run ``cells`` and return what became of each.

    ``save`` is called with the run so far now and then and at the end, also when the run is
    interrupted (Ctrl-C, SIGTERM): nothing measured is lost. A second interrupt ends it too, once
    that is saved, and a third at once.
    ``before`` is a run whose verdicts and times are kept: only what it lacks is measured.
    """
    account = Account()
    tally = Tally(cells, settings, account)
    if before is not None:
        tally.resume(before)
    budget = Budget(settings, account)
    with counted_interrupts() as interrupts:
        try:
            save(tally.run(), final=False)  # from now on there is a whole file, whatever happens
            _work(Shop(settings, tally, account, budget, progress, Path()), save)
            return _kept(tally, save, interrupted=False)
        except KeyboardInterrupt:
            run = _kept(tally, save, interrupted=True)
            if interrupts.count > 1:
                raise
            return run


def _kept(tally: Tally, save: Save, *, interrupted: bool) -> Run:
    run = tally.run(interrupted=interrupted)
    save(run, final=True)
    return run


def _work(shop: Shop, save: Save) -> None:
    settings, tally = shop.settings, shop.tally
    with tempfile.TemporaryDirectory(prefix="jacbench-", ignore_cleanup_errors=True) as scratch:
        shop.scratch = Path(scratch)
        crews = [Crew(mine, shop) for mine in _by_process(tally.cells)]
        saved = time.monotonic()
        steps = (
            Rounds(crews, shop, random.Random(settings.seed)).run()  # noqa: S311 - no secret
            if settings.timed
            else _checked(crews, shop)
        )
        try:
            for _ in steps:
                # Between visits only: nothing is timed meanwhile.
                if time.monotonic() - saved > SAVE_S:
                    save(tally.run(), final=False)
                    saved = time.monotonic()
        finally:
            _end(crews)


def _end(crews: Sequence[Crew]) -> None:
    """Kill every worker, also where somebody cannot wait for it."""
    impatient = False
    for crew in crews:
        try:
            crew.kill()
        except KeyboardInterrupt:
            impatient = True
    if impatient:
        raise KeyboardInterrupt


def _by_process(cells: Sequence[Cell]) -> list[list[Cell]]:
    groups: dict[tuple[str, int], list[Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.backend, cell.threads), []).append(cell)
    return list(groups.values())


def _checked(crews: Sequence[Crew], shop: Shop) -> Iterator[None]:
    """Check all cells, as many workers side by side as there are cores for their threads."""
    shop.tally.total = len(shop.tally.cells)
    cores = len(shop.settings.cpus or ()) or fingerprint.usable_cores() or 1
    waiting = list(reversed(crews))
    running: list[tuple[Crew, Generator[None]]] = []
    while waiting or running:
        while waiting and _have_room(cores, [c.threads for c, _ in running], waiting[-1].threads):
            crew = waiting.pop()
            running.append((crew, crew.check()))
        for crew, _ in running:
            crew.poll_s = POLL_S if len(running) == 1 else SIDE_BY_SIDE_POLL_S
        running = [(crew, steps) for crew, steps in running if next(steps, _DONE) is not _DONE]
        yield


_DONE = object()


def _have_room(cores: int, taken: Sequence[int], threads: int) -> bool:
    """Say whether a worker of ``threads`` threads fits beside those that run."""
    return not taken or sum(taken) + threads <= cores
