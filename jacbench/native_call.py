"""One call of an operator on a native function: what was asked, checked, and how it is answered."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jacbench import interaction, layout, nearby, operators, registry, tree
from jacbench.backend import Backend, Guarding, Method, Native, Prepared, Target, UnfitError
from jacbench.errors import JacbenchError
from jacbench.layout import Array, Layout, Shape
from jacbench.operators.operator import Sizes
from jacbench.structure.pattern import Pattern
from jacbench.tree import Tree
from jacbench.value import evaluate


class Call:
    """One call of a function of :mod:`jacbench.native`: checked, its method chosen."""

    def __init__(
        self,
        operator: str,
        f: Callable[[Any], Any],
        x: Tree,
        method: str,
        chunk_size: int | None,
        *,
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
        if not tree.leaves(x):
            raise JacbenchError(
                f"{self.who}: x holds no arrays: a Jacobian needs at least one input"
            )
        self.f = f
        self.x = tree.map_leaves(lambda leaf: _input(self.who, self.backend, leaf), x)
        self.has_aux = has_aux
        self.pattern = None if pattern is None else Pattern.of(pattern)
        self.guard = guard
        self.layout: Layout | None = None
        if operator == "batch_jacobian" and in_axis is None:
            raise JacbenchError(
                f"{self.who}: in_axis is None: name the axis that runs over samples"
            )
        self.in_axis = in_axis
        y = self._value(self.x)
        self.y_shape, self.y_dtype = y.shape, str(y.dtype)
        self.sizes = Sizes(
            self.y_shape, [tuple(leaf.shape) for leaf in tree.leaves(self.x)], in_axis
        )
        if in_axis is not None:
            self._check_batch(in_axis)
        self.chunk_size = _chunk(self.who, chunk_size, self.method.chunking)

    def _value(self, x: Tree) -> Array:
        def value() -> Any:
            returned = self.f(x)
            if not self.has_aux:
                return returned
            if not (isinstance(returned, tuple) and len(returned) == 2):
                raise JacbenchError(
                    f"{self.who}: has_aux is True and f returned a {type(returned).__name__}: "
                    "return (y, aux)"
                )
            return returned[0]

        return evaluate(self.who, self.backend, value)

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
        pair = interaction.coupled(value, [x], (self.in_axis,), dtype=dtype)
        if pair is not None:
            raise JacbenchError(f"{self.who}: {interaction.told_of(*pair)}")

    def call(self, vector: Any = None) -> Native:
        """Prepare the method and call it at x."""
        prepared = self.prepare(vector)
        result = prepared.call(self.x)
        self.layout = prepared.layout_now or self.layout
        return result

    def prepare(self, vector: Any = None) -> Prepared:
        """Prepare the method for x and points like it."""
        target = self._target(self._vector(vector))
        reason = self.method.unsupported(
            None, self.method.info.operator, target.device, target.dtype
        )
        if reason is not None:
            raise JacbenchError(f"{self.who}: {reason}")
        try:
            prepared = self.method.prepare(target)
        except UnfitError as exc:
            raise JacbenchError(f"{self.who}: {exc}") from None
        self.layout = prepared.layout or self.method.layout(target)
        return prepared

    def like_x(self, x: Tree) -> Tree:
        """Return ``x`` as the method takes it, or raise where it is not like the one prepared."""
        names, given = tree.names(self.x), tree.names(x)
        if given != names:
            raise JacbenchError(
                f"{self.who}: prepared for x that holds {_listed(names)}, and given "
                f"{_listed(given)}: prepare it for that"
            )
        own = tree.map_leaves(self._like_leaf, x)
        for name, known, leaf in zip(names, tree.leaves(self.x), tree.leaves(own), strict=True):
            if tuple(leaf.shape) != tuple(known.shape) or leaf.dtype != known.dtype:
                raise JacbenchError(
                    f"{self.who}: prepared for x{name} of shape {tuple(known.shape)} and "
                    f"{known.dtype}, and given {tuple(leaf.shape)} and {leaf.dtype}: prepare it "
                    "for that"
                )
        return own

    def _like_leaf(self, leaf: Any) -> Native:
        """Return one array of x; the library's own are not looked into: that would cost a copy."""
        if self.backend.is_array(leaf):
            return leaf
        return _input(self.who, self.backend, leaf)

    def _target(self, vector: Native) -> Target:
        return Target(
            function=self.f,
            x=self.x,
            constants=(),
            y_shape=self.y_shape,
            device=self.backend.device_of(tree.first(self.x)),
            dtype=self._dtype(),
            chunk_size=self.chunk_size,
            vector=vector,
            in_axes=() if self.in_axis is None else (self.in_axis,),
            has_aux=self.has_aux,
            pattern=self.pattern,
            elsewhere=self._elsewhere() if self.method.info.structure else None,
            guard=self.guard,
        )

    def _elsewhere(self) -> Tree:
        """Return a point nearby: what was found of the structure has to hold there too.

        As near as the function has a value, or the nearest tried.
        """
        device, dtype = self.backend.device_of(tree.first(self.x)), self._dtype()
        x = tree.map_leaves(self.backend.to_numpy, self.x)
        other = nearby.point(x, np.random.default_rng(0x5EED))
        for _, near in nearby.nearer(x, other):
            placed = tree.map_leaves(lambda leaf: self.backend.put(leaf, device, dtype), near)
            with contextlib.suppress(JacbenchError):
                self._value(placed)
                break
        return placed

    def _dtype(self) -> str:
        return self._dtype_of(tree.first(self.x))

    def _vector(self, given: Any) -> Native:
        expected = self.operator.vector(self.sizes, 0)
        if expected is None:
            return None
        letter, like = ("v", "y") if self.operator.name == "vjp" else ("t", "x")
        dtype = self.y_dtype if letter == "v" else self._dtype()
        own = [self._beside_x(leaf, dtype) for leaf in tree.leaves(given)]
        leaves = [_input(self.who, self.backend, leaf, letter) for leaf in own]
        shapes = [tuple(leaf.shape) for leaf in leaves]
        wanted = [part.shape for part in expected]
        if shapes != wanted:
            raise JacbenchError(
                f"{self.who}: {letter} has shape {', '.join(map(str, shapes))}: give one like "
                f"{like}, of shape {', '.join(map(str, wanted))}"
            )
        names, known = tree.names(given), tree.names(self.x if letter == "t" else None)
        if names != known:
            raise JacbenchError(
                f"{self.who}: {letter} holds {', '.join(letter + name for name in names)}: give a "
                f"tree like {like}, which holds {', '.join(like + name for name in known)}"
            )
        dtypes = [self.y_dtype] if letter == "v" else map(self._dtype_of, tree.leaves(self.x))
        for leaf, dtype in zip(leaves, dtypes, strict=True):
            if self._dtype_of(leaf) != dtype:
                raise JacbenchError(
                    f"{self.who}: {letter} is {self._dtype_of(leaf)} and {like} is {dtype}: "
                    "convert it"
                )
        return self.operator.vector_like(leaves, self.x)

    def _beside_x(self, leaf: Any, dtype: str) -> Any:
        """Place NumPy's floats, and plain ones, in ``dtype``: that of theirs is no choice."""
        plain = isinstance(leaf, (float, np.floating, np.ndarray))
        if not plain or np.asarray(leaf).dtype.kind != "f":
            return leaf
        return self.backend.put(np.asarray(leaf), self.backend.device_of(tree.first(self.x)), dtype)

    def _dtype_of(self, leaf: Native) -> str:
        return str(self.backend.to_numpy(leaf).dtype)

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
        return None if self.layout is layout.COLUMNS else [rows + shape for shape in columns]

    def as_matrix(self, parts: list[Native]) -> Native:
        """Return the parts side by side as one (m, n) array."""
        rows = [part.reshape(math.prod(self.y_shape), -1) for part in parts]
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


