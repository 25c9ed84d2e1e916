"""One way of weakening jacbench: a text of its source in place of another."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


class MovedError(Exception):
    """The text that a mutation replaces does not stand in the source exactly once."""


@dataclass(frozen=True)
class Mutation:
    """A change of the source after which some test has to fail.

    Attributes
    ----------
    name
        What holds no longer, in words.
    file
        Of the repository.
    before, after
        What is replaced, which stands there exactly once, and by what.
    tests
        The files, or tests of them, that should notice.
    survives
        Why no test can notice; empty where one has to.
    """

    name: str
    file: str
    before: str
    after: str
    tests: tuple[str, ...]
    survives: str = ""

    def applied(self, source: str) -> str:
        """Return ``source`` mutated; raise where it has moved on since."""
        count = source.count(self.before)
        if count != 1 or self.before == self.after:
            raise MovedError(
                f"{self.name}: {self.before!r} stands {count} times in {self.file}: write the "
                "mutation anew for what stands there now"
            )
        return source.replace(self.before, self.after)


class Mutations(list[Mutation]):
    """The mutations of one part of jacbench."""

    def of(self, file: str, *tests: str) -> Of:
        """Return what adds mutations of ``file``, which ``tests`` should notice."""
        return Of(self, file, tests)


@dataclass(frozen=True)
class Of:
    """Adds mutations of one file."""

    mutations: Mutations
    file: str
    tests: tuple[str, ...]

    def __call__(self, name: str, before: str, after: str, *tests: str, survives: str = "") -> None:
        """Add one; ``tests`` in place of those of the file."""
        mutation = Mutation(name, self.file, before, after, tests or self.tests, survives)
        self.mutations.append(mutation)
