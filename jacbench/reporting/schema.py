"""What ``list --json`` prints, field by field; the schema is made from it."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired, TypedDict

from jacbench.core.json_schema import Positive, Says


class ListedBackendJson(TypedDict):
    """One registered backend."""

    name: Annotated[str, Says("The name by which it is selected.")]
    version: Annotated[
        NotRequired[str | None], Says("Version of its library; null where it is absent.")
    ]
    oracle: Annotated[
        NotRequired[bool], Says("True for references, which are shown apart and not ranked.")
    ]
    install: Annotated[NotRequired[str], Says("The command that installs its library.")]
    reason: Annotated[
        NotRequired[str], Says("Why it cannot be used, and how to get it; only where it is absent.")
    ]


class ListedOperatorJson(TypedDict):
    """One thing that can be computed."""

    name: Annotated[str, Says("The name by which it is selected.")]
    summary: Annotated[str, Says("One line.")]


class ListedMethodJson(TypedDict):
    """One method, installed or not."""

    name: Annotated[str, Says("The name by which it is selected.")]
    backend: Annotated[str, Says("Name of its backend.")]
    operator: Annotated[str, Says("What it computes: one of the operators.")]
    summary: Annotated[str, Says("One line.")]
    reason: Annotated[
        NotRequired[str], Says("Why it cannot be used, and how to get it; only where it is absent.")
    ]


class ListedProblemJson(TypedDict):
    """One problem of the catalogue."""

    name: Annotated[str, Says("The name by which it is selected.")]
    m: Annotated[Positive, Says("Outputs: rows of the Jacobian.")]
    n: Annotated[Positive, Says("Inputs: columns of the Jacobian.")]
    parameters: Annotated[
        dict[str, Positive],
        Says("Sizes that can be asked for in brackets after the name, with their defaults."),
    ]
    operators: Annotated[list[str], Says("Operators that make sense for it.")]
    summary: Annotated[str, Says("One line.")]
    source: Annotated[str, Says("Where the problem comes from.")]


class ListedDeviceJson(TypedDict):
    """One device."""

    name: Annotated[str, Says("The name by which it is selected.")]
    backends: Annotated[list[str], Says("Names of the backends that see it.")]
    reason: Annotated[
        NotRequired[str], Says("Why it cannot be used, and how to get it; only where it is absent.")
    ]


class ListJson(TypedDict):
    """What can be measured here."""

    schema: Annotated[Literal[2], Says("Version of this description.")]
    backends: Annotated[list[ListedBackendJson], Says("Every registered backend.")]
    operators: Annotated[list[ListedOperatorJson], Says("What can be computed.")]
    methods: Annotated[list[ListedMethodJson], Says("Every method, installed or not.")]
    problems: Annotated[list[ListedProblemJson], Says("Every problem of the catalogue.")]
    devices: Annotated[list[ListedDeviceJson], Says("Every device that an installed backend sees.")]
