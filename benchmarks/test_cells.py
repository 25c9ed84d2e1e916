"""The suite that ships with jacbench, for ``pytest benchmarks/``."""

from jacbench.suite.test_cells import test_cell

__all__ = ["test_cell"]
