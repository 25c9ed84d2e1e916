"""The backends by name, at the place that printed lines and other packages import them from."""

from jacbench.backend.registry import (
    GROUP,
    absent,
    broken,
    descriptor_of,
    descriptors,
    load,
    method,
    method_names,
)

__all__ = [
    "GROUP",
    "absent",
    "broken",
    "descriptor_of",
    "descriptors",
    "load",
    "method",
    "method_names",
]
