"""How many NVIDIA GPUs a process may see, found without importing a library."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from pathlib import Path


def visible_devices() -> int:
    """Return the number of NVIDIA GPUs present, less what CUDA_VISIBLE_DEVICES hides."""
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    present = _present()
    if allowed is None:
        return present
    # A list ends at the first entry that names no device, such as -1.
    named = 0
    for part in allowed.split(","):
        if part.strip() in ("", "-1"):
            break
        named += 1
    return min(present, named)


@functools.cache
def _present() -> int:
    """Ask the driver: by its files, which is free, or else by nvidia-smi."""
    for folder, pattern in (("/proc/driver/nvidia/gpus", "*"), ("/dev", "nvidia[0-9]*")):
        if found := len(list(Path(folder).glob(pattern))):
            return found
    if shutil.which("nvidia-smi") is None:
        return 0
    try:
        listed = subprocess.run(
            ["nvidia-smi", "-L"], capture_output=True, text=True, check=True, timeout=10
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return 0
    return sum(line.startswith("GPU ") for line in listed.splitlines())
