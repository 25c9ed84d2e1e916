"""One way in which a backend computes a derivative: what it is given, and what it gives back."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from jacbench.core.errors import JacbenchError

if TYPE_CHECKING:  # the registry is imported by `jacbench list`, which does without NumPy
    from jacbench.core.layouts import Layout
    from jacbench.core.pattern import Pattern


Native: TypeAlias = Any
"""An array of the backend's library, or a tree of them."""


Chunking: TypeAlias = Literal["chunked", "whole", "loop"]


STRUCTURES: tuple[str, ...] = ("samples", "sparse", "bottleneck")
"""Block-diagonal over a batch; many zeros at known places; a product of two thin factors."""


class UnfitError(Exception):
    """Raised by ``prepare`` where a function lacks what the method relies on: one line says what.

    That is no fault: the cell is ``unsupported``, with this line as its reason.
    """


@dataclass(frozen=True)
class MethodInfo:
    """What ``jacbench list`` says of a method without importing its library.

    Attributes
    ----------
    name
        As users of the library would name it, after the backend's name.
    summary
        One line.
    operator
        What the method computes, one of :data:`jacbench.core.operators.NAMES`.
    by_intermediate
        True where it only makes sense for a derivative by an intermediate value.
    structure
        What of the Jacobian's structure it relies on, one of :data:`STRUCTURES`; empty where it
        needs none. Such a method raises :class:`UnfitError` in ``prepare`` where there is none.
    mode
        For a Jacobian: ``reverse``, about one pass for each output, or ``forward``, one for each
        input; empty where it is neither.
    compiled
        True where ``prepare`` runs a compiler for seconds.
    eager_form_of
        The method that runs the same passes compiled, where this one runs them step by step:
        without preparation, and many times slower a call.

    Raises
    ------
    JacbenchError
        For a ``structure`` that is none of these: what asks for one by its name would pass over it.
    """

    name: str
    summary: str
    operator: str = "jacobian"
    by_intermediate: bool = False
    structure: str = ""
    mode: Literal["", "forward", "reverse"] = ""
    compiled: bool = False
    eager_form_of: str = ""

    def __post_init__(self) -> None:
        if self.structure and self.structure not in STRUCTURES:
            raise JacbenchError(
                f"method {self.name!r} relies on structure {self.structure!r}: "
                f"give one of {', '.join(STRUCTURES)}, or leave it out"
            )


GUARDS: tuple[str, ...] = ("repair", "raise", "off")
"""Find the structure anew where it does not hold, say that it does not, or do not look."""


@dataclass(frozen=True)
class Guarding:
    """How a structured Jacobian is held against products of the function itself.

    Attributes
    ----------
    mode
        One of :data:`GUARDS`.
    every
        One call in so many is held, the first one included. None: each, unless the structure is
        known to hold for every x.

    Raises
    ------
    JacbenchError
        For another mode, or no whole number of calls.
    """

    mode: str = "repair"
    every: int | None = None

    def __post_init__(self) -> None:
        if self.mode not in GUARDS:
            raise JacbenchError(f"guard={self.mode!r}: give one of {', '.join(GUARDS)}")
        whole = isinstance(self.every, int) and not isinstance(self.every, bool)
        if self.every is not None and not (whole and self.every >= 1):
            raise JacbenchError(
                f"guard_every={self.every!r}: give a whole number of calls, 1 for each of them"
            )


@dataclass(frozen=True, kw_only=True)
class Target:
    """The function whose derivative a method computes, at a point, on a device.

    Attributes
    ----------
    function
        ``function(x, *constants)`` on native arrays: ``xp`` is already bound.
    x
        The point at which the method is prepared: a native array or a tree of them.
    constants
        Native constants, on the device.
    y_shape
        The shape of the function's value.
    device
        ``cpu`` or ``cuda:i``.
    dtype
        ``float64`` or ``float32``.
    chunk_size
        How many rows or columns a vectorising method computes at a time; None: all at once.
    analytic
        The hand-written Jacobian on NumPy arrays, where there is one.
    vector
        For ``vjp`` the cotangent v, of shape y.shape; for ``jvp`` the tangent, a tree like x. Both
        are native and fixed when the method is prepared.
    in_axes
        For ``batch_jacobian``: the axis over samples of x and of each constant, or None where they
        share it. The first axis of y runs over samples.
    has_aux
        For ``value_and_jacobian``: True where the function returns ``(y, aux)``. For every other
        operator the function returns y alone.
    intermediate
        Where the derivative is by an intermediate value that x shifts: ``f(x, *constants)`` gives
        ``(y, Z)`` with the shifted value Z. None everywhere else.
    pattern
        Where the (m, n) Jacobian may be other than zero, as the user gave it; None: unknown.
    elsewhere
        A second native point like x, at which a structure must hold too; None: there is none.
    guard
        How a method that relies on a structure makes sure that it still holds.
    traced
        True inside of the library's ``jit`` and the like: numbers of x or y are not known yet, and
        nothing can be compiled ahead.
    """

    function: Callable[..., Native]
    x: Native
    constants: tuple[Native, ...]
    y_shape: tuple[int, ...]
    device: str
    dtype: str
    chunk_size: int | None = None
    analytic: Callable[..., Any] | None = None
    vector: Native = None
    in_axes: tuple[int | None, ...] = ()
    has_aux: bool = False
    intermediate: Callable[..., tuple[Native, Native]] | None = None
    pattern: Pattern | None = None
    elsewhere: Native = None
    guard: Guarding = Guarding()
    traced: bool = False


