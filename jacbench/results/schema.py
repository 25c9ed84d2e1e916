"""What a results file holds, field by field; the schema is made from it."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired, TypedDict

from msgspec import Meta

from jacbench.core.cell import Verdict
from jacbench.core.json_schema import Amount, Count, Device, Dtype, Positive, Says, Share

_NOTE = {
    "type": ["string", "number", "boolean", "null", "array"],
    "items": {"type": "string"},
}
_WARNINGS = {
    "type": "array",
    "items": {"type": "string"},
    "description": "Texts of warnings, each once.",
}
Notes = Annotated[
    dict[str, Any],
    Meta(
        extra_json_schema={
            "properties": {"warnings": _WARNINGS},
            "additionalProperties": _NOTE,
        }
    ),
]


class MachineJson(TypedDict):
    """What stays the same from run to run."""

    cpu: Annotated[str, Says("Model of the processor.")]
    architecture: Annotated[str, Says("As uname -m gives it.")]
    cores: Annotated[Positive | None, Says("Logical processors of the machine.")]
    cores_usable: Annotated[Positive | None, Says("Logical processors that the process may use.")]
    memory_bytes: Annotated[Count | None, Says("Memory of the machine; bytes.")]
    system: Annotated[str, Says("Operating system.")]
    release: Annotated[str, Says("Release of its kernel.")]
    python: Annotated[str, Says("Version of Python.")]
    python_implementation: Annotated[str, Says("CPython, PyPy, ...")]
    gpus: Annotated[list[str], Says("Models of the NVIDIA GPUs that the driver shows.")]
    cpu_flags: Annotated[
        NotRequired[list[str] | None],
        Says(
            "Vector and matrix instructions of the processor; null where the system does not "
            "tell, as below."
        ),
    ]
    cpu_max_mhz: Annotated[
        NotRequired[Amount | None], Says("Highest frequency of the first core; MHz.")
    ]
    cpu_governor: Annotated[
        NotRequired[str | None], Says("What decides on the frequency: performance, powersave, ...")
    ]
    cpu_quota: Annotated[
        NotRequired[Amount | None],
        Says("Cores' worth of time that the control group allows; null without a limit."),
    ]
    virtual: Annotated[
        NotRequired[list[str]],
        Says("What stands between the process and the processor: container, virtual machine."),
    ]
    blas: Annotated[
        NotRequired[str | None], Says("The BLAS that NumPy was built with, and its version.")
    ]
    gpu_driver: Annotated[NotRequired[str | None], Says("Version of NVIDIA's driver.")]


class FingerprintJson(TypedDict):
    """Machine, versions and settings that the figures belong to."""

    machine: Annotated[MachineJson, Says("What stays the same from run to run.")]
    versions: Annotated[dict[str, str], Says("Version by distribution.")]
    settings: Annotated[
        dict[str, Any],
        Says(
            "By backend: what its process was set to, and measured_cores, the processor time "
            "used per second of a large matrix product (1.0 is one core). A run of named "
            "problems and of problems given as objects keeps those of workers and of its own "
            "process apart, under workers and in_process."
        ),
    ]
    load: Annotated[
        Annotated[list[Amount], Meta(min_length=3, max_length=3)] | None,
        Says(
            "Load averages over 1, 5 and 15 minutes at the end; null where the system keeps none."
        ),
    ]
    load_before: Annotated[
        NotRequired[Annotated[list[Amount], Meta(min_length=3, max_length=3)] | None],
        Says("The same before the first cell."),
    ]
    steal: Annotated[
        NotRequired[Share | None],
        Says(
            "Share of the processors' time that the hypervisor gave to others during the run; "
            "null where the system does not tell."
        ),
    ]


class SecondsJson(TypedDict):
    """What the run's wall time was spent on; seconds.

    Where workers worked at once they share the time evenly.
    """

    wall: Annotated[NotRequired[Amount], Says("From the first worker to the last figure; seconds.")]
    workers: Annotated[NotRequired[Amount], Says("Starting workers, imports included; seconds.")]
    settling: Annotated[
        NotRequired[Amount], Says("References, preparation, checks, first calls; seconds.")
    ]
    timing: Annotated[NotRequired[Amount], Says("Warm-up, and while the clock ran; seconds.")]
    memory: Annotated[NotRequired[Amount], Says("The pass that measures peaks; seconds.")]
    other: Annotated[
        NotRequired[Amount], Says("The harness's own overhead: wall without the others; seconds.")
    ]


class CellNameJson(TypedDict):
    """Problem x operator x method x device x dtype x threads."""

    problem: Annotated[str, Says("Name of the problem, family/short-name.")]
    operator: Annotated[
        str, Says("What is computed: jacobian, value_and_jacobian, batch_jacobian, vjp, jvp.")
    ]
    method: Annotated[str, Says("Name of the method, as jacbench list shows it.")]
    backend: Annotated[str, Says("Name of the backend that offers the method.")]
    device: Annotated[Device, Says("cpu, or cuda:i.")]
    dtype: Annotated[Dtype, Says("Type of the point, the constants and the result.")]
    threads: Annotated[Positive, Says("Threads that every library may use.")]


class WorstJson(TypedDict):
    """The entry that differs most; null where the cell agrees."""

    row: Annotated[Count, Says("Index of the output, from 0.")]
    column: Annotated[Count, Says("Index of the input, from 0.")]
    input: Annotated[str | None, Says("Where the input stands in the tree of x: [0]['w'][1, 2].")]
    value: Annotated[
        float | str, Says("The entry found; the strings nan, inf and -inf where it is not finite.")
    ]
    expected: Annotated[float | str, Says("The reference's entry, likewise.")]


class OutliersJson(TypedDict):
    """Rounds beyond Tukey's fences, by class."""

    low_severe: Annotated[NotRequired[Positive], Says("Rounds more than 3 ranges below.")]
    low_mild: Annotated[NotRequired[Positive], Says("Rounds 1.5 to 3 ranges below.")]
    high_mild: Annotated[NotRequired[Positive], Says("Rounds 1.5 to 3 ranges above.")]
    high_severe: Annotated[NotRequired[Positive], Says("Rounds more than 3 ranges above.")]


