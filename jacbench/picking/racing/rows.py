"""Rows: what became of every candidate, held against the pick of its format."""

from __future__ import annotations

import math

from jacbench.measuring.statistics import Interval
from jacbench.picking.answer import Row
from jacbench.picking.candidate import Candidate
from jacbench.picking.racing.candidates import Field, Known


def rows(field: Field, speedup: Interval | None) -> list[Row]:
    """Return a row for every candidate, in the order of their offers.

    Parameters
    ----------
    field
        What is known of each.
    speedup
        The time of what is used today over that of the pick of its format, where it was compared.
    """
    picks = {form: field.picked(form) for form in field.formats()}
    return [_row(field, known, picks.get(known.format), speedup) for known in field]


def _row(field: Field, known: Known, picked: Known | None, speedup: Interval | None) -> Row:
    ratio = _ratio(field, known, picked, speedup)
    return Row(
        candidate=known.candidate,
        backend=known.bench.backend,
        fate=known.fate or "not tried",
        reason=known.reason,
        result=known.result,
        call_s=_typical_s(field, known, picked, ratio),
        ratio=ratio,
        calls_to_break_even=_break_even(field, known, picked),
        start_s=known.entry.start_s if known.entry and known.offer.compiled else None,
        structure=known.offer.structure,
    )


def _ratio(
    field: Field, known: Known, picked: Known | None, speedup: Interval | None
) -> Interval | None:
    """Return the time over that of the pick: who dropped out early was held against another."""
    if known.ratio is None or picked is None or known.lost:
        return None
    if known is field.today() and speedup is not None and field.options.calls is None:
        return speedup
    if known.against == picked.candidate:
        return known.ratio
    own, other = _over_the_last(field, known), _over_the_last(field, picked)
    if own[0] != other[0]:  # whoever won then was lost later
        return None
    return Interval(own[1] / other[1], math.nan, math.nan)


def _over_the_last(field: Field, known: Known) -> tuple[Candidate, float]:
    """Return the winner of the last race that a chain of ratios leads to, and their product."""
    ratio = 1.0
    while known.against is not None and known.against != known.candidate:
        ratio *= known.ratio.estimate if known.ratio is not None else math.nan
        known = field[known.against]
    return known.candidate, ratio


def _typical_s(
    field: Field, known: Known, picked: Known | None, ratio: Interval | None
) -> float | None:
    """Return the time of a call where it was not measured at length: by its ratio."""
    best = None if picked is None or picked.result is None else picked.result.median_s
    if best is None or ratio is None or field.options.calls is not None:
        return known.call_s
    return best * ratio.estimate


def _break_even(field: Field, known: Known, other: Known | None) -> float | None:
    """Return from how many calls on the faster of two has made up for its preparation."""
    if other is None or known is other or not (known.agrees and other.agrees):
        return None
    faster, slower = sorted((known, other), key=lambda k: k.call_s or 0.0)
    saved = (slower.call_s or 0.0) - (faster.call_s or 0.0)
    spent = field.preparation_s(faster) - field.preparation_s(slower)
    return spent / saved if saved > 0 and spent > 0 else None
