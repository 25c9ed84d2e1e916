"""What the values of a function show by themselves."""

from __future__ import annotations

import numpy as np
import pytest

from jacbench.picking.reference.coarseness import RESOLVES, narrow


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ((0.30078125, -1.2890625, 2.859375), "bfloat16"),
        ((0.300048828125, -1.2900390625, 2.859375), "float16"),
        ((float(np.float32(0.3)), float(np.float32(-1.29)), float(np.float32(2.86))), None),
        ((0.3, -1.29, 2.86), None),
        ((1.0, 2.0, 3.0), None),  # counts, and sums of them
        ((0.30078125, 0.0, 0.0), None),  # too few to say
        ((70000.3, 1e30, 0.1), None),
    ],
)
def test_values_that_end_in_zeros_are_of_a_type_of_fewer_digits(
    values: tuple[float, ...], named: str | None
) -> None:
    assert narrow([np.array(values)], "float32") == named
    assert named is None or named in RESOLVES


def test_a_function_of_float16_itself_is_not_called_narrow() -> None:
    assert narrow([np.array([0.300048828125, -1.2900390625, 2.859375])], "float16") is None
