"""What calling through jacbench costs: a prepared call against the bare library call.

Both compute the Jacobian of ``basics/mlp-weights``, and both wait for it; the bare one is written
by hand for its library, without jacbench. The ratio is printed beside that of the bare call to
itself, which says how well this machine can tell. The aim is at most 1.02 in the median. Nothing
fails on a time: the exit status is 1 only where the Jacobians differ.

    python benchmarks/overhead_wrapper.py [--blocks 400] [--json FILE]
"""
# ruff: noqa: E402 - the libraries read their threads when they are imported, so those come first

from __future__ import annotations

from jacbench.measuring import threads as environment

environment.pin(threads=1)

import argparse
import dataclasses
import functools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import provenance
from interleaved import Ratio, ratio
from rich.console import Console
from rich.table import Table

from jacbench import problems
from jacbench.core import tree
from jacbench.core.cell import Cell
from jacbench.running.prepared_cells import Harness, Limits

LIMIT = 1.02
PROBLEM = "basics/mlp-weights"

Call = Callable[[], Any]


# --- the bare calls, as one would write them ---


def bare_jax_jacrev(weights: Any, batch: Any) -> Call:
    """Return the call of an executable compiled ahead of time."""
    import jax  # noqa: PLC0415 - each library is imported when its turn comes
    import jax.numpy as jnp  # noqa: PLC0415

    def network(weights: Any, batch: Any) -> Any:
        for w, b in weights:
            batch = jnp.tanh(batch @ w + b)
        return batch

    weights, batch = jax.tree.map(jnp.asarray, (weights, batch))
    compiled = jax.jit(jax.jacrev(network)).lower(weights, batch).compile()

    def call() -> Any:
        jacobian = compiled(weights, batch)
        jacobian[0][0].block_until_ready()
        return jacobian

    return call


def bare_torch_jacrev(weights: Any, batch: Any) -> Call:
    """Return the call of torch.func.jacrev."""
    import torch  # noqa: PLC0415

    def network(weights: Any, batch: Any) -> Any:
        for w, b in weights:
            batch = torch.tanh(batch @ w + b)
        return batch

    weights, batch = tree.map_leaves(torch.tensor, weights), torch.tensor(batch)
    jacobian = torch.func.jacrev(network)
    return lambda: jacobian(weights, batch)


def bare_torch_backward_loop(weights: Any, batch: Any) -> Call:
    """Return the loop over one-hot vectors that reads and clears ``.grad``."""
    import torch  # noqa: PLC0415

    given, batch = tree.map_leaves(torch.tensor, weights), torch.tensor(batch)
    one_hots = torch.eye(20, dtype=torch.float64).reshape(20, 20, 1).unbind(0)

    def call() -> Any:
        weights = [[leaf.detach().requires_grad_() for leaf in layer] for layer in given]
        parameters = [leaf for layer in weights for leaf in layer]
        y = batch
        for w, b in weights:
            y = torch.tanh(y @ w + b)
        rows: list[list[Any]] = [[] for _ in parameters]
        for one_hot in one_hots:
            y.backward(one_hot, retain_graph=True)
            for parameter, row in zip(parameters, rows, strict=True):
                row.append(parameter.grad)
                parameter.grad = None
        return [torch.stack(row) for row in rows]

    return call


def bare_autograd_jacobian(weights: Any, batch: Any) -> Call:
    """Return the call of autograd.jacobian, which takes one array: the weights flattened."""
    import autograd  # noqa: PLC0415
    import autograd.numpy as anp  # noqa: PLC0415
    from autograd.misc.flatten import flatten  # noqa: PLC0415

    _, unflatten = flatten(weights)

    def network(vector: Any) -> Any:
        y = batch
        for w, b in unflatten(vector):
            y = anp.tanh(y @ w + b)
        return y

    jacobian = autograd.jacobian(network)
    return lambda: jacobian(flatten(weights)[0])


BARE: dict[str, Callable[[Any, Any], Call]] = {
    "jax.jacrev": bare_jax_jacrev,
    "torch.func.jacrev": bare_torch_jacrev,
    "torch.backward-loop": bare_torch_backward_loop,
    "autograd.jacobian": bare_autograd_jacobian,
}


# --- the comparison ---


@dataclasses.dataclass(frozen=True)
class Row:
    """One method: through jacbench against bare, and bare against bare."""

    method: str
    through: Ratio
    itself: Ratio


def rows(blocks: int, seed: int) -> Iterator[Row]:
    """Measure method by method."""
    problem = problems.get(PROBLEM)
    harness = Harness(1, Limits(), verify_pins=False)
    for method, write in BARE.items():
        cell = Cell(PROBLEM, "jacobian", method, method.partition(".")[0], "cpu", "float64", 1)
        settled = harness.settle(cell)
        prepared, x = settled.prepared, settled.x
        if prepared is None:
            sys.exit(f"{method}: {settled.result.verdict}: {settled.result.reason}")
        bare = write(problem.x, problem.constants[0])
        through = functools.partial(prepared.call, x)
        same(method, through(), bare())
        yield Row(method, ratio(through, bare, blocks, seed), ratio(bare, bare, blocks, seed))


def same(method: str, ours: Any, theirs: Any) -> None:
    """Stop where the two do not compute the same Jacobian."""
    pairs = zip(tree.leaves(ours), tree.leaves(theirs), strict=True)
    if not all(np.allclose(np.asarray(a), np.asarray(b), rtol=1e-12, atol=1e-14) for a, b in pairs):
        sys.exit(f"{method}: the bare call computes another Jacobian")


def render(measured: list[Row]) -> Table:
    """Return the table."""
    table = Table(
        title=f"time through jacbench / time of the bare call, {PROBLEM}",
        caption=provenance.caption(),
    )
    table.add_column("method")
    for column in ("bare", "ratio", "95 %", "bare / bare", "95 %", f"<= {LIMIT}"):
        table.add_column(column, justify="right")
    for row in measured:
        a, aa = row.through, row.itself
        table.add_row(
            row.method,
            f"{a.b_median_s * 1e6:.1f} µs",
            f"{a.median:.4f}",
            f"{a.low:.4f} to {a.high:.4f}",
            f"{aa.median:.4f}",
            f"{aa.low:.4f} to {aa.high:.4f}",
            "yes" if a.median <= LIMIT else "no",
        )
    return table


def main() -> None:
    """Measure, print the table, write the file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--blocks", type=int, default=400, help="samples of each form (400)")
    parser.add_argument("--seed", type=int, default=0, help="of the order within blocks (0)")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    measured = list(rows(options.blocks, options.seed))
    Console(width=None if sys.stdout.isatty() else 150).print(render(measured))
    if options.json:
        provenance.write(options.json, rows=[dataclasses.asdict(row) for row in measured])


if __name__ == "__main__":
    main()
