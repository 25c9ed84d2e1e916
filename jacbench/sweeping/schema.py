"""What a sweep adds to a results file, field by field; the schema is made from it."""

from __future__ import annotations

from typing import Annotated, Literal, TypedDict

from msgspec import Meta

from jacbench.core.json_schema import AboveZero, Positive, Says


class PointJson(TypedDict):
    """One size."""

    problem: Annotated[str, Says("The problem's name in the run, with the sizes in brackets.")]
    x: Annotated[AboveZero, Says("Where it lies on the axis.")]
    sizes: Annotated[dict[str, Positive], Says("The parameters that were given.")]
    m: Annotated[int | None, Says("Rows of the Jacobian; null where no cell came to know.")]
    n: Annotated[int | None, Says("Columns of the Jacobian; null where no cell came to know.")]


class FitJson(TypedDict):
    """A power law over the larger half of the sizes; null with fewer than three."""

    exponent: Annotated[float, Says("By least squares of the logarithms.")]
    low: Annotated[float, Says("Lower end of its interval.")]
    high: Annotated[float, Says("Upper end of its interval.")]
    first: Annotated[float, Says("The smallest x fitted.")]
    last: Annotated[float, Says("The largest x fitted.")]
    sizes: Annotated[Annotated[int, Meta(ge=3)], Says("How many were fitted.")]


class SweptMethodJson(TypedDict):
    """How one method grows."""

    method: Annotated[str, Says("Its name.")]
    backend: Annotated[str, Says("Of its library.")]
    time: Annotated[FitJson | None, Says("How the median time of one call grows.")]
    memory: Annotated[FitJson | None, Says("How the peak memory of one call grows.")]


class ReignJson(TypedDict):
    """A range in which one method is fastest."""

    method: Annotated[str, Says("That nothing is told to be faster than.")]
    first: Annotated[float, Says("The smallest x of which this holds.")]
    last: Annotated[float, Says("The largest x of which this holds.")]


class CrossoverJson(TypedDict):
    """Where one method overtakes another."""

    below: Annotated[str, Says("The method that wins below.")]
    above: Annotated[str, Says("The method that wins above.")]
    at: Annotated[
        float | None,
        Says("The x where they take the same time; null where their times do not cross."),
    ]
    low: Annotated[
        float | None,
        Says("Lower end of its interval; null where the smallest sizes do not tell the two apart."),
    ]
    high: Annotated[
        float | None,
        Says("Upper end of its interval; null where the largest sizes do not tell the two apart."),
    ]


class RaceJson(TypedDict):
    """Who is fastest where."""

    among: Annotated[str | None, Says("The backend whose methods took part; null for all.")]
    reigns: Annotated[
        Annotated[list[ReignJson], Meta(min_length=1)],
        Says("The fewest methods that are, one after the other, as fast as the fastest."),
    ]
    crossovers: Annotated[list[CrossoverJson], Says("Between each reign and the next.")]


class PanelJson(TypedDict):
    """What may be compared."""

    operator: Annotated[str, Says("What is computed.")]
    device: Annotated[str, Says("Where.")]
    dtype: Annotated[str, Says("float64 or float32.")]
    threads: Annotated[Positive, Says("Threads that every library may use.")]
    methods: Annotated[list[SweptMethodJson], Says("Every method, also one without any time.")]
    fastest: Annotated[
        list[RaceJson],
        Says(
            "Who is fastest where: of all methods, then within each backend; references take no "
            "part."
        ),
    ]


class SweepJson(TypedDict):
    """What jacbench sweep found, beside the jacbench object of its run.

    It stands in a results file and with --json; the cells, times and verdicts are in the run. It
    holds neither NaN nor infinities.
    """

    schema: Annotated[Literal[1], Says("Version of this description.")]
    problem: Annotated[str, Says("The problem, without the sizes that are swept.")]
    axis: Annotated[str, Says("What x is: a parameter of the problem, or m / n.")]
    confidence: Annotated[Annotated[float, Meta(gt=0, lt=1)], Says("Of every interval below.")]
    points: Annotated[Annotated[list[PointJson], Meta(min_length=2)], Says("The sizes, by x.")]
    panels: Annotated[
        list[PanelJson],
        Says("What may be compared: one for each operator, device, dtype and number of threads."),
    ]
