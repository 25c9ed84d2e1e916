"""Methods that hang, die and lie, each in its own way, between two that are right."""

from __future__ import annotations

from jacbench.backend import Descriptor, MethodInfo

NAMES = (
    *("first", "sleeps", "holds-gil", "exits", "sigkill", "segfaults", "prepare-raises"),
    *("raises-late", "prints", "tells-paths", "odd-notes", "last"),
)

descriptor = Descriptor(
    name="faulty",
    module="numpy",
    distribution="jacbench-tiny",
    install="pip install jacbench-tiny",
    loader="jacbench_faulty.backend:FaultyBackend",
    methods=tuple(MethodInfo(f"faulty.{name}", name.replace("-", " ")) for name in NAMES),
)
