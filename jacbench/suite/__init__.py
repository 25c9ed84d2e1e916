"""The one benchmark: ``pytest --pyargs jacbench.suite``."""
