"""What a backend must offer: a descriptor that imports no library, and a backend with methods."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from jacbench.errors import JacbenchError

if TYPE_CHECKING:  # the registry is imported by `jacbench list`, which does without NumPy
    from jacbench.graph_cut import GraphCut
    from jacbench.layout import Layout
    from jacbench.model import Adapted, Inputs
    from jacbench.picking.given.spelling import Spelling
    from jacbench.problem import Problem
    from jacbench.structure.pattern import Pattern

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
        What the method computes, one of :data:`jacbench.operators.NAMES`.
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


@dataclass(frozen=True, kw_only=True)
class Descriptor:
    """A backend as the registry sees it: all of it is known without importing the library.

    Attributes
    ----------
    name
        The backend's name, the first part of its methods' names.
    module
        The library's import name; the backend is absent where it cannot be found.
    distribution
        The library's name on the package index, for its version.
    install
        The command that installs an absent library, ``pip install "jacbench[torch]"``.
    methods
        Every method, in the order in which they are listed.
    loader
        ``package.module:Class``, a :class:`Backend` without arguments.
    cuda_devices
        How many CUDA devices the library would see, found without importing it.
    oracle
        True for references, which are shown apart from the contestants and not ranked.
    model_classes
        Base classes of the models that the backend adapts, as ``module.Class`` in their own
        spelling: a model is recognised without importing its library.
    """

    name: str
    module: str
    distribution: str
    install: str
    methods: tuple[MethodInfo, ...]
    loader: str
    cuda_devices: Callable[[], int] = field(default=lambda: 0)
    oracle: bool = False
    model_classes: tuple[str, ...] = ()

    def recognises(self, model: object) -> bool:
        """Say whether ``model`` is an instance of one of ``model_classes``."""
        bases = {f"{base.__module__}.{base.__qualname__}" for base in type(model).__mro__}
        return not bases.isdisjoint(self.model_classes)

    def absent(self) -> str | None:
        """Return why the backend cannot be used and how to get it, or None where it can."""
        try:
            found = importlib.util.find_spec(self.module) is not None
        except (ImportError, ValueError):
            found = False
        return None if found else f"backend {self.name!r} is not installed: run {self.install}"

    def version(self) -> str | None:
        """Return the library's version, or None where it is absent."""
        try:
            return metadata.version(self.distribution)
        except metadata.PackageNotFoundError:
            return None

    def devices(self) -> list[str]:
        """Return ``cpu`` and each CUDA device that the library would see."""
        return ["cpu", *(f"cuda:{index}" for index in range(self.cuda_devices()))]

    def load(self) -> Backend:
        """Import the library and return the backend."""
        reason = self.absent()
        if reason is not None:
            raise JacbenchError(reason)
        module, _, name = self.loader.partition(":")
        backend: Backend = getattr(importlib.import_module(module), name)()
        return backend


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
        :mod:`jacbench.operators`), synchronised. It answers for the x it is given, does not change
        it, and keeps nothing between calls.
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
        self, problem: Problem | None, operator: str, device: str, dtype: str
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


