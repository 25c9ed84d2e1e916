"""The value beside the Jacobian: ``make_vjp`` gives both from one trace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from autograd.differential_operators import make_vjp
from autograd.tracer import getval

from jacbench.backend import Prepared, Target
from jacbench.core import layouts, tree
from jacbench_autograd.method import AutogradMethod, output_basis, pulled_back, unary

if TYPE_CHECKING:
    from jacbench.core.layouts import Layout


class ValueAndVjpLoop(AutogradMethod):
    """``make_vjp`` once, for y and for the pull-back, which is called per one-hot vector."""

    def layout(self, target: Target) -> Layout:
        """Return (m,) + leaf.shape for each leaf."""
        del target
        return layouts.ROWS

    def prepare(self, target: Target) -> Prepared:
        """Make the one-hot vectors."""
        of_x, basis = unary(target), output_basis(target.y_shape, target)
        vjp_at = make_vjp(of_x)

        def call(x: Any) -> Any:
            pull, y = vjp_at(x)
            return y, pulled_back(pull, basis)

        def call_with_aux(x: Any) -> Any:
            aux = None

            def value(x: Any) -> Any:
                nonlocal aux
                y, aux = of_x(x)
                return y

            # aux is taken on the way: a tuple is no box, so that make_vjp would see no dependence
            pull, y = make_vjp(value)(x)
            return (y, tree.map_leaves(getval, aux)), pulled_back(pull, basis)

        return Prepared(call_with_aux if target.has_aux else call)


METHODS = (ValueAndVjpLoop("autograd.value-and-vjp-loop"),)
