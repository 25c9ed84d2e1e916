"""How much evidence is worth, in one line."""

from __future__ import annotations

from jacbench.backend import graph_cut
from jacbench.checking.evidence.judgement import Judgement
from jacbench.checking.evidence.mode_products import Products
from jacbench.checking.gathering import Gathering
from jacbench.checking.random_products import ByProducts
from jacbench.checking.reference import Reference

_BY_HAND = {"analytic": "the hand-written Jacobian", "complex-step": "the complex step"}


def told(gathering: Gathering, judgement: Judgement, right: Reference) -> str:
    """Return who says what is right, who confirms it, and how answers are held against it.

    ``judgement`` is what is believed in the end, and ``right`` what answers are held against.
    """
    calls, found, second = gathering.ground.calls, gathering.found, gathering.second
    if judgement.refused:
        return f"the hand-written Jacobian alone: {judgement.refused}"
    vectors = f"{found.count} random {{}}{'s' * (found.count > 1)}"
    believed = judgement.believed
    if not believed:
        line = _without_modes(gathering, judgement, right)
    else:
        line = _by_modes(gathering, judgement, right)
        if judgement.doubt:
            line += f", but {judgement.doubt}"
        elif judgement.confirmed is not None:
            both = len(believed) > 1
            line += (
                f" and differences in {vectors.format('direction')} confirm "
                f"{'them' if both else 'it'} to {_figure(judgement.confirmed)}"
            )
        if second is None and believed:
            line += " at x alone"
        elif second:
            line += f" at x (at the second point they are {second:.1g} away)"
        disbelieved = _disbelieved(found, judgement)
        if disbelieved:
            cut = graph_cut.told(gathering.cuts)
            why = f" (the graph is cut, by {cut})" if cut else ""
            line += f"; {disbelieved} gives something else{why}, and is not believed"
    if calls.dtype == "float32":
        line += "; float32 alone: weaker"
    if calls.lifted:
        line += "; its float32 constants were lifted to float64 for the reference"
    if isinstance(right, ByProducts):
        side = "either side" if len(believed) > 1 else "one side"
        line += f"; answers are held against it on {vectors.format('product')} from {side}"
    if not gathering.spared:
        return line
    return f"{line}; less was asked than usual, as {gathering.deadline.why(gathering.call_s)}"


def _without_modes(gathering: Gathering, judgement: Judgement, right: Reference) -> str:
    found = gathering.found
    if right.kind in _BY_HAND:
        confirmed = right.kind == "complex-step" or judgement.confirmed is not None
        told = ", confirmed by differences" if confirmed else ""
        if found.names:
            told += f", against {' and '.join(found.names)}"
        return f"{_BY_HAND[right.kind]} alone{told}"
    why = "; ".join(gathering.witnesses.reasons)
    if found.names:
        why = f"{' and '.join(found.names)} give something else"
    return f"differences alone, good to {_figure(right.error)} ({why})"


def _by_modes(gathering: Gathering, judgement: Judgement, right: Reference) -> str:
    found, calls = gathering.found, gathering.ground.calls
    reasons = gathering.witnesses.reasons
    first = f"{_BY_HAND[right.kind]} is right; " if right.kind in _BY_HAND else ""
    if len(judgement.believed) > 1:
        independent = "independent " if set(found.names) <= set(calls.backend.witnesses) else ""
        agree = f"agree to {_figure(found.agreement or 0.0)}"
        if found.rounded:
            agree = "give zeros, but for rounding,"
        return (
            f"{first}two {independent}methods in {calls.dtype} ({', '.join(found.names)}) {agree}"
        )
    name = found.forward if "forward" in judgement.believed else found.reverse
    alone = f"{first}one method in {calls.dtype} ({name})"
    if _disbelieved(found, judgement) or not reasons:
        return alone
    return f"{alone}, as {reasons[0]},"


def _disbelieved(found: Products, judgement: Judgement) -> str:
    """Return the mode that answered and is not believed; empty where there is none."""
    if len(judgement.believed) > 1:
        return ""
    return found.reverse if "forward" in judgement.believed else found.forward


def _figure(error: float) -> str:
    return f"{error:.0e}" if error else "the last bit"
