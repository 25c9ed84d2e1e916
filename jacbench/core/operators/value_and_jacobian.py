"""``value_and_jacobian``: what Newton's and the Gauss-Newton method need in every step."""

from __future__ import annotations

from typing import Any

from jacbench.core.arrays import Array, Shape
from jacbench.core.operators.operator import Operator, Sizes


class ValueAndJacobian(Operator):
    """``(y, J)`` from one evaluation of the function, or ``((y, aux), J)`` where it has aux.

    Reference: J. Nocedal and S. Wright, Numerical Optimization (2nd ed., 2006), section 10.3: the
    Gauss-Newton step solves with J'J and J'r, so that each needs the residual r beside J.
    """

    name = "value_and_jacobian"
    returns_value = True

    def shapes(self, sizes: Sizes) -> tuple[Shape, list[Shape]]:
        """Return y.shape, and the shapes of the leaves of x."""
        return sizes.y_shape, list(sizes.leaf_shapes)

    def expected(self, jacobian: Array, sizes: Sizes, vector: Array | None) -> Array:
        """Return the Jacobian itself."""
        del sizes, vector
        return jacobian

    def parts(self, native: Any, *, has_aux: bool) -> tuple[Any, Any, Any]:
        """Split ``(y, J)`` or ``((y, aux), J)``; raise TypeError for anything else."""
        value, derivative = _pair(native, "(y, J)")
        if not has_aux:
            return value, None, derivative
        value, aux = _pair(value, "((y, aux), J)")
        return value, aux, derivative


def _pair(native: Any, form: str) -> tuple[Any, Any]:
    if not (isinstance(native, tuple) and len(native) == 2):
        raise TypeError(f"value_and_jacobian returns {form}, and this is no such pair")
    return native


OPERATOR = ValueAndJacobian()
