"""HIPS autograd's three ways: ``jacobian``, a loop over ``make_vjp``, ``make_jvp``.

Reference: https://github.com/HIPS/autograd/blob/master/autograd/differential_operators.py
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import autograd
import numpy as np
from autograd.differential_operators import make_jvp, make_vjp
from autograd.misc.flatten import flatten

from jacbench import layout, tree
from jacbench.backend import Method, MethodInfo, Prepared, Target
from jacbench_autograd import descriptor

if TYPE_CHECKING:
    from jacbench.layout import Layout


class AutogradMethod(Method):
    """A named method of this backend."""

    def __init__(self, name: str) -> None:
        self.info: MethodInfo = next(info for info in descriptor.methods if info.name == name)


class Jacobian(AutogradMethod):
    """``autograd.jacobian``; it takes one array, so that a tree goes in as one flat vector."""

    def layout(self, target: Target) -> Layout:
        """Return y.shape + x.shape for an array, y.shape + (n,) for a tree."""
        return layout.OUTPUT_BY_INPUT if tree.is_leaf(target.x) else layout.OUTPUT_BY_COLUMNS

    def prepare(self, target: Target) -> Prepared:
        """Build the operator; autograd traces it anew in every call."""
        function, constants = target.function, target.constants
        if tree.is_leaf(target.x):
            jacobian = autograd.jacobian(function)
            return Prepared(lambda x: jacobian(x, *constants))

        _, unflatten = flatten(target.x)

        def of_vector(vector: Any) -> Any:
            return function(unflatten(vector), *constants)

        jacobian = autograd.jacobian(of_vector)
        return Prepared(lambda x: jacobian(flatten(x)[0]))


class VjpLoop(AutogradMethod):
    """``make_vjp`` once, its pull-back per one-hot vector."""

    def layout(self, target: Target) -> Layout:
        """Return (m,) + leaf.shape for each leaf."""
        del target
        return layout.ROWS

    def prepare(self, target: Target) -> Prepared:
        """Make the one-hot vectors."""
        function, constants = target.function, target.constants
        basis = list(_eye(math.prod(target.y_shape), target).reshape(-1, *target.y_shape))

        def of_x(x: Any) -> Any:
            return function(x, *constants)

        vjp_at = make_vjp(of_x)

        def call(x: Any) -> Any:
            pull, _ = vjp_at(x)
            rows = [tree.leaves(pull(one_hot)) for one_hot in basis]
            return [np.stack(row) for row in zip(*rows, strict=True)]

        return Prepared(call)


class Jvp(AutogradMethod):
    """``make_jvp`` per one-hot column; autograd traces the function anew for each."""

    def layout(self, target: Target) -> Layout:
        """Return (n,) + y.shape."""
        del target
        return layout.COLUMNS

    def prepare(self, target: Target) -> Prepared:
        """Make the one-hot columns."""
        function, constants = target.function, target.constants
        leaves = tree.leaves(target.x)
        eye = _eye(sum(leaf.size for leaf in leaves), target)
        ends = np.cumsum([leaf.size for leaf in leaves])[:-1]
        basis = [
            tree.unflatten(
                target.x,
                [
                    part.reshape(leaf.shape)
                    for part, leaf in zip(np.split(column, ends), leaves, strict=True)
                ],
            )
            for column in eye
        ]

        def of_x(x: Any) -> Any:
            return function(x, *constants)

        jvp_at = make_jvp(of_x)

        def call(x: Any) -> Any:
            push = jvp_at(x)
            return np.stack([push(one_hot)[1] for one_hot in basis])

        return Prepared(call)


def _eye(size: int, target: Target) -> Any:
    return np.eye(size, dtype=tree.leaves(target.x)[0].dtype)


METHODS = (Jacobian("autograd.jacobian"), VjpLoop("autograd.vjp-loop"), Jvp("autograd.jvp"))
