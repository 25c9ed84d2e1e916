"""The blocks of a batch, held against the function itself in each call.

Samples that were apart where a Jacobian per sample was prepared may see each other at a later x: a
statistic of the batch behind a branch. The blocks are then wrong without a word, and there is no
other structure to go on with. So a random product with the blocks is compared with the same product
of the function.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np

from jacbench.backend import Native, Prepared, Target, UnfitError, registry
from jacbench.core import tree
from jacbench.core.arrays import Array
from jacbench.core.errors import JacbenchError
from jacbench.core.layouts import Layout
from jacbench.core.operators.operator import Sizes
from jacbench.structure import guard, samples
from jacbench.structure.pattern_check import Compared, Products, wrong
from jacbench.structure.probing import Product
from jacbench.structure.sample_methods import Apart, PerSampleMethod

_SEED = 0x5A3B
_DTYPES = ("float64", "float32")


def looked_at(who: str, name: str, target: Target, sizes: Sizes, prepared: Prepared) -> Prepared:
    """Return a ``batch_jacobian`` whose calls raise where samples see each other.

    As it is where there is nothing to ask: the guard is off, x is traced, the samples share x.

    Parameters
    ----------
    who
        Who asks, for messages.
    name
        The method.
    prepared
        What it prepared.

    Raises
    ------
    JacbenchError
        Where samples see each other already.
    """
    asked = _asked(name, target, sizes)
    if asked is None:
        return prepared
    layout = prepared.layout or registry.method(name).layout(target)
    try:
        looking = SampleGuard(who, asked, target, sizes, layout)
    except UnfitError as exc:
        raise JacbenchError(f"{who}: {exc}: ask for the jacobian") from None
    notes = {**prepared.notes, **looking.notes}
    if not looking.every:
        return replace(prepared, notes=notes)
    call, x = LookedAt(prepared, looking), target.x
    notes["guard_cost"] = guard.cost(lambda: prepared.call(x), lambda: call(x), looking.every)
    return replace(prepared, call=call, notes=notes)


def hold(
    who: str, name: str, target: Target, sizes: Sizes, prepared: Prepared, result: Native
) -> None:
    """Hold one ``result`` at x, where samples were apart by values, against the function itself.

    A derivative rule of its own may couple samples that values leave apart. Parameters and errors
    are those of :func:`looked_at`.
    """
    asked = _asked(name, target, sizes)
    if asked is not None:
        layout = prepared.layout or registry.method(name).layout(target)
        apart = Apart(sizes.batch_axis or 0, everywhere=False, notes={})
        SampleGuard(who, asked, target, sizes, layout, apart).look(target.x, result)


def _asked(name: str, target: Target, sizes: Sizes) -> PerSampleMethod | None:
    """Return the library's method that knows whether samples are apart; None: nothing is asked."""
    if sizes.batch_axis is None or target.guard.mode == "off":
        return None
    if target.traced or target.dtype not in _DTYPES:
        return None
    for info in registry.descriptor_of(name).methods:
        if info.structure == "samples" and info.operator == "jacobian":
            method = registry.method(info.name)
            if isinstance(method, PerSampleMethod):
                return method
    return None


class LookedAt:
    """The call of a ``batch_jacobian`` that is held against the function itself."""

    def __init__(self, prepared: Prepared, looking: SampleGuard) -> None:
        self._call, self._looking = prepared.call, looking

    def __call__(self, x: Native) -> Native:
        """Return the native result at ``x``."""
        result = self._call(x)
        self._looking.look(x, result)
        return result


class SampleGuard:
    """Looks whether samples are still apart.

    Attributes
    ----------
    every
        One call in so many is looked at; 0: none, since they are apart for every x.
    notes
        What is looked at, for the derivative's notes.
    """

    def __init__(
        self,
        who: str,
        method: PerSampleMethod,
        target: Target,
        sizes: Sizes,
        layout: Layout,
        apart: Apart | None = None,
    ) -> None:
        self._who, self._target, self._sizes, self._layout = who, target, sizes, layout
        self._to_numpy = registry.load(registry.descriptor_of(method.info.name).name).to_numpy
        apart = apart or method.samples(target)
        every = target.guard.every
        self.every = (0 if apart.everywhere else 1) if every is None else every
        self._products = method.products_of(target)
        self._rng, self._calls = np.random.default_rng(_SEED), itertools.count()
        which = "every call" if self.every == 1 else f"one call in {self.every}"
        self.notes: dict[str, str | int | float] = {
            **apart.notes,
            "guard": f"{which}: raise" if self.every else "none: it holds for every x",
        }
        if self.every and "caveat" in apart.notes:
            caveat = str(apart.notes["caveat"])
            self.notes["caveat"] = guard.qualified(caveat, which, "an error")

    def look(self, x: Native, result: Native) -> None:
        """Raise where the blocks at ``x``, as the method gave them, are not all of it."""
        if next(self._calls) % self.every:
            return
        blocks = self._blocks(result)
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
        count, _, columns = blocks.shape

        def pulled(cotangents: Array) -> Array:
            found = products.pull(cotangents)
            return np.stack([self._by_sample(row).reshape(-1) for row in found])

        def pushed(tangents: Array) -> Array:
            whole = [self._whole(tangent.reshape(count, columns)) for tangent in tangents]
            return products.push(np.stack(whole))

        try:
            return self._held(pulled, blocks, 2, "bi,bij->bj"), pulled
        except JacbenchError:
            raise
        except Exception:  # noqa: BLE001 - no reverse mode: forward, whose words are as good
            return self._held(pushed, blocks, 1, "bj,bij->bi"), pushed

    def _held(self, product: Product, blocks: Array, axis: int, added: str) -> Compared:
        """Return the products compared, with a vector whose entries make up for small outputs."""
        met, dtype = abs(blocks).sum(axis=axis), self._target.dtype
        drawn = self._rng.standard_normal(met.shape)

        def compared(factors: Array | float) -> Compared:
            vector = (drawn * factors).astype(dtype).astype(np.float64)
            return _compared(product, vector, blocks, added)

        held = compared(guard.evened(met.reshape(-1), dtype).reshape(met.shape))
        # on the way to small outputs there may be large numbers
        return compared(1.0) if held.overflows else held

    def _blocks(self, result: Native) -> Array:
        """Return the blocks of all samples, (B, m / B, n / B), float64."""
        count, m = self._sizes.y_shape[0], self._sizes.m
        parts = [self._to_numpy(part) for part in tree.leaves(result)]
        matrix = self._layout.matrix(parts, m).astype(np.float64)
        return matrix.reshape(count, m // count, -1)

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


def _compared(product: Product, vector: Array, blocks: Array, added: str) -> Compared:
    flat = vector.reshape(1, -1)
    asked = product(flat).astype(np.float64)
    found, size = (
        np.einsum(added, *pair).reshape(1, -1)
        for pair in ((vector, blocks), (abs(vector), abs(blocks)))
    )
    return Compared(flat, asked, found, size + abs(asked))
