"""How XLA compiles in a test process: quickly, for code that runs once or twice."""

from __future__ import annotations

import importlib.util
import os

QUICK = (
    *("--xla_backend_optimization_level=0", "--xla_llvm_disable_expensive_passes=true"),
    # one LLVM module a program, in place of one a kernel
    *("--xla_cpu_use_fusion_emitters=false", "--xla_cpu_parallel_codegen_split_count=1"),
)
"""A third of the time for a Jacobian, half of it for an operation by itself."""


def make_quick() -> None:
    """Set XLA's flags in this process alone; those that somebody set stay."""
    if "XLA_FLAGS" in os.environ or importlib.util.find_spec("jaxlib") is None:
        return
    from jaxlib import xla_client

    os.environ["XLA_FLAGS"] = " ".join(QUICK)
    # they are read once, when they are first needed
    _ = xla_client.CompileOptions().executable_build_options.debug_options
    del os.environ["XLA_FLAGS"]
