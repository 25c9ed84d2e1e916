"""The complex step: no subtraction, so that the step can be tiny and the result exact.

Reference: Squire and Trapp, Using complex variables to estimate derivatives of real functions, SIAM
Review 40 (1998), https://doi.org/10.1137/S003614459631241X
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jacbench.backend import Prepared, Target
from jacbench.core import tree
from jacbench_numpy.method import NumpyMethod, ProductMethod

STEP = 1e-20
"""Its square vanishes beside 1, and it is far from the smallest float32."""


class ComplexStep(NumpyMethod):
    """Column j is Im f(x + i h e_j) / h."""

    def prepare(self, target: Target) -> Prepared:
        """Choose the complex dtype."""
        function, constants = target.function, target.constants
        wide = np.result_type(target.dtype, np.complex64)
        h = wide.type(STEP * 1j)

        def call(x: Any) -> Any:
            # in C order, so that the flat view below is one
            work = tree.map_leaves(lambda leaf: leaf.astype(wide, order="C"), x)
            columns = []
            for leaf in tree.leaves(work):
                entries = leaf.reshape(-1)
                for j, middle in enumerate(entries.copy()):
                    entries[j] = middle + h
                    columns.append(np.imag(function(work, *constants)).reshape(-1) / h.imag)
                    entries[j] = middle
            return np.stack(columns, axis=1)

        return Prepared(call)


class ComplexStepJvp(ProductMethod):
    """Im f(x + i h t) / h: one evaluation."""

    def prepare(self, target: Target) -> Prepared:
        """Scale the step to the tangent, whatever its length."""
        function, constants, y_shape = target.function, target.constants, target.y_shape
        wide = np.result_type(target.dtype, np.complex64)
        tangents = tree.leaves(target.vector)
        longest = max(float(np.abs(tangent).max()) for tangent in tangents)
        h = wide.type(STEP / (longest or 1.0) * 1j)
        moves = [h * tangent for tangent in tangents]

        def call(x: Any) -> Any:
            moved = zip(tree.leaves(x), moves, strict=True)
            leaves = [np.asarray(leaf + move) for leaf, move in moved]
            y = function(tree.unflatten(x, leaves), *constants)
            return (np.imag(y) / h.imag).reshape(y_shape)

        return Prepared(call)


METHODS = (ComplexStep("numpy.complex-step"), ComplexStepJvp("numpy.complex-step-jvp"))
