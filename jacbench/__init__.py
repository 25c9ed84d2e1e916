"""Checked and timed Jacobians across PyTorch, JAX and HIPS autograd.

Importing this imports neither NumPy nor an autodiff library; what is named below is loaded on
first use.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jacbench.api import (
        batch_jacobian,
        check,
        factored_jacobian,
        jacobian,
        jvp,
        list,  # noqa: A004 - the command's name
        prepare,
        run,
        sparse_jacobian,
        sweep,
        value_and_jacobian,
        vjp,
    )
    from jacbench.comparing.comparison import compare
    from jacbench.core.cell import Cell, CellResult, Verdict
    from jacbench.core.errors import JacbenchError
    from jacbench.core.known_fault import KnownFault
    from jacbench.gating.run_gate import gate
    from jacbench.picking.answer import Answer
    from jacbench.picking.pick import pick
    from jacbench.problems.problem import Problem
    from jacbench.results.reader import read
    from jacbench.results.run import Run

__all__ = [
    "Answer",
    "Cell",
    "CellResult",
    "JacbenchError",
    "KnownFault",
    "Problem",
    "Run",
    "Verdict",
    "batch_jacobian",
    "check",
    "compare",
    "factored_jacobian",
    "gate",
    "jacobian",
    "jvp",
    "list",
    "pick",
    "prepare",
    "read",
    "run",
    "sparse_jacobian",
    "sweep",
    "value_and_jacobian",
    "vjp",
]

_HOMES = {
    "Answer": "picking.answer",
    "Cell": "core.cell",
    "CellResult": "core.cell",
    "JacbenchError": "core.errors",
    "KnownFault": "core.known_fault",
    "Problem": "problems.problem",
    "Run": "results.run",
    "Verdict": "core.cell",
    "batch_jacobian": "api",
    "check": "api",
    "compare": "comparing.comparison",
    "factored_jacobian": "api",
    "gate": "gating.run_gate",
    "jacobian": "api",
    "jvp": "api",
    "list": "api",
    "pick": "picking.pick",
    "prepare": "api",
    "read": "results.reader",
    "run": "api",
    "sparse_jacobian": "api",
    "sweep": "api",
    "value_and_jacobian": "api",
    "vjp": "api",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> Sequence[str]:
    return sorted(__all__)
