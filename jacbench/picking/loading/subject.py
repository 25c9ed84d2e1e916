"""What a Jacobian is wanted of: a user's function, module or problem, and what it runs on."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MethodType
from typing import Any

from jacbench.backend import registry
from jacbench.backend.user_code import Spelling
from jacbench.core import tree
from jacbench.core.errors import JacbenchError
from jacbench.derivatives.outputs import Outputs
from jacbench.picking.loading import (
    arguments,
    code_setup,
    library_choice,
    modules,
    recognition,
    signature,
    values,
)
from jacbench.picking.loading.by_name import Named, article
from jacbench.picking.loading.code_setup import Pieces
from jacbench.picking.loading.inputs import Inputs
from jacbench.picking.loading.values import OneArray
from jacbench.problems import precision
from jacbench.problems.problem import Problem


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A function as a problem, and what was found out about it without timing anything.

    Attributes
    ----------
    problem
        The function, native to ``backends`` or written over ``xp``, and its point.
    backends
        Those that can do it, in the registry's order; NumPy's only where it is written over ``xp``.
    dtype
        ``float64`` or ``float32``: what the user computes in.
    device
        ``cpu`` or ``cuda:0``: where the user's input lies.
    kind
        What the user gave, in words: ``JAX function``, ``torch.nn.Module``, ...
    spelling
        How the user's code names it, for the first of ``backends``.
    notes
        What the user should know, a line each.
    evaluates_float64
        False where the function has no value in float64, as it makes float32 values by name: what
        is right has to be settled in float32 then, and the notes say so.
    spellings
        How the user's code names it for each of ``backends``.
    as_set
        True where it is another function with float64 switched on: it is measured with the library
        as the user has set it.
    outputs
        The structure of what it returns where that is a tree; None where it is one array.
    """

    problem: Problem
    backends: tuple[str, ...]
    dtype: str
    device: str
    kind: str
    spelling: Spelling
    notes: tuple[str, ...] = ()
    evaluates_float64: bool = True
    spellings: Mapping[str, Spelling] = field(default_factory=dict)
    as_set: bool = False
    outputs: Outputs | None = None

    def spelled(self, backend: str) -> Spelling:
        """Return how the user's code names the function for ``backend``."""
        return self.spellings.get(backend, self.spelling)


def of(
    obj: Any,
    x: Any = None,
    *,
    name: str | None = None,
    f: str | None = None,
    setup: tuple[str, ...] = (),
    wrt: str = "inputs",
    output: str | int | None = None,
    dtype: str | None = None,
    stops_gradient: bool = False,
) -> Subject:
    """Return what ``obj`` is and what it runs on.

    The function is called, once to four times in each library that comes into question: at x, in
    the precision of x, and in float64.

    Parameters
    ----------
    obj
        A function ``f(x)`` of torch, JAX or autograd, one ``f(xp, x)``, a module, or a problem.
    x
        The point: an array of the library, NumPy's, or a tree of them; or :class:`Inputs`, which
        hold further arguments too. None for a problem.
    name
        What messages and results call it; None: the function's own name.
    f
        The expression by which the user's code names ``obj``; None: the function's own name.
    setup
        Lines of the user's code that import ``obj`` and make the inputs.
    wrt
        For a module: by its ``inputs`` or its ``parameters``.
    output
        For what returns a dict, a tuple or a dataclass: which entry; None: all, side by side.
    dtype
        ``float64`` or ``float32``; None: that of x.
    stops_gradient
        True where it stops gradients on purpose, which difference quotients do not see.

    Raises
    ------
    JacbenchError
        In one line: nothing that can be differentiated, an x of another library, a call that
        fails.
    """
    if dtype not in {None, "float64", "float32"}:
        raise JacbenchError(f"dtype {dtype!r}: give float64 or float32")
    own = _own_name(obj)
    name = name or own
    given = x if isinstance(x, Inputs) else Inputs(arguments=(x,))
    pieces = Pieces(function=f or own, setup=setup, given=given, output=output)
    found = _found(obj, x, pieces, name, wrt, dtype)
    if not stops_gradient:
        return found
    return dataclasses.replace(
        found, problem=dataclasses.replace(found.problem, stops_gradient=True)
    )


