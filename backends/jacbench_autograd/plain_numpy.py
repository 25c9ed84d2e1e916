"""Functions that call NumPy where autograd's own NumPy was meant."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from autograd.core import VJPNode
from autograd.tracer import trace


def untraceable(function: Callable[..., Any], x: Any, *constants: Any) -> str | None:
    """Return why autograd's derivatives of ``function`` are wrong, or None where it traces it.

    NumPy's own ``dot``, ``array`` or ``outer`` put autograd's boxes into an array of objects, which
    autograd takes for a constant in part: https://github.com/HIPS/autograd/issues/423.
    """
    with warnings.catch_warnings():
        # NumPy's, of protocols that autograd's boxes lack
        warnings.simplefilter("ignore")
        try:
            value, _ = trace(VJPNode.new_root(), lambda own: function(own, *constants), x)
        except Exception:  # noqa: BLE001 - what it raises it raises again where it is called
            return None
    if str(getattr(value, "dtype", "")) != "object":
        return None
    return (
        "NumPy's own functions were given autograd's x and made an array of objects of it, "
        "of which autograd sees a part: take np from autograd.numpy"
    )
