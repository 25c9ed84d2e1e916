"""A bench: where one library's candidates are checked and timed, and what it says of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from jacbench.core.cell import CellResult
from jacbench.picking.candidate import Candidate
from jacbench.structure.samples import Samples


@dataclass(frozen=True, kw_only=True)
class Offer:
    """A candidate that a library has.

    Attributes
    ----------
    candidate
        The method, without a chunk size.
    structure
        What of the Jacobian's structure it relies on; empty: nothing.
    mode
        ``reverse``: a pass for each output; ``forward``: for each input; empty: neither.
    chunking
        ``chunked``, ``whole`` or ``loop``, see :class:`jacbench.backend.Method`.
    compiled
        True where a compiler of seconds runs in ``prepare``.
    eager_form_of
        The method that runs the same passes compiled; empty: none does.
    reason
        Why it cannot do this, known beforehand; None where it may.
    """

    candidate: Candidate
    structure: str = ""
    mode: str = ""
    chunking: str = "loop"
    compiled: bool = False
    eager_form_of: str = ""
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A candidate that was prepared and checked.

    Attributes
    ----------
    candidate
        Which.
    result
        Its verdict, preparation and first call.
    call_s
        A first estimate of the time of a warm call, seconds; None unless it agrees.
    start_s
        What starting a compiler that runs for seconds took, once in this process and before the
        preparation, seconds; 0 for every other method.
    """

    candidate: Candidate
    result: CellResult
    call_s: float | None = None
    start_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Look:
    """What calling a function alone has shown, see :mod:`jacbench.picking.examining.examination`.

    Attributes
    ----------
    m, n
        The numbers of outputs and of inputs.
    dtype
        In which it computes: that of the cells to try.
    call_s
        One call as Python makes it, after the first, seconds.
    lines
        What the user should know, a line each.
    """

    m: int
    n: int
    dtype: str
    call_s: float
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """How strong that is which answers are held against.

    Attributes
    ----------
    told
        What it stands on, in one line.
    doubt
        Why it is not confirmed, in one line; empty: it is, and nothing speaks against it.
    """

    told: str
    doubt: str = ""


class Bench(Protocol):
    """Where candidates of one library are checked and timed: here, or in a process of its own."""

    @property
    def backend(self) -> str:
        """The library's backend."""

    def hold(self, left_s: Callable[[], float]) -> None:
        """Let no answer from now on take longer than there is time left, where that can be held."""

    def examine(self, time_limit_s: float, part: float = 1.0) -> Look:
        """Say what kind of function it is; raise for what cannot be differentiated.

        ``part`` of what looking may take of the limit falls to this library.
        """

    def samples(self) -> Samples:
        """Look for an axis over samples, and offer methods that need one where there is."""

    def evidence(self) -> Evidence:
        """Say what answers are held against, and how strong that is.

        Raises
        ------
        NothingRightError
            Where nothing can tell what is right, or all that was asked is wrong.
        """

    def offers(self) -> Sequence[Offer]:
        """Return every candidate, with why some of them cannot."""

    def enter(self, candidate: Candidate, time_limit_s: float | None = None) -> Entry:
        """Prepare and check a candidate, within a time limit where a bench can hold one.

        Raises
        ------
        JacbenchError
            Where there is nothing to hold it against.
        LostError
            Where its process cannot be started again.
        """

    def revive(self) -> None:
        """Start its process again, where it has one that was lost.

        Raises
        ------
        LostError, JacbenchError
            Where it does not get as far as the last one.
        """

    def ready(self, candidate: Candidate) -> bool:
        """Say whether it can be called now; False where it has to be prepared again before."""

    def block(self, candidate: Candidate, repeats: int, iterations: int) -> Sequence[float]:
        """Return ``repeats`` times of a call, seconds, each a mean over ``iterations``.

        Raises
        ------
        LostError
            Where a call fails now.
        """

    def peak(self, candidate: Candidate) -> int | None:
        """Return the peak memory of a call, bytes; once everything is timed."""

    def changes(self, candidate: Candidate, *, again: bool = False) -> str | None:
        """Return how calls of a timed candidate changed the process, if they did.

        Parameters
        ----------
        again
            True to ask it at new points as well, see :mod:`jacbench.checking.recheck`.

        Raises
        ------
        LostError
            Where a call fails now, or what was timed is not what was checked.
        """

    def bind(self, cpus: Sequence[int]) -> None:
        """Bind the process to processors."""

    def code(self, candidate: Candidate) -> Sequence[str]:
        """Return the lines to paste that compute the Jacobian so."""

    def fingerprint(self) -> Mapping[str, Any]:
        """Return the machine, the versions and the settings."""

    def close(self) -> None:
        """Let go of what was prepared."""