def _found(obj: Any, x: Any, pieces: Pieces, name: str, wrt: str, dtype: str | None) -> Subject:
    if isinstance(obj, Problem):
        return _of_problem(obj, x, pieces, dtype)
    _check(obj, x, name)
    if signature.is_model(obj):
        return _of_model(obj, pieces, name, wrt, dtype)
    if signature.is_neutral(obj):
        return _of_neutral(obj, pieces, name, dtype)
    return _of_native(obj, pieces, name, dtype)


def of_named(
    named: Named,
    given: Inputs | None,
    *,
    wrt: str = "inputs",
    output: str | int | None = None,
    dtype: str | None = None,
    stops_gradient: bool = False,
) -> Subject:
    """Return :func:`of` what a command line named, with the lines that import it."""
    imported, made = (given.imported, given.setup) if given is not None else ((), ())
    setup, f = [*named.imports(*imported), *made], named.expression
    if f.endswith("()"):  # it is to be made once, not in every call
        setup.append(f"function = {f}")
        f = "function"
    return of(
        named.object,
        given,
        name=named.text if named.file is None else f"{named.file.name}:{named.expression}",
        f=f,
        setup=tuple(setup),
        wrt=wrt,
        output=output,
        dtype=dtype,
        stops_gradient=stops_gradient,
    )


def _own_name(obj: Any) -> str:
    if isinstance(obj, Problem):
        return "problem"
    if signature.is_model(obj):
        return "model"
    own = getattr(obj, "__name__", None)
    # a bound method's name says nothing by itself
    named = isinstance(own, str) and own.isidentifier() and not isinstance(obj, MethodType)
    return str(own) if named else "f"


def _check(obj: Any, x: Any, name: str) -> None:
    kinds = {f"{kind.__module__}.{kind.__qualname__}" for kind in type(obj).__mro__}
    if "flax.linen.module.Module" in kinds:
        raise JacbenchError(
            f"{name} is a Flax Linen module, which holds no parameters: pass the function "
            "lambda x: model.apply(variables, x)"
        )
    if isinstance(obj, type):
        raise JacbenchError(f"{name} is a class: pass an instance of it, or a function of x")
    if not callable(obj):
        raise JacbenchError(
            f"{article(obj)} is no function: pass a function of x, a module of a library, "
            "or a jacbench.Problem"
        )
    if x is None:
        raise JacbenchError(f"{name}: there is no x: pass the point at which to differentiate")


# --- a problem ---


def _of_problem(problem: Problem, x: Any, pieces: Pieces, dtype: str | None) -> Subject:
    if x is not None:
        raise JacbenchError(f"problem {problem.name!r} has its own x: pass no other")
    if problem.undifferentiable is not None:
        raise problem.mistake(problem.undifferentiable)
    every = registry.descriptors().values()
    written = [d for d in every if problem.written_for(d.name) is None]
    absent = [d.absent() for d in written]
    backends = [d.name for d, why in zip(written, absent, strict=True) if why is None]
    if not [name for name in backends if name in recognition.installed()]:
        raise JacbenchError(next(filter(None, absent), None) or f"{problem.written_for('torch')}")
    dtype = dtype or "float64"
    spelled = {
        backend: code_setup.of_problem(pieces, backend, dtype, has_aux=problem.has_aux)
        for backend in backends
    }
    return _subject(problem, spelled, dtype, "cpu", "jacbench.Problem", [])


# --- functions ---


def _of_neutral(obj: Any, pieces: Pieces, name: str, dtype: str | None) -> Subject:
    parts = arguments.split(obj, pieces.given, name, neutral=True)
    whole = OneArray(
        parts.function, name, registry.load("numpy"), output=pieces.output, neutral=True
    )
    problem = Problem(name=name, function=whole, x=parts.x, constants=parts.constants)
    asked, notes = _asked(parts.x, dtype), _about_x(pieces.given, parts.x)
    found = precision.of(problem, "numpy", "cpu", asked, flexible=_flexible(pieces.given, dtype))
    if not whole.needed:
        problem = dataclasses.replace(problem, function=parts.function)
    pieces = dataclasses.replace(pieces, by_field=whole.by_field)
    owner = _owner(pieces.given.x, name)
    device = "cpu" if owner is None else _device(pieces.given.x, owner, name)
    spelled = {
        d.name: code_setup.neutral(pieces, d.name, found.dtype, narrow=precision.narrows(d.name))
        for d in registry.descriptors().values()
        if d.absent() is None
    }
    kind = "function over xp"
    notes = [*notes, *found.notes]
    return _subject(problem, spelled, found.dtype, device, kind, notes, found, whole.outputs)


