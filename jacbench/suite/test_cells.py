"""Each cell is checked, and timed if it agrees."""

from __future__ import annotations

from typing import Any

import pytest

from jacbench.core.cell import Cell


# A cell that does not agree leaves the benchmark fixture unused; warnings were kept when it was
# checked, and showing them again would be timed.
@pytest.mark.filterwarnings("ignore")
def test_cell(
    problem: str,
    operator: str,
    method: str,
    backend: str,
    device: str,
    dtype: str,
    threads: str,
    visit: str,
    benchmark: Any,
    jacbench_session: Any,
) -> None:
    """Settle the cell; time it if it agrees."""
    cell = Cell(problem, operator, method, backend, device, dtype, int(threads))
    jacbench_session.run(cell, int(visit), benchmark)
