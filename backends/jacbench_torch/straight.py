"""A torch function as straight-line code: the graph of operators that ``make_fx`` records.

The graph holds for the shapes at hand and for the branches that Python took. What it records lies
below autograd, so that a backward of the function's own and ``no_grad`` are lost: whoever uses it
has to hold its derivative against autograd's.

Reference: https://docs.pytorch.org/docs/stable/fx.html
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence, Set
from typing import Any

import torch
from torch.func import functionalize
from torch.fx.experimental.proxy_tensor import make_fx

from jacbench.backend import Target, UnfitError
from jacbench.core import tree
from jacbench.core.redaction import one_line
from jacbench.structure.program import Program, Step, Value
from jacbench_torch import declines
from jacbench_torch.method import of_leaves

BLIND = frozenset({"ceil", "detach", "floor", "round", "sign", "trunc"})
"""Operators whose derivative is zero everywhere."""

LINEAR = frozenset(
    {"_to_copy", "_unsafe_view", "add", "alias", "cat", "clone", "constant_pad_nd", "cumsum"}
    | {"diagonal", "expand", "flip", "getitem", "mean", "neg", "permute", "reshape", "roll", "rsub"}
    | {"select", "select_scatter", "slice", "slice_scatter", "split", "split_with_sizes", "squeeze"}
    | {"stack", "sub", "sum", "t", "transpose", "tril", "triu", "unbind", "unsqueeze", "view"}
)
"""Operators that are linear in all their tensors together."""

LINEAR_IN = {"div": {0}, "gather": {0}, "index": {0}, "index_select": {0}, "where": {1, 2}}
"""Operators that are linear in the arguments at these places together."""

BILINEAR = {
    **dict.fromkeys(("bmm", "convolution", "dot", "linear", "matmul", "mm", "mul", "mv"), (0, 1)),
    **dict.fromkeys(("addbmm", "addmm", "addmv", "baddbmm"), (1, 2)),
}
"""Operators that are linear in either of two arguments, and in all others: bias, summand."""


def _copied(into: torch.Tensor, value: torch.Tensor, non_blocking: bool = False) -> torch.Tensor:
    """Return what writing ``value`` leaves in ``into``; as it stands it has no forward mode."""
    del non_blocking
    return value.to(into.dtype).expand(into.shape)


class Straight:
    """The function of a target between the leaves of x and y, as a program and a graph.

    Attributes
    ----------
    program
        Its steps; each step's source is a node of the graph.
    module
        The graph.
    """

    def __init__(self, target: Target) -> None:
        self.module = _traced(target)
        nodes = list(self.module.graph.nodes)
        values = _Values(self.module)
        values.run(*(leaf.detach().clone() for leaf in tree.leaves(target.x)))
        self.program = Program(
            steps=tuple(_step(n) for n in nodes if n.op not in {"placeholder", "output"}),
            values=values.seen,
            inputs=tuple(n for n in nodes if n.op == "placeholder"),
            output=next(n for n in nodes if n.op == "output").args[0],
        )

    def part(
        self, steps: Iterable[Step], given: Sequence[Any], wanted: Sequence[Any]
    ) -> torch.fx.GraphModule:
        """Return the steps as a module: the values ``given``, in order, to a tuple of others."""
        graph = torch.fx.Graph()
        copied = {node: graph.placeholder(node.name) for node in given}
        for step in steps:
            copied[step.source] = graph.node_copy(step.source, copied.__getitem__)
        graph.output(tuple(copied[node] for node in wanted))
        return torch.fx.GraphModule(self.module, graph)


def _traced(target: Target) -> torch.fx.GraphModule:
    function = of_leaves(target)
    graph = _recorded(function, target)
    if _writes(graph):
        graph = _recorded(functionalize(function), target)
    if _writes(graph):
        raise UnfitError("the function writes in place into a tensor that is not its own")
    return graph


def _recorded(function: Any, target: Target) -> torch.fx.GraphModule:
    leaves = [leaf.detach().clone() for leaf in tree.leaves(target.x)]
    try:
        traced = make_fx(function, {torch.ops.aten.copy.default: _copied})(*leaves)
    except Exception as exc:
        # The function itself was called before: what fails here is the recording.
        if declines.out_of_memory(exc) or declines.reason(exc):
            raise
        raise UnfitError(f"make_fx cannot record it: {one_line(exc, 200)}") from exc
    graph: torch.fx.GraphModule = traced
    for node in graph.graph.nodes:
        counterpart = _out_of_place(node)
        if counterpart is not None:
            node.target = counterpart
    graph.recompile()
    return graph


def _writes(graph: torch.fx.GraphModule) -> bool:
    return any(_is_mutable(node) for node in graph.graph.nodes)


def _is_mutable(node: torch.fx.Node) -> bool:
    schema = getattr(node.target, "_schema", None)
    return schema is not None and bool(schema.is_mutable)


def _out_of_place(node: torch.fx.Node) -> Any:
    """Return the operator that gives what ``node`` leaves in place, where no one else sees it.

    A product of a vector and a matrix ends in ``squeeze_``, which ``functionalize`` leaves alone.
    """
    if not (isinstance(node.target, torch._ops.OpOverload) and _is_mutable(node)):
        return None
    written = node.args[0] if node.args else None
    if not isinstance(written, torch.fx.Node) or len(written.users) > 1:
        return None
    if torch.Tag.inplace_view not in node.target.tags and not _is_new(written):
        return None
    packet = getattr(torch.ops.aten, name_of(node).removesuffix("_"), None)
    counterpart = getattr(packet, node.target._overloadname, None)
    return None if counterpart is node.target else counterpart


def _is_new(node: torch.fx.Node) -> bool:
    """Say whether a node's value has memory of its own."""
    schema = getattr(node.target, "_schema", None)
    return schema is not None and all(found.alias_info is None for found in schema.returns)


