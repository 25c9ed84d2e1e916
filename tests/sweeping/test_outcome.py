"""What was found is recorded as its schema says, beside an ordinary results file."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from jacbench import read
from jacbench.core.cell import Verdict
from jacbench.results import writer
from jacbench.sweeping.document import document
from jacbench.sweeping.outcome import Sweep, outcome
from jacbench.sweeping.sizes import plan
from tests.gating.test_gate import described
from tests.results.test_run import schema_errors as results_errors
from tests.runs import strict
from tests.samples import FINGERPRINT
from tests.sweeping.simulated import law, run_over, swept

LAWS = {
    "numpy.analytic": law(1e-7, 1.0),
    "jax.a": law(1e-6, 1.0),
    "jax.b": law(1e-5, 0.5),
    "torch.a": law(1e-5, 2.0, until=1000),
    "torch.b": lambda _: Verdict.UNSUPPORTED,
}


def schema() -> Any:
    file = resources.files("jacbench.sweeping").joinpath("sweep.schema.json")
    return strict(file.read_text(encoding="utf-8"))


def schema_errors(found: Any) -> list[str]:
    """Return what is wrong with a ``sweep`` object, once it has been JSON."""
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema checks the schema")
    validator = jsonschema.Draft202012Validator(schema())
    validator.check_schema(schema())
    again = strict(json.dumps(found, allow_nan=False))
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(again)]


@pytest.fixture(scope="module")
def mixed() -> Sweep:
    return swept(LAWS, noise=0.02)


def test_the_schema_says_what_everything_is() -> None:
    assert list(described(schema())) == []


def test_what_is_found_is_as_the_schema_says(mixed: Sweep) -> None:
    found = mixed.to_json()
    assert schema_errors(found["sweep"]) == []
    assert results_errors(found["jacbench"]) == []
    (panel,) = found["sweep"]["panels"]
    methods = {row["method"]: row for row in panel["methods"]}
    assert list(methods) == list(LAWS)
    assert methods["jax.a"]["time"]["exponent"] == pytest.approx(1, abs=0.1)
    assert methods["jax.a"]["memory"]["exponent"] == pytest.approx(2, abs=1e-6)
    assert methods["torch.a"]["time"]["last"] == 512
    assert methods["torch.b"]["time"] is None
    everyone, of_jax = panel["fastest"]
    assert (everyone["among"], of_jax["among"]) == (None, "jax")
    (crossing,) = everyone["crossovers"]
    assert crossing["low"] <= crossing["at"] <= crossing["high"]
    assert crossing["at"] == pytest.approx(100, rel=0.1)
    assert found["sweep"]["points"][0] == {
        "problem": "shape/square[n=16]",
        "x": 16.0,
        "sizes": {"n": 16},
        "m": 4,
        "n": 5,
    }


def test_an_open_end_is_null() -> None:
    # Told apart at the two largest sizes alone.
    def later(x: float) -> float:
        return 1e-6 if x < 2000 else 4e-6

    def sooner(x: float) -> float:
        return 1.0000001e-6 if x < 2000 else 1e-6

    found = swept({"jax.a": later, "jax.b": sooner, "torch.a": law(1.0, 0.0)}, noise=0.3)
    assert schema_errors(found.found()) == []


def test_a_ratio_is_told() -> None:
    sizes = plan("shape/square", {"m": "16:256", "n": "256:16"})
    found = outcome(run_over(sizes, {"jax.a": law(1e-6, 1.0)}), sizes).found()
    assert found["axis"] == "m / n"
    assert [point["x"] for point in found["points"]] == [1 / 16, 1 / 4, 1, 4, 16]


@pytest.mark.parametrize(
    ("verdict", "ok"),
    [
        (Verdict.TIMED_OUT, True),
        (Verdict.TOO_LARGE, True),
        (Verdict.UNSUPPORTED, True),
        (Verdict.NOT_RUN, True),
        (Verdict.DISAGREES, False),
        (Verdict.FAILED, False),
        (Verdict.CRASHED, False),
    ],
)
def test_what_is_a_failure(verdict: Verdict, ok: bool) -> None:
    laws = {"jax.a": lambda x: verdict if x > 100 else 1e-6 * x}
    assert swept(laws).ok is ok


def test_the_results_file_is_an_ordinary_one(mixed: Sweep, tmp_path: Path) -> None:
    path = writer.write(tmp_path / "swept.json", document(mixed))
    again = read(path)
    assert [result.cell for result in again.cells] == [r.cell for r in mixed.run.cells]
    assert again.fingerprint["machine"] == FINGERPRINT["machine"]
    whole = strict(path.read_text(encoding="ascii"))
    assert results_errors(whole["jacbench"]) == []
    assert schema_errors(whole["sweep"]) == []
    # What --json prints reads as well.
    printed = tmp_path / "printed.json"
    printed.write_text(json.dumps(mixed.to_json()), encoding="utf-8")
    assert [result.median_s for result in read(printed).cells] == [
        result.median_s for result in mixed.run.cells
    ]
