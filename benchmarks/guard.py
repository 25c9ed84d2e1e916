"""What the guard of structured Jacobians costs a call: at its default, and in every call.

The problems of ``structure.py``: viscous Burgers on 10,000 points, ``basics/generator`` per sample,
and an autoencoder through its middle, in each library that has the method; and Burgers once more as
a function that branches on its numbers in Python, of which no program can be recorded. One thread;
ratios are to the same method with ``guard="off"``, in interleaved blocks.

    python benchmarks/guard.py [burgers|branching|samples|bottleneck ...] [--blocks 100] [--json F]
"""
# ruff: noqa: E402 - the libraries read their threads when they are imported, so those come first

from __future__ import annotations

from jacbench.measuring import threads as environment

environment.pin(threads=1)

import dataclasses
import functools
import sys
from collections.abc import Callable, Iterator
from typing import Any

import in_parts
import interleaved
import numpy as np
import provenance
from functions.contest import LIBRARIES, configure
from interleaved import Ratio
from rich.console import Console
from rich.table import Table
from structure import POINTS, VISCOSITY, autoencoder

from jacbench import problems
from jacbench.backend import Guarding, Target, UnfitError, registry
from jacbench.core import tree
from jacbench.core.function_types import Namespace
from jacbench.core.units import format_seconds
from jacbench.problems.problem import Problem


@dataclasses.dataclass(frozen=True)
class Row:
    """What one method's guard costs.

    Attributes
    ----------
    known
        What the structure rests on, and what the guard does by default.
    default, each
        The time of a call with the default, and with each call looked at, over that without.
    """

    part: str
    method: str
    known: str
    default: Ratio
    each: Ratio


def burgers(xp: Namespace, u: Any) -> Any:
    """Return the rate of change of u by central differences, zero outside."""
    h = 1 / (POINTS + 1)
    zero = xp.zeros_like(u[:1])
    left, right = xp.concat([zero, u[:-1]]), xp.concat([u[1:], zero])
    return VISCOSITY * (right - 2 * u + left) / h**2 - u * (right - left) / (2 * h)


def sparse(blocks: int) -> Iterator[Row]:
    """Measure on Burgers."""
    x = np.sin(2 * np.pi * np.linspace(0, 1, POINTS))
    problem = Problem(name="burgers", function=burgers, x=x)
    for library in LIBRARIES:
        yield from measured("burgers", problem, f"{library}.coloured-csr", blocks)


def branching(blocks: int) -> Iterator[Row]:
    """Measure on Burgers that looks at a number of its own, in torch."""
    x = np.sin(2 * np.pi * np.linspace(0, 1, POINTS))

    def function(u: Any) -> Any:
        xp = registry.load("torch").xp
        return burgers(xp, u) if float(u[0].detach()) < 1e9 else u

    problem = Problem(name="branching", native={"torch": function}, x=x)
    yield from measured("branching", problem, "torch.coloured-csr", blocks)


def samples(blocks: int) -> Iterator[Row]:
    """Measure on ``basics/generator``."""
    for library in LIBRARIES:
        yield from measured(
            "samples", problems.get("basics/generator"), f"{library}.per-sample", blocks
        )


def bottleneck(blocks: int) -> Iterator[Row]:
    """Measure on the autoencoder, as one matrix and as two factors."""
    for library in LIBRARIES[:2]:
        for form in ("bottleneck", "factors"):
            yield from measured("bottleneck", autoencoder(), f"{library}.{form}", blocks)


def measured(part: str, problem: Problem, method: str, blocks: int) -> Iterator[Row]:
    """Yield the row of one method; none where its library is absent, or it does not fit."""
    library = method.partition(".")[0]
    if registry.descriptors()[library].absent():
        return
    backend = registry.load(library)
    put = functools.partial(tree.map_leaves, lambda leaf: backend.put(leaf, "cpu", "float64"))
    x, constants = put(problem.x), tuple(put(constant) for constant in problem.constants)
    function = problem.bound(library, backend.xp)
    target = Target(
        function=function,
        x=x,
        constants=constants,
        y_shape=tuple(function(x, *constants).shape),
        device="cpu",
        dtype="float64",
        in_axes=problem.in_axes or (),
        elsewhere=put(problem.elsewhere),
    )

    def call(**guarding: Any) -> tuple[Callable[[], Any], str]:
        asked = dataclasses.replace(target, guard=Guarding(**guarding))
        made = registry.method(method).prepare(asked)
        return functools.partial(made.call, x), str(made.notes["guard"])

    try:
        (off, _), (default, known), (each, _) = call(mode="off"), call(), call(every=1)
    except UnfitError as exc:
        print(f"{method}: {exc}", file=sys.stderr)
        return
    yield Row(
        part,
        method,
        known,
        interleaved.ratio(default, off, blocks, seed=0),
        interleaved.ratio(each, off, blocks, seed=1),
    )


PARTS: dict[str, Callable[[int], Iterator[Row]]] = {
    "burgers": sparse,
    "branching": branching,
    "samples": samples,
    "bottleneck": bottleneck,
}


def render(rows: list[Row]) -> Table:
    """Return the table."""
    table = Table(title="The guard", caption=provenance.caption())
    for column in ("part", "method", "by default"):
        table.add_column(column)
    for column in ("a call without", "default / without", "95 %", "each call / without", "95 %"):
        table.add_column(column, justify="right")
    for row in rows:
        cells = [
            cell
            for found in (row.default, row.each)
            for cell in (f"{found.median:.3f}", f"{found.low:.3f} to {found.high:.3f}")
        ]
        alone = format_seconds(row.default.b_median_s)
        table.add_row(row.part, row.method, row.known, alone, *cells)
    return table


def main() -> None:
    """Measure, print the table, write the file."""
    asked = in_parts.asked(__doc__, PARTS, 100)
    settings = configure()
    rows = [row for part in asked.parts for row in PARTS[part](asked.blocks)]
    Console(width=None if sys.stdout.isatty() else 160).print(render(rows))
    if asked.json:
        provenance.write(asked.json, settings, rows=[dataclasses.asdict(row) for row in rows])


if __name__ == "__main__":
    main()
