"""What a model that returns several things is told."""

from __future__ import annotations

import dataclasses
from collections import namedtuple
from typing import Any

import numpy as np
import pytest

from jacbench.backend import selected
from jacbench.core.errors import JacbenchError

NUMBERS = np.ones(2)
Two = namedtuple("Two", ["mask", "hidden"])


@dataclasses.dataclass
class Output:
    """A value with a field that has no derivative first."""

    attentions: Any
    hidden: Any


@pytest.mark.parametrize(
    ("output", "example"),
    [
        ({"attentions": None, "hidden": NUMBERS}, "'hidden'"),
        (Output(None, NUMBERS), "'hidden'"),
        (Two(np.array([True]), NUMBERS), "'hidden'"),
        ((None, np.arange(2), NUMBERS), "2"),
    ],
)
def test_an_entry_without_a_derivative_is_not_the_example(output: Any, example: str) -> None:
    with pytest.raises(JacbenchError) as caught:
        selected(output, None, "Net")
    assert str(caught.value).endswith(f"say which one to differentiate, e.g. output={example}")


def test_entries_of_which_none_is_floating_are_told() -> None:
    with pytest.raises(JacbenchError, match="with a, b: none of them is an array of floats"):
        selected({"a": None, "b": np.arange(2)}, None, "Net")