@dataclass(frozen=True)
class Prepared:
    """A Jacobian ready to be computed.

    Attributes
    ----------
    call
        Takes an x on the device and returns the native result of its operator (see
        :mod:`jacbench.core.operators`), synchronised. It answers for the x it is given, does not
        change it, and keeps nothing between calls.
    notes
        What the preparation found out, for the results file: plain strings and numbers.
    layout
        The result's layout where only preparing reveals it, such as a sparse pattern; None: what
        the method's ``layout`` says.
    """

    call: Callable[[Native], Native]
    notes: Mapping[str, str | int | float] = field(default_factory=dict)
    layout: Layout | None = None

    @property
    def layout_now(self) -> Layout | None:
        """The layout of the next result: a guard may have found another structure since."""
        now: Layout | None = getattr(self.call, "layout", None)
        return now or self.layout


class ProblemFacts(Protocol):
    """What of a :class:`jacbench.Problem` tells a method whether it can do it."""

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def x(self) -> Any: ...  # noqa: D102

    @property
    def elsewhere(self) -> Any: ...  # noqa: D102

    @property
    def in_axes(self) -> tuple[int | None, ...] | None: ...  # noqa: D102

    @property
    def jacobian(self) -> Callable[..., Any] | None: ...  # noqa: D102

    @property
    def kink_distance(self) -> float | None: ...  # noqa: D102

    @property
    def stops_gradient(self) -> bool: ...  # noqa: D102

    @property
    def intermediate(self) -> str | None: ...  # noqa: D102


class Method(ABC):
    """One way in which a backend computes a Jacobian, named as its users name it.

    Attributes
    ----------
    info
        Name and summary, as in the descriptor.
    chunking
        ``chunked``: vectorises and takes a chunk size. ``whole``: vectorises over all rows or
        columns at once, and its library gives it no chunk size. ``loop``: one at a time anyway.
    nests
        Whether it holds inside of another derivative: its own result can be differentiated.
    """

    info: MethodInfo
    chunking: Chunking = "loop"
    nests: bool = True

    @abstractmethod
    def layout(self, target: Target) -> Layout:
        """Return the layout that this method declares for its result on ``target``."""

    def unsupported(
        self, problem: ProblemFacts | None, operator: str, device: str, dtype: str
    ) -> str | None:
        """Return why this method cannot do ``problem`` (one line), or None where it can.

        ``problem`` is None for a native function, of which nothing is known beforehand.
        """
        del problem, device, dtype
        if operator != self.info.operator:
            return f"{self.info.name} computes {self.info.operator}, not {operator}"
        return None

    def declined(self, exc: Exception) -> str | None:
        """Return why ``exc`` means that the library cannot do this, or None where it is a fault.

        Libraries say so by NotImplementedError; a method whose library says it in another way
        adds that.
        """
        if isinstance(exc, UnfitError):
            return str(exc)
        if isinstance(exc, NotImplementedError):
            said = " ".join(str(exc).split()).partition(" Please file")[0]
            return f"the library says: {said or 'not implemented'}"
        return None

    def tolerance(self, dtype: str) -> float | None:
        """Return the method's own normwise tolerance, or None for that of its dtype and device.

        Only for methods that are inexact by construction, such as finite differences.
        """
        del dtype
        return None

    @abstractmethod
    def prepare(self, target: Target) -> Prepared:
        """Trace, compile and place on the device whatever can be done before the call."""

    def warm_up(self, target: Target) -> None:
        """Pay once per process for what the library does at its first use, on a tiny target."""
        with contextlib.suppress(Exception):  # a fault shows, with its text, in the first cell
            self.prepare(target).call(target.x)
