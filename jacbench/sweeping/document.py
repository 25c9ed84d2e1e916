"""A sweep in the results file of its run."""

from __future__ import annotations

from jacbench.results import run as results
from jacbench.results.run import Run
from jacbench.running.settings import Settings
from jacbench.sweeping.outcome import Sweep


def document(found: Sweep) -> dict[str, object]:
    """Return the content of the results file: that of the run, and the ``sweep`` object."""
    return {**results.document(found.run, _options(found.run)), "sweep": found.found()}


def _options(run: Run) -> dict[str, object]:
    return Settings.from_json(run.options).benchmark_options()
