"""What methods that use structure gain: against dense ones, and against other libraries for it.

Sparse: viscous Burgers on 10,000 points in JAX, against the best dense pass and against asdex and
sparsejac called directly. Per sample: ``basics/generator`` in each library, against its best full
200 x 200. Bottleneck: an autoencoder 2048-512-16-512-2048, against the same library's best dense
method and the hand-written Jacobian. One thread; every answer is checked before it is timed.

    python benchmarks/structure.py [burgers|samples|bottleneck ...] [--blocks 100] [--json FILE]
"""
# ruff: noqa: E402 - the libraries read their threads when they are imported, so those come first

from __future__ import annotations

from jacbench.measuring import threads as environment

environment.pin(threads=1)

import dataclasses
import functools
import importlib.util
import sys
from collections.abc import Callable, Generator, Iterator
from typing import Any

import in_parts
import numpy as np
import provenance
import scipy.sparse
import scipy.sparse.linalg
from functions.case import draw, weights
from functions.contest import LIBRARIES, Contender, compared, compete, configure, contender
from interleaved import Ratio
from rich.console import Console
from rich.table import Table

from jacbench import problems
from jacbench.backend import Target, registry
from jacbench.core.arrays import Array
from jacbench.core.function_types import Namespace
from jacbench.core.layouts import SparseLayout
from jacbench.core.units import format_seconds
from jacbench.problems.problem import Problem

POINTS = 10_000
VISCOSITY = 1e-3
WIDTHS = (2048, 512, 16, 512, 2048)
DENSE_BLOCKS = 10
"""Blocks against a dense pass of seconds: the ratio is of thousands, and its interval narrow."""


@dataclasses.dataclass(frozen=True)
class Row:
    """One comparison: ``method`` against ``other``, and ``method`` against itself."""

    part: str
    library: str
    method: str
    other: str
    speedup: Ratio
    itself: Ratio


@dataclasses.dataclass(frozen=True)
class Missing:
    """A comparison that could not be made, and why."""

    part: str
    library: str
    method: str
    reason: str


Found = Row | Missing


def row(part: str, library: str, one: Contender, other: Contender, blocks: int) -> Row:
    """Time ``other`` against ``one``, and ``one`` against itself."""
    fewer = min(blocks, DENSE_BLOCKS) if other.once_s > 0.5 else blocks
    speedup = compared(other, one, fewer)
    return Row(part, library, one.method, other.method, speedup, compared(one, one, fewer, seed=1))


# --- sparse ---


def burgers(u: Any) -> Any:
    """Return the rate of change of u by central differences, zero outside."""
    import jax.numpy as jnp  # noqa: PLC0415

    h = 1 / (POINTS + 1)
    p = jnp.pad(u, 1)
    slope, bend = (p[2:] - p[:-2]) / (2 * h), (p[2:] - 2 * u + p[:-2]) / h**2
    return VISCOSITY * bend - u * slope


def burgers_by_u(u: Array) -> scipy.sparse.csr_array:
    """Return its Jacobian, written by hand."""
    h = 1 / (POINTS + 1)
    p = np.pad(u, 1)
    middle = -2 * VISCOSITY / h**2 - (p[2:] - p[:-2]) / (2 * h)
    above = (VISCOSITY / h**2 - u / (2 * h))[:-1]
    below = (VISCOSITY / h**2 + u / (2 * h))[1:]
    diagonals = scipy.sparse.diags_array([below, middle, above], offsets=[-1, 0, 1])
    return scipy.sparse.csr_array(diagonals)


def sparse(blocks: int) -> Iterator[Found]:
    """Compare on Burgers."""
    import jax  # noqa: PLC0415

    x = np.sin(2 * np.pi * np.linspace(0, 1, POINTS)) + draw(1, POINTS, scale=0.1)
    elsewhere = x + draw(2, POINTS, scale=0.1)
    u, v = jax.numpy.asarray(x), jax.numpy.asarray(elsewhere)
    ours = _coloured("jax.coloured-csr", u, v)
    if isinstance(ours, Missing):
        yield ours
        return
    for name in ("jax.asdex-csr", "jax.sparsejac-csr"):
        entry = _coloured(name, u, v)
        missing = isinstance(entry, Missing)
        yield entry if missing else row("burgers", "jax", ours, entry, blocks)
    for name, direct in (("asdex", _asdex), ("sparsejac", _sparsejac)):
        if importlib.util.find_spec(name) is None:
            yield Missing("burgers", "jax", name, f"not installed: pip install {name}")
            continue
        jacobian = direct(u)
        _same(name, _csr(jacobian(v)), elsewhere)
        called = contender(f"{name}, called directly", _ready(jacobian, u))
        yield row("burgers", "jax", ours, called, blocks)
    yield row("burgers", "jax", ours, _best_dense(u, x), blocks)


