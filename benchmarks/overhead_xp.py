"""What writing a function once costs: its time over a namespace against the same written natively.

Every problem's function is evaluated through its backend's namespace and as somebody would write
it for that library alone. The ratio of the two is printed beside the ratio of the native one to
itself, which says how well this machine can tell. The aim is at most 1.05 on ``shape/*`` and
``basics/generator``; the others, of a few microseconds, are shown and not judged. Nothing fails on
a time: the exit status is 1 only where the values differ.

    python benchmarks/overhead_xp.py [PATTERN ...] [--blocks 400] [--json FILE]
"""
# ruff: noqa: E402 - the libraries read their threads when they are imported, so those come first

from __future__ import annotations

from jacbench.measuring import threads as environment

environment.pin(threads=1)

import argparse
import dataclasses
import fnmatch
import importlib
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

LIMIT = 1.05
JUDGED = ("shape/*", "basics/generator")

Native = dict[str, Callable[..., Any]]
"""A library's own form of each problem's function, by the problem's name or family."""


# --- as one would write it for one library ---


def written_for_torch() -> Native:
    """Return the functions in PyTorch."""
    import torch  # noqa: PLC0415 - a library that is absent is left out
    import torch.nn.functional as F  # noqa: N812, PLC0415

    def mlp(x: Any, batch: Any) -> Any:
        (W1, b1), (W2, b2), (W3, b3) = x
        h = torch.tanh(batch @ W1 + b1)
        h = torch.tanh(h @ W2 + b2)
        return torch.tanh(h @ W3 + b3)

    def logistic(x: Any, features: Any, labels: Any) -> Any:
        w, b = x
        return F.binary_cross_entropy_with_logits(features @ w + b, labels)

    def generator(x: Any, layers: Any) -> Any:
        (W1, b1), (W2, b2), (W3, b3), (W4, b4) = layers
        h = F.leaky_relu(x @ W1 + b1, 0.2)
        h = F.leaky_relu(h @ W2 + b2, 0.2)
        h = F.leaky_relu(h @ W3 + b3, 0.2)
        return torch.tanh(h @ W4 + b4)

    def shape(x: Any, first: Any, second: Any) -> Any:
        W1, b1 = first
        W2, b2 = second
        return torch.tanh(x @ W1 + b1) @ W2 + b2

    return {
        "basics/mlp-weights": mlp,
        "basics/linear-sum": lambda x, W, B: (x @ W + B).sum(),
        "basics/shifted-square": lambda x: (x + 1) ** 2,
        "basics/logistic-loss": logistic,
        "basics/generator": generator,
        "shape": shape,
    }


def written_for_jax() -> Native:
    """Return the functions in JAX."""
    import jax  # noqa: PLC0415
    import jax.numpy as jnp  # noqa: PLC0415

    def mlp(x: Any, batch: Any) -> Any:
        (W1, b1), (W2, b2), (W3, b3) = x
        h = jnp.tanh(batch @ W1 + b1)
        h = jnp.tanh(h @ W2 + b2)
        return jnp.tanh(h @ W3 + b3)

    def logistic(x: Any, features: Any, labels: Any) -> Any:
        w, b = x
        z = features @ w + b
        yes, no = jax.nn.log_sigmoid(z), jax.nn.log_sigmoid(-z)
        return -jnp.mean(labels * yes + (1 - labels) * no)

    def generator(x: Any, layers: Any) -> Any:
        (W1, b1), (W2, b2), (W3, b3), (W4, b4) = layers
        h = jax.nn.leaky_relu(x @ W1 + b1, 0.2)
        h = jax.nn.leaky_relu(h @ W2 + b2, 0.2)
        h = jax.nn.leaky_relu(h @ W3 + b3, 0.2)
        return jnp.tanh(h @ W4 + b4)

    def shape(x: Any, first: Any, second: Any) -> Any:
        W1, b1 = first
        W2, b2 = second
        return jnp.tanh(x @ W1 + b1) @ W2 + b2

    return {
        "basics/mlp-weights": mlp,
        "basics/linear-sum": lambda x, W, B: jnp.sum(x @ W + B),
        "basics/shifted-square": lambda x: (x + 1) ** 2,
        "basics/logistic-loss": logistic,
        "basics/generator": generator,
        "shape": shape,
    }


def written_for_numpy(np: Any = np) -> Native:
    """Return the functions in NumPy, or in ``autograd.numpy``, where they read the same."""

    def mlp(x: Any, batch: Any) -> Any:
        (W1, b1), (W2, b2), (W3, b3) = x
        h = np.tanh(batch @ W1 + b1)
        h = np.tanh(h @ W2 + b2)
        return np.tanh(h @ W3 + b3)

    def logistic(x: Any, features: Any, labels: Any) -> Any:
        w, b = x
        z = features @ w + b
        return np.mean(np.logaddexp(0.0, z) - labels * z)

    def leaky_relu(x: Any) -> Any:
        return np.where(x >= 0, x, 0.2 * x)

    def generator(x: Any, layers: Any) -> Any:
        (W1, b1), (W2, b2), (W3, b3), (W4, b4) = layers
        h = leaky_relu(x @ W1 + b1)
        h = leaky_relu(h @ W2 + b2)
        h = leaky_relu(h @ W3 + b3)
        return np.tanh(h @ W4 + b4)

    def shape(x: Any, first: Any, second: Any) -> Any:
        W1, b1 = first
        W2, b2 = second
        return np.tanh(x @ W1 + b1) @ W2 + b2

    return {
        "basics/mlp-weights": mlp,
        "basics/linear-sum": lambda x, W, B: np.sum(x @ W + B),
        "basics/shifted-square": lambda x: (x + 1) ** 2,
        "basics/logistic-loss": logistic,
        "basics/generator": generator,
        "shape": shape,
    }


