"""What each entry of a JAX primitive's results depends on: rules for the jaxpr of a function.

Reference: https://docs.jax.dev/en/latest/jaxpr.html
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jax.extend import core

from jacbench.backend import Target, UnfitError
from jacbench.core import tree
from jacbench.core.arrays import Array
from jacbench.core.pattern import Pattern
from jacbench.structure import dependence
from jacbench.structure.dependence import Link, Links
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
"""Primitives with a derivative rule of their own, and where they keep what they compute.

A derivative may pass where the value does not: a spike that has a surrogate gradient, rounding that
is passed straight through. So what the rule passes counts beside what the value depends on.
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


def refuse_rules_beyond_values(target: Target) -> None:
    """Refuse a function with a derivative rule of its own that passes where its value does not.

    Where a value is locally constant (a sign, a comparison) no derivative passes by the value.

    Raises
    ------
    UnfitError
        At the first such rule.
    """
    leaves, constants = tree.leaves(target.x), target.constants

    def of_leaves(*leaves: Any) -> Any:
        return target.function(tree.unflatten(target.x, leaves), *constants)

    for equation in _with_rules(jax.make_jaxpr(of_leaves)(*leaves).jaxpr):
        kept = INSIDE[equation.primitive.name]
        by_value = _of_closed(equation.params[kept], equation.invars, blind=True)
        for here, beyond in zip(by_value, _of_rule(equation), strict=True):
            if not _within(beyond, here):
                raise UnfitError("a derivative rule of its own passes where the value does not")


def _with_rules(jaxpr: Any) -> Iterator[Any]:
    """Yield the equations with a derivative rule of their own, wherever they are called."""
    for equation in jaxpr.eqns:
        if equation.primitive.name in INSIDE:
            yield equation
        for inner in core.jaxprs_in_params(equation.params):
            yield from _with_rules(inner)


def _within(links: Sequence[Link], others: Sequence[Link]) -> bool:
    """Say whether all places of ``links`` are among those of ``others``: matrices, by operand."""
    known: dict[Any, Any] = {}
    for link in others:
        known[link.value] = link.matrix + known.get(link.value, 0 * link.matrix)
    return all(
        link.matrix.nnz == 0
        if link.value not in known
        else (link.matrix.astype(bool) > known[link.value].astype(bool)).nnz == 0
        for link in links
    )


class _Rules:
    """The rules for the steps of one program, and the numbers that they ask for.

    ``blind`` cuts what is locally constant.
    """

    def __init__(self, program: Program, known: dict[Any, Any], *, blind: bool = False) -> None:
        self._program, self._known, self._blind = program, dict(known), blind
        for step in program.steps:
            if self._known.keys() >= set(step.reads):
                straight.evaluate(step.source, self._known, unroll=False)

    def links(self, step: Step) -> Links:
        """Return what each result of a step depends on."""
        equation = step.source
        if self._blind and step.blind:
            return {}
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
            inside = _of_closed(params[INSIDE[name]], equation.invars)
            both = zip(inside, _of_rule(equation), strict=True)
            return [by_value + by_rule for by_value, by_rule in both]
        if name == "cond":
            return self._chosen(equation)
        return None

    def _value(self, atom: Any) -> Array | None:
        """Return the numbers of what does not depend on x, where they are known."""
        if isinstance(atom, core.Literal):
            return np.asarray(atom.val)
        return np.asarray(self._known[atom]) if atom in self._known else None

    def _moved(self, equation: Any) -> list[list[Link]]:
        """Run the primitive on the numbers of the entries of one operand, all others being 0."""
        links: list[list[Link]] = [[] for _ in equation.outvars]
        real = [a for a in equation.invars if _carries(a)]
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
                        raise UnfitError("which entries are taken is not known")
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


def _of_closed(closed: Any, operands: Sequence[Any], *, blind: bool = False) -> list[list[Link]]:
    """Return what the results of a jaxpr within another depend on."""
    return [
        [
            Link(operand, matrix=part)
            for operand, part in zip(operands, parts, strict=True)
            if not isinstance(operand, core.Literal)
        ]
        for parts in _matrices(closed, blind=blind)
    ]


def _matrices(closed: Any, first: int = 0, *, blind: bool = False) -> list[list[Any]]:
    """Return for each result of a jaxpr, and each argument, which entries depend on which.

    Of its arguments from the ``first`` on.
    """
    inner = straight.Inner(closed, first)
    program = inner.program
    seen = dependence.walked(program, _Rules(program, inner.constants, blind=blind).links)
    sizes = [program.values[leaf].size for leaf in program.inputs]
    ends = np.cumsum([0, *sizes])
    found = []
    for result in inner.outputs:
        size = int(np.prod(result.aval.shape, dtype=np.int64))
        one = None if isinstance(result, core.Literal) else seen.get(result)
        if one is None:
            one = _csr(np.zeros(0, int), np.zeros(0, int), (size, int(ends[-1])))
        found.append([one[:, a:b] for a, b in itertools.pairwise(ends)])
    return found


def _of_rule(equation: Any) -> list[list[Link]]:
    """Return what the results of a call depend on by the derivative rule that it has of its own.

    What the rule makes of tangents, or cotangents, is linear in them: it depends on those by value.
    """
    moving = [i for i, one in enumerate(equation.invars) if _carries(one)]
    results = [i for i, one in enumerate(equation.outvars) if _carries(one)]

    def derived(primals: list[Any], seeds: list[Any]) -> Any:
        def call(*moved: Any) -> list[Any]:
            given = list(primals)
            for i, one in zip(moving, moved, strict=True):
                given[i] = one
            made = straight.bound(equation, given)
            return [made[i] for i in results]

        own = [primals[i] for i in moving]
        if backward:
            return jax.vjp(call, *own)[1](seeds)
        return jax.jvp(call, own, seeds)[1]

    backward = equation.primitive.name != "custom_jvp_call"
    primals, outputs = ([_like(one) for one in of] for of in (equation.invars, equation.outvars))
    seeds = [outputs[i] for i in results] if backward else [primals[i] for i in moving]
    found = _matrices(jax.make_jaxpr(derived)(primals, seeds), len(primals))
    links: list[list[Link]] = [[] for _ in equation.outvars]
    for i, parts in enumerate(found):
        for j, part in enumerate(parts):
            row, column = (j, i) if backward else (i, j)
            operand = equation.invars[moving[column]]
            if not isinstance(operand, core.Literal):
                links[results[row]].append(Link(operand, matrix=part.T if backward else part))
    return links


def _carries(atom: Any) -> bool:
    return bool(jax.numpy.issubdtype(atom.aval.dtype, jax.numpy.inexact))


def _like(atom: Any) -> Any:
    return jax.ShapeDtypeStruct(atom.aval.shape, atom.aval.dtype)


def _csr(rows: Array, columns: Array, shape: tuple[int, int]) -> Any:
    import scipy.sparse  # noqa: PLC0415

    ones = np.ones(rows.size, dtype=np.int32)
    return scipy.sparse.csr_array((ones, (rows, columns)), shape=shape)
