"""Head's results as a results file, with what the gate says of each cell."""

from __future__ import annotations

import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

from jacbench.core import redaction
from jacbench.core.cell import CellResult, Verdict
from jacbench.gating.gate import GateRun
from jacbench.gating.outcome import Judged
from jacbench.results import run as results
from jacbench.results import writer
from jacbench.results.run import Run


def write(run: GateRun, folder: Path) -> Path:
    """Write head's results into ``folder`` and return the file: pytest-benchmark reads it too.

    Its ``jacbench`` object holds, as ``gate``, what ``--json`` prints, without paths.
    """
    writer.check_folder(folder)
    return writer.write(writer.new_path(folder), document(run))


def document(run: GateRun) -> dict[str, Any]:
    """Return the content of the file."""
    found = [_result(one) for one in run.judged if one.head is not None]
    described = run.about.get("head", {}).get("fingerprint") or results.describe({})
    samples = {
        one.cell: [list(one.head_samples)]
        for one in run.judged
        if one.head is not None and one.head_samples and one.head.verdict is Verdict.AGREES
    }
    whole = results.document(Run(found, described, dict(run.absent), samples), {})
    told = run.to_json()
    for name, side in run.sides.items():
        told[name]["label"] = redaction.text(side.label)  # may be an interpreter's path
    whole["jacbench"]["gate"] = told
    return whole


def _result(one: Judged) -> CellResult:
    assert one.head is not None  # noqa: S101 - the caller has looked
    if one.head_s is None or one.head.verdict is not Verdict.AGREES:
        return one.head
    return replace(
        one.head,
        median_s=statistics.median(one.head_samples),
        rounds=len(one.head_samples),
        iterations=1,
        peak_bytes=one.head_peak,
        cautions=one.cautions,
    )