# --- the libraries, each with one core ---


@dataclasses.dataclass(frozen=True)
class Way:
    """How a library's functions are called.

    Attributes
    ----------
    name
        ``torch``, ``jax jit``, ...
    module
        Where the namespace is, ``jacbench_torch.xp``.
    native
        The functions as written for the library.
    put
        Turns a NumPy array into the library's.
    ready
        Turns a function into one that returns when the value is there.
    """

    name: str
    module: str
    native: Native
    put: Callable[[Any], Any]
    ready: Callable[[Callable[..., Any]], Callable[..., Any]]

    def written(self, problem: str) -> Callable[..., Any]:
        """Return the native form of ``problem``, or of its family."""
        return self.native.get(problem) or self.native[problem.partition("/")[0]]


def ways() -> Iterator[Way]:
    """Yield what is installed, in the order of the table."""
    if _installed("torch"):
        import torch  # noqa: PLC0415

        torch.set_num_threads(1)
        yield Way("torch", "jacbench_torch.xp", written_for_torch(), torch.tensor, _at_once)
    if _installed("jax"):
        import jax  # noqa: PLC0415

        config: Any = jax.config
        config.update("jax_cpu_enable_async_dispatch", False)
        config.update("jax_enable_x64", True)

        def eager(function: Callable[..., Any]) -> Callable[..., Any]:
            return lambda *arguments: function(*arguments).block_until_ready()

        def jitted(function: Callable[..., Any]) -> Callable[..., Any]:
            return eager(jax.jit(function))

        native = written_for_jax()
        yield Way("jax jit", "jacbench_jax.xp", native, jax.numpy.asarray, jitted)
        yield Way("jax eager", "jacbench_jax.xp", native, jax.numpy.asarray, eager)
    if _installed("autograd"):
        import autograd.numpy as anp  # noqa: PLC0415

        yield Way("autograd", "jacbench_autograd.xp", written_for_numpy(anp), np.array, _at_once)
    yield Way("numpy", "jacbench_numpy.xp", written_for_numpy(), np.array, _at_once)


def _installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def _at_once(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


# --- measuring ---


@dataclasses.dataclass(frozen=True)
class Row:
    """One problem in one library."""

    problem: str
    library: str
    judged: bool
    overhead: Ratio
    same: Ratio


def measure(problem: str, way: Way, blocks: int, seed: int) -> Row:
    """Time the namespace's form of ``problem`` against the native one, and that against itself."""
    posed = problems.get(problem)
    xp = importlib.import_module(way.module)
    arguments = [tree.map_leaves(way.put, part) for part in (posed.x, *posed.constants)]
    neutral = posed.function
    native = way.written(problem)

    through_xp = way.ready(lambda *arguments: neutral(xp, *arguments))
    # as deep as the one above, or the call of a lambda would be charged to the namespace
    direct = way.ready(lambda *arguments: native(*arguments))  # noqa: PLW0108
    expected, got = (np.asarray(f(*arguments)) for f in (direct, through_xp))
    if not np.allclose(got, expected, rtol=1e-13, atol=1e-13):
        sys.exit(f"{problem} in {way.name}: the two forms differ: {got} and {expected}")

    def a() -> object:
        return through_xp(*arguments)

    def b() -> object:
        return direct(*arguments)

    return Row(
        problem=problem,
        library=way.name,
        judged=any(fnmatch.fnmatchcase(problem, pattern) for pattern in JUDGED),
        overhead=ratio(a, b, blocks, seed),
        same=ratio(b, b, blocks, seed + 1),
    )


def show(rows: list[Row]) -> None:
    """Print the table."""
    table = Table(title="time through xp / time written natively", caption=provenance.caption())
    for column in ("problem", "library"):
        table.add_column(column)
    for column in ("native", "ratio", "95 %", "native / native", "95 %", f"<= {LIMIT}"):
        table.add_column(column, justify="right")
    for row in rows:
        verdict = "yes" if row.overhead.median <= LIMIT else "NO"
        table.add_row(
            row.problem,
            row.library,
            f"{row.overhead.b_median_s * 1e6:.1f} us",
            f"{row.overhead.median:.3f}",
            f"{row.overhead.low:.3f} to {row.overhead.high:.3f}",
            f"{row.same.median:.3f}",
            f"{row.same.low:.3f} to {row.same.high:.3f}",
            verdict if row.judged else "not judged",
        )
    Console(width=None if sys.stdout.isatty() else 132).print(table)


def main() -> None:
    """Measure everything, print the table, write the file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("patterns", nargs="*", default=["basics/*", "shape/*"], help="problems")
    parser.add_argument("--blocks", type=int, default=400, help="samples of each form (400)")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    every_way = list(ways())
    rows = [
        measure(problem, way, options.blocks, 2 * seed)
        for seed, problem in enumerate(problems.matching(options.patterns))
        for way in every_way
    ]
    show(rows)
    if options.json:
        provenance.write(options.json, rows=[dataclasses.asdict(row) for row in rows])


if __name__ == "__main__":
    main()
