"""Chunks: whoever leads and can take rows a few at a time is tried so."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from jacbench.measuring.deadline import Deadline
from jacbench.picking.racing.admission import Entering
from jacbench.picking.racing.candidates import Field, Known
from jacbench.picking.racing.race import HOPELESS
from jacbench.picking.racing.races import RACING_SHARE, Heats

CHUNKS = (4, 16, 64)
"""A chunk is tried of all rows divided by each of these, as long as that helps."""
SMALLEST_CHUNK = 8


class Chunks:
    """Smaller and smaller chunks of the leaders.

    Parameters
    ----------
    field
        Who leads.
    deadline
        The time there is.
    passes
        How many passes a mode needs: ``{"reverse": m, "forward": n}``.
    entering
        Checks a chunk size.
    heats
        Races it against the leaders.
    """

    def __init__(
        self,
        field: Field,
        deadline: Deadline,
        passes: Mapping[str, int],
        entering: Entering,
        heats: Heats,
    ) -> None:
        self._field, self._deadline, self._passes = field, deadline, passes
        self._entering, self._heats = entering, heats

    def try_all(self, share: float = RACING_SHARE) -> None:
        """Try chunks in every format, while that helps, up to that share of the time."""
        for form in self._field.formats():
            leaders = self._field.leaders(form)
            chunkable = [k for k in leaders if k.offer.chunking == "chunked"]
            added = [self._enter_chunks(known, share) for known in chunkable]
            if any(added):
                self._heats.again(form, share)

    def _enter_chunks(self, known: Known, share: float) -> int:
        """Let one enter by chunks until a size is refused or hopeless; return how many did."""
        total = self._passes.get(known.offer.mode, 0)
        for entered, divisor in enumerate(CHUNKS):
            size = math.ceil(total / divisor)
            if size < SMALLEST_CHUNK or self._deadline.left(share) < 0:
                return entered
            candidate = replace(known.candidate, chunk_size=size)
            new = Known(replace(known.offer, candidate=candidate), known.bench)
            self._field.add(new)
            self._entering.enter(new)
            if not new.agrees or (new.call_s or 0.0) > HOPELESS * (known.call_s or 0.0):
                return entered + 1
        return len(CHUNKS)
