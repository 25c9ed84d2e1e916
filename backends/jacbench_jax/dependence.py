"""What each entry of a JAX primitive's results depends on: rules for the jaxpr of a function.

Reference: https://docs.jax.dev/en/latest/jaxpr.html
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.extend import core

from jacbench.backend import Target, UnfitError
from jacbench.layout import Array
from jacbench.structure import dependence
from jacbench.structure.dependence import Link, Links
from jacbench.structure.pattern import Pattern
from jacbench.structure.program import Program, Step
from jacbench_jax import straight
from jacbench_jax.straight import Straight

ELEMENTWISE = frozenset(
    {
        "abs",
        "acos",
        "acosh",
        "add",
        "add_any",
        "asin",
        "asinh",
        "atan",
        "atan2",
        "atanh",
        "bessel_i0e",
    }
    | {"bessel_i1e", "cbrt", "ceil", "clamp", "convert_element_type", "copy", "copy_p", "cos"}
    | {"cosh", "digamma", "div", "erf", "erf_inv", "erfc", "exp", "exp2", "expm1", "floor"}
    | {"integer_pow", "lgamma", "log", "log1p", "logistic", "max", "min", "mul", "neg"}
    | {"nextafter", "optimization_barrier", "pow", "reduce_precision", "rem", "round", "rsqrt"}
    | {"select_n", "sign", "sin", "sinh", "sqrt", "square", "stop_gradient", "sub", "tan", "tanh"}
)
"""Primitives whose results depend on the entries at the same place."""

MOVING = frozenset(
    {"broadcast_in_dim", "concatenate", "dynamic_slice", "dynamic_update_slice", "expand_dims"}
    | {"gather", "pad", "reshape", "rev", "scatter", "slice", "split", "squeeze", "stack"}
    | {"transpose", "unstack"}
)
"""Primitives whose results are entries of what they read, or a constant."""

REDUCING = frozenset({"reduce_max", "reduce_min", "reduce_prod", "reduce_sum"})
"""Primitives that reduce over ``axes``."""

ALONG = frozenset({"cumlogsumexp", "cummax", "cummin", "cumprod", "cumsum"})
"""Primitives whose result depends on all of the line along ``axis``."""

INSIDE = {
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
    "custom_vjp_call_jaxpr": "fun_jaxpr",
}
"""Primitives with a rule of their own, and where they keep what they compute.

