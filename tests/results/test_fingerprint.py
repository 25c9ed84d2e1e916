"""What a machine is told by, and what makes two of them different."""

from __future__ import annotations

import copy
import getpass
import json
import platform
from typing import Any

import numpy as np
import pytest

from jacbench.results import fingerprint
from jacbench.results.fingerprint import Differences
from tests import samples

FULL: dict[str, Any] = {
    "machine": {
        **samples.FINGERPRINT["machine"],
        "cpu_flags": ["avx", "avx2", "fma"],
        "cpu_max_mhz": 3000.0,
        "cpu_governor": "performance",
        "cpu_quota": None,
        "virtual": [],
        "blas": "scipy-openblas 0.3.30",
        "gpus": ["Abacus X1"],
        "gpu_driver": "580.1",
    },
    "versions": {"jacbench": "0.1", "numpy": "2.4.0", "pytest": "9.0", "torch": "2.12"},
    "settings": {"torch": {"torch_num_threads": 1, "measured_cores": 1.0}},
    "load": [0.5, 0.25, 0.1],
    "load_before": [0.5, 0.25, 0.1],
    "steal": 0.0,
}


def changed(part: str, name: str, value: Any) -> dict[str, Any]:
    new = copy.deepcopy(FULL)
    new[part][name] = value
    return new


def test_this_machine_can_be_written_and_is_itself() -> None:
    told = {"machine": fingerprint.machine(), "versions": fingerprint.versions()}
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert fingerprint.differences(told, told) == Differences()
    assert told["machine"]["blas"].split()[0] in str(np.show_config(mode="dicts"))


def test_nobody_is_named() -> None:
    told = json.dumps(fingerprint.machine()).lower()
    for personal in (platform.node(), getpass.getuser()):
        if len(personal) > 4:
            assert personal.lower() not in told


def test_the_same_is_no_difference() -> None:
    assert fingerprint.differences(FULL, copy.deepcopy(FULL)) == Differences()
    assert fingerprint.same(FULL, FULL) == fingerprint.notable(FULL, FULL) == []


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("cpu", "Abacus 4000", "cpu: Abacus 3000 → Abacus 4000"),
        ("cpu_flags", ["avx", "avx512f", "fma"], "cpu_flags: -avx2 +avx512f"),
        ("cores", 8, "cores: 4 → 8"),
        ("cpu_quota", 1.5, "cpu_quota: none → 1.5"),
        ("cpu_governor", "powersave", "cpu_governor: performance → powersave"),
        ("memory_bytes", 2**34, f"memory_bytes: {2**33} → {2**34}"),
        ("virtual", ["container"], "virtual: none → container"),
        ("gpus", [], "gpus: Abacus X1 → none"),
        ("gpu_driver", "590.2", "gpu_driver: 580.1 → 590.2"),
    ],
)
def test_another_machine(name: str, value: Any, line: str) -> None:
    new = changed("machine", name, value)
    assert fingerprint.differences(FULL, new) == Differences(machine=(line,))
    assert fingerprint.same(FULL, new) == [line]


@pytest.mark.parametrize(
    ("name", "value"),
    [("memory_bytes", 2**33 - 2**26), ("cpu_max_mhz", 3001.0), ("cpu_governor", None)],
)
def test_the_same_machine_measured_again(name: str, value: Any) -> None:
    assert fingerprint.differences(FULL, changed("machine", name, value)) == Differences()


@pytest.mark.parametrize(
    ("part", "name", "value", "line"),
    [
        ("versions", "torch", "2.13", "torch: 2.12 → 2.13"),
        ("versions", "numpy", "2.4.1", "numpy: 2.4.0 → 2.4.1"),
        ("machine", "python", "3.13.0", "python: 3.12.1 → 3.13.0"),
        ("machine", "blas", "mkl 2025", "blas: scipy-openblas 0.3.30 → mkl 2025"),
    ],
)
def test_other_versions(part: str, name: str, value: str, line: str) -> None:
    assert fingerprint.differences(FULL, changed(part, name, value)) == Differences(
        versions=(line,)
    )


def test_other_settings_are_told_with_their_backend() -> None:
    new = changed("settings", "torch", {"torch_num_threads": 2, "measured_cores": 1.9})
    assert fingerprint.differences(FULL, new).settings == (
        "torch measured_cores: 1 → 1.9",
        "torch_num_threads: 1 → 2",
    )
    measured = changed("settings", "torch", {"torch_num_threads": 1, "measured_cores": 0.98})
    assert fingerprint.differences(FULL, measured) == Differences()


def test_settings_of_a_run_in_two_parts_are_found() -> None:
    base, new = (
        {"settings": {"workers": {"torch": {"torch_num_threads": n}}, "in_process": {}}}
        for n in (1, 2)
    )
    assert fingerprint.same(base, new) == ["torch_num_threads: 1 → 2"]


def test_what_makes_no_other_machine_is_told_apart() -> None:
    new = copy.deepcopy(FULL)
    new["machine"]["release"] = "6.2"
    new["versions"] |= {"jacbench": "0.2", "pytest": "9.1"}
    new |= {"load_before": [2.5, 1.0, 1.0], "steal": 0.04}
    assert fingerprint.same(FULL, new) == []
    assert fingerprint.notable(FULL, new) == [
        "release: 6.1 → 6.2",
        "jacbench: 0.1 → 0.2",
        "pytest: 9.0 → 9.1",
        "load before the run: 0.5 → 2.5",
        "time stolen by the hypervisor: 0.0% → 4.0%",
    ]


def test_a_file_of_an_older_schema_differs_in_nothing_that_it_lacks() -> None:
    machine = {k: v for k, v in FULL["machine"].items() if k in samples.FINGERPRINT["machine"]}
    old = {**samples.FINGERPRINT, "machine": machine, "settings": {}}
    assert fingerprint.differences(old, FULL) == Differences()
    assert fingerprint.differences(FULL, old) == Differences()


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"machine": None, "versions": [], "settings": "no", "load_before": {}},
        {"machine": {"cpu": {"a": 1}, "cpu_flags": [[1], None], "memory_bytes": True}},
        {"versions": {"torch": ["2"] * 1000}, "settings": {"a": {"b": {"c": {"d": {"e": 1}}}}}},
        {"load_before": [None], "steal": "much"},
        {"load_before": ["x"], "machine": {"gpus": "x\ny" * 500}},
    ],
)
def test_anything_may_stand_in_a_file(odd: dict[str, Any]) -> None:
    for found in (fingerprint.differences(odd, FULL), fingerprint.differences(FULL, odd)):
        lines = [*found.machine, *found.versions, *found.settings, *found.other]
        assert all("\n" not in line and len(line) < 400 for line in lines)
