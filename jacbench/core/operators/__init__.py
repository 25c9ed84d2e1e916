"""What is computed: one operator per file, each with its shapes, its reference and its parts.

Importing this imports no NumPy: ``jacbench list`` names operators without it.
"""

from __future__ import annotations

import functools
import importlib
from typing import TYPE_CHECKING

from jacbench.core.errors import unknown

if TYPE_CHECKING:
    from jacbench.core.operators.operator import Operator

SUMMARIES: dict[str, str] = {
    "jacobian": "the (m, n) matrix; of a scalar output, the gradient as its one row",
    "value_and_jacobian": "the function's value beside its Jacobian, from one evaluation",
    "batch_jacobian": "per sample: (B, m, n), each sample's outputs by its own inputs",
    "sparse_jacobian": "the entries that may be other than zero, as the data of a CSR matrix",
    "factored_jacobian": "two thin matrices whose product is the Jacobian: (m, k) and (k, n)",
    "vjp": "v J for a fixed cotangent v: what backward(v) computes",
    "jvp": "J t for a fixed tangent t: a directional derivative",
}
NAMES: tuple[str, ...] = tuple(SUMMARIES)
"""Every operator, in the order in which tables show them."""


@functools.cache
def get(name: str) -> Operator:
    """Return the operator ``name``."""
    if name not in SUMMARIES:
        raise unknown("operator", name, NAMES)
    module = importlib.import_module(f"jacbench.core.operators.{name}")
    operator: Operator = module.OPERATOR
    return operator


def offered(*, batch: bool) -> tuple[str, ...]:
    """Return the operators of a problem: ``batch_jacobian`` only where there are samples."""
    return tuple(name for name in NAMES if batch or name != "batch_jacobian")