AnyVerdict = Annotated[
    Verdict,
    Says(
        "What became of the cell; 'known fault' where the library gives the very wrong "
        "Jacobian that its developers know of; 'not run' only in a run that was interrupted, "
        "whose budget was spent, or that is still under way."
    ),
]


class CellJson(CellNameJson):
    """One cell: problem x operator x method x device x dtype x threads."""

    verdict: AnyVerdict
    reason: Annotated[str | None, Says("One line where the verdict is not 'agrees'.")]
    m: Annotated[Count | None, Says("Outputs: rows of the Jacobian; null where it is not known.")]
    n: Annotated[Count | None, Says("Inputs: columns of the Jacobian; null where it is not known.")]
    error: Annotated[
        Amount | None,
        Says(
            "Normwise error |J - R| / |R| in the Frobenius norm, the largest over the points "
            "compared; no unit. Null where nothing was compared or where it is not finite."
        ),
    ]
    tolerance: Annotated[Amount | None, Says("What error was held against; no unit.")]
    atol: Annotated[
        NotRequired[Amount | None],
        Says(
            "By how much any entry may be off besides, as asked for, in units of the Jacobian; "
            "error is what is left beyond it. Null where nothing was asked for."
        ),
    ]
    worst: Annotated[
        WorstJson | None, Says("The entry that differs most; null where the cell agrees.")
    ]
    reference: Annotated[
        Literal["analytic", "complex-step", "consensus", "central-difference"] | None,
        Says("What the result was held against."),
    ]
    prepare_s: Annotated[Amount | None, Says("Preparation: tracing, compiling, placing; seconds.")]
    first_call_s: Annotated[Amount | None, Says("The first call after the preparation; seconds.")]
    median_s: Annotated[
        Amount | None,
        Says(
            "Median over rounds of the time of one call in steady state; seconds. Null unless "
            "the cell agrees and was timed."
        ),
    ]
    low_s: Annotated[
        NotRequired[Amount | None],
        Says(
            "Lower end of the 95 % interval of the median, Student's over the logarithms of the "
            "visits' medians; seconds. Null from one round."
        ),
    ]
    high_s: Annotated[NotRequired[Amount | None], Says("Upper end of the same; seconds.")]
    iqr_s: Annotated[
        Amount | None,
        Says("Interquartile range of the rounds' times of one call; seconds. Null as median_s is."),
    ]
    cpu_s: Annotated[
        NotRequired[Amount | None],
        Says("CPU time of the process for one call, mean over all timed calls; seconds."),
    ]
    device_s: Annotated[
        NotRequired[Amount | None],
        Says("On CUDA: time of one call by the device's own events, median; seconds."),
    ]
    outliers: Annotated[
        NotRequired[OutliersJson],
        Says(
            "Rounds beyond Tukey's fences (1.5 and 3 interquartile ranges off the quartiles), by "
            "class; a class without any is left out."
        ),
    ]
    cautions: Annotated[
        NotRequired[list[str]], Says("Why the time is to be read with care, a line each.")
    ]
    visits: Annotated[
        NotRequired[Positive | None], Says("Separate stretches in which the cell was timed.")
    ]
    rounds: Annotated[Positive | None, Says("Timed rounds over all visits.")]
    iterations: Annotated[Positive | None, Says("Calls in one round.")]
    peak_bytes: Annotated[
        Count | None,
        Says(
            "Memory during one call above that before it, of the process, or of the device on "
            "CUDA; bytes."
        ),
    ]
    chunk_size: Annotated[
        Positive | None, Says("Rows or columns at a time, as asked for, where the method takes it.")
    ]
    notes: Annotated[
        Notes, Says("What the preparation found out, and under 'warnings' what was warned of.")
    ]
    traceback: Annotated[
        str | None, Says("For 'failed': the whole traceback, without absolute paths.")
    ]
    problem_hash: Annotated[
        NotRequired[str | None],
        Says("Of the source of the problem: an edited one is another cell."),
    ]
    method_hash: Annotated[
        NotRequired[str | None], Says("Of the source of the method: an edited one is another cell.")
    ]


