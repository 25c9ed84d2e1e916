"""What a library must offer to be measured: all that a backend imports from jacbench."""

from jacbench.backend.adapted import Adapted, Inputs, Training, one_or_tuple, selected
from jacbench.backend.backend import Backend, HostBackend
from jacbench.backend.descriptor import Descriptor
from jacbench.backend.graph_cut import GraphCut
from jacbench.backend.method import (
    GUARDS,
    STRUCTURES,
    Chunking,
    Guarding,
    Method,
    MethodInfo,
    Native,
    Prepared,
    Target,
    UnfitError,
)

__all__ = [
    "GUARDS",
    "STRUCTURES",
    "Adapted",
    "Backend",
    "Chunking",
    "Descriptor",
    "GraphCut",
    "Guarding",
    "HostBackend",
    "Inputs",
    "Method",
    "MethodInfo",
    "Native",
    "Prepared",
    "Target",
    "Training",
    "UnfitError",
    "one_or_tuple",
    "selected",
]
