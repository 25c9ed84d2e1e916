"""A backend of another distribution: the complex step over plain NumPy, once right, once wrong."""

from __future__ import annotations

from jacbench.backend import Descriptor, MethodInfo

descriptor = Descriptor(
    name="tiny",
    module="numpy",
    distribution="jacbench-tiny",
    install="pip install jacbench-tiny",
    loader="jacbench_tiny.backend:TinyBackend",
    methods=(
        MethodInfo("tiny.right", "the complex step"),
        MethodInfo("tiny.wrong", "the complex step, one part in a million too large"),
        MethodInfo("tiny.slow-prepare", "the complex step, after 0.3 s of preparation"),
    ),
)
