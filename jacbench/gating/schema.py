"""What ``gate --json`` and its self-test print, field by field; the schemas are made from it."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired, TypedDict

from msgspec import Meta

from jacbench.core.json_schema import AboveZero, Amount, Count, Positive, Says, Share
from jacbench.gating.decision import State
from jacbench.gating.outcome import Outcome
from jacbench.results.schema import AnyVerdict, CellNameJson, FingerprintJson

TimedQuantity = Literal["time", "preparation"]


class MeasuredOnJson(TypedDict):
    """What figures were measured on, and by which clock."""

    fingerprint: NotRequired[FingerprintJson]
    discounts_waiting: Annotated[
        NotRequired[bool],
        Says(
            "True where times are without what was spent waiting for a core; false where the "
            "system does not tell."
        ),
    ]


class SideJson(MeasuredOnJson):
    """One side. Fingerprint and clock are there once anything was measured."""

    label: Annotated[str, Says("What a person calls it: a commit, an interpreter.")]


class GateSettingsJson(TypedDict):
    """How both sides were measured."""

    threads: Annotated[Positive, Says("Threads that every library may use.")]
    launches: Annotated[Annotated[int, Meta(ge=2)], Says("Pairs of fresh workers in one stage.")]
    blocks: Annotated[
        Annotated[int, Meta(ge=2, multiple_of=2)],
        Says("Pairs of blocks of each cell in one launch."),
    ]
    extensions: Annotated[Count, Says("How often an undecided cell gets as many launches again.")]
    time_limit_s: Annotated[AboveZero | None, Says("What the whole gate may take; seconds.")]
    timeout_s: Annotated[AboveZero, Says("What one cell may take; seconds.")]
    start_timeout_s: Annotated[AboveZero, Says("What the start of a worker may take; seconds.")]
    memory: Annotated[
        str | None, Says("What checking one Jacobian may need; null: a share of what is free.")
    ]
    seed: Annotated[int, Says("Of every order.")]


class MeasuredJson(TypedDict):
    """What one side gave; null on the side that has no such cell, or where it had no turn."""

    verdict: AnyVerdict
    reason: Annotated[str | None, Says("One line where the verdict is not 'agrees'.")]
    error: Annotated[
        Amount | None,
        Says(
            "‖J - R‖ / ‖R‖ in the Frobenius norm, the larger of the points compared; null where "
            "nothing was compared or where it is not finite."
        ),
    ]
    median_s: Annotated[
        Amount | None,
        Says("Median time of a call, without what was spent waiting for a core; seconds."),
    ]
    prepare_s: Annotated[Amount | None, Says("Median time of the preparation; seconds.")]
    peak_bytes: Annotated[Count | None, Says("Median peak memory of a call; bytes.")]


class DecisionJson(TypedDict):
    """What the paired ratios head / base say.

    Null where nothing was measured or, for the preparation, where it is too short to be judged.
    """

    state: Annotated[State, Says("What the ratios alone say, of all stages together.")]
    ratio: Annotated[
        Amount | None, Says("Median of head / base over all pairs; null where it is not finite.")
    ]
    low: Annotated[
        Amount | None,
        Says("Lower end of its 99 % interval, by bootstrap over launches, then pairs."),
    ]
    high: Annotated[Amount | None, Says("Upper end of the same.")]
    pairs: Annotated[Positive, Says("Pairs of neighbouring measurements.")]


class GateCellJson(CellNameJson):
    """One cell: problem x operator x method x device x dtype x threads."""

    outcome: Annotated[
        Outcome,
        Says(
            "What became of it between base and head; 'became wrong' and 'regression' make the "
            "exit status 1."
        ),
    ]
    reason: Annotated[str | None, Says("One line where there is something to say.")]
    base: Annotated[MeasuredJson | None, Says("What base gave.")]
    head: Annotated[MeasuredJson | None, Says("What head gave.")]
    time: Annotated[DecisionJson | None, Says("Of the time of a call.")]
    preparation: Annotated[DecisionJson | None, Says("Of the preparation.")]
    cautions: Annotated[list[str], Says("Why the figures are to be read with care, a line each.")]


class GateJson(TypedDict):
    """Base against head, cell by cell.

    It holds neither NaN nor infinities. The same object is 'gate' in the results file that
    --output writes.
    """

    schema: Annotated[Literal[1], Says("Version of this description.")]
    ok: Annotated[
        bool, Says("False where a cell became wrong or really slower: the exit status is 1.")
    ]
    stopped: Annotated[
        str | None, Says("Why it ended before every cell was decided; null where it did not.")
    ]
    base: SideJson
    head: SideJson
    absent: Annotated[
        dict[str, str], Says("By backend that could not be used on head: why, and how to get it.")
    ]
    settings: GateSettingsJson
    seconds: Annotated[Amount, Says("Wall time of the whole gate; seconds.")]
    counts: Annotated[
        dict[Outcome, Positive],
        Says("By outcome, how many cells have it; one that none has is left out."),
    ]
    cells: Annotated[list[GateCellJson], Says("Every cell of either side.")]


class RateJson(TypedDict):
    """How often one rule flags pairs of one kind."""

    rule: Annotated[str, Says("gate, or pytest-benchmark's option.")]
    quantity: Annotated[TimedQuantity, Says("Of what.")]
    injected: Annotated[
        Amount,
        Says(
            "Share of work that head had more than base; 0: identical, so that what is flagged "
            "is a false alarm."
        ),
    ]
    pairs: Annotated[Positive, Says("Pairs of versions that were compared.")]
    flagged: Annotated[Count, Says("Of them, called a regression.")]
    low: Annotated[Share, Says("Lower end of the 95 % interval of flagged / pairs, after Wilson.")]
    high: Annotated[Share, Says("Upper end of the same.")]
    undecided: Annotated[Count, Says("Of them, neither that nor passed.")]
    median_ratio: Annotated[
        Amount | None,
        Says("Median of what was measured, head / base; null where the rule measures none."),
    ]


class OrderEffectJson(TypedDict):
    """The second of two identical blocks over the first.

    1 without an effect of the order; null where none was measured.
    """

    estimate: Annotated[Amount | None, Says("Median.")]
    low: Annotated[Amount | None, Says("Lower end of its 95 % interval.")]
    high: Annotated[Amount | None, Says("Upper end of the same.")]


class TrialJson(TypedDict):
    """One decision of the gate about a pair whose truth is known."""

    cell: Annotated[str, Says("Its key: problem, method, device, dtype.")]
    quantity: Annotated[TimedQuantity, Says("Of what.")]
    injected: Annotated[Amount, Says("Share of work that head had more than base.")]
    flagged: Annotated[bool, Says("Called a regression, and again by fresh workers.")]
    undecided: Annotated[bool, Says("Neither that nor passed.")]
    ratio: Annotated[Amount | None, Says("What was measured, head / base.")]
    pairs: Annotated[
        Positive, Says("Pairs of blocks or preparations it took, confirmation included.")
    ]


class SelfTestJson(MeasuredOnJson):
    """What the gate can resolve on this machine: false alarms and power.

    It holds neither NaN nor infinities.
    """

    schema: Annotated[Literal[1], Says("Version of this description.")]
    neighbours: Annotated[Count, Says("Busy processes beside it.")]
    rates: Annotated[list[RateJson], Says("How often each rule flags what, identical pairs first.")]
    order_effect: Annotated[OrderEffectJson | None, Says("What the order of blocks does.")]
    waiting_for_a_core: Annotated[
        float | None, Says("Median share of the workers' wall time spent waiting for a core.")
    ]
    stopped: Annotated[
        str | None, Says("Why it ended before all its repetitions; null where it did not.")
    ]
    seconds: Annotated[Amount, Says("Wall time of the whole self-test; seconds.")]
    seconds_of_pytest_benchmark: Annotated[
        Amount, Says("Of it, for whole pytest-benchmark sessions beside the gate; seconds.")
    ]
    settings: GateSettingsJson
    trials: Annotated[list[TrialJson], Says("Every decision of the gate.")]
