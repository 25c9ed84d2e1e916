"""The catalogue: every problem's name, size and source, without computing or importing any.

One list feeds the tests, the benchmarks and the reports. A family is a module here; its builders
take the :class:`Entry` and return the :class:`~jacbench.problem.Problem`.
"""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from jacbench.errors import JacbenchError, unknown

if TYPE_CHECKING:  # listing the catalogue does without NumPy
    from jacbench.problem import Problem


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A problem as ``jacbench list`` shows it.

    Attributes
    ----------
    name
        ``family/short-name``; with sizes of its own, ``family/short-name[batch=64]``.
    m, n
        The numbers of outputs and of inputs: the Jacobian is m x n. Those of the default sizes.
    summary
        One line.
    source
        Where the problem comes from: a paper, a book, a link, or that it was made up for this.
    build
        ``module:function``; the function takes this entry and returns the problem.
    parameters
        Sizes that can be asked for in brackets after the name, with their defaults; whole numbers
        of at least 1.
    batch
        True where the problem has samples, and so a ``batch_jacobian``.
    intermediate
        True where x is a shift of an intermediate value.
    """

    name: str
    m: int
    n: int
    summary: str
    source: str
    build: str
    parameters: Mapping[str, int] = field(default_factory=dict)
    batch: bool = False
    intermediate: bool = False

    @property
    def family(self) -> str:
        """The part of the name before the slash."""
        return self.name.partition("/")[0]


_AUTOGRAD_TUTORIAL = (
    "PyTorch tutorials, 'Automatic Differentiation with torch.autograd', "
    "https://docs.pytorch.org/tutorials/beginner/basics/autogradqs_tutorial.html"
)
_SHAPES = "made for jacbench: one network whose m and n alone vary"


def _hidden_layer(name: str, m: int, n: int, summary: str) -> Entry:
    return Entry(
        name=f"shape/{name}",
        m=m,
        n=n,
        summary=summary,
        source=_SHAPES,
        build="jacbench.problems.shape:hidden_layer",
        parameters={"m": m, "n": n, "width": 256},
    )


CATALOGUE: tuple[Entry, ...] = (
    Entry(
        name="basics/mlp-weights",
        m=20,
        n=47,
        summary="tanh network 6-4-3-1 on a batch of 20, by its weights and biases (a tree)",
        source="made for jacbench: a network of the size used in tutorial questions about the "
        "Jacobian by the weights",
        build="jacbench.problems.basics:mlp_weights",
        parameters={"batch": 20},
        batch=True,
    ),
    Entry(
        name="basics/linear-sum",
        m=1,
        n=6,
        summary="sum of XW + B by X; the Jacobian is -0.9, 1.3 and 3.6, to be checked by hand",
        source="made for jacbench: short decimals, in the manner of a tutorial's first example",
        build="jacbench.problems.basics:linear_sum",
    ),
    Entry(
        name="basics/linear-sum-by-z",
        m=1,
        n=4,
        summary="the same sum by the intermediate value Z = XW + B: ones",
        source="the question why Z.grad is None, asked of basics/linear-sum",
        build="jacbench.problems.basics:linear_sum_by_z",
        intermediate=True,
    ),
    Entry(
        name="basics/shifted-square",
        m=25,
        n=25,
        summary="(x + 1)^2 entry by entry at the 5 x 5 identity; the Jacobian is diagonal",
        source=f"after 'Tensor Gradients and Jacobian Products' in {_AUTOGRAD_TUTORIAL}",
        build="jacbench.problems.basics:shifted_square",
        parameters={"size": 5},
    ),
    Entry(
        name="basics/logistic-loss",
        m=1,
        n=18,
        summary="mean binary cross-entropy of one logistic layer 5-3, by its weights and biases",
        source=f"the one-layer network of {_AUTOGRAD_TUTORIAL}, with weights of our own",
        build="jacbench.problems.basics:logistic_loss",
    ),
    Entry(
        name="basics/generator",
        m=200,
        n=200,
        summary="leaky ReLU network 2-100-100-100-2 on a batch of 100, by the batch; "
        "block-diagonal",
        source="made for jacbench: a network of the size used to generate points of the plane",
        build="jacbench.problems.basics:generator",
        parameters={"batch": 100},
        batch=True,
    ),
    _hidden_layer("small", 3, 6, "tanh layer of 256, 6 inputs, 3 outputs"),
    _hidden_layer("tall", 2048, 32, "tanh layer of 256, few inputs, many outputs"),
    _hidden_layer("wide", 32, 2048, "tanh layer of 256, many inputs, few outputs"),
    _hidden_layer("square", 256, 256, "tanh layer of 256, as many inputs as outputs"),
    _hidden_layer("scalar", 1, 1024, "tanh layer of 256, one output: the Jacobian is a gradient"),
)
"""Every problem, in the order in which tables show them."""


WRT = "wrt"
"""The key in brackets that names inputs or an intermediate value: ``name[wrt=Z]``."""

_SIZED = re.compile(r"(?P<name>.+)\[(?P<options>\w+=[^\[\]]*)\]")


def names() -> list[str]:
    """Return every problem's name, in catalogue order."""
    return [entry.name for entry in CATALOGUE]


