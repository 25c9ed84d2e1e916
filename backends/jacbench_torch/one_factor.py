"""Products with one factor that has no tangent, in forward mode.

``torch.func.jvp`` under ``vmap`` fills in a tangent of zeros for a factor that has none, and
multiplies by it, after copying it into memory of its own. For a weight of 512 x 2048 that takes
longer than the sixteen derivatives that it is filled in for. Here the product is told its tangent:
the same product with the tangent of the other factor.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Any

import torch
from torch.autograd import forward_ad

from jacbench_torch.straight import BILINEAR, name_of

SUMMANDS = {"addbmm": 0, "addmm": 0, "addmv": 0, "baddbmm": 0, "convolution": 2, "linear": 2}
"""By operator, the place of what is added to the product of two others."""


def told_its_tangent(module: torch.fx.GraphModule, count: int) -> torch.fx.GraphModule:
    """Replace each product of something that moves and something that does not.

    Parameters
    ----------
    module
        A graph; it is changed.
    count
        How many of its arguments, the first ones, move.

    Returns
    -------
    torch.fx.GraphModule
        The same, with the same values and, in forward mode, the same tangents.
    """
    arguments = [node for node in module.graph.nodes if node.op == "placeholder"]
    moving = set(arguments[:count])
    for node in module.graph.nodes:
        if node.op != "call_function" or moving.isdisjoint(node.all_input_nodes):
            continue
        moving.add(node)
        place = _factor(node, moving)
        if place is not None:
            node.args = (node.target, name_of(node), place, *node.args)
            node.target = _product
    module.recompile()
    return module


def _factor(node: torch.fx.Node, moving: Set[torch.fx.Node]) -> int | None:
    """Return the place of the one factor that moves, None where that is not all there is to it."""
    places = [place for place, argument in enumerate(node.args) if argument in moving]
    return places[0] if len(places) == 1 and places[0] in BILINEAR.get(name_of(node), ()) else None


def _product(op: Any, name: str, place: int, *args: Any, **kwargs: Any) -> torch.Tensor:
    primal, tangent = forward_ad.unpack_dual(args[place])
    value: torch.Tensor = op(*_with(args, place, primal), **kwargs)
    if tangent is None:
        return value
    if name == "mv" and place == 1:
        # Mapped over many tangents this is a thin matrix times a large one. The other way round,
        # as mv would have it, takes BLAS three times as long.
        along = torch.matmul(tangent, args[0].transpose(0, 1))
    else:
        along = op(*_without_summand(_with(args, place, tangent), name), **kwargs)
    dual: torch.Tensor = forward_ad.make_dual(value, along)
    return dual


def _with(args: Sequence[Any], place: int, argument: Any) -> list[Any]:
    return [*args[:place], argument, *args[place + 1 :]]


def _without_summand(args: list[Any], name: str) -> list[Any]:
    place = SUMMANDS.get(name)
    if place is None or len(args) <= place or args[place] is None:
        return args
    optional = name in {"convolution", "linear"}
    return _with(args, place, None if optional else torch.zeros_like(args[place]))