class _Values(torch.fx.Interpreter):
    """Run a graph, and keep of every value what a program has to know."""

    def __init__(self, module: torch.fx.GraphModule) -> None:
        super().__init__(module)
        self.seen: dict[Any, Value] = {}

    def run_node(self, n: torch.fx.Node) -> Any:
        """Run one node."""
        result = super().run_node(n)
        if n.op != "output":
            self.seen[n] = _value(result)
        return result


def _value(result: Any) -> Value:
    if isinstance(result, torch.Tensor):
        real = result.is_floating_point()
        return Value(tuple(result.shape), real or result.is_complex(), real)
    inside = [_value(part) for part in result] if isinstance(result, (list, tuple)) else []
    return Value((sum(v.size for v in inside),), any(v.carries for v in inside), flat=False)


def _step(node: torch.fx.Node) -> Step:
    name = name_of(node)
    return Step(
        name=name,
        reads=tuple(node.all_input_nodes),
        writes=(node,),
        linear=functools.partial(_linear, name, node),
        source=node,
        blind=name in BLIND,
    )


def name_of(node: torch.fx.Node) -> str:
    """Return the operator's name without namespace and overload: ``tanh`` of ``aten::tanh``."""
    if isinstance(node.target, torch._ops.OpOverload):
        whole = str(node.target.name())
        return whole.partition("::")[2].partition(".")[0]
    return str(getattr(node.target, "__name__", node.target))


def _linear(name: str, node: torch.fx.Node, moving: Set[Any]) -> bool:
    places = {place for place, argument in enumerate(node.args) if _holds(argument, moving)}
    if any(_holds(argument, moving) for argument in node.kwargs.values()):
        return False
    if name in BILINEAR:
        return len(places.intersection(BILINEAR[name])) < 2
    return name in LINEAR or places <= LINEAR_IN.get(name, set())


def _holds(argument: Any, moving: Set[Any]) -> bool:
    found: list[torch.fx.Node] = []
    torch.fx.map_arg(argument, found.append)
    return any(node in moving for node in found)
