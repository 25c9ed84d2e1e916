"""What is wanted, refused where it makes no sense."""

from __future__ import annotations

import pytest

from jacbench.core.errors import JacbenchError
from jacbench.picking.options import PickOptions


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"time_limit_s": 0}, "--time-limit 0: give seconds above 0"),
        ({"time_limit_s": float("nan")}, "--time-limit nan"),
        ({"calls": 0}, "--calls 0"),
        ({"form": "coo"}, "--format 'coo': give one of dense, blocks, csr, factors"),
        ({"threads": 0}, "--threads 0"),
        ({"memory": "much"}, "--memory 'much'"),
    ],
)
def test_what_makes_no_sense_is_one_line(options, told):
    with pytest.raises(JacbenchError) as caught:
        PickOptions(**options)
    assert str(caught.value).startswith(told)
    assert "\n" not in str(caught.value)
