"""HIPS autograd's three ways: ``jacobian``, a loop over ``make_vjp``, ``make_jvp``.

Reference: https://github.com/HIPS/autograd/blob/master/autograd/differential_operators.py
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import autograd
import numpy as np
from autograd.differential_operators import make_jvp, make_vjp
from autograd.misc.flatten import flatten

from jacbench.backend import Prepared, Target
from jacbench.core import layouts, tree
from jacbench_autograd.method import AutogradMethod, eye, output_basis, pulled_back, unary

if TYPE_CHECKING:
    from jacbench.core.layouts import Layout


class Jacobian(AutogradMethod):
    """``autograd.jacobian``; it takes one array, so that a tree goes in as one flat vector."""

    nests = True

    def layout(self, target: Target) -> Layout:
        """Return y.shape + x.shape for an array, y.shape + (n,) for a tree."""
        return layouts.OUTPUT_BY_INPUT if tree.is_leaf(target.x) else layouts.OUTPUT_BY_COLUMNS

    def prepare(self, target: Target) -> Prepared:
        """Build the operator; autograd traces it anew in every call."""
        return Prepared(jacobian_of(target))


def jacobian_of(target: Target) -> Callable[[Any], Any]:
    """Return ``autograd.jacobian`` of the target's function, over a flat vector where x is a tree.

    Its result has shape y.shape + x.shape, or y.shape + (n,).
    """
    function, constants = target.function, target.constants
    if tree.is_leaf(target.x):
        jacobian = autograd.jacobian(function)
        return lambda x: jacobian(x, *constants)

    _, unflatten = flatten(target.x)

    def of_vector(vector: Any) -> Any:
        return function(unflatten(vector), *constants)

    jacobian = autograd.jacobian(of_vector)
    return lambda x: jacobian(flatten(x)[0])


class VjpLoop(AutogradMethod):
    """``make_vjp`` once, its pull-back per one-hot vector."""

    def layout(self, target: Target) -> Layout:
        """Return (m,) + leaf.shape for each leaf."""
        del target
        return layouts.ROWS

    def prepare(self, target: Target) -> Prepared:
        """Make the one-hot vectors."""
        vjp_at, basis = make_vjp(unary(target)), output_basis(target.y_shape, target)

        def call(x: Any) -> Any:
            pull, _ = vjp_at(x)
            return pulled_back(pull, basis)

        return Prepared(call)


class Jvp(AutogradMethod):
    """``make_jvp`` per one-hot column; autograd traces the function anew for each."""

    def layout(self, target: Target) -> Layout:
        """Return (n,) + y.shape."""
        del target
        return layouts.COLUMNS

    def prepare(self, target: Target) -> Prepared:
        """Make the one-hot columns."""
        leaves = tree.leaves(target.x)
        ends = np.cumsum([leaf.size for leaf in leaves])[:-1]
        basis = [
            tree.unflatten(
                target.x,
                [
                    part.reshape(leaf.shape)
                    for part, leaf in zip(np.split(column, ends), leaves, strict=True)
                ],
            )
            for column in eye(sum(leaf.size for leaf in leaves), target)
        ]
        jvp_at = make_jvp(unary(target))

        def call(x: Any) -> Any:
            push = jvp_at(x)
            return np.stack([push(one_hot)[1] for one_hot in basis])

        return Prepared(call)


METHODS = (Jacobian("autograd.jacobian"), VjpLoop("autograd.vjp-loop"), Jvp("autograd.jvp"))
