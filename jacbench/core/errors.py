"""The one exception a user's mistake raises."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class JacbenchError(Exception):
    """A mistake in what was asked: the message is one line.

    The line says what was asked, what was found and what to do next. The command line prints it
    without a traceback and exits with status 2.
    """


class WrongJacobianError(JacbenchError):
    """A Jacobian written by hand that everything else contradicts."""


class NothingRightError(JacbenchError):
    """Nothing was found right, though all was asked as it should be: the exit status is 1."""


class MissingError(JacbenchError):
    """Something optional that a problem needs is not installed: the line says how to get it."""


def unknown(kind: str, asked: str, known: Iterable[str], *, hint: str = "") -> JacbenchError:
    """Return the error for a name that matches nothing, with the nearest known names.

    Parameters
    ----------
    kind
        What was named: ``"problem"``, ``"method"``, ...
    asked
        The name as the user gave it.
    known
        Every name that would have been accepted.
    hint
        What to do when no known name is near.
    """
    names = sorted(set(known))
    near = difflib.get_close_matches(asked.lower(), names, n=3, cutoff=0.5)
    near += [name for name in names if asked.lower() in name.lower() and name not in near][:3]
    if near:
        advice = f"did you mean {_either(near[:3])}?"
    else:
        advice = hint or f"known: {', '.join(names) if names else 'none'}"
    return JacbenchError(f"unknown {kind} {asked!r}: {advice}")


def _either(names: list[str]) -> str:
    quoted = [repr(name) for name in names]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} or {quoted[-1]}"
