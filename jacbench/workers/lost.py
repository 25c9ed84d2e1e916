"""A candidate that fails only while it is timed."""

from __future__ import annotations

from jacbench.core.cell import Verdict


class LostError(Exception):
    """A timed call raised, or took its process with it: the candidate's verdict, and one line."""

    def __init__(self, verdict: Verdict, reason: str) -> None:
        super().__init__(reason)
        self.verdict, self.reason = verdict, reason
