"""What ``compare --json`` prints, field by field; the schema is made from it."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypedDict

from msgspec import Meta

from jacbench.comparing.cell_change import Outcome
from jacbench.core.cell import Verdict
from jacbench.core.json_schema import Amount, Count, Says, Share
from jacbench.results.schema import CellNameJson


class ComparedFileJson(TypedDict):
    """One of the two files."""

    file: Annotated[str, Says("Name of the file.")]
    kind: Annotated[Literal["jacbench", "pytest-benchmark"], Says("Who wrote it.")]
    commit: Annotated[str | None, Says("Of the folder that the run was started in.")]
    taken: Annotated[str | None, Says("When, as the file says.")]
    fingerprint: Annotated[
        dict[str, Any],
        Says(
            "As results.schema.json describes it; of a pytest-benchmark file, what its "
            "machine_info says."
        ),
    ]


class DifferencesJson(TypedDict):
    """Of the two fingerprints, a line each."""

    machine: Annotated[list[str], Says("Another machine: times are trends.")]
    versions: Annotated[list[str], Says("Of libraries and of Python: compared on purpose.")]
    settings: Annotated[list[str], Says("Of threads and precision: times are trends.")]
    other: Annotated[list[str], Says("Worth telling, and no more.")]


class QuantityJson(TypedDict):
    """One figure on both sides."""

    base: Annotated[float | None, Says("Null where base has none.")]
    new: Annotated[float | None, Says("Null where new has none.")]
    ratio: Annotated[Amount | None, Says("New over base.")]
    low: Annotated[
        Amount | None, Says("Lower end of the ratio's 95 % interval; times alone have one.")
    ]
    high: Annotated[Amount | None, Says("Upper end.")]
    limit: Annotated[
        Annotated[float, Meta(gt=1)], Says("The largest ratio that the policy allows.")
    ]
    violated: Annotated[bool, Says("True where it is beyond the limit, and counts.")]
    chance: Annotated[
        Share | None,
        Says(
            "How often two runs of the same would differ so much in time, or more; times alone "
            "have one."
        ),
    ]


class ComparedRowJson(TypedDict):
    """One cell."""

    name: Annotated[str, Says("The cell's key, or the full name of a plain benchmark.")]
    cell: Annotated[CellNameJson | None, Says("The cell; null for a plain benchmark.")]
    outcome: Annotated[Outcome, Says("What became of it; 'neither' where no side has a time.")]
    fails: Annotated[bool, Says("True where it makes the exit status 1.")]
    beyond: Annotated[
        list[Literal["time", "preparation", "memory", "error"]],
        Says("Quantities beyond their limits; all but the time are told and no more."),
    ]
    base_verdict: Annotated[
        Verdict | None, Says("In base; null where it is not there, and for a plain benchmark.")
    ]
    new_verdict: Annotated[Verdict | None, Says("In new, likewise.")]
    time: Annotated[QuantityJson, Says("Median of one call in steady state, seconds.")]
    preparation: Annotated[QuantityJson, Says("Tracing, compiling, placing; seconds.")]
    memory: Annotated[QuantityJson, Says("Of one call; bytes.")]
    error: Annotated[QuantityJson, Says("Normwise; no unit.")]
    edited: Annotated[list[Literal["problem", "method"]], Says("Whose source is another one.")]
    trend: Annotated[str | None, Says("Why its times cannot be compared; null where they can.")]
    ignored: Annotated[bool, Says("True where the policy says so: never a violation.")]
    notes: Annotated[list[str], Says("What to read beside the figures.")]


class ComparisonJson(TypedDict):
    """Two results files, cell by cell.

    It holds neither NaN nor infinities, and no path: a file's name alone.
    """

    schema: Annotated[Literal[1], Says("Version of this description.")]
    ok: Annotated[
        bool,
        Says(
            "False where a cell became wrong, or slower than the policy allows: the exit status "
            "is 1."
        ),
    ]
    base: ComparedFileJson
    new: ComparedFileJson
    differences: Annotated[DifferencesJson, Says("Of the two fingerprints, a line each.")]
    trend: Annotated[str | None, Says("Why no time can be compared; null where they can.")]
    notes: Annotated[list[str], Says("What is worth knowing before reading the rows.")]
    counts: Annotated[
        Annotated[dict[Outcome, Count], Meta(min_length=len(Outcome))],
        Says("How many cells have which outcome."),
    ]
    rows: Annotated[
        list[ComparedRowJson], Says("Every cell of either side, what matters most first.")
    ]