def _of_native(obj: Any, pieces: Pieces, name: str, dtype: str | None) -> Subject:
    given = pieces.given
    owner = _owner(given.x, name)
    parts = arguments.split(obj, given, name)

    @functools.cache
    def whole(backend: str) -> OneArray:
        # a library is loaded once it is asked, and not for being installed
        return OneArray(parts.function, name, registry.load(backend), output=pieces.output)

    def problem_for(*backends: str, known: bool = False) -> Problem:
        written = {
            backend: parts.function if known and not whole(backend).needed else whole(backend)
            for backend in backends
        }
        return Problem(name=name, native=written, x=parts.x, constants=parts.constants)

    def settled(backend: str) -> library_choice.Found:
        device = precision.default_device(backend)
        if owner == backend:
            device = _device(given.x, owner, name)
        asked, notes = _asked(parts.x, dtype), list[str]()
        if dtype is None and owner != backend and asked == "float64" and precision.narrows(backend):
            asked = "float32"
            notes.append(
                f"{library_choice.title(backend)} makes float32 of x here: jax_enable_x64 is off"
            )
        flexible = _flexible(given, dtype)
        problem = problem_for(backend)
        found = precision.of(
            problem, backend, device, asked, flexible=flexible, elsewhere=given.convertible
        )
        return library_choice.Found(
            backend=backend, device=device, precision=found, notes=tuple(notes)
        )

    chosen = library_choice.choose(
        obj,
        name,
        owner,
        convertible=given.convertible,
        problem_for=problem_for,
        settled=settled,
    )
    first = chosen.found[0]
    found, backends = first.precision, [one.backend for one in chosen.found]
    value = whole(backends[0])
    problem = problem_for(*backends, known=True)
    closes = any(map(problem.held, backends))
    pieces = dataclasses.replace(pieces, closed_over=closes, by_field=value.by_field)
    spelled = {
        backend: code_setup.native(pieces, backend, found.dtype, narrow=precision.narrows(backend))
        for backend in backends
    }
    notes = [*_about_x(given, parts.x), *chosen.notes, *first.notes, *found.notes]
    kind = chosen.kind
    return _subject(problem, spelled, found.dtype, first.device, kind, notes, found, value.outputs)


def _owner(x: Any, name: str) -> str | None:
    """Return the backend whose arrays x holds; None where they are NumPy's."""
    owners = {recognition.owner_of(leaf) for leaf in tree.leaves(x)} - {None}
    if len(owners) > 1:
        told = " and ".join(sorted(library_choice.title(owner) for owner in owners if owner))
        raise JacbenchError(f"{name}: x holds arrays of {told}: convert them to one library")
    return next(iter(owners), None)


def _device(x: Any, owner: str, name: str) -> str:
    backend = registry.load(owner)
    leaves = [leaf for leaf in tree.leaves(x) if backend.is_array(leaf)]
    devices = {backend.device_of(leaf) for leaf in leaves}
    if len(devices) > 1:
        raise JacbenchError(f"{name}: x lies on {' and '.join(sorted(devices))}: put it on one")
    return devices.pop()


def _asked(x: Any, dtype: str | None) -> str:
    """Return the dtype asked for, or the widest of those of x."""
    return dtype or max((str(leaf.dtype) for leaf in tree.leaves(x)), key=_WIDTH.__getitem__)


_CLOSES = (
    "arguments that are not floating are closed over: it uses them as Python values, and what is "
    "compiled holds for these"
)
_WIDTH = {"float32": 0, "float64": 1}


def _flexible(given: Inputs, dtype: str | None) -> bool:
    """Say whether x may be rounded: what a caller passed as a library's own array is meant so."""
    numpy = all(recognition.owner_of(leaf) is None for leaf in tree.leaves(given.x))
    return dtype is None and (given.convertible or numpy)