def _coloured(method: str, u: Any, v: Any) -> Contender | Missing:
    """Return the method of that name, prepared at u and checked at both points."""
    target = Target(
        function=burgers,
        x=u,
        constants=(),
        y_shape=(POINTS,),
        device="cpu",
        dtype="float64",
        elsewhere=v,
    )
    try:
        prepared = registry.method(method).prepare(target)
    except Exception as exc:  # noqa: BLE001 - a library that is absent is told in the table
        return Missing("burgers", "jax", method, " ".join(str(exc).split())[:200])
    layout = prepared.layout
    assert isinstance(layout, SparseLayout)
    for point in (u, v):
        _same(method, layout.pattern.csr(np.asarray(prepared.call(point))), np.asarray(point))
    return contender(method, functools.partial(prepared.call, u))


def _asdex(u: Any) -> Callable[[Any], Any]:
    import asdex  # noqa: PLC0415
    import jax  # noqa: PLC0415

    return jax.jit(asdex.jacobian(burgers, u))


def _sparsejac(u: Any) -> Callable[[Any], Any]:
    import jax  # noqa: PLC0415
    import sparsejac  # noqa: PLC0415
    from jax.experimental import sparse as jax_sparse  # noqa: PLC0415

    del u
    places = burgers_by_u(np.zeros(POINTS)).tocoo()
    pattern = jax_sparse.BCOO(
        (np.ones(places.nnz), np.stack(places.coords, axis=1)), shape=places.shape
    )
    return jax.jit(sparsejac.jacfwd(burgers, pattern))


def _ready(jacobian: Callable[[Any], Any], u: Any) -> Callable[[], Any]:
    def call() -> Any:
        found = jacobian(u)
        found.data.block_until_ready()
        return found

    return call


def _csr(bcoo: Any) -> scipy.sparse.csr_array:
    rows, columns = np.asarray(bcoo.indices).T
    return scipy.sparse.csr_array((np.asarray(bcoo.data), (rows, columns)), shape=bcoo.shape)


def _same(name: str, found: scipy.sparse.csr_array, x: Array) -> None:
    """Stop where ``found`` is not the Jacobian at x."""
    expected = burgers_by_u(x)
    off = scipy.sparse.linalg.norm(found - expected) / scipy.sparse.linalg.norm(expected)
    if not off < 1e-12:
        sys.exit(f"{name}: another Jacobian, off by {off:.2g}")


def _best_dense(u: Any, x: Array) -> Contender:
    """Return the fastest dense pass: columns or rows, so many at a time that it fits."""
    found = [
        contender(f"dense, {ways} {chunk} at a time", _dense(ways, chunk, u))
        for ways in ("columns", "rows")
        for chunk in (100, 250, 500, 1000, 2000)
    ]
    best = min(found, key=lambda c: c.once_s)
    J = np.asarray(best.call()).reshape(POINTS, POINTS)
    _same(best.method, scipy.sparse.csr_array(J.T if "columns" in best.method else J), x)
    return best


def _dense(ways: str, chunk: int, u: Any) -> Callable[[], Any]:
    import jax  # noqa: PLC0415
    import jax.numpy as jnp  # noqa: PLC0415

    def whole(u: Any) -> Any:
        _, pull = jax.vjp(burgers, u)

        def one(vector: Any) -> Any:
            if ways == "rows":
                return pull(vector)[0]
            return jax.jvp(burgers, (u,), (vector,))[1]

        def several(start: Any) -> Any:
            # made here, since the identity would be as large as the Jacobian
            return jax.vmap(one)(jax.nn.one_hot(start + jnp.arange(chunk), POINTS, dtype=u.dtype))

        return jax.lax.map(several, jnp.arange(0, POINTS, chunk))

    compiled = jax.jit(whole).lower(u).compile()
    return lambda: compiled(u).block_until_ready()


