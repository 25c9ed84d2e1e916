"""An entry point that cannot be imported."""

raise ImportError("cannot import name 'x'\nfrom 'y' (/home/alice-of-the-tests/y/__init__.py)")
