"""One way that may win: a method with its chunk size, and the form in which it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

FORMATS: Mapping[str, str] = {
    "jacobian": "dense",
    "batch_jacobian": "blocks",
    "sparse_jacobian": "csr",
    "factored_jacobian": "factors",
}
"""By operator, the form of its answer: only times of the same form are compared."""

SUMMARIES: Mapping[str, str] = {
    "dense": "the whole (m, n) matrix",
    "blocks": "one block for each sample",
    "csr": "the entries that may be other than zero",
    "factors": "two thin matrices whose product it is",
}


@dataclass(frozen=True)
class Candidate:
    """A method with its chunk size.

    Attributes
    ----------
    operator
        What it computes, one of :data:`FORMATS`.
    method
        Its name.
    chunk_size
        Rows, columns or samples at a time; None: as the method does by itself.
    """

    operator: str
    method: str
    chunk_size: int | None = None

    @property
    def format(self) -> str:
        """The form in which it answers."""
        return FORMATS[self.operator]

    @property
    def label(self) -> str:
        """Its name, with the chunk size where there is one."""
        return self.method if self.chunk_size is None else f"{self.method} by {self.chunk_size}"

    def order(self) -> tuple[str, str, int]:
        """Return what candidates are sorted by."""
        return self.operator, self.method, self.chunk_size or 0

    def to_json(self) -> dict[str, Any]:
        """Return the fields."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Candidate:
        """Return what ``to_json`` wrote."""
        return cls(fields["operator"], fields["method"], fields["chunk_size"])
