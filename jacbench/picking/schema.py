"""What ``pick --json`` prints, field by field; the schema is made from it."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypedDict

from msgspec import Meta

from jacbench.core.json_schema import Amount, Count, Dtype, Positive, Says

Form = Literal["dense", "blocks", "csr", "factors"]
AnyOperator = Literal["jacobian", "batch_jacobian", "sparse_jacobian", "factored_jacobian"]
_CELL = ["method", "verdict", "error", "prepare_s", "median_s", "peak_bytes", "notes"]
_FINGERPRINT = ["machine", "versions", "settings", "load"]
SomeCell = Annotated[dict[str, Any], Meta(extra_json_schema={"required": _CELL})]
SomeFingerprint = Annotated[dict[str, Any], Meta(extra_json_schema={"required": _FINGERPRINT})]


class CandidateJson(TypedDict):
    """A method with its chunk size."""

    operator: Annotated[AnyOperator, Says("What it computes.")]
    method: Annotated[str, Says("Its name, as jacbench list gives it.")]
    chunk_size: Annotated[
        Positive | None,
        Says("Rows, columns or samples at a time; null: as the method does by itself."),
    ]


class RatioJson(TypedDict):
    """A ratio of times, with its 95 % interval."""

    estimate: Annotated[Amount | None, Says("The ratio; null where it is not finite.")]
    low: Annotated[Amount | None, Says("Lower end; null where there were too few blocks to say.")]
    high: Annotated[Amount | None, Says("Upper end; null where there were too few blocks to say.")]


class CandidateRowJson(CandidateJson):
    """What became of one candidate."""

    format: Annotated[Form, Says("In which form it answers: only times of the same form compare.")]
    backend: Annotated[str, Says("Whose method it is.")]
    fate: Annotated[
        Literal[
            "picked",
            "equal",
            "slower",
            "dropped",
            "open",
            "no time",
            "not tried",
            "agrees",
            "disagrees",
            "unsupported",
            "failed",
            "timed out",
            "crashed",
            "too large",
            "known fault",
            "not run",
        ],
        Says(
            "picked; equal: tied, no interval tells it from the one picked; slower: by its "
            "interval; dropped: clearly slower early on; open: right, and raced for too short a "
            "time to say; no time: left out for want of time; not tried; or its verdict."
        ),
    ]
    reason: Annotated[str | None, Says("One line for what was not raced.")]
    call_s: Annotated[
        Amount | None, Says("A rough time of a call where none was measured at length; seconds.")
    ]
    ratio: Annotated[
        RatioJson | None,
        Says(
            "Its time over that of the pick of the same format, by interleaved blocks; with the "
            "share of the preparation where calls were counted; null for what was not raced."
        ),
    ]
    calls_to_break_even: Annotated[
        Amount | None,
        Says(
            "From how many calls on the faster of it and the pick has made up for its dearer "
            "preparation; null where there is none to make up for."
        ),
    ]
    start_s: Annotated[
        Amount | None,
        Says(
            "What its compiler took to start, once for a process and not in its preparation; "
            "seconds. Null for what has no compiler."
        ),
    ]
    structure: Annotated[
        Literal["", "samples", "sparse", "bottleneck"],
        Says("What of the Jacobian's structure it relies on; empty: nothing."),
    ]
    result: Annotated[
        SomeCell | None,
        Says("Its cell, as $defs/cell of results.schema.json says; null for what was not tried."),
    ]


class AnswerJson(TypedDict):
    """What pick --json prints and Answer.to_json() returns.

    It holds neither NaN nor infinities.
    """

    schema: Annotated[Literal[1], Says("Version of this description.")]
    name: Annotated[str, Says("The function, as it was named.")]
    kind: Annotated[str, Says("What it is: a torch function, a JAX function, ...")]
    m: Annotated[Count, Says("Rows of the Jacobian: entries of y.")]
    n: Annotated[Positive, Says("Columns: entries of x.")]
    device: Annotated[str, Says("Where it was measured: cpu, cuda:0.")]
    dtype: Annotated[Dtype, Says("In what it was computed.")]
    threads: Annotated[Positive, Says("For which every library was pinned.")]
    format: Annotated[
        Form, Says("The form asked for, or the first that can be had: that of the answer.")
    ]
    picks: Annotated[
        Annotated[dict[Form, CandidateJson], Meta(min_length=1)], Says("By form, who was picked.")
    ]
    today: Annotated[
        CandidateJson | None,
        Says("What the user is taken to use now; null where no library here has it."),
    ]
    speedup: Annotated[
        RatioJson | None,
        Says(
            "How many times faster the pick of today's form is than what is used today, with its "
            "95 % interval; null where that was not measured."
        ),
    ]
    pairs: Annotated[
        Count,
        Says(
            "Pairs of stretches, measured in turn, behind that ratio; 0: it is from the first "
            "calls alone."
        ),
    ]
    evidence: Annotated[
        str, Says("What the answers were held against, and how strong that is, in a line.")
    ]
    doubt: Annotated[
        str,
        Says(
            "Why that is not confirmed, in a line; empty where it is and nothing speaks against it."
        ),
    ]
    notes: Annotated[list[str], Says("What else the user should know, a line each.")]
    code: Annotated[dict[Form, list[str]], Says("By form, lines of Python that compute it.")]
    calls: Annotated[
        Positive | None, Says("How often the Jacobian is wanted, where that was said.")
    ]
    decided: Annotated[
        bool,
        Says(
            "False where somebody who may be faster was not measured, or not to the end, for "
            "want of time."
        ),
    ]
    enough_s: Annotated[
        Amount | None, Says("A limit that would probably do, seconds; null where it is decided.")
    ]
    scarce: Annotated[
        Literal["time", "compile"],
        Says("Which limit that is: of --time-limit or of --compile-limit."),
    ]
    seconds: Annotated[dict[str, Amount], Says("What the time went to, by stage; seconds.")]
    rows: Annotated[list[CandidateRowJson], Says("What became of every candidate.")]
    formats: Annotated[dict[str, str], Says("What each form is, in words.")]
    fingerprint: Annotated[
        SomeFingerprint,
        Says("Machine, versions and settings, as fingerprint of results.schema.json says."),
    ]
