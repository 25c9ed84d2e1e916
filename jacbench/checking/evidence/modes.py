"""Products of a Jacobian with a few vectors, by the two modes of a library."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from jacbench.backend import Method, Native, Target, registry
from jacbench.core import tree
from jacbench.core.arrays import Array, Shape
from jacbench.core.nearby import flat, like
from jacbench.core.redaction import one_line
from jacbench.core.tree import Tree
from jacbench.problems.counted_function import Calls

_Way: TypeAlias = Callable[[Method, Sequence[Tree], Sequence[Array]], list[Array]]


class Witnesses:
    """The forward and the reverse mode of one library, on a function that is made smaller first.

    ``s -> f(x + V s)`` has the Jacobian J V at 0, and ``x -> U f(x)`` has U J: K columns and K rows
    of a function of any size. The backend's witnesses compute them; where one cannot, the library's
    methods for a single product are asked, one after another.
    """

    def __init__(self, calls: Calls, y_shape: Shape) -> None:
        self.calls, self.backend, self.y_shape = calls, calls.backend, y_shape
        self._reasons: tuple[list[str], list[str]] = ([], [])

    @property
    def reasons(self) -> list[str]:
        """Why what was asked first could not, those of the forward mode before the others."""
        forward, reverse = self._reasons
        return [*forward, *reverse]

    def leave_forward_out(self, why: str) -> None:
        """Take ``why`` for the reason that there is no forward mode."""
        self._reasons[0].append(why)

    def forward(self, points: Sequence[Tree], tangents: Sequence[Array]) -> tuple[str, list[Array]]:
        """Return what answered, and J V at each point, (m, K); nothing where no method can.

        ``tangents`` holds a V for each point, (n, K).
        """
        ways = [(name, self._along) for name in self.backend.witnesses[1:]]
        every = [*ways, *self._each("jvp", self._pushed)]
        return self._first(every, points, tangents, self._reasons[0])

    def reverse(self, points: Sequence[Tree], cotangents: Array) -> tuple[str, list[Array]]:
        """Return what answered, and U J at each point, (K, n); nothing where no method can.

        ``cotangents`` is U, (K, m).
        """
        ways = [(name, self._weighed) for name in self.backend.witnesses[:1]]
        every = [*ways, *self._each("vjp", self._pulled)]
        return self._first(every, points, [cotangents] * len(points), self._reasons[1])

    def whole(self, names: Sequence[str], points: Sequence[Tree]) -> dict[str, list[Array]]:
        """Return the (m, n) Jacobian at each point, by each of the methods ``names`` that can.

        One that cannot do the function, or gives what is not finite, says nothing.
        """
        answers = {}
        placed = [self._placed(x) for x in points]
        target = self._target(self.calls.function, placed[0], self.calls.constants, self.y_shape)
        for name in names:
            try:
                found = self._matrices(registry.method(name), target, placed)
            except Exception:  # noqa: BLE001, S112 - what a method cannot do is told in its own cell
                continue
            if all(np.isfinite(one).all() for one in found):
                answers[name] = found
        return answers

    def not_finite(self, x: Tree) -> list[str]:
        """Return which of the two modes give no finite derivative at ``x``."""
        m, n = math.prod(self.y_shape), flat(x).size
        reverse, forward = self.backend.witnesses[:2]
        asked: tuple[tuple[str, _Way, Array], ...] = (
            (reverse, self._weighed, np.ones((1, m))),
            (forward, self._along, np.ones((n, 1))),
        )

        def finite(name: str, way: _Way, vector: Array) -> bool:
            try:
                found = way(registry.method(name), [x, x], [vector, vector])
            except Exception:  # noqa: BLE001 - there is no such mode, which is told elsewhere
                return True
            return bool(np.isfinite(found[0]).all())

        return [name for name, way, vector in asked if not finite(name, way, vector)]

    def _each(self, operator: str, way: _Way) -> list[tuple[str, _Way]]:
        """Return every exact method for one product that makes no whole Jacobian for it."""
        methods = registry.descriptors()[self.calls.name].methods
        names = [info.name for info in methods if info.operator == operator]
        return [
            (name, way)
            for name in names
            if "-by-jac" not in name and registry.method(name).tolerance(self.calls.dtype) is None
        ]

    def _first(
        self,
        ways: Sequence[tuple[str, _Way]],
        points: Sequence[Tree],
        vectors: Sequence[Array],
        reasons: list[str],
    ) -> tuple[str, list[Array]]:
        """Return the first answer that is finite, with the name of the method that gave it."""
        for name, way in ways:
            try:
                found = way(registry.method(name), points, vectors)
            except Exception as exc:  # noqa: BLE001 - what one method cannot do, another may
                reasons.append(f"{name} raises {type(exc).__name__}: {one_line(exc, 100)}")
                continue
            if all(np.isfinite(product).all() for product in found):
                return name, found
            reasons.append(f"{name} gives a derivative that is not finite")
        return "", []

    # --- of a smaller function ---

    def _along(
        self, method: Method, points: Sequence[Tree], tangents: Sequence[Array]
    ) -> list[Array]:
        start, end = (flat(x).astype(self.calls.dtype) for x in points)
        step = end - start
        if not np.array_equal(start + step, end):
            pairs = zip(points, tangents, strict=True)
            return [self._at(method, x, columns, (0.0,))[0] for x, columns in pairs]
        # prepared once for both points: the second is a step along a column of its own
        columns = np.concatenate([step[:, None], *tangents], axis=1)
        first, second = self._at(method, points[0], columns, (0.0, 1.0))
        split = 1 + tangents[0].shape[1]
        return [first[:, 1:split], second[:, split:]]

    def _at(self, method: Method, x: Tree, columns: Array, steps: Sequence[float]) -> list[Array]:
        """Return J times ``columns`` at x, moved by each of ``steps`` along the first of them."""
        xp, function = self.backend.xp, self.calls.function

        def along(s: Any, x: Any, moves: Any, *constants: Any) -> Any:
            leaves = [
                leaf + xp.reshape(xp.matmul(move, s), tuple(leaf.shape))
                for leaf, move in zip(tree.leaves(x), moves, strict=True)
            ]
            return function(tree.unflatten(x, leaves), *constants)

        ends = np.cumsum([leaf.size for leaf in tree.leaves(x)])[:-1]
        moves = self._placed(np.split(columns, ends))
        one = np.eye(columns.shape[1])[0]
        places = [self._placed(step * one) for step in steps]
        constants = (self._placed(x), moves, *self.calls.constants)
        target = self._target(along, places[0], constants, self.y_shape)
        return self._matrices(method, target, places)

    def _weighed(
        self, method: Method, points: Sequence[Tree], cotangents: Sequence[Array]
    ) -> list[Array]:
        xp, function, m = self.backend.xp, self.calls.function, math.prod(self.y_shape)
        weights = cotangents[0]

        def weighed(x: Any, weights: Any, *constants: Any) -> Any:
            return xp.matmul(weights, xp.reshape(function(x, *constants), (m,)))

        placed = [self._placed(x) for x in points]
        constants = (self._placed(weights), *self.calls.constants)
        target = self._target(weighed, placed[0], constants, (len(weights),))
        return self._matrices(method, target, placed)

    def _matrices(self, method: Method, target: Target, points: Sequence[Native]) -> list[Array]:
        """Return what ``method``, prepared once, gives at each point, as float64 matrices."""
        prepared = method.prepare(target)
        layout = prepared.layout or method.layout(target)
        rows = math.prod(target.y_shape)
        found = [layout.matrix(self._numpy(prepared.call(x)), rows) for x in points]
        # what is complex is no derivative by real numbers: it raises
        return [one.astype(np.float64, casting="same_kind") for one in found]

    # --- one product after another ---

    def _pushed(
        self, method: Method, points: Sequence[Tree], tangents: Sequence[Array]
    ) -> list[Array]:
        return [
            np.stack([self._product(method, x, like(v, x)) for v in directions.T], axis=1)
            for x, directions in zip(points, tangents, strict=True)
        ]

    def _pulled(
        self, method: Method, points: Sequence[Tree], cotangents: Sequence[Array]
    ) -> list[Array]:
        return [
            np.stack([self._product(method, x, u.reshape(self.y_shape)) for u in weights])
            for x, weights in zip(points, cotangents, strict=True)
        ]

    def _product(self, method: Method, x: Tree, vector: Tree) -> Array:
        """Return a single product as a flat float64 vector."""
        own = self._placed(x)
        target = self._target(
            self.calls.function, own, self.calls.constants, self.y_shape, self._placed(vector)
        )
        arrays = self._numpy(method.prepare(target).call(own))
        return np.concatenate([array.reshape(-1) for array in arrays]).astype(np.float64)

    # --- what they share ---

    def _placed(self, value: Any) -> Native:
        return tree.map_leaves(self.calls.put, value)

    def _numpy(self, native: Native) -> list[Array]:
        return [self.backend.to_numpy(leaf) for leaf in tree.leaves(native)]

    def _target(
        self,
        function: Callable[..., Any],
        x: Native,
        constants: tuple[Native, ...],
        y_shape: Shape,
        vector: Native = None,
    ) -> Target:
        return Target(
            function=function,
            x=x,
            constants=constants,
            y_shape=y_shape,
            device=self.calls.device,
            dtype=self.calls.dtype,
            vector=vector,
        )
