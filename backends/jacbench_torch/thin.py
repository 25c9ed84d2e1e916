"""Products of a few rows with a large constant matrix, which is kept transposed for them.

Where the columns of the constant are each together in memory, MKL takes two thirds of the time for
16 rows times 512 x 2048 numbers in float64. In float32 there is little to gain
(``benchmarks/products.py``).
"""

from __future__ import annotations

import torch

ROWS = range(8, 65)
"""Rows for which this is faster; fewer take longer, and for more it makes no difference."""
ENTRIES = range(1 << 18, 1 << 23)
"""Of the constant: with fewer it is not faster, and a copy of more takes too much memory."""


def transpose_constants(graph: torch.fx.GraphModule) -> None:
    """Keep a transposed copy of each constant of ``graph`` for which that is faster, and use it.

    Parameters
    ----------
    graph
        As ``make_fx`` records it, on the CPU; it is changed. Parameters that a user trains, and so
        changes in place, stay as they are.
    """
    nodes = graph.graph
    copies: dict[str, str] = {}
    for node in list(nodes.nodes):
        if node.target is not torch.ops.aten.mm.default or not _pays(graph, *node.args):
            continue
        name = str(node.args[1].target)
        if name not in copies:
            copies[name] = f"{name}_transposed"
            copy = getattr(graph, name).t().contiguous()
            graph.register_buffer(copies[name], copy, persistent=False)
        with nodes.inserting_before(node):
            transposed = nodes.call_function(
                torch.ops.aten.t.default, (nodes.get_attr(copies[name]),)
            )
        node.args = (node.args[0], transposed)
    graph.recompile()


def _pays(graph: torch.fx.GraphModule, thin: torch.fx.Node, other: torch.fx.Node) -> bool:
    if other.op != "get_attr":
        return False
    constant = getattr(graph, str(other.target))
    return (
        constant.device.type == "cpu"
        and constant.dtype == torch.float64
        and not constant.requires_grad
        and constant.is_contiguous()
        and constant.numel() in ENTRIES
        and thin.meta["val"].shape[0] in ROWS
    )
