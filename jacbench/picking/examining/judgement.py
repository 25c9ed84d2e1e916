"""What is believed, from what two modes and differences say of each other."""

from __future__ import annotations

from dataclasses import dataclass

from jacbench.picking.examining.differences import Confirmation

ON_PURPOSE = (
    "a detach, a stop_gradient or a derivative rule of its own does so on purpose; if the function "
    "has none, the library's derivative is wrong"
)


@dataclass(frozen=True)
class Judgement:
    """Which products are what answers are held against.

    Attributes
    ----------
    forward, reverse
        True for a mode that is believed; both False: differences alone are.
    confirmed
        The normwise error that differences saw, of what is believed; None where they were not
        asked.
    contradicted
        Why what is believed may be wrong in spite of all; None: nothing speaks against it.
    undecided
        Why nothing can be believed, and differences cannot say more; None: something can.
    """

    forward: bool
    reverse: bool
    confirmed: float | None = None
    contradicted: str | None = None
    undecided: str | None = None


def judge(
    forward: Confirmation | None,
    reverse: Confirmation | None,
    *,
    agreement: float | None,
    limit: float,
    unasked: str = "",
) -> Judgement:
    """Return what to believe.

    Two independent modes that agree are believed even where differences say otherwise, which is
    told: a cut gradient looks like that, and is meant. One mode alone is not.

    Parameters
    ----------
    forward, reverse
        What differences say of each mode; None where the library has no such mode here.
    agreement
        The normwise difference between both; None unless there are both.
    limit
        Up to which two modes agree.
    unasked
        Why differences were not asked; empty where they were.
    """
    there = forward is not None, reverse is not None
    modes = [mode for mode in (forward, reverse) if mode is not None]
    if not modes:
        return Judgement(*there)
    agree = agreement is not None and agreement <= limit
    if unasked and agreement is not None and not agree:
        told = f"forward and reverse mode differ by {agreement:.1g}, and {unasked}"
        return Judgement(*there, undecided=told)
    if unasked:
        told = f"one method alone says so, and nothing confirms it: {unasked}"
        return Judgement(*there, contradicted=None if agree else told)
    held = [mode for mode in modes if mode.holds]
    if held and (agree or len(held) == len(modes)):
        return Judgement(*there, confirmed=max(mode.error for mode in held))
    if held:
        return Judgement(
            forward is not None and forward.holds,
            reverse is not None and reverse.holds,
            confirmed=held[0].error,
        )
    error = min(mode.error for mode in modes)
    if not agree:
        return Judgement(forward=False, reverse=False)
    return Judgement(
        *there,
        confirmed=error,
        contradicted=f"central differences are {error:.1g} away from what the library's methods "
        f"agree on: {ON_PURPOSE}",
    )