def _about_x(given: Inputs, x: Any) -> list[str]:
    """Return what is said of x before the function is called."""
    if arguments.is_numbers(given.x) and not tree.is_leaf(given.x):
        return ["x is a list of plain numbers: taken as an array"]
    dtypes = sorted({str(leaf.dtype) for leaf in tree.leaves(x)})
    return [f"x holds {' and '.join(dtypes)}: computed in float64"] if len(dtypes) > 1 else []


# --- a module ---


def _of_model(model: Any, pieces: Pieces, name: str, wrt: str, dtype: str | None) -> Subject:
    given = pieces.given
    owner, (backend, package) = _owner(given.x, name), modules.package(model)
    if owner not in {None, backend} and not given.convertible:
        raise JacbenchError(
            f"{name} is a module of {library_choice.title(backend)}, and x is an array of "
            f"{library_choice.title(str(owner))}: pass one of {library_choice.title(backend)}, "
            "or NumPy's"
        )
    try:
        made = modules.adapted(model, given, name, wrt, pieces.output)
    except JacbenchError as refused:
        if wrt != "inputs" or pieces.output is not None:
            raise
        return _as_function(model, pieces, name, dtype, refused)
    device = modules.device(model, backend)
    if owner == backend:
        device = _device(given.x, backend, name)
    asked = dtype or modules.dtype(model, backend) or _usual(given.x, backend)
    found = precision.of(
        made.problem, backend, device, asked, flexible=False, elsewhere=given.convertible
    )
    narrow = precision.narrows(backend)
    notes = [*made.notes, *found.notes]
    by_field = modules.is_field(
        model, given, pieces.output, modules.dtype(model, backend) or found.dtype
    )
    pieces = dataclasses.replace(pieces, by_field=by_field)
    if wrt == "inputs":
        spelled = code_setup.native(pieces, backend, found.dtype, narrow=narrow)
        if _dtypes(given.x) - {found.dtype}:
            notes.append(f"x is converted to {found.dtype}, in which the module computes")
    else:
        spelled = code_setup.by_parameters(pieces, backend, package, found.dtype, narrow=narrow)
    by, kind = {backend: spelled}, modules.kind(model)
    return _subject(made.problem, by, found.dtype, device, kind, notes, found)


def _as_function(
    model: Any, pieces: Pieces, name: str, dtype: str | None, refused: JacbenchError
) -> Subject:
    """Return a module as a function of its input, where it is no function of its arrays.

    One that holds plain tensors in float32 is called in float32 alone.
    """
    try:
        found = _of_native(model, pieces, name, dtype)
    except JacbenchError:
        raise refused from None
    if found.outputs is not None:  # its line names the entries, of which most say nothing
        raise refused
    return dataclasses.replace(found, kind=modules.kind(model))


def _usual(x: Any, backend: str) -> str:
    """Return the dtype that x has in the library."""
    return "float32" if "float32" in _dtypes(x) or precision.narrows(backend) else "float64"


def _dtypes(x: Any) -> set[str]:
    """Return the dtypes of the floats in x, whichever library's."""
    held = {str(getattr(leaf, "dtype", "")).rpartition(".")[2] for leaf in tree.leaves(x)}
    return held & set(_WIDTH)


# --- any ---


def _subject(
    problem: Problem,
    spelled: Mapping[str, Spelling],
    dtype: str,
    device: str,
    kind: str,
    notes: list[str],
    found: precision.Precision | None = None,
    outputs: Outputs | None = None,
) -> Subject:
    order: Callable[[str], int] = [*registry.descriptors()].index
    backends = tuple(sorted(spelled, key=order))
    if any(map(problem.held, backends)):
        notes = [*notes, _CLOSES]
    return Subject(
        problem=problem,
        backends=backends,
        dtype=dtype,
        device=device,
        kind=kind,
        spelling=spelled[backends[0]],
        notes=tuple(dict.fromkeys([*notes, *(values.lines(outputs) if outputs else [])])),
        evaluates_float64=found is None or found.evaluates_float64,
        as_set=found is not None and found.as_set,
        outputs=outputs,
        spellings=dict(spelled),
    )
