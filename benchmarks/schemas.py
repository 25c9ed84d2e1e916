"""Write the JSON schemas anew from their definitions: ``python -m benchmarks.schemas``."""

from __future__ import annotations

from pathlib import Path

import jacbench
from jacbench.comparing.schema import ComparisonJson
from jacbench.core.json_schema import text
from jacbench.gating.schema import GateJson, SelfTestJson
from jacbench.picking.schema import AnswerJson
from jacbench.reporting.schema import ListJson
from jacbench.results.schema import RunJson
from jacbench.sweeping.schema import SweepJson

PACKAGE = Path(jacbench.__file__).parent
SCHEMAS = {
    "results/results": (RunJson, "The jacbench object, version 3"),
    "comparing/compare": (ComparisonJson, "What jacbench compare --json prints, version 1"),
    "picking/pick": (AnswerJson, "The answer of jacbench pick, version 1"),
    "sweeping/sweep": (SweepJson, "The sweep object, version 1"),
    "gating/gate": (GateJson, "What jacbench gate --json prints, version 1"),
    "gating/selftest": (SelfTestJson, "What jacbench gate --self-test --json prints, version 1"),
    "reporting/list": (ListJson, "What jacbench list --json prints, version 2"),
}
"""By file, the definition of what it describes and its title."""


def files() -> dict[Path, str]:
    """Return what stands in each schema file of the package."""
    return {
        PACKAGE / f"{name}.schema.json": text(kind, title)
        for name, (kind, title) in SCHEMAS.items()
    }


if __name__ == "__main__":
    for file, content in files().items():
        file.write_text(content, encoding="utf-8")
