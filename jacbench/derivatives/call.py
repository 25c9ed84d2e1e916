"""One call of an operator on a native function: what was asked, checked, and how it is answered."""

from __future__ import annotations

import contextlib
import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np

from jacbench.backend import (
    Backend,
    Guarding,
    Method,
    Native,
    Prepared,
    Target,
    graph_cut,
    registry,
)
from jacbench.checking import process_state
from jacbench.core import layouts, nearby, operators, tree
from jacbench.core.arrays import Array, Shape
from jacbench.core.errors import JacbenchError
from jacbench.core.layouts import Layout
from jacbench.core.operators.operator import Sizes
from jacbench.core.pattern import Pattern
from jacbench.core.redaction import one_line
from jacbench.core.tree import Tree
from jacbench.derivatives import moving, outputs
from jacbench.derivatives import point as points
from jacbench.derivatives.point import Point, dtype_of
from jacbench.problems.checked_value import article, called, checked, line_of
from jacbench.structure import sample_coupling, sample_guard
from jacbench.structure.points import further

T = TypeVar("T")

CUT_UNSEEN = (
    "something cuts x off (stop_gradient, a callback, NumPy, a derivative of 0 written by hand)"
)
"""What is said where the library cannot tell what it was."""


class Call:
    """One call of an operator on a function of the caller's: checked, its method chosen."""

    def __init__(
        self,
        operator: str,
        f: Callable[[Any], Any],
        x: Tree,
        method: str,
        chunk_size: int | None,
        *,
        argnums: int | Sequence[int] | None = None,
        in_axis: int | None = None,
        has_aux: bool = False,
        pattern: Any = None,
        guard: Guarding = Guarding(),  # noqa: B008 - frozen
    ) -> None:
        self.who = f"{operator}(method={method!r})"
        self.operator = operators.get(operator)
        descriptor = registry.descriptor_of(method)
        self.backend, self.method = registry.load(descriptor.name), registry.method(method)
        if not callable(f):
            raise JacbenchError(f"{self.who}: f is a {type(f).__name__}: give a callable f(x)")
        if self.method.info.operator != operator:
            raise JacbenchError(f"{self.who}: {_others(self.method, operator)}")
        self.point = points.of(self.who, self.backend, x, argnums)
        self.argnums = argnums
        self.x = self.point.x
        self.has_aux = has_aux
        self.pattern = None if pattern is None else Pattern.of(pattern)
        self.guard = guard
        self.layout: Layout | None = None
        if operator == "batch_jacobian" and in_axis is None:
            raise JacbenchError(
                f"{self.who}: in_axis is None: name the axis that runs over samples"
            )
        self.in_axis = in_axis
        self._users = f
        of_x = self.point.of_x(f)
        self._gives_away = False
        value = self._value(of_x, self.x)
        if self._gives_away:
            of_x = self._of_copy(of_x)
        self.outputs = outputs.of(self.who, self.backend, value, samples=in_axis is not None)
        self.f = self.outputs.of(of_x, has_aux=has_aux)
        self.traced = self.outputs.traced or any(map(self.backend.traced, tree.leaves(self.x)))
        self.y_shape = self.outputs.shape
        self.sizes = Sizes(
            self.y_shape, [tuple(leaf.shape) for leaf in tree.leaves(self.x)], in_axis
        )
        if in_axis is not None and self.point.moving:
            self._check_batch(in_axis)
        self.chunk_size = _chunk(self.who, chunk_size, self.method.chunking)

    def _value(self, of_x: Callable[[Any], Any], x: Tree) -> Any:
        own = tree.map_leaves(self.backend.copied, x)
        with process_state.kept(self.backend, self._users):
            returned = called(self.who, lambda: of_x(own))
        self._gives_away = any(map(self.backend.given_away, tree.leaves(own)))
        if not self._gives_away:
            self._refuse_writing(x, own)
        if not self.has_aux:
            return returned
        if not (isinstance(returned, tuple) and len(returned) == 2):
            raise JacbenchError(
                f"{self.who}: has_aux is True and f returned {article(type(returned).__name__)}: "
                "return (y, aux)"
            )
        return returned[0]

    def _of_copy(self, of_x: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Return the function of a copy of x, for one that takes the memory of its argument."""
        return lambda x: of_x(tree.map_leaves(self.backend.copied, x))

    def _refuse_writing(self, x: Tree, own: Tree) -> None:
        """Refuse a function that wrote into ``own``, the copy of x that it was called with."""
        pairs = zip(tree.names(x), tree.leaves(x), tree.leaves(own), strict=True)
        for name, leaf, copy in pairs:
            if self.backend.was_written(copy, leaf):
                raise JacbenchError(
                    f"{self.who}: f writes into its argument: x{name} is another one after the "
                    "call, and a Jacobian would be of that: let f compute a new array, y = x - 1 "
                    "in place of x -= 1, or copy x first"
                )

    def _check_batch(self, axis: int) -> None:
        for name, shape in zip(tree.names(self.x), self.sizes.leaf_shapes, strict=True):
            if not -len(shape) <= axis < len(shape):
                raise JacbenchError(
                    f"{self.who}: samples lie along axis {axis}, and x{name} has shape {shape}: "
                    "name an axis that is there as in_axis"
                )
        counts = {shape[axis] for shape in self.sizes.leaf_shapes}
        if len(counts) > 1 or self.y_shape[:1] != (next(iter(counts)),):
            raise JacbenchError(
                f"{self.who}: x has {' or '.join(map(str, sorted(counts)))} samples along axis "
                f"{axis}, and y has shape {self.y_shape}: its first axis must run over samples"
            )

    def refuse_interacting_samples(self) -> None:
        """Raise the line that says which samples see each other."""
        if self.traced or not self.point.moving:  # no numbers to move
            return
        leaves = tree.leaves(self.x)
        dtype, device = self._dtype(), self.backend.device_of(leaves[0])

        def value(arguments: list[Tree]) -> Array:
            moved = [self.backend.put(leaf, device, dtype) for leaf in tree.leaves(arguments[0])]
            try:
                returned = self.f(tree.unflatten(self.x, moved))
            except Exception as exc:
                raise JacbenchError(
                    f"{self.who}: f raised {type(exc).__name__} where some samples were moved by a "
                    "tenth to see whether others notice: pass check=False if you know that none do"
                ) from exc
            return np.asarray(self.backend.to_numpy(returned))

        x = tree.map_leaves(self.backend.to_numpy, self.x)
        pair = sample_coupling.coupled(value, [x], (self.in_axis,), dtype=dtype)
        for other in further(x, lambda point: value([point])):
            if pair is not None:
                break
            with contextlib.suppress(JacbenchError):  # moved out of the domain: not its fault
                pair = sample_coupling.coupled(value, [other], (self.in_axis,), dtype=dtype)
        if pair is not None:
            raise JacbenchError(f"{self.who}: {sample_coupling.told_of(*pair)}")

    def call(self, vector: Any = None, *, refuse_zeros: bool = True, apart: bool = False) -> Native:
        """Prepare the method and call it at x; zeros are refused, or only those without a graph.

        ``apart`` says that blocks per sample are held against the function.
        """
        prepared = self.prepare(vector)
        result = self._refusing(lambda: prepared.call(self.x))
        self.layout = prepared.layout_now or self.layout
        self._refuse_zeros(result, always=refuse_zeros)
        if apart and self.sizes.m and self.point.moving:
            name, target = self.method.info.name, self._target(None)
            self._refusing(
                lambda: sample_guard.hold(self.who, name, target, self.sizes, prepared, result)
            )
        return result

    def prepare_to_keep(self) -> Prepared:
        """Prepare the method for points to come; refuse here what a single call refuses at x."""
        alone, by_sample = self.prepare(), self.operator.name == "batch_jacobian"
        with process_state.kept(self.backend, self._users):  # a look is none of the user's calls
            prepared = self._refusing(lambda: self._looked_at(alone)) if by_sample else alone
            result = self._refusing(lambda: prepared.call(self.x))
        # blocks of samples that see each other may be 0 by right
        self._refuse_zeros(result, always=not by_sample or self.guard.mode != "off")
        return prepared

    def _looked_at(self, prepared: Prepared) -> Prepared:
        """Return blocks that are held against the function, where samples may see each other."""
        if not self.sizes.m or not self.point.moving:
            return prepared
        name = self.method.info.name
        return sample_guard.looked_at(self.who, name, self._target(None), self.sizes, prepared)

    def _refuse_zeros(self, result: Native, *, always: bool) -> None:
        """Refuse zeros where y moves with x; unless ``always``, those alone without a graph."""
        if always or not (self.traced or self._is_recorded()):
            self._refuse_what_is_cut(result)

    def _refuse_what_is_cut(self, result: Native) -> None:
        """Refuse a derivative that is 0 everywhere where y moves with x.

        A product is 0 by right where its vector is, or meets nothing: there y has to lack a graph.
        """
        if self.traced or not self.operator.is_zero(result, has_aux=self.has_aux):
            return
        if self.operator.name in {"vjp", "jvp"} and self._is_recorded():
            return
        if self._dtype() not in {"float32", "float64"} or self._slope() is None:
            return
        where = graph_cut.told(self.backend.cuts(self.f, self.x))
        told = f"the graph from x to y is cut, by {where}" if where else CUT_UNSEEN
        raise JacbenchError(
            f"{self.who}: its result is 0 everywhere, but y moves with x: {told}: compute y from x "
            "with the library's own functions, or take a method of numpy"
        )

    def _slope(self) -> float | None:
        """Return the slope of y along some direction, by values alone; None where it has none."""
        x = tree.map_leaves(self.backend.to_numpy, self.x)

        def value(point: Tree) -> Array:
            return checked(self.who, self.backend, self._value(self.f, self._put(point)))

        return moving.slope(value, x, self._dtype())

    def _is_recorded(self) -> bool:
        with process_state.kept(self.backend, self._users):
            return self.backend.recorded(self.f, self.x)

    def _refusing(self, compute: Callable[[], T]) -> T:
        """Return what is computed, or raise the line by which the library says that it cannot.

        The value of f could be computed at x: whatever is raised is about its derivative.
        """
        try:
            return compute()
        except Exception as exc:
            told = self.told(exc)
            if told is None:
                raise
            raise JacbenchError(told) from exc

    def told(self, exc: Exception) -> str | None:
        """Return the line for what was raised; None where it is one, or where memory ran out."""
        if isinstance(exc, JacbenchError) or self.backend.out_of_memory(exc):
            return None
        told = self.method.declined(exc) or self.backend.declined(exc)
        if told is None:
            told = (
                f"differentiating its function raised {type(exc).__name__}: {one_line(exc, 200)}"
                f"{line_of(exc)}, where its value alone can be computed"
            )
        return f"{self.who}: {told}"

    def prepare(self, vector: Any = None) -> Prepared:
        """Prepare the method for x and points like it."""
        given = self._vector(vector)
        if not self.sizes.m or not self.point.moving:
            return self._of_nothing()
        if self.traced and not self.method.nests:
            raise JacbenchError(
                f"{self.who}: it is inside of another derivative here, which would not see what it "
                "puts together: take a method there that nests, such as "
                f"{next(iter(self._nesting()), 'one of the library')}"
            )
        if self.traced and self.method.info.structure:
            raise JacbenchError(
                f"{self.who}: x is traced here (inside jit, vmap, scan or grad), and the method "
                "has to look at numbers to find what it uses: call it outside, or take "
                f"{self.backend.witnesses[-1]} here"
            )
        target = self._target(given)
        reason = self.method.unsupported(
            None, self.method.info.operator, target.device, target.dtype
        )
        reason = reason or self.backend.untraceable(target.function, target.x)
        if reason is not None:
            raise JacbenchError(f"{self.who}: {reason}")
        prepared = self._refusing(lambda: self.method.prepare(target))
        self.layout = prepared.layout or self.method.layout(target)
        return prepared

    def _nesting(self) -> Iterator[str]:
        """Name the backend's methods for Jacobians that hold inside of another derivative."""
        for method in self.backend.methods():
            if method.nests and method.info.operator == "jacobian":
                yield method.info.name

    def _of_nothing(self) -> Prepared:
        """Return what is computed of no outputs, or by no inputs: arrays without entries, or 0."""
        if self.method.info.structure:
            raise JacbenchError(
                f"{self.who}: x or y holds no numbers: there is nothing to compress"
            )
        rows, columns = self.operator.shapes(self.sizes)
        self.layout = layouts.OUTPUT_BY_INPUT

        def call(x: Tree) -> Native:
            zeros = [self._zeros(rows + shape) for shape in columns]
            if not self.operator.returns_value:
                return zeros
            return called(self.who, lambda: self.f(x)), zeros

        return Prepared(call)

    def _zeros(self, shape: Shape) -> Native:
        return self.backend.put(np.zeros(shape), self._device(), self.outputs.dtype)

    def like_x(self, x: Tree) -> Tree:
        """Return ``x`` as the method takes it, or raise where it is not like the one prepared."""
        if self.point.as_given:
            return self._like_arrays(x)
        point = points.of(self.who, self.backend, x, self.argnums)
        self._check_constants(point)
        return self._like_arrays(point.x, point)

    def _check_constants(self, point: Point) -> None:
        """Raise where ``point`` differs from the one prepared in what is constant."""
        names, given = self.point.names(), point.names()
        if given != names:
            raise self._unlike(names, given)
        if not tree.alike(self.point.arguments, point.arguments):
            raise JacbenchError(
                f"{self.who}: prepared for an x with other static fields (what its containers "
                "hold beside arrays): prepare it for this one"
            )
        both = zip(names, self.point.constants(), point.constants(), strict=True)
        for name, known, here in both:
            if not _same(self.backend, known, here):
                raise JacbenchError(
                    f"{self.who}: prepared with x{name} as a constant, and it has another value "
                    "here: prepare it for that"
                )

    def _like_arrays(self, x: Tree, point: Point | None = None) -> Tree:
        names, given = tree.names(self.x), tree.names(x)
        if given != names:
            raise self._unlike(names, given)
        own = x if point is not None else tree.map_leaves(self._like_leaf, x)
        for name, known, leaf in zip(names, tree.leaves(self.x), tree.leaves(own), strict=True):
            if tuple(leaf.shape) != tuple(known.shape) or leaf.dtype != known.dtype:
                raise JacbenchError(
                    f"{self.who}: prepared for x{name} of shape {tuple(known.shape)} and "
                    f"{known.dtype}, and given {tuple(leaf.shape)} and {leaf.dtype}: prepare it "
                    "for that"
                )
        return own

    def _unlike(self, names: Sequence[str], given: Sequence[str]) -> JacbenchError:
        return JacbenchError(
            f"{self.who}: prepared for x that holds {_listed(names)}, and given "
            f"{_listed(given)}: prepare it for that"
        )

    def _like_leaf(self, leaf: Any) -> Native:
        """Return one array of x; the library's own are not looked into: that would cost a copy."""
        if self.backend.is_array(leaf):
            return leaf
        return points.array(self.who, self.backend, leaf)

    def anew_where_traced(self, x: Tree) -> Call | None:
        """Return this call at an ``x`` that is traced; None at any other.

        What was compiled for arrays takes no tracers, and a structure is found by looking.
        """
        arrays = filter(self.backend.is_array, tree.leaves(x))
        if not any(map(self.backend.traced, arrays)):
            return None
        return Call(
            self.operator.name,
            self._users,
            x,
            self.method.info.name,
            self.chunk_size,
            argnums=self.argnums,
            in_axis=self.in_axis,
        )

    def _target(self, vector: Native) -> Target:
        return Target(
            function=self.f,
            x=self.x,
            constants=(),
            y_shape=self.y_shape,
            device=self._device(),
            dtype=self._dtype(),
            chunk_size=self.chunk_size,
            vector=vector,
            in_axes=() if self.in_axis is None else (self.in_axis,),
            has_aux=self.has_aux,
            pattern=self.pattern,
            elsewhere=self._elsewhere() if self.method.info.structure else None,
            guard=self.guard,
            traced=self.traced,
        )

    def _elsewhere(self) -> Tree:
        """Return a point nearby: what was found of the structure has to hold there too.

        As near as the function has a value, or the nearest tried.
        """
        x = tree.map_leaves(self.backend.to_numpy, self.x)
        other = nearby.point(x, np.random.default_rng(0x5EED))
        for _, near in nearby.nearer(x, other):
            placed = self._put(near)
            with contextlib.suppress(JacbenchError):
                checked(self.who, self.backend, self._value(self.f, placed))
                break
        return placed

    def _put(self, x: Tree) -> Tree:
        """Return NumPy arrays as those of x are: of its dtypes, and where it lies."""
        pairs = zip(tree.leaves(x), tree.leaves(self.x), strict=True)
        placed = [self.backend.put(leaf, self._device(), dtype_of(own)) for leaf, own in pairs]
        return tree.unflatten(self.x, placed)

    def _device(self) -> str:
        leaves = tree.leaves(self.x)
        return self.backend.device_of(leaves[0]) if leaves else self.outputs.device

    def _dtype(self) -> str:
        leaves = tree.leaves(self.x)
        return dtype_of(leaves[0]) if leaves else self.outputs.dtype

    def _vector(self, given: Any) -> Native:
        if self.operator.name == "vjp":
            shapes, dtypes = self.outputs.shapes, self.outputs.dtypes
            if self.outputs.alone:  # a wrong shape is told before a wrong structure
                self._vectors("v", "y", tree.leaves(given), shapes, dtypes)
            leaves = self.outputs.vector(self.who, given)
            return self.outputs.joined(self._vectors("v", "y", leaves, shapes, dtypes))
        if self.operator.name == "jvp":
            shapes = tuple(self.sizes.leaf_shapes)
            dtypes = tuple(dtype_of(leaf) for leaf in tree.leaves(self.x))
            if self.point.as_given:
                self._vectors("t", "x", tree.leaves(given), shapes, dtypes)
            leaves = self.point.leaves_of(given, self.who, "t")
            own = self._vectors("t", "x", leaves, shapes, dtypes)
            return self.operator.vector_like(own, self.x)
        return None

    def _vectors(
        self,
        letter: str,
        like: str,
        given: Sequence[Any],
        shapes: Sequence[Shape],
        dtypes: Sequence[str],
    ) -> list[Native]:
        """Return the arrays of a cotangent or a tangent as the library's own."""
        own = [
            self._beside_x(leaf, dtypes[min(i, len(dtypes) - 1)]) for i, leaf in enumerate(given)
        ]
        leaves = [points.array(self.who, self.backend, leaf, letter) for leaf in own]
        found = [tuple(leaf.shape) for leaf in leaves]
        if found != list(shapes):
            raise JacbenchError(
                f"{self.who}: {letter} has shape {', '.join(map(str, found))}: give one like "
                f"{like}, of shape {', '.join(map(str, shapes))}"
            )
        for leaf, dtype in zip(leaves, dtypes, strict=True):
            if dtype_of(leaf) != dtype:
                raise JacbenchError(
                    f"{self.who}: {letter} is {dtype_of(leaf)} and {like} is {dtype}: convert it"
                )
        return leaves

    def _beside_x(self, leaf: Any, dtype: str) -> Any:
        """Place NumPy's floats, and plain ones, in ``dtype``: that of theirs is no choice."""
        plain = isinstance(leaf, (float, np.floating, np.ndarray))
        if not plain or np.asarray(leaf).dtype.kind != "f":
            return leaf
        return self.backend.put(np.asarray(leaf), self._device(), dtype)

    def pulled_back(self, parts: Sequence[Native]) -> Tree:
        """Return what :meth:`arranged` gave of a vjp, which has one row, by leaf of x."""
        return self.point.filled(parts, functools.partial(self._empty, ()))

    def structured(self, parts: Sequence[Native]) -> Tree:
        """Return what :meth:`arranged` gave as its users know it: by leaf of y, by leaf of x."""
        if self.outputs.alone and self.point.as_given:
            return tree.unflatten(self.x, parts)
        by_leaf = self.outputs.by_leaf(parts)
        if not parts:
            by_leaf = [[] for _ in self.outputs.shapes]
        return self.outputs.tree_of(
            [
                self.point.filled(row, functools.partial(self._empty, shape))
                for row, shape in zip(by_leaf, self.outputs.shapes, strict=True)
            ]
        )

    def _empty(self, rows: Shape, leaf: Native) -> Native:
        return self._zeros(rows + tuple(leaf.shape))

    def arranged(self, result: Native) -> list[Native]:
        """Return one native array of shape rows + column for each leaf of x."""
        rows, columns = self.operator.shapes(self.sizes)
        assert self.layout is not None  # noqa: S101 - known once the method was called
        return _arranged(result, self.layout, rows, columns)

    @property
    def shapes_as_they_are(self) -> list[Shape] | None:
        """The shapes of a result that needs no arranging; None where every result does.

        Columns are transposed, which the shape of a square Jacobian does not tell.
        """
        rows, columns = self.operator.shapes(self.sizes)
        return None if self.layout is layouts.COLUMNS else [rows + shape for shape in columns]

    def as_matrix(self, parts: list[Native]) -> Native:
        """Return the parts side by side as one (m, n) array."""
        shapes = self.sizes.leaf_shapes
        rows = [
            part.reshape(math.prod(self.y_shape), math.prod(shape))
            for part, shape in zip(parts, shapes, strict=True)
        ]
        if not rows:
            return self._zeros((math.prod(self.y_shape), 0))
        return rows[0] if len(rows) == 1 else self.backend.xp.concat(rows, axis=1)


def _others(method: Method, operator: str) -> str:
    same = [
        info.name
        for descriptor in registry.descriptors().values()
        for info in descriptor.methods
        if info.operator == operator
        and not info.structure
        and descriptor.name == _backend_of(method)
        # of those, what needs more than a function is no advice
        if registry.method(info.name).unsupported(None, operator, "cpu", "float64") is None
    ]
    told = f"it computes {method.info.operator}, not {operator}"
    if not same:
        return f"{told}, and no method of {_backend_of(method)} does that of a native function"
    return f"{told}: use {', '.join(same)}"


def _backend_of(method: Method) -> str:
    return registry.descriptor_of(method.info.name).name


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"x{name}" for name in names) or "nothing"


