"""XLA's flags are those of the test process alone."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

READ = (
    "from jaxlib import xla_client; "
    "options = xla_client.CompileOptions().executable_build_options.debug_options; "
    "print(options.xla_backend_optimization_level)"
)


def test_a_process_started_here_compiles_as_a_users_does() -> None:
    xla_client = pytest.importorskip("jaxlib.xla_client")
    options = xla_client.CompileOptions().executable_build_options.debug_options
    assert options.xla_backend_optimization_level == 0
    assert "XLA_FLAGS" not in os.environ
    done = subprocess.run([sys.executable, "-c", READ], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 0
