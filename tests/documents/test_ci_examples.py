"""The workflows to copy say what the command line takes, and the file beside them works."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

import jacbench
from jacbench.gating.settings import LIMITS
from jacbench.problems import from_file
from jacbench.results import policy
from tests.runs import jacbench as command

CI = Path(__file__).resolve().parents[2] / "examples" / "ci"
WORKFLOWS = sorted(CI.glob("*.yml"))


def options(name: str, tmp_path: Path) -> set[str]:
    """Return the options of a command."""
    return set(re.findall(r"--[a-z][a-z-]+", command(name, "--help", cwd=tmp_path).stdout))


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_options_are_those_of_the_command(workflow: Path, tmp_path: Path) -> None:
    text = re.sub(r"\$\{\{.*?\}\}", "REF", workflow.read_text(encoding="utf-8"))
    calls = re.findall(r"jacbench (gate|compare)((?:.|\n +(?!- ))+)", text)
    assert calls
    for name, rest in calls:
        used = {word for word in shlex.split(rest) if word.startswith("--")}
        assert used <= options(name, tmp_path)


def test_the_guarded_problems_agree() -> None:
    found = from_file.problems(f"{CI / 'jacobians.py'}:problems")
    run = jacbench.check(*found, methods=["numpy.c*"], operators=["jacobian"])
    assert [str(result.verdict) for result in run.cells] == ["agrees"] * 4


def test_the_policy_is_one() -> None:
    rules = policy.read(CI / "jacobians.toml", LIMITS)
    (small, large) = (
        jacbench.Cell(name, "jacobian", "torch.compile-jacrev", "torch", "cpu", "float64", 1)
        for name in ("chain/10", "chain/100")
    )
    assert rules.limits(small).ignore
    assert rules.limits(large).preparation == 1.5
    assert rules.limits(large).time == 1.05
