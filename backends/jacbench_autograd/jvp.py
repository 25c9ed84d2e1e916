"""The Jacobian times a fixed tangent: forward, by two reverse passes, or from the whole Jacobian.

Reference for the second: J. Townsend, A new trick for calculating Jacobian vector products (2017),
https://j-towns.github.io/2017/06/12/A-new-trick.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from autograd.differential_operators import make_jvp, make_jvp_reversemode
from autograd.misc.flatten import flatten

from jacbench.backend import Prepared, Target
from jacbench.core import layouts, tree
from jacbench_autograd.method import AutogradMethod, apart, unary
from jacbench_autograd.methods import jacobian_of

if TYPE_CHECKING:
    from jacbench.core.layouts import Layout


class JvpMethod(AutogradMethod):
    """A jvp, laid out like y."""

    def layout(self, target: Target) -> Layout:
        """Return y.shape: a jvp is one column."""
        del target
        return layouts.OUTPUT_BY_INPUT


class MakeJvp(JvpMethod):
    """``make_jvp``: forward mode; 29 of the primitives that have a VJP have no JVP."""

    def prepare(self, target: Target) -> Prepared:
        """Bind the tangent."""
        jvp_at, tangent = make_jvp(unary(target)), target.vector
        return Prepared(lambda x: apart(jvp_at(x)(tangent)[1], tangent))


class MakeJvpReversemode(JvpMethod):
    """``make_jvp_reversemode``: the pull-back is linear in the cotangent; its own vjp is the jvp.

    It needs no JVP of any primitive, but VJPs that can be differentiated once more.
    """

    def prepare(self, target: Target) -> Prepared:
        """Bind the tangent."""
        jvp_at, tangent = make_jvp_reversemode(unary(target)), target.vector
        return Prepared(lambda x: apart(jvp_at(x)(tangent), tangent))


class ByJacobian(JvpMethod):
    """``autograd.jacobian``, then the contraction with the tangent."""

    def prepare(self, target: Target) -> Prepared:
        """Build the operator; a tree's tangent becomes one flat vector, like its x."""
        jacobian, tangent = jacobian_of(target), target.vector
        if not tree.is_leaf(target.x):
            tangent, _ = flatten(tangent)
        axes = tangent.ndim

        def call(x: Any) -> Any:
            return np.tensordot(jacobian(x), tangent, axes)

        return Prepared(call)


METHODS = (
    MakeJvp("autograd.make_jvp"),
    MakeJvpReversemode("autograd.make_jvp_reversemode"),
    ByJacobian("autograd.jvp-by-jacobian"),
)
