"""What the system tells of its processor, its memory and its GPUs: each None where it does not.

Words of a fixed list and numbers alone: no name of a host, a user or a machine's owner.
"""

from __future__ import annotations

import math
import platform
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

_FLAGS = re.compile(
    r"sse4_2|avx\w*|fma\d?|f16c|bmi\d|amx\w*|neon|asimd\w*|sve\w*|bf16|i8mm|fphp|vsx|altivec"
)
"""The instructions that numerical libraries choose their kernels by."""

_HYPERVISORS = {
    "kvm": "KVM",
    "qemu": "KVM",
    "vmware": "VMware",
    "virtualbox": "VirtualBox",
    "xen": "Xen",
    "hyper-v": "Hyper-V",
    "virtual machine": "Hyper-V",
    "amazon ec2": "Amazon EC2",
    "google": "Google Compute Engine",
    "openstack": "OpenStack",
    "droplet": "DigitalOcean",
    "firecracker": "Firecracker",
}
"""What the firmware calls a virtual machine, and what is told of it."""

_CPU = Path("/sys/devices/system/cpu/cpu0/cpufreq")
_NO_LIMIT = 2**60


def read(path: str | Path) -> str:
    """Return the text of a file of the kernel's, empty where there is none to read."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def cpu_model() -> str:
    """Return the processor's name."""
    match = re.search(r"^model name\s*:\s*(.+)$", read("/proc/cpuinfo"), re.MULTILINE)
    return match[1].strip() if match else platform.processor() or "unknown"


def cpu_flags() -> list[str] | None:
    """Return the vector and matrix instructions that the processor has, sorted."""
    match = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", read("/proc/cpuinfo"), re.MULTILINE)
    if match is None:
        return None
    return sorted(flag for flag in set(match[1].split()) if _FLAGS.fullmatch(flag))


def cpu_mhz() -> float | None:
    """Return the present frequency of the first core."""
    if khz := _number(read(_CPU / "scaling_cur_freq")):
        return round(khz / 1000)
    match = re.search(r"^cpu MHz\s*:\s*([\d.]+)", read("/proc/cpuinfo"), re.MULTILINE)
    return round(float(match[1])) if match else None


def cpu_max_mhz() -> float | None:
    """Return the highest frequency that the first core may have."""
    khz = _number(read(_CPU / "cpuinfo_max_freq"))
    return round(khz / 1000) if khz else None


def cpu_governor() -> str | None:
    """Return what decides on the frequency: ``performance``, ``powersave``, ..."""
    word = read(_CPU / "scaling_governor").strip()
    return word if re.fullmatch(r"\w{1,20}", word) else None


def cpu_quota() -> float | None:
    """Return the cores' worth of time that the control group allows; None where it sets no limit.

    In a container its own group is mounted at the root; the group of a service is looked for too.
    """
    group = re.search(r"^0::(/\S*)$", read("/proc/self/cgroup"), re.MULTILINE)
    own = group[1].strip("/") if group else ""
    root = Path("/sys/fs/cgroup")
    limits = [_quota(read(root / folder / "cpu.max").split()) for folder in {"", own}]
    for folder in ("cpu", "cpu,cpuacct"):
        words = [read(root / folder / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period")]
        limits.append(_quota(words))
    return min((limit for limit in limits if limit is not None), default=None)


def _quota(words: list[str]) -> float | None:
    if len(words) != 2:
        return None
    quota, period = _number(words[0]), _number(words[1])
    if quota is None or not period or quota <= 0 or quota > _NO_LIMIT:
        return None
    return round(quota / period, 2)


def memory_bytes() -> int | None:
    """Return the machine's memory."""
    match = re.search(r"^MemTotal:\s+(\d+) kB", read("/proc/meminfo"), re.MULTILINE)
    return int(match[1]) * 1024 if match else None


def virtual() -> list[str]:
    """Return what stands between the process and the processor.

    ``container``, ``virtual machine``, or the name of a known kind of virtual machine.
    """
    found = []
    if _in_container():
        found.append("container")
    firmware = " ".join(
        read(f"/sys/class/dmi/id/{name}").strip().lower() for name in ("sys_vendor", "product_name")
    )
    known = [told for word, told in _HYPERVISORS.items() if word in firmware]
    flagged = re.search(r"^flags\s*:.*\bhypervisor\b", read("/proc/cpuinfo"), re.MULTILINE)
    if known or flagged:
        found.append(known[0] if known else "virtual machine")
    return found


def _in_container() -> bool:
    if Path("/.dockerenv").exists() or Path("/run/.containerenv").exists():
        return True
    groups = read("/proc/1/cgroup")
    return bool(re.search(r"docker|kubepods|containerd|libpod|lxc", groups))


def gpus() -> list[str]:
    """Return the name of each NVIDIA GPU."""
    found = []
    for path in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        match = re.search(r"^Model:\s*(.+)$", read(path), re.MULTILINE)
        found.append(match[1].strip() if match else "NVIDIA GPU")
    if found or not _nvidia():
        return found
    return _smi("name")


def gpu_driver() -> str | None:
    """Return the version of NVIDIA's driver."""
    match = re.search(r"Kernel Module.*?\s(\d+(?:\.\d+)+)\s", read("/proc/driver/nvidia/version"))
    if match:
        return match[1]
    told = _smi("driver_version") if _nvidia() else []
    return told[0] if told else None


def _nvidia() -> bool:
    """Say whether asking nvidia-smi, which takes a second, can be worth it."""
    return any(Path("/dev").glob("nvidia[0-9]*")) or Path("/dev/dxg").exists()


def _smi(what: str) -> list[str]:
    if shutil.which("nvidia-smi") is None:
        return []
    try:
        told = subprocess.run(
            ["nvidia-smi", f"--query-gpu={what}", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in told.splitlines() if line.strip()]


class Ticks(NamedTuple):
    """What all processors together have spent since the system started, in clock ticks."""

    stolen: int
    total: int


def ticks() -> Ticks | None:
    """Return the time that other guests of the hypervisor took, and all of it."""
    match = re.match(r"cpu\s+([\d ]+)", read("/proc/stat"))
    # user nice system idle iowait irq softirq steal; guest time is in user's, see proc(5)
    counts = [int(word) for word in match[1].split()[:8]] if match else []
    return Ticks(counts[7], sum(counts)) if len(counts) == 8 else None


def steal(before: Ticks | None, after: Ticks | None) -> float | None:
    """Return the share of the processors' time that was stolen in between; None: not known."""
    if before is None or after is None or after.total <= before.total:
        return None
    share = (after.stolen - before.stolen) / (after.total - before.total)
    return round(min(max(share, 0.0), 1.0), 4)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
