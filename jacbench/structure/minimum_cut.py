"""The narrowest place between inputs and outputs: a minimum vertex cut."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Cut:
    """A set of values that every path from the inputs to the outputs passes, as small as can be.

    Attributes
    ----------
    size
        How many numbers the values hold together; the same for both sets.
    near_inputs, near_outputs
        The first and the last such set: where several are equally small, these two are the ends.
    """

    size: int
    near_inputs: frozenset[Hashable]
    near_outputs: frozenset[Hashable]


def minimum_cut(
    sizes: Mapping[Hashable, int | None],
    edges: Iterable[tuple[Hashable, Hashable]],
    inputs: Iterable[Hashable],
    outputs: Iterable[Hashable],
) -> Cut | None:
    """Return the values of least total size that separate ``inputs`` from ``outputs``.

    Parameters
    ----------
    sizes
        How many numbers each value holds; None where it cannot be a part of the cut. An input or
        an output may be a part of it.
    edges
        ``(a, b)`` where b is computed from a.

    Returns
    -------
    The cut, or None where no path leads from an input to an output.

    Notes
    -----
    A value becomes two nodes with an edge of its size between them, and a maximum flow finds the
    edges that limit it: L. R. Ford and D. R. Fulkerson, Flows in Networks (1962), section I.11. The
    sets at both ends follow from what is still reachable in the residual network.
    """
    import networkx as nx  # noqa: PLC0415 - slow to import, and most runs do without
    from networkx.algorithms.flow import dinitz  # noqa: PLC0415

    graph: Any = nx.DiGraph()
    graph.add_nodes_from(("source", "sink"))
    number = {value: index for index, value in enumerate(sizes)}
    for value, size in sizes.items():
        limit = {} if size is None else {"capacity": size}
        graph.add_edge((number[value], "in"), (number[value], "out"), **limit)
    for a, b in edges:
        graph.add_edge((number[a], "out"), (number[b], "in"))
    for value in inputs:
        graph.add_edge("source", (number[value], "in"))
    for value in outputs:
        graph.add_edge((number[value], "out"), "sink")
    residual = dinitz(graph, "source", "sink")
    size = int(residual.graph["flow_value"])
    if size == 0:
        return None
    ahead = _reached("source", lambda node: _open(residual, residual.succ[node], node))
    behind = _reached("sink", lambda node: _open_to(residual, residual.pred[node], node))
    return Cut(
        size,
        frozenset(v for v, i in number.items() if (i, "in") in ahead and (i, "out") not in ahead),
        frozenset(v for v, i in number.items() if (i, "out") in behind and (i, "in") not in behind),
    )


def _open(residual: Any, others: Iterable[Any], node: Any) -> list[Any]:
    return [other for other in others if _has_room(residual[node][other])]


def _open_to(residual: Any, others: Iterable[Any], node: Any) -> list[Any]:
    return [other for other in others if _has_room(residual[other][node])]


def _has_room(edge: Mapping[str, float]) -> bool:
    return edge["flow"] < edge["capacity"]


def _reached(start: Any, neighbours: Callable[[Any], Iterable[Any]]) -> set[Any]:
    found, ahead = {start}, [start]
    while ahead:
        for other in neighbours(ahead.pop()):
            if other not in found:
                found.add(other)
                ahead.append(other)
    return found
