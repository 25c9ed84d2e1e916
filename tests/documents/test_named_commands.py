"""The commands that the pages and the Makefile name are there and take those words."""

from __future__ import annotations

import functools
import importlib.util
import re
import shlex
import sys
import tomllib
from pathlib import Path

import pytest
import typer

from jacbench import problems
from jacbench.cli import app
from tests.runs import environment, run

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "results").glob("*.md"))]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = re.findall(r"^(\w+):(?!=)", MAKEFILE, re.MULTILINE)


def recipe_lines() -> list[str]:
    """Return what the Makefile runs, by names instead of paths."""
    lines = [line.strip("\t@") for line in MAKEFILE.splitlines() if line.startswith("\t")]
    return [line.replace("$(BIN)/", "") for line in lines]


def named(start: str) -> list[str]:
    """Return every command that begins with the word ``start`` and goes on, each once."""
    spans = [
        span
        for page in PAGES
        for line in page.read_text(encoding="utf-8").splitlines()
        for span in re.findall(r"`([^`]+)`", line)
    ]
    return sorted({text for text in [*spans, *recipe_lines()] if text.startswith(f"{start} ")})


@functools.cache
def help_of(script: str) -> str:
    done = run([sys.executable, script, "--help"], ROOT, env=environment())
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_commands_are_found() -> None:
    assert "make bench" in named("make")
    assert "jacbench check --json results/verdicts.json" in named("jacbench")
    for script in ("structure", "habits", "time_to_answer", "regret"):
        of_page, of_make = (
            [text for text in commands if f"benchmarks/{script}.py" in text]
            for commands in (named("python"), recipe_lines())
        )
        assert of_page
        assert of_make


@pytest.mark.parametrize("text", named("make"))
def test_make_has_the_target(text: str) -> None:
    assert text.split()[1] in TARGETS


def test_every_target_that_is_no_file_has_a_rule() -> None:
    (declared,) = re.findall(r"^\.PHONY: (.*)", MAKEFILE, re.MULTILINE)
    assert set(declared.split()) == set(TARGETS)


@pytest.mark.parametrize("text", named("jacbench"))
def test_jacbench_parses_it(text: str) -> None:
    group = typer.main.get_command(app)
    name, command, words = group.resolve_command(
        group.make_context("jacbench", ["list"]), shlex.split(text)[1:]
    )
    if not words:  # what only names the command
        return
    parsed = command.make_context(name, words).params
    for pattern in parsed.get("patterns") or ():
        assert problems.matching([pattern])


@pytest.mark.parametrize("text", [text for text in named("python") if " -m " not in text])
def test_a_script_takes_the_options(text: str) -> None:
    _, script, *words = shlex.split(text)
    options = [word.partition("=")[0] for word in words if word.startswith("-")]
    assert (ROOT / script).is_file()
    if not words:  # it may take none, and would do its work, whatever it is given
        return
    assert set(options) <= set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", help_of(script)))


@pytest.mark.parametrize(
    # pip is Python's own, and looking for it upsets setuptools
    "text",
    [text for text in named("python") if " -m " in text and " -m pip " not in text],
)
def test_a_module_is_there(text: str) -> None:
    module = shlex.split(text)[2]
    assert importlib.util.find_spec(module) is not None


def test_pip_is_asked_for_extras_that_exist() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [text for text in [*named("pip"), *named("python")] if "install" in text]
    extras = [
        extra
        for text in asked
        for found in re.findall(r"\[(.+?)\]", text)
        for extra in found.split(",")
    ]
    assert extras
    assert set(extras) <= set(project["optional-dependencies"])
