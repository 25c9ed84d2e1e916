"""A problem: a function from R^n to R^m, a point, and where possible its analytic Jacobian."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

from jacbench.core.arrays import Array
from jacbench.problems import derived
from jacbench.problems.fields import ProblemFields
from jacbench.problems.from_model import model_fields


@dataclass(frozen=True, kw_only=True, eq=False)
class Problem(ProblemFields):
    """A function ``f: R^n -> R^m``, a point, its constants, its source and its Jacobian.

    Attributes
    ----------
    name
        ``family/short-name``; patterns on the command line select by it.
    function
        ``f(xp, x, *constants) -> y``: ``xp`` is a backend's namespace, ``x`` an array or a tree of
        arrays, ``y`` one floating-point array of any shape. It is called with every backend's
        arrays and must keep nothing between calls. It may index and unpack a tree, but not ask
        for its type: autograd hands in boxes that are no dict, list or tuple. None where the
        function exists in ``native`` alone.
    x
        The point: a float64 array or a tree of them, n entries in all. Lists of Python floats are
        trees of scalars; pass ``numpy.array``.
    constants
        Further arguments of ``function``, each an array or a tree of arrays; they are placed on
        the device in float64 or float32 as the cell asks.
    native
        By backend, the same function over that library's own arrays, ``f(x, *constants) -> y``, or
        ``"module:name"`` of one, imported when a cell needs it. It takes the place of ``function``
        there; a backend without either is ``unsupported``.
    jacobian
        ``jacobian(x, *constants)`` gives the (m, n) matrix in NumPy float64, column j belonging to
        entry j of the leaves of x in tree order. None where nobody has written one: the reference
        is then a numerical Jacobian, see :mod:`jacbench.checking.reference`.
    elsewhere
        A second point of the same structure; every method is prepared at ``x`` and must answer
        for this one too. None: ``x`` with each entry moved by about a
        tenth of itself, seeded, and nearer where the function has no value there.
    in_axes
        Where the samples of a batch lie, as ``jax.vmap`` takes it: for x and each constant the
        axis that runs over samples (of every leaf), or None where all samples share it. The first
        axis of y runs over samples. None: there is no batch, and no ``batch_jacobian``.
    has_aux
        True where the function returns ``(y, aux)``: aux is an array or a tree of arrays that is
        not differentiated, and which ``value_and_jacobian`` returns beside y.
    tapped
        True where the function takes a keyword ``tap`` and passes intermediate values through it
        by name, ``Z = tap("Z", Z)``: :meth:`at` takes derivatives by them.
    stops_gradient
        True where a part of the function is cut from differentiation on purpose (``detach``,
        ``stop_gradient``): finite differences see through the cut and are not asked.
    kink_distance
        How far any one input may move from either point before the function meets a kink; None
        where it is smooth. Finite differences with a longer step are not asked.
    known_faults
        Wrong Jacobians that a library is known to give here, with the link that says so.
    intermediate
        Set by :meth:`at`: the name of the intermediate value that x shifts.
    pattern
        Where the Jacobian may be other than zero, if you know: an (m, n) SciPy sparse array, whose
        stored entries count, or a NumPy array of booleans. Methods for sparse Jacobians find one
        by themselves where it is None, and check this one where it is not.
    rtol
        Up to which normwise error, and error of an entry over the size of its row or column, a
        Jacobian agrees; None: what is usual for the dtype. What a method, or the reference, is
        itself good to is allowed in any case.
    atol
        By how much any entry may be off besides: for a Jacobian that is zero, or nearly; None: 0.
    source
        Where the problem comes from: a paper, a book, a link.
    summary
        One line for ``jacbench list``.
    """

    @classmethod
    def from_model(cls, model: Any, *inputs: Any, **options: Any) -> Self:
        """Return the problem of a ``torch.nn.Module``, a Flax NNX or an Equinox module.

        By its parameters, or with ``wrt="inputs"`` by its inputs; options are those of
        :func:`jacbench.problems.from_model.model_fields`.
        """
        return cls(**model_fields(model, *inputs, **options))

    def subset(self, *patterns: str) -> Self:
        """Return this problem by some of its inputs, see ``problems.derived.subset``."""
        return derived.subset(self, *patterns)

    def outputs(self, rows: Sequence[int]) -> Self:
        """Return this problem with some of its outputs, see ``problems.derived.outputs``."""
        return derived.outputs(self, rows)

    def at(self, name: str, jacobian: Callable[..., Array] | None = None) -> Self:
        """Return this problem by an intermediate value, see ``problems.derived.at``."""
        return derived.at(self, name, jacobian)
