"""Methods that give the right numbers and do something else besides, between two that do not."""

from __future__ import annotations

from jacbench.backend import Descriptor, MethodInfo

NAMES = (
    *("first", "changes-folder", "ignores-numpy-errors", "sets-environment", "reseeds-random"),
    *("leaks", "lies-elsewhere", "varies", "varies-in-last-bits", "memory-error"),
    *("grows", "loops-forever", "changes-folder-late", "last"),
)

descriptor = Descriptor(
    name="meddling",
    module="numpy",
    distribution="jacbench-tiny",
    install="pip install jacbench-tiny",
    loader="jacbench_meddling.backend:MeddlingBackend",
    methods=tuple(MethodInfo(f"meddling.{name}", name.replace("-", " ")) for name in NAMES),
)
