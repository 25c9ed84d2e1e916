"""What the tests of every library's per-sample method ask of its guard."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import jacbench
from jacbench.backend import registry
from jacbench.core.errors import JacbenchError


def check(library: str) -> None:
    """Samples that are apart where it was prepared, and see each other where a gate opens."""
    xp, backend = registry.load(library).xp, registry.load(library)

    def function(x: Any) -> Any:
        gate = xp.where(xp.sum(x) > 300, xp.sum(x), 0 * xp.sum(x))
        return xp.sin(x) + 1e-3 * gate

    def put(x: Any) -> Any:
        return backend.put(x, "cpu", "float64")

    start = np.linspace(0.1, 1.0, 10)
    method = f"{library}.per-sample"
    made = jacbench.prepare(function, put(start), method, in_axis=0)
    assert made.notes["guard"] == "every call: repair"
    for x in (start, 2 * start, -start):
        np.testing.assert_allclose(backend.to_numpy(made(put(x))), np.diag(np.cos(x)), rtol=1e-13)
    for guard, told in (("repair", "does not hold at this x"), ("raise", "prepare it here")):
        made = jacbench.prepare(function, put(start), method, in_axis=0, guard=guard)
        with pytest.raises(JacbenchError, match=told) as raised:
            made(put(np.full(10, 40.0)))
        assert "\n" not in str(raised.value)
        np.testing.assert_allclose(backend.to_numpy(made(put(start)))[0, 0], np.cos(0.1))
