"""A fixed cotangent times the Jacobian: one pull-back, or the whole Jacobian contracted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from autograd.differential_operators import make_vjp
from autograd.misc.flatten import flatten

from jacbench.backend import Prepared, Target
from jacbench.core import layouts, tree
from jacbench_autograd.method import AutogradMethod, apart, unary
from jacbench_autograd.methods import jacobian_of

if TYPE_CHECKING:
    from jacbench.core.layouts import Layout


class VjpMethod(AutogradMethod):
    """A vjp, laid out like x."""

    def layout(self, target: Target) -> Layout:
        """Return leaf.shape for each leaf: a vjp has no rows."""
        del target
        return layouts.OUTPUT_BY_INPUT


class MakeVjp(VjpMethod):
    """``make_vjp``, its pull-back called once."""

    def prepare(self, target: Target) -> Prepared:
        """Bind the cotangent."""
        vjp_at, cotangent = make_vjp(unary(target)), target.vector

        def call(x: Any) -> Any:
            pull, _ = vjp_at(x)
            return apart(pull(cotangent), cotangent)

        return Prepared(call)


class ByJacobian(VjpMethod):
    """``autograd.jacobian``, then the contraction with the cotangent."""

    def prepare(self, target: Target) -> Prepared:
        """Build the operator, and the way back from a flat vector to a tree."""
        jacobian, cotangent = jacobian_of(target), target.vector
        axes = cotangent.ndim
        if tree.is_leaf(target.x):
            return Prepared(lambda x: np.tensordot(cotangent, jacobian(x), axes))
        _, unflatten = flatten(target.x)
        return Prepared(lambda x: unflatten(np.tensordot(cotangent, jacobian(x), axes)))


METHODS = (MakeVjp("autograd.make_vjp"), ByJacobian("autograd.vjp-by-jacobian"))
