"""What is believed, from what some ways to a Jacobian and differences say of each other.

The order of belief: differences that are good enough to tell, then agreement of ways that share no
code. What is disbelieved says nothing more: not of the tolerance either.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jacbench.backend.graph_cut import GraphCut, told
from jacbench.checking.evidence.claims import Confirmation

LIMIT = 1e-11
"""Normwise difference below which two ways agree in float64: ten times what a cell may be off."""
NEAR = 10
"""Of two ways that are not the same, the one this many times further from differences is left."""

MEANT = "if that is meant, say --stops-gradient"
"""What to do about a cut that is on purpose."""


@dataclass(frozen=True)
class Judgement:
    """Which ways are what answers are held against.

    Attributes
    ----------
    believed
        Their names, in their order; empty: differences alone are.
    confirmed
        The normwise error that differences saw, of what is believed; None where they could not
        confirm it.
    doubt
        Why what is believed is not confirmed; None: it is.
    refused
        Why nothing can be believed, differences included; None: something can.
    """

    believed: tuple[str, ...] = ()
    confirmed: float | None = None
    doubt: str | None = None
    refused: str | None = None

    def error(self, agreement: float | None, limit: float, alone: float = 0.0) -> float:
        """Return by how much what is believed may be off itself, beyond a cell's own rounding.

        Two that are believed both are as good as they agree, where that is not within ``limit``. Of
        one ``alone`` it is the rounding of its dtype: how far another is away says nothing.
        """
        if len(self.believed) > 1 and agreement is not None:
            return 0.0 if agreement <= limit else 3 * agreement
        return alone


def judge(
    ways: Mapping[str, Confirmation],
    *,
    agreement: float | None,
    limit: float,
    unasked: str = "",
    cuts: Sequence[GraphCut] = (),
    who: str = "forward and reverse mode",
) -> Judgement:
    """Return what to believe.

    Parameters
    ----------
    ways
        What differences say of each that answered, by its name: at most two.
    agreement
        The normwise difference between both; None unless there are two.
    limit
        Up to which two ways agree.
    unasked
        Why differences were not asked; empty where they were.
    cuts
        Where x is taken out of differentiation on its way to y. No difference quotient sees that,
        so what differences deny may be meant; a conversion that loses the graph is not.
    who
        What both are called.
    """
    if not ways:
        return Judgement()
    agree = agreement is not None and agreement <= limit
    differ = "" if agreement is None else f"{who} differ by {agreement:.1g}"
    if unasked:
        if differ and not agree:
            return Judgement(refused=f"{differ}, and {unasked}")
        alone = "" if agree else "one method alone says so, and "
        return Judgement((*ways,), doubt=f"{alone}differences were not asked: {unasked}")
    if agree:
        # they say the same: what one of them is denied holds of the other
        first, second = ways.values()
        ways = dict.fromkeys(ways, first.worse(second))
    held = {name: said.error for name, said in ways.items() if said.holds}
    if held:
        farthest = math.inf if agree else NEAR * min(held.values())
        near = {name: error for name, error in held.items() if error <= farthest}
        return Judgement((*near,), confirmed=max(near.values()))
    if all(said.denied for said in ways.values()):
        return _denied(ways, cuts, agree=agree, who=who)
    if agree:
        return Judgement((*ways,), doubt="differences cannot tell here")
    if not differ:
        doubt = "one method alone says so, and differences cannot tell here"
        return Judgement((*ways,), doubt=doubt)
    cannot = "differences cannot tell which of them is right"
    if any(said.denied for said in ways.values()):
        cannot = "differences deny one and cannot tell of the other"
    return Judgement(refused=f"{differ}, and {cannot}")


def _denied(
    ways: Mapping[str, Confirmation], cuts: Sequence[GraphCut], *, agree: bool, who: str
) -> Judgement:
    """Return what is left where differences deny every way."""
    away = f"differences of its values are {min(said.error for said in ways.values()):.1g} away"
    if not agree and len(ways) > 1:
        if not cuts:
            return Judgement()
        return Judgement(
            refused=f"{who} differ, {away} from both, and the graph from x to y is cut in part, by "
            f"{told([cut for cut in cuts if not cut.meant] or cuts)}"
        )
    lost = [cut for cut in cuts if not cut.meant]
    cut = f"the graph from x to y is cut in part, by {told(lost or cuts)}"
    if lost:
        by = "what both modes agree on" if agree else "the only mode there is"
        return Judgement(refused=f"{away} from {by}: {cut}")
    if cuts:
        return Judgement((*ways,), doubt=f"{away}, and {cut}: {MEANT}")
    if agree:
        return Judgement(
            refused=f"{away} from what both modes agree on, and nothing in it stops gradients: a "
            "derivative rule of its own, a cache or a branch on the kind of x may be wrong"
        )
    return Judgement()