def _input(who: str, backend: Backend, leaf: Any, what: str = "x") -> Native:
    if isinstance(leaf, (bool, int, float, complex, np.generic)):
        leaf = np.asarray(leaf)
    if not backend.is_array(leaf) and not isinstance(leaf, np.ndarray):
        raise JacbenchError(
            f"{who}: {what} is a {type(leaf).__module__}.{type(leaf).__name__}, not one of this "
            "library's arrays: convert it, or pass a NumPy array"
        )
    try:
        value = leaf if isinstance(leaf, np.ndarray) else backend.to_numpy(leaf)
    except TypeError as exc:  # torch.bfloat16 has no counterpart in NumPy
        raise JacbenchError(
            f"{who}: {what} is of a dtype NumPy lacks ({exc}): pass floats"
        ) from None
    if value.dtype.kind != "f":
        raise JacbenchError(
            f"{who}: {what} is of dtype {value.dtype}, which has no real derivative: pass floats"
        )
    if value.size == 0:
        raise JacbenchError(
            f"{who}: {what} is empty (shape {value.shape}): a Jacobian needs at least one input"
        )
    if not np.isfinite(value).all():
        raise JacbenchError(f"{who}: {what} is not finite: give a point without NaN or inf")
    if backend.is_array(leaf):
        return leaf
    try:
        placed = backend.put(value, "cpu", str(value.dtype))
    except (KeyError, TypeError):  # half and extended precision
        raise JacbenchError(
            f"{who}: {what} is of dtype {value.dtype}, which is not converted: pass float64 or "
            "float32, or an array of the library's own"
        ) from None
    made = backend.to_numpy(placed).dtype
    if made != value.dtype:
        raise JacbenchError(
            f"{who}: {what} is {value.dtype} and the library made it {made}: "
            "for JAX run jax.config.update('jax_enable_x64', True) first, or pass float32"
        )
    return placed


def _arranged(result: Native, made: Layout, rows: Shape, columns: Sequence[Shape]) -> list[Native]:
    """Return one native array of shape rows + column for each leaf of x."""
    m = math.prod(rows)
    sizes = [math.prod(shape) for shape in columns]
    parts = tree.leaves(result)
    if made is layout.COLUMNS:
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
