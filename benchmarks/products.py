"""Products that a method computes otherwise than its library would, against the library's own.

Large: of two thin matrices to 2048 x 2048 and more. By XLA and by NumPy for JAX, beside what it
takes XLA to fill so much memory; by torch, into memory of its own, of NumPy's, or that is kept from
call to call. Thin: some rows by a large constant, as torch has it and from a transposed copy. One
thread, float64 unless told; interleaved, medians of blocks.

    python benchmarks/products.py [large|thin ...] [--blocks 60] [--json FILE]
"""
# ruff: noqa: E402 - the libraries read their threads when they are imported, so those come first

from __future__ import annotations

from jacbench.measuring import threads as environment

environment.pin(threads=1)

import dataclasses
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import in_parts
import interleaved
import numpy as np
import provenance
from functions.case import draw
from functions.contest import configure
from interleaved import Ratio
from rich.console import Console
from rich.table import Table

from jacbench.core.units import format_seconds


@dataclasses.dataclass(frozen=True)
class Row:
    """``own`` is the library's product, or what else stands in its place, over ``ours``."""

    part: str
    sizes: str
    own: str
    ours: str
    ratio: Ratio


def large(blocks: int) -> Iterator[Row]:
    """Compare (m, 16) by (16, m), for results of 8 to 128 MiB."""
    import jax  # noqa: PLC0415
    import jax.numpy as jnp  # noqa: PLC0415
    from jacbench_jax import host_product  # noqa: PLC0415

    multiplied = jax.jit(jnp.matmul)
    sides = (1024, 1448, 2048, 2896, 4096)
    for seed, m in enumerate(sides):
        left, right = jnp.asarray(draw(seed, m, 16)), jnp.asarray(draw(seed, 16, m))
        filled = jax.jit(lambda value, m=m: jnp.full((m, m), value))

        def ours(left: Any = left, right: Any = right) -> Any:
            return host_product.product(left, right).block_until_ready()

        def own(left: Any = left, right: Any = right) -> Any:
            return multiplied(left, right).block_until_ready()

        def fill(filled: Any = filled, value: Any = left[0, 0]) -> Any:
            return filled(value).block_until_ready()

        sizes = _sizes(m)
        yield Row("large", sizes, "XLA", "NumPy for JAX", _ratio(own, ours, blocks))
        yield Row("large", sizes, "XLA", "XLA filling as much", _ratio(own, fill, blocks))
    yield from _large_in_torch(sides, blocks)


def _large_in_torch(sides: Sequence[int], blocks: int) -> Iterator[Row]:
    import torch  # noqa: PLC0415
    from jacbench_torch import host_memory  # noqa: PLC0415

    for seed, m in enumerate(sides):
        left, right = (torch.from_numpy(draw(seed, *shape)) for shape in ((m, 16), (16, m)))
        out = torch.from_numpy(np.empty((m, m)))
        found = _ratio(
            lambda left=left, right=right: left @ right,
            lambda left=left, right=right: host_memory.product(left, right),
            blocks,
        )
        kept = _ratio(
            lambda left=left, right=right: left @ right,
            lambda left=left, right=right, out=out: torch.mm(left, right, out=out),
            blocks,
        )
        sizes = _sizes(m)
        yield Row("large", sizes, "torch", "into memory of NumPy's", found)
        yield Row("large", sizes, "torch", "into memory that is kept", kept)


def _sizes(m: int) -> str:
    return f"({m}, 16) @ (16, {m}), {m * m * 8 / 2**20:.0f} MiB"


def thin(blocks: int) -> Iterator[Row]:
    """Compare (rows, 512) by (512, 2048)."""
    import torch  # noqa: PLC0415

    for dtype in (torch.float64, torch.float32):
        constant = torch.from_numpy(draw(0, 512, 2048)).to(dtype)
        copy = constant.t().contiguous()
        for rows in (2, 8, 16, 32, 64, 128):
            x = torch.from_numpy(draw(rows, rows, 512)).to(dtype)
            found = _ratio(
                lambda x=x, constant=constant: x @ constant,
                lambda x=x, copy=copy: x @ copy.t(),
                blocks,
            )
            sizes = f"({rows}, 512) @ (512, 2048), {str(dtype).removeprefix('torch.')}"
            yield Row("thin", sizes, "torch", "from a transposed copy", found)


def _ratio(own: Callable[[], Any], ours: Callable[[], Any], blocks: int) -> Ratio:
    return interleaved.ratio(own, ours, blocks, seed=0)


PARTS: dict[str, Callable[[int], Iterator[Row]]] = {"large": large, "thin": thin}


def render(rows: list[Row]) -> Table:
    """Return the table."""
    table = Table(title="Products", caption=provenance.caption())
    for column in ("product", "own", "ours"):
        table.add_column(column)
    for column in ("own time", "our time", "own / ours", "95 %"):
        table.add_column(column, justify="right")
    for row in rows:
        ratio = row.ratio
        table.add_row(
            *(row.sizes, row.own, row.ours),
            *(format_seconds(ratio.a_median_s), format_seconds(ratio.b_median_s)),
            *(f"{ratio.median:.2f}", f"{ratio.low:.2f} to {ratio.high:.2f}"),
        )
    return table


def main() -> None:
    """Measure, print the table, write the file."""
    asked = in_parts.asked(__doc__, PARTS, 60)
    settings = configure()
    rows = [row for part in asked.parts for row in PARTS[part](asked.blocks)]
    Console(width=None if sys.stdout.isatty() else 140).print(render(rows))
    if asked.json:
        provenance.write(asked.json, settings, rows=[dataclasses.asdict(row) for row in rows])


if __name__ == "__main__":
    main()
