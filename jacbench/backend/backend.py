"""What a library offers: its methods, and how its arrays, models and settings are handled."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jacbench.backend.method import Method, Native
from jacbench.core.errors import JacbenchError

if TYPE_CHECKING:  # the registry is imported by `jacbench list`, which does without NumPy
    from jacbench.backend.adapted import Adapted, Inputs
    from jacbench.backend.graph_cut import GraphCut
    from jacbench.backend.user_code import Spelling


class Backend(ABC):
    """One autodiff library on one machine.

    Attributes
    ----------
    xp
        The namespace that neutral functions are written over, see :mod:`jacbench.core.namespace`.
    fatal_warnings
        Beginnings of warnings that mean a wrong Jacobian in this library.
    witnesses
        Methods for ``jacobian`` that share as little code as can be, reverse and forward: where no
        other library has the function, what they agree on is confirmed by differences and becomes
        the reference, see :mod:`jacbench.checking.standing`.
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

        KeyError or TypeError for a dtype that the library lacks.
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
            ``returns_tree``, True where f returns one, and J is a tree of Jacobians; ``zero``, True
            where J is 0 at x; ``in_axes``, as in :class:`jacbench.Problem`; and the notes of the
            method's :class:`Prepared`, of which ``way`` says what it chose among several.

        Returns
        -------
        None where there is no plain form: :mod:`jacbench.backend.recipes` asks jacbench.
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

    def as_differentiated(self) -> contextlib.AbstractContextManager[object] | None:
        """Return a context in which functions have the values that their derivatives are of.

        None where a plain call has them: where the library computes nothing in another way as long
        as no gradient is wanted.
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
        from jacbench.measuring import blas  # noqa: PLC0415 - only once NumPy is there

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
