"""The blocks of a batch, held against the function itself in each call.

Samples that were apart where a Jacobian per sample was prepared may see each other at a later x: a
statistic of the batch behind a branch. The blocks are then wrong without a word, and there is no
other structure to go on with. So a random product with the blocks is compared with the same product
of the function.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from jacbench import registry
from jacbench.backend import Native, Target, UnfitError
from jacbench.errors import JacbenchError
from jacbench.layout import Array
from jacbench.operators.operator import Sizes
from jacbench.structure import samples
from jacbench.structure.probing import Product
from jacbench.structure.sample_methods import PerSampleMethod
from jacbench.structure.verification import Compared, Products, wrong

_SEED = 0x5A3B
_DTYPES = ("float64", "float32")


class SampleGuard:
    """Looks whether samples are still apart.

    Attributes
    ----------
    notes
        What is looked at, for the derivative's notes.
    """

    def __init__(self, who: str, method: PerSampleMethod, target: Target, sizes: Sizes) -> None:
        self._who, self._target, self._sizes = who, target, sizes
        apart = method.samples(target)
        every = target.guard.every
        self._every = (0 if apart.everywhere else 1) if every is None else every
        self._products = method.products_of(target)
        self._rng, self._calls = np.random.default_rng(_SEED), itertools.count()
        which = "every call" if self._every == 1 else f"one call in {self._every}"
        self.notes = {
            **apart.notes,
            "guard": f"{which}: raise" if self._every else "none: it holds for every x",
        }

    @classmethod
    def of(cls, who: str, name: str, target: Target, sizes: Sizes) -> SampleGuard | None:
        """Return the guard of a method for ``batch_jacobian``; None where there is nothing to ask.

        Parameters
        ----------
        who
            Who asks, for messages.
        name
            The method.

        Raises
        ------
        JacbenchError
            Where samples see each other already.
        """
        if target.guard.mode == "off" or target.traced or target.dtype not in _DTYPES:
            return None
        for info in registry.descriptor_of(name).methods:
            if info.structure == "samples" and info.operator == "jacobian":
                method = registry.method(info.name)
                if isinstance(method, PerSampleMethod):
                    try:
                        return cls(who, method, target, sizes)
                    except UnfitError as exc:
                        raise JacbenchError(f"{who}: {exc}: ask for the jacobian") from None
        return None

    def look(self, x: Native, parts: Sequence[Array]) -> None:
        """Raise where the blocks at ``x`` are not all of the function's derivative.

        Parameters
        ----------
        parts
            For each leaf of x an array of shape y.shape + the shape of one sample.
        """
        if not self._every or next(self._calls) % self._every:
            return
        blocks = self._blocks(parts)
        compared, product = self._compared(self._products(x), blocks)
        # an entry that is no number shows by itself
        off = wrong(compared, product, self._target.dtype) & np.isfinite(compared.found)
        if off.any():
            by_sample = off.reshape(len(blocks), -1).any(axis=1)
            sample = int(np.flatnonzero(by_sample)[0])
            raise JacbenchError(
                f"{self._who}: samples interact at this x: what sample {sample} has to do with y "
                "is not in its own block: there is no Jacobian per sample here: ask for the "
                "jacobian"
            )

    def _compared(self, products: Products, blocks: Array) -> tuple[Compared, Product]:
        """Return a random product by the function and by the blocks, its lines sample by sample.

        And what computes the function's.
        """
        count, rows, columns = blocks.shape

        def pulled(cotangents: Array) -> Array:
            found = products.pull(cotangents)
            return np.stack([self._by_sample(row).reshape(-1) for row in found])

        def pushed(tangents: Array) -> Array:
            whole = [self._whole(tangent.reshape(count, columns)) for tangent in tangents]
            return products.push(np.stack(whole))

        try:
            return _held(pulled, self._drawn((count, rows)), blocks, "bi,bij->bj"), pulled
        except JacbenchError:
            raise
        except Exception:  # noqa: BLE001 - no reverse mode: forward, whose words are as good
            return _held(pushed, self._drawn((count, columns)), blocks, "bj,bij->bi"), pushed

    def _drawn(self, shape: tuple[int, ...]) -> Array:
        drawn = self._rng.standard_normal(shape)
        return drawn.astype(self._target.dtype).astype(np.float64)

    def _blocks(self, parts: Sequence[Array]) -> Array:
        """Return the blocks of all samples, (B, m / B, n / B), float64."""
        count = self._sizes.y_shape[0]
        rows = int(np.prod(self._sizes.y_shape[1:], dtype=int))
        own = [np.asarray(part, dtype=np.float64).reshape(count, rows, -1) for part in parts]
        return np.concatenate(own, axis=2)

    def _by_sample(self, row: Array) -> Array:
        """Return a vector like x, (n,), by the sample that each entry belongs to: (B, n / B)."""
        count = self._sizes.y_shape[0]
        axis = self._sizes.batch_axis or 0
        own = [
            np.moveaxis(row[columns].reshape(shape), own_axis, 0).reshape(count, -1)
            for columns, shape, own_axis in samples.parts(self._sizes.leaf_shapes, axis)
        ]
        return np.concatenate(own, axis=1)

    def _whole(self, own: Array) -> Array:
        """Return the vector of which :meth:`_by_sample` gives ``own``."""
        whole = np.empty(own.size)
        whole[self._by_sample(np.arange(own.size)).astype(int)] = own
        return whole


def _held(product: Product, vector: Array, blocks: Array, added: str) -> Compared:
    flat = vector.reshape(1, -1)
    asked = product(flat).astype(np.float64)
    found, size = (
        np.einsum(added, *pair).reshape(1, -1)
        for pair in ((vector, blocks), (abs(vector), abs(blocks)))
    )
    return Compared(flat, asked, found, size + abs(asked))
