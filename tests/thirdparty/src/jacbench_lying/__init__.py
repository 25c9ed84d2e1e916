"""Methods that are right when they are checked, and something else when they are timed."""

from __future__ import annotations

from jacbench.backend import Descriptor, MethodInfo

descriptor = Descriptor(
    name="lying",
    module="numpy",
    distribution="jacbench-tiny",
    install="pip install jacbench-tiny",
    loader="jacbench_lying.backend:LyingBackend",
    methods=(
        MethodInfo("lying.later", "the complex step, wrong from the 10th call"),
        MethodInfo("lying.keeps", "the complex step, once for each x"),
        MethodInfo("lying.right", "the complex step"),
    ),
)