def entry(name: str) -> Entry:
    """Return the catalogue's entry for ``name``, with the sizes asked for in its brackets."""
    plain, options = _parsed(name)
    for candidate in CATALOGUE:
        if candidate.name == plain:
            return candidate if not options else _sized(candidate, name, options)
    raise _unknown(name)


@functools.cache
def get(name: str) -> Problem:
    """Build the problem ``name``; the same one each time."""
    found = entry(name)
    module, _, builder = found.build.partition(":")
    problem: Problem = getattr(importlib.import_module(module), builder)(found)
    wrt = _parsed(name)[1].get(WRT)
    if wrt is None:
        return problem
    derived = importlib.import_module("jacbench.derived")
    by_some: Problem = replace(derived.by(problem, wrt), name=name)
    return by_some


def matching(patterns: Sequence[str]) -> list[str]:
    """Return the names that match any of the shell ``patterns``, in catalogue order, each once.

    A pattern may end in brackets with sizes or with what the derivative is by:
    ``nn/digits-cnn[batch=64]``, ``basics/linear-sum[wrt=Z]``. A pattern that matches nothing is an
    error: it is a slip, and what it meant would be missing.
    """
    found: dict[str, int] = {}
    for pattern in patterns:
        matched = _matching(pattern)
        if not matched:
            raise _unknown(pattern)
        found.update(matched)
    return sorted(found, key=lambda name: found[name])


def _matching(pattern: str) -> dict[str, int]:
    """Return the names that match with their places in the catalogue."""
    every = list(enumerate(names()))
    plain, options = _parsed(pattern)
    if not options:  # else [m=2] would be a class of characters
        return {name: place for place, name in every if fnmatchcase(name, pattern)}
    brackets = pattern[len(plain) :]
    asked = {f"{name}{brackets}": place for place, name in every if fnmatchcase(name, plain)}
    for name in asked:
        entry(name)  # says what the problem has, where it has no such size
    return asked


def _parsed(name: str) -> tuple[str, dict[str, str]]:
    """Split ``name[key=value,...]`` into the name and its options."""
    match = _SIZED.fullmatch(name)
    if match is None:
        return name, {}
    options: dict[str, str] = {}
    key = ""
    for part in match["options"].split(","):
        before, equals, value = part.partition("=")
        if equals:
            key = before.strip()
            options[key] = value.strip()
        else:
            options[key] += f",{part}"
    return match["name"], options


def _sized(known: Entry, name: str, options: Mapping[str, str]) -> Entry:
    sizes = dict(known.parameters)
    for key, value in options.items():
        if key == WRT:
            continue
        if key not in sizes:
            has = ", ".join(f"{k}={v}" for k, v in sizes.items()) or "no sizes to choose"
            raise JacbenchError(f"problem {name!r}: {known.name} has no {key!r}: it has {has}")
        if not value.isdecimal() or int(value) < 1:
            raise JacbenchError(
                f"problem {name!r}: {key} is {value!r}: give a whole number of at least 1"
            )
        sizes[key] = int(value)
    by_some = WRT in options
    return replace(known, name=name, parameters=sizes, intermediate=known.intermediate or by_some)


def _unknown(asked: str) -> Exception:
    return unknown("problem", asked, names(), hint="jacbench list shows them all")
