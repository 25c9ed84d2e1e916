"""How a user's own code names a function and its point: where the lines to paste begin."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Spelling:
    """A function, its point and what makes both, as lines of Python.

    The code to paste is ``setup``, and after it the lines that compute the Jacobian of ``f`` at
    ``x``.

    Attributes
    ----------
    setup
        Lines that import the user's function and make x; empty where the user has both at hand.
    f
        An expression for the function of x alone: ``loss_residual``.
    x
        An expression for the point, an array of the library or a tree of them: ``x``.
    library
        The name of the backend whose arrays these are: ``jax``.
    """

    setup: tuple[str, ...]
    f: str
    x: str
    library: str
