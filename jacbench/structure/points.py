"""Points to look at a structure: of other signs, scales and branches than x, in f's domain.

Two points near each other take the same branch of a clip, a gate or an upwind difference, and show
the same zeros.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from jacbench.core import nearby, tree
from jacbench.core.arrays import Array
from jacbench.core.tree import Tree

_SEED = 0xFA2


def further(x: Tree, value: Callable[[Tree], Array]) -> Iterator[Tree]:
    """Yield points like x, of NumPy arrays, at which f has a value that is finite.

    The negative of x, ten times and a tenth of it, its entries in another order, and random ones of
    its scale. What is no float stays as it is.

    Parameters
    ----------
    value
        f; a point at which it raises, or gives what is no number, is passed over.
    """
    rng = np.random.default_rng(_SEED)
    moves: tuple[Callable[[Array], Array], ...] = (
        lambda a: -a,
        lambda a: 10 * a,
        lambda a: 0.1 * a,
        lambda a: rng.permutation(a.reshape(-1)).reshape(a.shape),
        lambda a: nearby.scale(a) * rng.standard_normal(a.shape),
    )
    for move in moves:

        def moved(leaf: Array, move: Callable[[Array], Array] = move) -> Array:
            array = np.array(leaf)
            return move(array).astype(array.dtype) if array.dtype.kind == "f" else array

        point = tree.map_leaves(moved, x)
        try:
            with np.errstate(all="ignore"):
                found = value(tree.map_leaves(np.copy, point))
                usable = bool(np.isfinite(np.asarray(found)).all())
        except Exception:  # noqa: BLE001 - whatever the user's function raises outside its domain
            usable = False
        if usable:
            yield point