A derivative passes where the value depends, whatever the rule says of its size.
"""


def pattern(target: Target) -> Pattern:
    """Return where the Jacobian of ``target`` may be other than zero, for every x.

    Raises
    ------
    UnfitError
        Where nearly everything may be.
    """
    code = Straight(target, unroll=True)
    program = code.program
    if program.output is None:
        n = sum(program.values[leaf].size for leaf in program.inputs)
        return Pattern.of(np.zeros((int(np.prod(target.y_shape)), n), dtype=bool))
    return dependence.pattern(program, _Rules(program, code.constants).links)


class _Rules:
    """The rules for the steps of one program, and the numbers that they ask for."""

    def __init__(self, program: Program, known: dict[Any, Any]) -> None:
        self._program, self._known = program, dict(known)
        for step in program.steps:
            if program.dependent.isdisjoint(step.reads):
                straight.evaluate(step.source, self._known, unroll=False)

    def links(self, step: Step) -> Links:
        """Return what each result of a step depends on."""
        equation = step.source
        operands = [a for a in equation.invars if not isinstance(a, core.Literal)]
        try:
            found = self._rule(equation)
        except Exception:  # noqa: BLE001 - a primitive used in a way that no rule foresaw
            found = None
        if found is None:
            return {out: [Link(one) for one in operands] for out in step.writes}
        return {
            out: links
            for out, links in zip(equation.outvars, found, strict=True)
            if out in step.writes
        }

    def _rule(self, equation: Any) -> list[list[Link]] | None:
        name, params = equation.primitive.name, equation.params
        operands = equation.invars[1:] if name == "select_n" else equation.invars
        if name in ELEMENTWISE:
            return [
                [
                    Link(one, dependence.broadcast(one.aval.shape, out.aval.shape))
                    for one in operands
                    if not isinstance(one, core.Literal)
                ]
                for out in equation.outvars[:1]
            ]
        if name in MOVING:
            return self._moved(equation)
        (one, *others) = equation.invars
        if name in REDUCING and not others:
            return [[Link(one, matrix=dependence.reduced(one.aval.shape, params["axes"]))]]
        if name in ALONG:
            return [[Link(one, matrix=dependence.along(one.aval.shape, [params["axis"]]))]]
        if name == "dot_general":
            return [self._product(equation)]
        if name in INSIDE:
            return _of_closed(params[INSIDE[name]], equation.invars)
        if name == "cond":
            return self._chosen(equation)
        return None

    def _value(self, atom: Any) -> Array | None:
        """Return the numbers of what does not depend on x."""
        if isinstance(atom, core.Literal):
            return np.asarray(atom.val)
        if atom in self._program.dependent:
            return None
        return np.asarray(self._known[atom])

    def _moved(self, equation: Any) -> list[list[Link]]:
        """Run the primitive on the numbers of the entries of one operand, all others being 0."""
        links: list[list[Link]] = [[] for _ in equation.outvars]
        real = [a for a in equation.invars if np.issubdtype(a.aval.dtype, np.inexact)]
        for one in real:
            if isinstance(one, core.Literal) or one not in self._program.dependent:
                continue
            given = []
            for other in equation.invars:
                if other is one:
                    given.append(dependence.numbered(other.aval.shape).astype(np.int32))
                elif other in real:
                    given.append(np.zeros(other.aval.shape, np.int32))
                else:
                    value = self._value(other)
                    if value is None:
                        raise UnfitError("which entries are taken depends on x")
                    given.append(value)
            moved = straight.bound(equation, [jax.numpy.asarray(part) for part in given])
            size = int(np.prod(one.aval.shape, dtype=np.int64))
            for part, found in zip(links, moved, strict=True):
                part.append(Link(one, dependence.places(found, size)))
        return links

    def _product(self, equation: Any) -> list[Link]:
        (contract, batch) = equation.params["dimension_numbers"]
        shapes: list[list[int]] = []
        orders: list[Array] = []
        values: list[Array | None] = []
        for side, one in enumerate(equation.invars):
            shape = one.aval.shape
            free = [a for a in range(len(shape)) if a not in (*contract[side], *batch[side])]
            middle = [list(contract[side]), free] if side else [free, list(contract[side])]
            order = [*batch[side], *middle[0], *middle[1]]
            parts = (batch[side], *middle)
            shapes.append(
                [int(np.prod([shape[a] for a in part], dtype=np.int64)) for part in parts]
            )
            orders.append(np.transpose(dependence.numbered(shape), order).reshape(-1) - 1)
            value = self._value(one)
            values.append(None if value is None else np.transpose(value, order))
        found = dependence.product(shapes[0], shapes[1], (values[0], values[1]))
        links = []
        for one, matrix, places in zip(equation.invars, found, orders, strict=True):
            if not isinstance(one, core.Literal):
                # its columns are in the order of the stack, and are to be in that of the value
                own = matrix.tocoo()
                moved = places[own.col]
                links.append(Link(one, matrix=_csr(own.row, moved, own.shape)))
        return links

    def _chosen(self, equation: Any) -> list[list[Link]]:
        """Of a choice every branch counts."""
        _, *operands = equation.invars
        branches = [_of_closed(branch, operands) for branch in equation.params["branches"]]
        return [
            [link for links in of_out for link in links] for of_out in zip(*branches, strict=True)
        ]


def _of_closed(closed: Any, operands: Sequence[Any]) -> list[list[Link]]:
    """Return what the results of a jaxpr within another depend on."""
    inner = straight.Inner(closed)
    program = inner.program
    seen = dependence.walked(program, _Rules(program, inner.constants).links)
    ends = np.cumsum([0, *(program.values[leaf].size for leaf in program.inputs)])
    links: list[list[Link]] = []
    for result in inner.outputs:
        found = None if isinstance(result, core.Literal) else seen.get(result)
        links.append(
            []
            if found is None
            else [
                Link(operand, matrix=found[:, start:stop])
                for operand, start, stop in zip(operands, ends[:-1], ends[1:], strict=True)
                if not isinstance(operand, core.Literal)
            ]
        )
    return links


def _csr(rows: Array, columns: Array, shape: tuple[int, int]) -> Any:
    import scipy.sparse  # noqa: PLC0415

    ones = np.ones(rows.size, dtype=np.int32)
    return scipy.sparse.csr_array((ones, (rows, columns)), shape=shape)