def _chunk(who: str, size: int | None, chunking: str) -> int | None:
    if size is not None and size < 1:
        raise JacbenchError(f"{who}: chunk_size is {size}: give a whole number of at least 1")
    if size is not None and chunking == "whole":
        raise JacbenchError(f"{who}: its library gives it no chunk size: leave chunk_size out")
    return size


def _same(backend: Backend, known: Any, here: Any) -> bool:
    """Say whether two constants are the same, whatever they are."""
    if known is here:
        return True
    arrays = [backend.to_numpy(v) if backend.is_array(v) else v for v in (known, here)]
    if all(isinstance(v, np.ndarray) for v in arrays):
        return bool(np.array_equal(*arrays))
    return type(known) is type(here) and bool(known == here)


def _arranged(result: Native, made: Layout, rows: Shape, columns: Sequence[Shape]) -> list[Native]:
    """Return one native array of shape rows + column for each leaf of x."""
    m = math.prod(rows)
    sizes = [math.prod(shape) for shape in columns]
    parts = tree.leaves(result)
    if made is layouts.COLUMNS:
        parts = [parts[0].reshape(sum(sizes), m).T]
    if len(parts) == 1 and len(sizes) > 1:
        whole = parts[0].reshape(m, sum(sizes))
        ends = np.cumsum([0, *sizes]).tolist()
        parts = [whole[:, a:b] for a, b in itertools.pairwise(ends)]
    wanted = [rows + shape for shape in columns]
    # reshaping to the same shape takes JAX microseconds
    return [
        part if tuple(part.shape) == shape else part.reshape(shape)
        for part, shape in zip(parts, wanted, strict=True)
    ]
