"""What the system tells is read where it is told, and None where it is not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from jacbench.measuring import hardware
from jacbench.measuring.hardware import Ticks

X86 = """processor\t: 0
model name\t: Abacus 3000
cpu MHz\t\t: 2599.998
flags\t\t: fpu sse sse4_2 avx avx2 fma avx512f amx_tile bmi2 hypervisor lm

processor\t: 1
flags\t\t: fpu
"""
ARM = "processor\t: 0\nFeatures\t: fp asimd asimdhp cpuid sve sve2 bf16\n"


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Stand for the files of the kernel's: what is not among them does not exist."""
    told: dict[str, str] = {}
    monkeypatch.setattr(hardware, "read", lambda path: told.get(str(path), ""))
    monkeypatch.setattr(Path, "exists", lambda path: str(path) in told)
    monkeypatch.setattr(hardware, "_nvidia", lambda: False)
    return told


def test_a_system_that_tells_nothing(files: Mapping[str, str]) -> None:
    assert hardware.cpu_model()
    for read in (hardware.cpu_flags, hardware.cpu_mhz, hardware.cpu_max_mhz, hardware.cpu_governor):
        assert read() is None
    for read in (hardware.cpu_quota, hardware.memory_bytes, hardware.gpu_driver, hardware.ticks):
        assert read() is None
    assert hardware.virtual() == []


def test_flags_that_kernels_are_chosen_by(files: dict[str, str]) -> None:
    files["/proc/cpuinfo"] = X86
    assert hardware.cpu_model() == "Abacus 3000"
    assert hardware.cpu_flags() == ["amx_tile", "avx", "avx2", "avx512f", "bmi2", "fma", "sse4_2"]
    assert hardware.cpu_mhz() == 2600
    files["/proc/cpuinfo"] = ARM
    assert hardware.cpu_flags() == ["asimd", "asimdhp", "bf16", "sve", "sve2"]


def test_frequencies_and_governor(files: dict[str, str]) -> None:
    folder = "/sys/devices/system/cpu/cpu0/cpufreq"
    files[f"{folder}/scaling_cur_freq"] = "1800000\n"
    files[f"{folder}/cpuinfo_max_freq"] = "3600000\n"
    files[f"{folder}/scaling_governor"] = "performance\n"
    assert (hardware.cpu_mhz(), hardware.cpu_max_mhz(), hardware.cpu_governor()) == (
        1800,
        3600,
        "performance",
    )
    files[f"{folder}/cpuinfo_max_freq"] = "none"
    assert hardware.cpu_max_mhz() is None


@pytest.mark.parametrize(
    ("told", "cores"),
    [
        ({"/sys/fs/cgroup/cpu.max": "150000 100000\n"}, 1.5),
        ({"/sys/fs/cgroup/cpu.max": "max 100000\n"}, None),
        (
            {"/proc/self/cgroup": "0::/a/b\n", "/sys/fs/cgroup/a/b/cpu.max": "50000 100000"},
            0.5,
        ),
        (
            {
                "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "200000",
                "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
            },
            2.0,
        ),
        (
            {
                "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
                "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
            },
            None,
        ),
        ({"/sys/fs/cgroup/cpu.max": "rubbish"}, None),
        ({"/sys/fs/cgroup/cpu.max": "100 0"}, None),
    ],
)
def test_the_quota_of_a_control_group(
    told: dict[str, str], cores: float | None, files: dict[str, str]
) -> None:
    files.update(told)
    assert hardware.cpu_quota() == cores


@pytest.mark.parametrize(
    ("told", "found"),
    [
        ({"/proc/cpuinfo": X86}, ["virtual machine"]),
        ({"/sys/class/dmi/id/sys_vendor": "QEMU\n"}, ["KVM"]),
        ({"/sys/class/dmi/id/product_name": "node-of-alice 7\n"}, []),
        ({"/.dockerenv": ""}, ["container"]),
        ({"/proc/1/cgroup": "0::/kubepods/burstable/pod-of-alice\n"}, ["container"]),
        ({"/.dockerenv": "", "/proc/cpuinfo": X86}, ["container", "virtual machine"]),
    ],
)
def test_what_stands_between_is_told_in_words_of_a_list(
    told: dict[str, str], found: list[str], files: dict[str, str]
) -> None:
    files.update(told)
    assert hardware.virtual() == found


@pytest.mark.parametrize(
    "text",
    [
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.65.06  Sun Jul 27 2025\nGCC: 12\n",
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build\n",
    ],
)
def test_the_version_of_a_driver(text: str, files: dict[str, str]) -> None:
    files["/proc/driver/nvidia/version"] = text
    assert hardware.gpu_driver() == "580.65.06"


def test_stolen_time_is_a_share_of_all(files: dict[str, str]) -> None:
    files["/proc/stat"] = "cpu  100 0 50 800 10 0 5 35 7 0\ncpu0 1 2\n"
    before = hardware.ticks()
    assert before == Ticks(35, 1000)
    files["/proc/stat"] = "cpu  200 0 50 850 10 0 5 85 7 0\n"
    assert hardware.steal(before, hardware.ticks()) == 0.25
    assert hardware.steal(before, before) is None
    assert hardware.steal(None, before) is None
    assert hardware.steal(Ticks(5, 10), Ticks(4, 20)) == 0.0


@pytest.mark.parametrize("text", ["cpu  1 2 3\n", "intr 5\n", ""])
def test_other_counts_are_not_taken_for_stolen_time(text: str, files: dict[str, str]) -> None:
    files["/proc/stat"] = text
    assert hardware.ticks() is None


def test_nvidia_smi_is_asked_last_and_may_fail(files: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "_nvidia", lambda: True)
    monkeypatch.setattr(hardware.shutil, "which", lambda name: None)
    assert hardware.gpu_driver() is None

    def fails(*words: Any, **options: Any) -> Any:
        raise OSError("no such thing")

    monkeypatch.setattr(hardware.shutil, "which", lambda name: "/bin/nvidia-smi")
    monkeypatch.setattr(hardware.subprocess, "run", fails)
    assert hardware.gpu_driver() is None
