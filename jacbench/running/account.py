"""What a run's wall time is spent on."""

from __future__ import annotations

import time

from jacbench.results.run import accounted


class Account:
    """A clock with one hand for each worker: what they do at once shares the time evenly."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self._since = self.began
        self._doing: dict[object, str] = {}
        self._spent: dict[str, float] = {}

    def now(self, who: object, doing: str | None) -> None:
        """Say what ``who`` does from now on; None: nothing that counts."""
        now = time.monotonic()
        for what in self._doing.values():
            share = (now - self._since) / len(self._doing)
            self._spent[what] = self._spent.get(what, 0.0) + share
        self._since = now
        if doing is None:
            self._doing.pop(who, None)
        else:
            self._doing[who] = doing

    def elapsed(self) -> float:
        """Return the seconds since the beginning."""
        return time.monotonic() - self.began

    def seconds(self) -> dict[str, float]:
        """Return what the time was spent on so far, see :class:`jacbench.results.run.Run`."""
        self.now(self, None)
        return accounted(self.elapsed(), self._spent)
