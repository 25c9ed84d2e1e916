"""The variables that pin threads and precision, set before any library is imported."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG = 1  # <sys/prctl.h>

IMPORT_SENSITIVE = ("numpy", "torch", "jax")
"""Libraries that read the variables once, when they are imported."""

PIN_MARGIN = 0.15
"""A product on the threads asked for uses as many cores, and no more than this beyond them."""


def pins(threads: int) -> dict[str, str]:
    """Return the environment variables that hold every library to ``threads`` threads.

    ``NPROC`` and ``PJRT_NPROC`` size XLA's pool on the CPU. Its own flags,
    ``--xla_cpu_multi_thread_eigen=false`` and ``intra_op_parallelism_threads``, pin nothing: with
    them JAX 0.10 used 1.97 cores for a matrix product.
    """
    count = str(threads)
    return {
        "OPENBLAS_NUM_THREADS": count,
        "OMP_NUM_THREADS": count,
        "MKL_NUM_THREADS": count,
        "VECLIB_MAXIMUM_THREADS": count,
        "NPROC": count,
        "PJRT_NPROC": count,
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }


def of_worker(threads: int, scratch: Path) -> dict[str, str]:
    """Return the whole environment of a worker with ``threads`` threads.

    ``scratch`` is shared by workers that may use what one of them compiled.
    """
    env = without_pytest(os.environ)
    env.update(pins(threads))
    env["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    env["TORCHINDUCTOR_CACHE_DIR"] = str(scratch / "inductor")
    return env


def without_pytest(given: Mapping[str, str], first: Sequence[Path] = ()) -> dict[str, str]:
    """Return ``given`` without what steers pytest, its import path absolute, ``first`` before it.

    A relative entry of the import path would mean another folder in a worker.
    """
    env = {key: value for key, value in given.items() if not key.startswith("PYTEST_")}
    inherited = filter(None, env.get("PYTHONPATH", "").split(os.pathsep))
    if path := [*map(str, first), *(str(Path(entry).absolute()) for entry in inherited)]:
        env["PYTHONPATH"] = os.pathsep.join(path)
    return env


def pin(threads: int) -> list[str]:
    """Set the variables in this process; return the libraries that were imported too early."""
    os.environ.update(pins(threads))
    return [name for name in IMPORT_SENSITIVE if name in sys.modules]


def die_with_parent() -> None:
    """Let Linux kill this process when its parent dies, so that no worker is left behind."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "prctl"):
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def measured_cores(backend: Any, seconds: float = 0.2) -> float:
    """Return the CPU time used per second of wall time by a large matrix product.

    One thread gives 1.0, whatever the variables say: this is the check that the pins hold.
    """
    import numpy as np  # noqa: PLC0415 - the variables are set before NumPy is imported

    matrix = backend.put(np.ones((1000, 1000)), "cpu", "float64")
    product = backend.xp.matmul
    backend.synchronise(product(matrix, matrix))
    wall, cpu = time.perf_counter(), time.process_time()
    while time.perf_counter() - wall < seconds:
        backend.synchronise(product(matrix, matrix))
    return (time.process_time() - cpu) / (time.perf_counter() - wall)
