"""What each entry of a torch operator's result depends on: rules for the graph of ``make_fx``.

An operator that only moves entries is run on their numbers, which says where each one goes.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from jacbench.backend import Target, UnfitError
from jacbench.core import tree
from jacbench.core.pattern import Pattern
from jacbench.structure import dependence
from jacbench.structure.compression_plan import Detection
from jacbench.structure.dependence import Link, Links
from jacbench.structure.program import Step
from jacbench_torch.straight import Straight, name_of

ELEMENTWISE = frozenset(
    {"_to_copy", "abs", "acos", "acosh", "add", "addcdiv", "addcmul", "asin", "asinh", "atan"}
    | {"atan2", "atanh", "ceil", "celu", "clamp", "clamp_max", "clamp_min", "copy", "copysign"}
    | {"cos", "cosh", "deg2rad", "detach", "digamma", "div", "elu", "erf", "erfc", "erfinv", "exp"}
    | {"exp2", "expm1", "floor", "fmax", "fmin", "fmod", "frac", "gelu", "hardshrink"}
    | {"hardsigmoid", "hardswish", "hardtanh", "heaviside", "hypot", "leaky_relu", "lerp"}
    | {"lgamma", "log", "log10", "log1p", "log2", "log_sigmoid", "logaddexp", "logaddexp2", "logit"}
    | {"masked_fill", "maximum", "minimum", "mish", "mul", "nan_to_num", "neg", "pow", "rad2deg"}
    | {"reciprocal", "relu", "relu6", "remainder", "round", "rsqrt", "rsub", "sgn", "sigmoid"}
    | {"sign", "silu", "sin", "sinc", "sinh", "softplus", "softshrink", "sqrt", "square", "sub"}
    | {"tan", "tanh", "threshold", "trunc", "where", "xlogy"}
)
"""Operators whose results depend on the entries at the same place, after broadcasting."""

MOVING = frozenset(
    {"_reshape_alias", "_unsafe_view", "alias", "cat", "clone", "constant_pad_nd", "diag_embed"}
    | {"diagonal", "expand", "flip", "gather", "index", "index_select", "lift_fresh_copy"}
    | {"permute", "reflection_pad1d", "repeat", "replication_pad1d", "reshape", "roll", "select"}
    | {"select_scatter", "slice", "slice_scatter", "split", "split_with_sizes", "squeeze", "stack"}
    | {"t", "transpose", "tril", "triu", "unbind", "unfold", "unsqueeze", "view"}
)
"""Operators whose results are entries of what they read, or a constant."""

REDUCING = frozenset(
    {"amax", "amin", "linalg_vector_norm", "logsumexp", "mean", "norm", "prod", "std", "sum", "var"}
)
"""Operators that reduce over the axes ``dim``."""

ALONG = frozenset({"_log_softmax", "_softmax", "cumprod", "cumsum", "logcumsumexp", "sort"})
"""Operators whose results depend on all of the line along the axis ``dim``."""

PRODUCTS = {"bmm": 0, "dot": 0, "mm": 0, "mv": 0, "addmm": 1, "addmv": 1, "baddbmm": 1}
"""Products of matrices, and how many arguments stand before the factors."""

LEAVING = frozenset(
    {"__array__", "__bool__", "__complex__", "__dlpack__", "__float__", "__index__", "__int__"}
    | {"data_ptr", "item", "numpy", "tolist"}
)
"""Functions of a tensor that give its numbers to Python, where a recorded graph is lost."""


class Watched(TorchFunctionMode):
    """Within it, no number of a tensor leaves torch: the graph that is recorded is all there is."""

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        """Call ``func``, or say that it hands numbers to Python."""
        name = getattr(func, "__name__", "")
        if name in LEAVING:
            raise UnfitError(f"it hands numbers to Python, by {name}: it may branch on them")
        return func(*args, **(kwargs or {}))


def detection(target: Target) -> list[Detection]:
    """Return what finds the pattern from the program text."""
    return [("program", lambda: pattern(target))]


def pattern(target: Target) -> Pattern:
    """Return where the Jacobian of ``target`` may be other than zero, for every x.

    Raises
    ------
    UnfitError
        Where the function cannot be recorded, or nearly everything may be other than zero.
    """
    with Watched():
        code = Straight(target)
    if has_a_rule(target):
        raise UnfitError("a derivative rule of its own may pass where the value does not")
    values = _Numbers(code, target)
    return dependence.pattern(code.program, values.links)


def has_a_rule(target: Target) -> bool:
    """Say whether an ``autograd.Function`` is part of the function: no recorded value shows it."""
    with torch.enable_grad():
        x = tree.map_leaves(lambda leaf: leaf.detach().clone().requires_grad_(), target.x)
        ahead, seen = [target.function(x, *target.constants).grad_fn], set()
    while ahead:
        node = ahead.pop()
        if isinstance(node, torch.autograd.function.BackwardCFunction):
            return True
        if node is not None and node not in seen:
            seen.add(node)
            ahead.extend(before for before, _ in node.next_functions)
    return False


class _Numbers(torch.fx.Interpreter):
    """The numbers of a graph's values, as far as rules ask for them; and those rules."""

    def __init__(self, code: Straight, target: Target) -> None:
        super().__init__(code.module, garbage_collect_values=False)
        self._dependent = code.program.dependent
        with torch.no_grad():
            self.run(*(leaf.detach().clone() for leaf in tree.leaves(target.x)))

    def links(self, step: Step) -> Links:
        """Return what the result of a step depends on."""
        node = step.source
        operands = list(dict.fromkeys(node.all_input_nodes))
        try:
            found = self._rule(node, operands)
        except Exception:  # noqa: BLE001 - an operator used in a way that no rule foresaw
            found = None
        return {node: [Link(operand) for operand in operands] if found is None else found}

    def _rule(self, node: torch.fx.Node, operands: list[Any]) -> list[Link] | None:
        name, result = name_of(node), self.env[node]
        if node.target is operator.getitem:
            of, index = node.args
            return [self._part(of, int(str(index)))]
        if name in ELEMENTWISE and isinstance(result, torch.Tensor):
            return [
                Link(one, dependence.broadcast(self.env[one].shape, result.shape))
                for one in operands
            ]
        if name in MOVING:
            return [self._moved(node, one) for one in operands if self._carries(one)]
        if name in REDUCING | ALONG and len(operands) == 1 and isinstance(result, torch.Tensor):
            return [self._lines(node, name)]
        if name in PRODUCTS:
            return self._product(node, PRODUCTS[name])
        return None

    def _carries(self, node: Any) -> bool:
        value = self.env[node]
        return not isinstance(value, torch.Tensor) or value.is_floating_point()

    def _part(self, of: Any, index: int) -> Link:
        sizes = [part.numel() for part in self.env[of]]
        start = sum(sizes[:index])
        return Link(of, np.arange(start, start + sizes[index]))

    def _moved(self, node: torch.fx.Node, one: torch.fx.Node) -> Link:
        """Run the operator on the numbers of the entries of one operand, all others being 0."""

        def argument(other: torch.fx.Node) -> Any:
            value = self.env[other]
            if isinstance(value, torch.Tensor) and not value.is_floating_point():
                if other in self._dependent:
                    raise UnfitError("which entries are taken depends on x")
                return value
            if other is not one:
                return torch.zeros(value.shape, dtype=torch.int64, device=value.device)
            return torch.as_tensor(dependence.numbered(value.shape), device=value.device)

        run: Any = node.target
        arguments: Any = torch.fx.map_arg(node.args, argument)
        options: Any = torch.fx.map_arg(node.kwargs, argument)
        if name_of(node) == "constant_pad_nd":
            arguments, options = arguments[:2], {}
        moved = run(*arguments, **options)
        parts = moved if isinstance(moved, (list, tuple)) else [moved]
        flat = torch.cat([part.reshape(-1) for part in parts])
        return Link(one, dependence.places(flat.cpu().numpy(), self.env[one].numel()))

    def _lines(self, node: torch.fx.Node, name: str) -> Link:
        (one,) = node.all_input_nodes
        shape = tuple(self.env[one].shape)
        given = _argument(node, "dim")
        axes = range(len(shape)) if given is None or given == [] else given
        axes = [axes] if isinstance(axes, int) else axes
        axes = [axis % len(shape) for axis in axes] if shape else []
        if name in ALONG:
            return Link(one, matrix=dependence.along(shape, axes))
        return Link(one, matrix=dependence.reduced(shape, axes))

    def _product(self, node: torch.fx.Node, before: int) -> list[Link] | None:
        result = self.env[node]
        found = [
            Link(one, dependence.broadcast(self.env[one].shape, result.shape))
            for one in node.args[:before]
            if isinstance(one, torch.fx.Node)
        ]
        factors: Any = node.args[before : before + 2]
        left, right = factors
        A, B = self.env[left], self.env[right]
        if A.ndim == 1:
            A = A[None]
        if B.ndim == 1:
            B = B[:, None]
        shapes = [(1,) * (3 - part.ndim) + tuple(part.shape) for part in (A, B)]
        values = [
            None if node in self._dependent else part.detach().cpu().numpy()
            for node, part in ((left, A), (right, B))
        ]
        by_left, by_right = dependence.product(shapes[0], shapes[1], (values[0], values[1]))
        return [*found, Link(left, matrix=by_left), Link(right, matrix=by_right)]


def _argument(node: torch.fx.Node, name: str) -> Any:
    """Return what an operator was given by this name, or its default."""
    schema = node.target._schema  # type: ignore[union-attr]
    for place, known in enumerate(schema.arguments):
        if known.name == name:
            if place < len(node.args):
                return node.args[place]
            return node.kwargs.get(name, known.default_value)
    return None
