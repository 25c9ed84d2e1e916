"""The one benchmark: ``pytest --pyargs jacbench.suite``."""

FULLNAME = "jacbench/suite/test_cells.py::"
"""What its rows are called: the same for a checkout and for a wheel, so that files compare."""