# --- per sample and bottleneck ---


def samples(blocks: int) -> Iterator[Found]:
    """Compare on ``basics/generator`` in each library."""
    problem = problems.get("basics/generator")
    for library in LIBRARIES:
        yield from _structured("samples", problem, library, "per-sample", blocks)


def bottleneck(blocks: int) -> Iterator[Found]:
    """Compare on the autoencoder."""
    problem = autoencoder()
    by_hand = compete(problem, methods=["numpy.analytic"], oracles=True).get("numpy.analytic")
    assert by_hand is not None
    for library in LIBRARIES[:2]:
        dense = yield from _structured(
            "bottleneck", problem, library, "bottleneck", blocks, by_hand
        )
        left = compete(problem, operator="factored_jacobian", methods=[f"{library}.factors"])
        factors = left.get(f"{library}.factors")
        if factors is None:
            reason = left.left_out.get(f"{library}.factors", "there is no such method")
            yield Missing("bottleneck", library, f"{library}.factors", reason)
        else:
            yield row("bottleneck", library, factors, by_hand, blocks)
            if dense is not None:
                yield row("bottleneck", library, factors, dense, blocks)


def autoencoder() -> Problem:
    """Return an autoencoder, by its input."""
    return Problem(
        name="bottleneck/wide-autoencoder",
        function=_autoencoder,
        x=draw(4, WIDTHS[0]),
        constants=(tuple(weights(3, *WIDTHS)),),
        jacobian=_autoencoder_by_x,
    )


def _autoencoder(xp: Namespace, x: Any, layers: Any) -> Any:
    for W in layers:
        x = xp.tanh(x @ W)
    return x


def _autoencoder_by_x(x: Array, layers: Any) -> Array:
    scaled = []
    for W in layers:
        x = np.tanh(x @ W)
        scaled.append(W * (1 - x**2))
    first, second, third, fourth = scaled
    # over the narrow middle: 16 rows and 16 columns, and their product last
    J: Array = ((first @ second) @ (third @ fourth)).T
    return J


def _structured(
    part: str,
    problem: Problem,
    library: str,
    kind: str,
    blocks: int,
    by_hand: Contender | None = None,
) -> Generator[Found, None, Contender | None]:
    """Compare ``library``'s method for the structure with its best one without, and by hand.

    Returns the best one without.
    """
    name = f"{library}.{kind}"
    if registry.descriptors()[library].absent():
        yield Missing(part, library, name, "the library is not installed")
        return None
    field = compete(problem, methods=[f"{library}.*"])
    ours, dense = field.get(name), field.best(structured=False)
    if ours is None or dense is None:
        reason = field.left_out.get(name, "there is no such method")
        yield Missing(part, library, name, reason)
        return None
    yield row(part, library, ours, dense, blocks)
    if by_hand is not None:
        yield row(part, library, ours, by_hand, blocks)
    return dense


# --- the table ---

PARTS: dict[str, Callable[[int], Iterator[Found]]] = {
    "burgers": sparse,
    "samples": samples,
    "bottleneck": bottleneck,
}


def render(rows: list[Found]) -> Table:
    """Return the table."""
    table = Table(title="Structure", caption=provenance.caption())
    for column in ("part", "method", "against"):
        table.add_column(column)
    for column in ("method's time", "the other's", "speed-up", "95 %", "method / method"):
        table.add_column(column, justify="right")
    for found in rows:
        if isinstance(found, Missing):
            table.add_row(found.part, found.method, found.reason, *[""] * 5)
            continue
        ratio = found.speedup
        table.add_row(
            *(found.part, found.method, found.other),
            *(format_seconds(ratio.b_median_s), format_seconds(ratio.a_median_s)),
            f"{ratio.median:.4g}",
            f"{ratio.low:.4g} to {ratio.high:.4g}",
            f"{found.itself.median:.3f}",
        )
    return table


def main() -> None:
    """Measure, print the table, write the file."""
    asked = in_parts.asked(__doc__, PARTS, 100)
    settings = configure()
    rows = [found for part in asked.parts for found in PARTS[part](asked.blocks)]
    Console(width=None if sys.stdout.isatty() else 160).print(render(rows))
    if asked.json:
        provenance.write(asked.json, settings, rows=[dataclasses.asdict(found) for found in rows])


if __name__ == "__main__":
    main()
