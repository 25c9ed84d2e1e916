"""Placing: what was measured at length has the last word on who is picked, tied or slower.

A race tells by moments; whoever is measured for longer, in turn with the pick, and is found faster
takes its place. So no answer keeps a pick that its own table shows slower.
"""

from __future__ import annotations

from jacbench.measuring.statistics import Interval
from jacbench.picking.racing import pairs
from jacbench.picking.racing.candidates import Field, Known
from jacbench.picking.racing.race import NEAR


def place(field: Field, form: str) -> None:
    """Place those of a format that were measured in turn with its pick, which may change."""
    picked = field.picked(form)
    been: list[Known] = []
    while picked is not None and picked.agrees:
        been.append(picked)
        rivals = [k for k in field.of(form) if k.agrees and k not in been]
        faster = [k for k in rivals if _is_faster(field, k, picked)]
        if not faster:
            break
        best = min(faster, key=lambda k: _ratio(field, k, been[-1]).estimate)
        _take_place(field, best, picked)
        picked = best
    if picked is not None and picked.agrees:
        for known in field.of(form):
            _tell_apart(field, known, picked)


def _is_faster(field: Field, known: Known, picked: Known) -> bool:
    """Say whether the table would show one faster than the pick."""
    if not known.visits.keys() & picked.visits.keys():
        return False
    if _ratio(field, known, picked).estimate < 1 / NEAR:
        return True
    own, other = known.result, picked.result
    if field.options.calls is not None or own is None or other is None:
        return False
    return own.high_s is not None and other.low_s is not None and own.high_s < other.low_s


def _take_place(field: Field, best: Known, picked: Known) -> None:
    best.fate, picked.fate = "picked", "equal"
    picked.ratio, picked.against = _ratio(field, picked, best), best.candidate
    best.ratio, best.against = Interval(1.0, 1.0, 1.0), best.candidate


def _tell_apart(field: Field, known: Known, picked: Known) -> None:
    """Note what pairs with the pick say of another; nothing where they are too few."""
    if known is picked or not known.agrees or not known.fate:
        return
    if len(pairs.ratios(known, picked)) < pairs.LEAST_PAIRS:
        return
    known.ratio, known.against = _ratio(field, known, picked), picked.candidate
    if known.fate != "dropped":
        known.fate = "slower" if known.ratio.low > 1 else "equal"


def _ratio(field: Field, known: Known, picked: Known) -> Interval:
    """Return the cost of one over that of the pick."""
    return pairs.ratio(known, picked, field.extra_s(known), field.extra_s(picked))
