"""A process for calls that may end it: who was in hand then is known, and is left out."""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from jacbench.measuring import threads

Hold = Callable[[Iterable[str]], None]
"""Says who is in hand from now on, in case it ends the process."""


def no_one(names: Iterable[str]) -> None:
    """Say nothing: who is in hand may end the caller's process."""
    del names


class EndedError(RuntimeError):
    """A call ended its process.

    Attributes
    ----------
    in_hand
        Who was in hand.
    """

    def __init__(self, in_hand: frozenset[str]) -> None:
        super().__init__(f"the process ended with {', '.join(sorted(in_hand)) or 'no one'} in hand")
        self.in_hand = in_hand


class Apart:
    """One process for one call after another; another one once it has ended.

    Parameters
    ----------
    setup
        What each process calls at its start: a function of a module, like all it is to call.
    """

    def __init__(self, setup: Callable[[], object]) -> None:
        self._setup = setup
        self._folder = tempfile.TemporaryDirectory()
        self._journal = Path(self._folder.name) / "in-hand"
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        raised: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._close()
        self._folder.cleanup()

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Return ``function(*args, hold=...)``, called over there.

        Raises
        ------
        EndedError
            Where the process ended meanwhile.
        """
        self._journal.write_text("", encoding="utf-8")
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(1, context, _begin, (self._setup,))
        try:
            return self._pool.submit(_called, function, args, self._journal).result()
        except BrokenProcessPool:
            self._close()
            in_hand = self._journal.read_text(encoding="utf-8").splitlines()
            raise EndedError(frozenset(in_hand)) from None

    def _close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None


def _begin(setup: Callable[[], object]) -> None:
    threads.die_with_parent()
    setup()


def _called(function: Callable[..., Any], args: tuple[Any, ...], journal: Path) -> Any:
    def hold(names: Iterable[str]) -> None:
        journal.write_text("\n".join(names), encoding="utf-8")

    return function(*args, hold=hold)


def outlived(
    call: Callable[[frozenset[str]], Any],
    suspect: Callable[[str], bool],
    without: Collection[str] = (),
) -> Any:
    """Return ``call(without)``, once what ends its process is left out.

    Parameters
    ----------
    call
        Given who is to be left out.
    suspect
        Who may be left out.
    without
        Who is left out from the start.

    Raises
    ------
    EndedError
        Where it ends with no more suspects in hand.
    """
    left_out = frozenset(without)
    while True:
        try:
            return call(left_out)
        except EndedError as ended:
            suspects = frozenset(filter(suspect, ended.in_hand - left_out))
            if not suspects:
                raise
            left_out |= suspects
