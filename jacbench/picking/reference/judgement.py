"""What is believed, from what two modes and differences say of each other.

The order of belief: differences that are good enough to tell, then agreement of the two modes. What
is disbelieved says nothing more: not of the tolerance either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jacbench.backend.graph_cut import GraphCut, told
from jacbench.checking.claims import Confirmation

NEAR = 10
"""Of two modes that are not the same, the one this many times further from differences is left."""

MEANT = "if that is meant, say --stops-gradient"
"""What to do about a cut that is on purpose."""


@dataclass(frozen=True)
class Judgement:
    """Which products are what answers are held against.

    Attributes
    ----------
    forward, reverse
        True for a mode that is believed; both False: differences alone are.
    confirmed
        The normwise error that differences saw, of what is believed; None where they could not
        confirm it.
    doubt
        Why what is believed is not confirmed; None: it is.
    refused
        Why nothing can be believed, differences included; None: something can.
    """

    forward: bool
    reverse: bool
    confirmed: float | None = None
    doubt: str | None = None
    refused: str | None = None


def judge(
    forward: Confirmation | None,
    reverse: Confirmation | None,
    *,
    agreement: float | None,
    limit: float,
    unasked: str = "",
    cuts: Sequence[GraphCut] = (),
) -> Judgement:
    """Return what to believe.

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
    cuts
        Where x is taken out of differentiation on its way to y. No difference quotient sees that,
        so what differences deny may be meant; a conversion that loses the graph is not.
    """
    modes = {
        name: said
        for name, said in (("forward", forward), ("reverse", reverse))
        if said is not None
    }
    if not modes:
        return Judgement(forward=False, reverse=False)
    agree = agreement is not None and agreement <= limit
    if unasked:
        return _unasked(modes, agreement, unasked, agree=agree)
    if agree:
        # they say the same: what one of them is denied holds of the other
        worst = modes["forward"].worse(modes["reverse"])
        modes = dict.fromkeys(modes, worst)
    held = {name: said for name, said in modes.items() if said.holds}
    if held:
        least = min(said.error for said in held.values())
        near = {name: said for name, said in held.items() if agree or said.error <= NEAR * least}
        return _believed(near, confirmed=max(said.error for said in near.values()))
    denied = [said for said in modes.values() if said.denied]
    if denied and len(denied) == len(modes):
        return _denied(modes, cuts, agree=agree, alone=agreement is None)
    if agree:
        return _believed(modes, doubt="differences cannot tell here")
    if agreement is None:
        return _believed(modes, doubt="one method alone says so, and differences cannot tell here")
    told = "differences cannot tell which of them is right"
    if denied:
        told = "differences deny one and cannot tell of the other"
    return _refused(f"{_differ(agreement)}, and {told}")


def _unasked(
    modes: dict[str, Confirmation], agreement: float | None, unasked: str, *, agree: bool
) -> Judgement:
    if agreement is not None and not agree:
        return _refused(f"{_differ(agreement)}, and {unasked}")
    alone = "" if agree else "one method alone says so, and "
    return _believed(modes, doubt=f"{alone}differences were not asked: {unasked}")


def _denied(
    modes: dict[str, Confirmation], cuts: Sequence[GraphCut], *, agree: bool, alone: bool
) -> Judgement:
    """Return what is left where differences deny every mode."""
    error = min(said.error for said in modes.values())
    away = f"differences of its values are {error:.1g} away"
    lost = [cut for cut in cuts if not cut.meant]
    cut = f"the graph from x to y is cut in part, by {told(lost or cuts)}"
    if lost and (agree or alone):
        by = "what both modes agree on" if agree else "the only mode there is"
        return _refused(f"{away} from {by}: {cut}")
    if cuts and (agree or alone):
        return _believed(modes, doubt=f"{away}, and {cut}: {MEANT}")
    if cuts:
        return _refused(f"forward and reverse mode differ, {away} from both, and {cut}")
    if agree:
        return _refused(
            f"{away} from what both modes agree on, and nothing in it stops gradients: a "
            "derivative rule of its own, a cache or a branch on the kind of x may be wrong"
        )
    return Judgement(forward=False, reverse=False)


def _differ(agreement: float) -> str:
    return f"forward and reverse mode differ by {agreement:.1g}"


def _believed(
    modes: dict[str, Confirmation], *, confirmed: float | None = None, doubt: str | None = None
) -> Judgement:
    return Judgement("forward" in modes, "reverse" in modes, confirmed, doubt)


def _refused(told: str) -> Judgement:
    return Judgement(forward=False, reverse=False, refused=told)
