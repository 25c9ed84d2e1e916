"""The catalogue: every problem's name, size and source, without computing or importing any.

One list feeds the tests, the benchmarks and the reports. A family is a module here; its builders
take the :class:`Entry` and return the :class:`~jacbench.problem.Problem`.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from jacbench.errors import unknown

if TYPE_CHECKING:  # listing the catalogue does without NumPy
    from jacbench.problem import Problem


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A problem as ``jacbench list`` shows it.

    Attributes
    ----------
    name
        ``family/short-name``.
    m, n
        The numbers of outputs and of inputs: the Jacobian is m x n.
    summary
        One line.
    source
        Where the problem comes from: a paper, a book, a link, or that it was made up for this.
    build
        ``module:function``; the function takes this entry and returns the problem.
    """

    name: str
    m: int
    n: int
    summary: str
    source: str
    build: str


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
        name="basics/shifted-square",
        m=25,
        n=25,
        summary="(x + 1)^2 entry by entry at the 5 x 5 identity; the Jacobian is diagonal",
        source=f"after 'Tensor Gradients and Jacobian Products' in {_AUTOGRAD_TUTORIAL}",
        build="jacbench.problems.basics:shifted_square",
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
    ),
    _hidden_layer("small", 3, 6, "tanh layer of 256, 6 inputs, 3 outputs"),
    _hidden_layer("tall", 2048, 32, "tanh layer of 256, few inputs, many outputs"),
    _hidden_layer("wide", 32, 2048, "tanh layer of 256, many inputs, few outputs"),
    _hidden_layer("square", 256, 256, "tanh layer of 256, as many inputs as outputs"),
    _hidden_layer("scalar", 1, 1024, "tanh layer of 256, one output: the Jacobian is a gradient"),
)
"""Every problem, in the order in which tables show them."""


def names() -> list[str]:
    """Return every problem's name, in catalogue order."""
    return [entry.name for entry in CATALOGUE]


def entry(name: str) -> Entry:
    """Return the catalogue's entry for ``name``."""
    for candidate in CATALOGUE:
        if candidate.name == name:
            return candidate
    raise _unknown(name)


@functools.cache
def get(name: str) -> Problem:
    """Build the problem ``name``; the same one each time."""
    found = entry(name)
    module, _, builder = found.build.partition(":")
    problem: Problem = getattr(importlib.import_module(module), builder)(found)
    return problem


def matching(patterns: Sequence[str]) -> list[str]:
    """Return the names that match any of the shell ``patterns``, in catalogue order, each once.

    A pattern that matches nothing is an error: it is a slip, and what it meant would be missing.
    """
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names()):
            raise _unknown(pattern)
    return [name for name in names() if any(fnmatchcase(name, pattern) for pattern in patterns)]


def _unknown(asked: str) -> Exception:
    return unknown("problem", asked, names(), hint="jacbench list shows them all")
