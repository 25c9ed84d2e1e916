"""Trees of arrays, at the place that printed lines import them from."""

from jacbench.core.tree import (
    Tree,
    columns,
    first,
    is_leaf,
    is_plain,
    leaves,
    map_leaves,
    names,
    paths,
    unflatten,
)

__all__ = [
    "Tree",
    "columns",
    "first",
    "is_leaf",
    "is_plain",
    "leaves",
    "map_leaves",
    "names",
    "paths",
    "unflatten",
]