class Backend(ABC):
    """One autodiff library on one machine.

    Attributes
    ----------
    xp
        The namespace that neutral functions are written over, see :mod:`jacbench.namespace`.
    fatal_warnings
        Beginnings of warnings that mean a wrong Jacobian in this library.
    witnesses
        Methods for ``jacobian`` that share as little code as can be, reverse and forward: where no
        other library has the function, what they agree on is confirmed by differences and becomes
        the reference, see :mod:`jacbench.consensus`.
    """

    xp: Any
    fatal_warnings: Sequence[str] = ()
    witnesses: Sequence[str] = ()

    @abstractmethod
    def methods(self) -> Sequence[Method]:
        """Return every method, those of the descriptor."""

    @abstractmethod
    def configure(self, threads: int) -> Mapping[str, str | int | bool]:
        """Set threads and precision of the whole process; return the settings, to be recorded.

        Called once, in a worker, before anything else. Matrix products run at full precision.
        """

    @abstractmethod
    def put(self, array: Any, device: str, dtype: str) -> Native:
        """Return the NumPy ``array`` as a native one; floats are converted to ``dtype``.

        One of :data:`jacbench.point.FLOATING`; KeyError or TypeError where the library lacks it.
        """

    @abstractmethod
    def to_numpy(self, array: Native) -> Any:
        """Return a copy of a native array as a NumPy array of the same shape and dtype.

        Floats of a dtype that NumPy lacks become float32, which holds them exactly.
        """

    def copied(self, array: Native) -> Native:
        """Return an array of its own memory, of the same numbers and in the same graph."""
        numbers = self.to_numpy(array)
        return self.put(numbers, self.device_of(array), str(numbers.dtype))

    def was_written(self, copy: Native, array: Native) -> bool:
        """Say whether what was :meth:`copied` from ``array`` has been written to since."""
        import numpy as np  # noqa: PLC0415 - only once NumPy is there

        return not np.array_equal(self.to_numpy(copy), self.to_numpy(array), equal_nan=True)

    def given_away(self, array: Native) -> bool:
        """Say whether a function that was called with ``array`` took its memory for its own."""
        del array
        return False

    def declined(self, exc: Exception) -> str | None:
        """Return the library's own words where ``exc`` means that it cannot do this, else None.

        For what it says in the same way under every method: no reverse mode through a
        ``while_loop``, no ``.item()`` under ``vmap``. An exception that may as well be a fault of
        the user's function is none of these.
        """
        del exc
        return None

    def out_of_memory(self, exc: BaseException) -> bool:
        """Say whether ``exc`` is how the library says that memory is short, on any device."""
        return isinstance(exc, MemoryError)

    def state(self) -> Mapping[str, Any]:
        """Return the library's settings of the whole process, by names that a person can read.

        Values that compare with ``==``, in microseconds: it is called before and after a cell is
        settled, and a method that leaves another value behind has failed. A key reads on from
        "changed ...", such as ``torch's default dtype``.
        """
        return {}

    def generators(self) -> Mapping[str, Any]:
        """Return the states of the library's global random generators, by a word for each.

        Drawing from them is no fault: they are put back, and the cell says that they were used.
        """
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Put back what :meth:`state` or :meth:`generators` returned: those entries that changed.

        Called with one entry at a time.
        """
        del state

    def adapt(self, model: Any, inputs: Inputs, wrt: str, output: str | int | None) -> Adapted:
        """Return a model of the library, one of ``Descriptor.model_classes``, as a function.

        Parameters
        ----------
        model
            The model; it is neither changed nor kept alive by its buffers.
        inputs
            What the model is called with; ``inputs.arrays`` are NumPy's or the library's, and x, or
            a constant, is one array or a tuple of several.
        wrt
            ``parameters`` or ``inputs``: what becomes x.
        output
            Which entry of a tuple or dict that the model returns; None where it returns an array.
        """
        del inputs, wrt, output
        raise JacbenchError(f"a {type(model).__name__} is no model that this backend can adapt")

    def held(self, function: Callable[..., Any]) -> Any:
        """Return a copy of what ``function`` keeps between calls: the running means of a model."""
        del function

    def put_held(self, holds: Any) -> None:
        """Put back what :meth:`held` returned."""
        del holds

    def recorded(self, function: Callable[[Native], Native], x: Native) -> bool:
        """Say whether the library finds a way back from ``function(x)`` to x, for all it knows.

        At the cost of an evaluation; True where it cannot be asked.
        """
        del function, x
        return True

    def cuts(
        self, function: Callable[..., Native], x: Native, *constants: Native
    ) -> tuple[GraphCut, ...]:
        """Return what takes x out of differentiation on its way to y, in order.

        Found by running or tracing the function; no words on what a rule of its own does. Empty
        where nothing is seen to. What is cut may be meant so: whoever asks knows that y moves.
        """
        del function, x, constants
        return ()

    def is_array(self, value: Any) -> bool:
        """Say whether ``value`` is one of the library's arrays."""
        return type(value).__module__.partition(".")[0] == "numpy"

    def traced(self, array: Native) -> bool:
        """Say whether one of the library's arrays stands for numbers that are not known yet.

        Inside of ``jit`` and the like: it can be computed with, and not looked at.
        """
        del array
        return False

    def traces(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> bool:
        """Say whether the library can trace ``function`` with all of its arguments unknown.

        ``arguments`` are trees of NumPy arrays. True where it does not trace to compile.
        """
        del function, arguments
        return True

    def beside(self, constant: Any) -> Native:
        """Return a NumPy array without a derivative as functions take it beside x: as it is."""
        return constant

    def device_of(self, array: Native) -> str:
        """Return the device that holds a native array: ``cpu`` or ``cuda:i``.

        A result has to lie on its cell's device: a backend with devices says where.
        """
        del array
        return "cpu"

    def recipe(
        self,
        method: str,
        spelling: Spelling,
        chunk_size: int | None,
        facts: Mapping[str, Any],
    ) -> list[str] | None:
        """Return the lines of plain library code by which a user computes the same, as ``J``.

        Parameters
        ----------
        method
            One of this backend, for ``jacobian`` or ``batch_jacobian``; J gets the shape that
            :func:`jacbench.jacobian` and :func:`jacbench.batch_jacobian` give it.
        spelling
            How the user's code names f and x; the lines come after its ``setup``.
        chunk_size
            Rows, columns or samples at a time, for methods that take it.
        facts
            What is known, all of it optional: ``tree``, True where x is a dict, list or tuple;
            ``zero``, True where J is 0 at x; ``in_axes``, as in :class:`jacbench.Problem`; and the
            notes of the method's :class:`Prepared`, of which ``way`` says what it chose among
            several.

        Returns
        -------
        None where there is no plain form: :mod:`jacbench.picking.recipes` asks jacbench.
        """
        del method, spelling, chunk_size, facts
        return None

    def precise(self) -> contextlib.AbstractContextManager[object]:
        """Return a context in which float64 stays float64, whatever the process is set to.

        For a check in the caller's own process, whose settings are left as they are.
        """
        return contextlib.nullcontext()

    def lifting(self) -> contextlib.AbstractContextManager[object] | None:
        """Return a context in which what a function holds in float32 is float64 for a float64 x.

        For the reference alone, within :meth:`precise`: a conversion to float32 that the function
        makes by name is left as it is. None where the library promotes by itself.
        """
        return None

    def staged(self, function: Callable[..., Native]) -> Callable[..., Native]:
        """Return ``function`` as the library calls it best again and again: compiled, in JAX."""
        return function

    def untraceable(
        self, function: Callable[..., Native], x: Native, *constants: Native
    ) -> str | None:
        """Return why derivatives of ``function`` would silently be wrong, in one line, or None.

        Asked once, when a function of the user's is prepared.
        """
        del function, x, constants
        return None

    def synchronise(self, value: Native) -> None:
        """Wait until ``value`` is computed; for code outside the timed call."""
        del value  # a library that computes where it is called has nothing to wait for

    def device_peak_bytes(self, call: Callable[[], object], device: str) -> int | None:
        """Return the device memory that ``call`` needed on top of what was held, in bytes.

        None where the library cannot say, and on the CPU, where the process is measured instead.
        """
        del call, device
        return None

    def device_seconds(self, call: Callable[[], object], device: str) -> float | None:
        """Return the time of one ``call`` by the clock of a CUDA device, seconds.

        None where the library has no such clock, and on the CPU.
        """
        del call, device
        return None


class HostBackend(Backend):
    """A backend whose arrays are NumPy's: on the CPU, with threads pinned by the environment."""

    def configure(self, threads: int) -> Mapping[str, str | int | bool]:
        """Change nothing: the environment holds NumPy's threads; say what its BLAS uses."""
        from jacbench import blas  # noqa: PLC0415 - only once NumPy is there

        del threads
        found = blas.threads()
        return {} if found is None else {"blas_threads": found}

    def put(self, array: Any, device: str, dtype: str) -> Native:
        """Return a copy; integer constants keep their dtype."""
        del device
        return array.astype(dtype) if array.dtype.kind == "f" else array.copy()

    def to_numpy(self, array: Native) -> Any:
        """Return a copy."""
        return array.copy()

    def copied(self, array: Native) -> Native:
        """Return a copy."""
        return array.copy()
