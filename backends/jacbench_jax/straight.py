"""A JAX function as straight-line code: its jaxpr, calls and short loops in it written out.

What has a derivative rule of its own (``jax.custom_jvp``, ``jax.custom_vjp``) stays one step: its
inside would have another derivative. So do ``cond``, ``while_loop`` and long loops.

Reference: https://docs.jax.dev/en/latest/notebooks/Writing_custom_interpreters_in_Jax.html
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence, Set
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core

from jacbench.backend import Target
from jacbench.core import tree
from jacbench.structure.program import Program, Step, Value

WRITTEN_OUT = 400
"""How many operations a loop may become: XLA compiles some hundreds of them in a second."""

CALLS = {
    **dict.fromkeys(("jit", "pjit", "remat", "remat2", "checkpoint"), "jaxpr"),
    **dict.fromkeys(("call", "core_call", "closed_call"), "call_jaxpr"),
}
"""Primitives that only call, and where they keep what; a rematerialised value is the same value."""

BLIND = frozenset({"ceil", "floor", "round", "sign", "stop_gradient"})
"""Primitives whose derivative is zero everywhere."""

LINEAR = frozenset(
    {"add", "add_any", "broadcast_in_dim", "complex", "concatenate", "convert_element_type", "copy"}
    | {"copy_p", "cumsum", "expand_dims", "fft", "imag", "neg", "pad", "real", "reduce_sum"}
    | {"reduce_window_sum", "reshape", "rev", "slice", "split", "squeeze", "stack", "sub"}
    | {"transpose", "unstack"}
)
"""Primitives that are linear in all their operands together."""

LINEAR_IN = {
    "div": {0},
    "dynamic_slice": {0},
    "dynamic_update_slice": {0, 1},
    "gather": {0},
    "scatter-add": {0, 2},
    "triangular_solve": {1},
}
"""Primitives that are linear in the operands at these places together."""

BILINEAR = frozenset({"conv_general_dilated", "dot_general", "mul"})
"""Primitives that are linear in either of two operands."""


class Straight:
    """The function of a target between the leaves of x and y, as a program that can be run.

    Attributes
    ----------
    program
        Its steps; each step's source is an equation of the jaxpr.
    rest
        The values of everything that is not x: constants, and arrays that the function closes over.
    constants
        The same by the variables of the program.
    """

    def __init__(self, target: Target, *, unroll: bool) -> None:
        self._like = tree.map_leaves(lambda _: None, target.x)
        self._constants = jax.tree.structure(target.constants)
        leaves, constants = tree.leaves(target.x), jax.tree.leaves(target.constants)
        function = functools.partial(self._of_flat, target.function)
        whole = jax.make_jaxpr(function)(leaves, constants)
        closed = jax.make_jaxpr(functools.partial(_written_out, whole, unroll=unroll))(
            *leaves, *constants
        )
        self._jaxpr = closed.jaxpr
        self.rest = (*closed.consts, *constants)
        n = len(leaves)
        self._inputs = tuple(self._jaxpr.invars[:n])
        self._others = (*self._jaxpr.constvars, *self._jaxpr.invars[n:])
        self.constants = dict(zip(self._others, self.rest, strict=True))
        (output,) = self._jaxpr.outvars
        # a literal cannot be told from another by its hash, and depends on nothing
        output = None if isinstance(output, core.Literal) else output
        self.program = _program(self._jaxpr, self._inputs, output)

    def _of_flat(self, function: Callable[..., Any], leaves: Any, constants: Any) -> Any:
        x = tree.unflatten(self._like, leaves)
        return function(x, *jax.tree.unflatten(self._constants, constants))

    def dtype_of(self, variable: Any) -> Any:
        """Return the dtype of a value of the program."""
        return variable.aval.dtype

    def has_short_loop(self) -> bool:
        """Say whether a loop is left that could be written out."""
        return any(_is_short(equation) for equation in self._jaxpr.eqns)

    def run(
        self,
        steps: Iterable[Step],
        given: dict[Any, Any],
        rest: Sequence[Any],
        wanted: Sequence[Any],
    ) -> list[Any]:
        """Return the values ``wanted``, from those ``given`` and the ``rest``, by ``steps``."""
        environment = {**dict(zip(self._others, rest, strict=True)), **given}
        for step in steps:
            evaluate(step.source, environment, unroll=False)
        return [environment[variable] for variable in wanted]


class Inner:
    """A jaxpr within another as a program of its own, between its arguments and its results.

    Of the arguments, those from ``first`` on are its inputs; what the others are is not known.

    Attributes
    ----------
    program
        Its steps; its ``output`` is none, since it may have several.
    outputs
        Its results, variables or literals.
    constants
        The values of variables that it closes over.
    """

    def __init__(self, whole: Any, first: int = 0) -> None:
        jaxpr = getattr(whole, "jaxpr", whole)
        like = [jax.ShapeDtypeStruct(v.aval.shape, v.aval.dtype) for v in jaxpr.invars]
        closed = jax.make_jaxpr(functools.partial(_written_out, whole, unroll=True))(*like)
        self.constants = dict(zip(closed.jaxpr.constvars, closed.consts, strict=True))
        self.outputs = closed.jaxpr.outvars
        self.program = _program(closed.jaxpr, tuple(closed.jaxpr.invars[first:]), None)


def _program(jaxpr: Any, inputs: tuple[Any, ...], output: Any) -> Program:
    written = [variable for equation in jaxpr.eqns for variable in equation.outvars]
    return Program(
        steps=tuple(_step(equation) for equation in jaxpr.eqns),
        values={v: _value(v) for v in (*jaxpr.invars, *jaxpr.constvars, *written)},
        inputs=inputs,
        output=output,
    )


def _written_out(whole: Any, *arguments: Any, unroll: bool) -> list[Any]:
    """Evaluate a jaxpr, closed or not; what it calls is evaluated in place."""
    jaxpr = getattr(whole, "jaxpr", whole)
    consts = getattr(whole, "consts", ())
    environment = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*consts, *arguments), strict=True))
    for equation in jaxpr.eqns:
        evaluate(equation, environment, unroll=unroll)
    return [_read(environment, atom) for atom in jaxpr.outvars]


def _read(environment: dict[Any, Any], atom: Any) -> Any:
    return atom.val if isinstance(atom, core.Literal) else environment[atom]


def evaluate(equation: Any, environment: dict[Any, Any], *, unroll: bool) -> None:
    """Put the results of one equation into ``environment``; what it calls is evaluated in place."""
    values = [_read(environment, atom) for atom in equation.invars]
    kept = CALLS.get(equation.primitive.name)
    if kept in equation.params:
        results = _written_out(equation.params[kept], *values, unroll=unroll)
    elif unroll and _is_short(equation):
        results = _unrolled(equation.params, values)
    else:
        results = bound(equation, values)
    environment.update(zip(equation.outvars, results, strict=True))


def bound(equation: Any, values: Sequence[Any]) -> list[Any]:
    """Evaluate one equation as it stands."""
    found = equation.primitive.get_bind_params(equation.params)
    # functions that a primitive takes stood beside its parameters before JAX 0.10
    functions, parameters = found if isinstance(found, tuple) else ((), found)
    with equation.ctx.manager:
        result = equation.primitive.bind(*functions, *values, **parameters)
    return list(result) if equation.primitive.multiple_results else [result]


_OF_SCAN = frozenset({"jaxpr", "length", "num_carry", "num_consts", "reverse"})


def _is_short(equation: Any) -> bool:
    known = equation.primitive.name == "scan" and equation.params.keys() >= _OF_SCAN
    return known and 0 < _operations(equation) <= WRITTEN_OUT


def _operations(equation: Any) -> int:
    """Return how many equations this one becomes."""
    name, params = equation.primitive.name, equation.params
    inside = params.get(CALLS.get(name, "jaxpr" if name == "scan" else ""))
    if inside is None:
        return 1
    equations = getattr(inside, "jaxpr", inside).eqns
    return int(params.get("length", 1)) * sum(map(_operations, equations))


def _unrolled(params: dict[str, Any], values: Sequence[Any]) -> list[Any]:
    """Evaluate ``jax.lax.scan`` step by step."""
    first, last = params["num_consts"], params["num_consts"] + params["num_carry"]
    consts, carry, sequences = values[:first], values[first:last], values[last:]
    stacked: dict[int, list[Any]] = {}
    order = range(params["length"])
    for i in reversed(order) if params["reverse"] else order:
        now = [jax.lax.index_in_dim(sequence, i, keepdims=False) for sequence in sequences]
        results = _written_out(params["jaxpr"], *consts, *carry, *now, unroll=True)
        carry, stacked[i] = results[: len(carry)], results[len(carry) :]
    columns = zip(*(stacked[i] for i in order), strict=True)
    return [*carry, *(_stack(column) for column in columns)]


def _stack(arrays: Sequence[Any]) -> Any:
    return jax.lax.concatenate([jax.lax.expand_dims(array, (0,)) for array in arrays], 0)


def _step(equation: Any) -> Step:
    name = equation.primitive.name
    return Step(
        name=name,
        reads=tuple(atom for atom in equation.invars if not isinstance(atom, core.Literal)),
        writes=tuple(equation.outvars),
        linear=functools.partial(_linear, name, tuple(equation.invars)),
        source=equation,
        blind=name in BLIND,
    )


def _linear(name: str, operands: tuple[Any, ...], moving: Set[Any]) -> bool:
    places = {
        place
        for place, atom in enumerate(operands)
        if not isinstance(atom, core.Literal) and atom in moving
    }
    if name == "select_n":  # the first operand chooses
        return 0 not in places
    if name in BILINEAR:
        return len(places) == 1
    return name in LINEAR or places <= LINEAR_IN.get(name, set())


def _value(variable: Any) -> Value:
    dtype = getattr(variable.aval, "dtype", None)  # a token has none
    return Value(
        shape=tuple(getattr(variable.aval, "shape", ())),
        carries=dtype is not None and jnp.issubdtype(dtype, jnp.inexact),
        flat=dtype is not None and jnp.issubdtype(dtype, jnp.floating),
    )