class RunJson(TypedDict):
    """What check --json and run --json print, and what stands under 'jacbench' in a results file.

    There the pytest-benchmark rows of the cells that were timed stand beside it. It holds neither
    NaN nor infinities, no host name, no user name and no absolute path.
    """

    schema: Annotated[
        Literal[1, 2, 3],
        Says(
            "Version of the description that the writer knew; version 1 had the operator "
            "jacobian alone, version 2 neither intervals nor what a run's time was spent on. A "
            "reader refuses a higher one than its own."
        ),
    ]
    fingerprint: Annotated[
        FingerprintJson, Says("Machine, versions and settings that the figures belong to.")
    ]
    absent: Annotated[
        dict[str, str], Says("By backend that could not be used: why, and how to get it.")
    ]
    interrupted: Annotated[
        bool, Says("True where the run was stopped before every cell had its turn.")
    ]
    ending: Annotated[
        NotRequired[str | None],
        Says(
            "One line where a budget ended the run: whether it was spent, and what intervals it "
            "left."
        ),
    ]
    seconds: Annotated[
        NotRequired[SecondsJson],
        Says(
            "What the run's wall time was spent on; seconds. Where workers worked at once they "
            "share the time evenly."
        ),
    ]
    options: Annotated[
        NotRequired[dict[str, str | float | bool | list[int] | None]],
        Says("The settings the run was made with, which resuming it takes."),
    ]
    gate: Annotated[
        NotRequired[dict[str, Any]],
        Says(
            "In a file that jacbench gate wrote: what it says of each cell, described by "
            "gate/gate.schema.json."
        ),
    ]
    cells: Annotated[
        list[CellJson], Says("What became of each cell that was asked for, in the order asked for.")
    ]
