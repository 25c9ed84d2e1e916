"""What a command line asks a pick about, in the words in which it travels to a worker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from jacbench.picking.loading import by_name, inputs
from jacbench.picking.loading import subject as subjects
from jacbench.picking.loading.subject import Subject


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A function by name, and where its input comes from.

    Attributes
    ----------
    named
        ``FILE.py:NAME`` or ``package.module:NAME``.
    shape
        ``32,6`` for each argument, or nothing.
    dtype
        ``float64``, ``float32``; None: that of the input.
    file
        A ``.npy`` or ``.npz`` file.
    argnum
        Which argument x is.
    wrt
        For a module: by its ``inputs`` or its ``parameters``.
    output
        Where it returns several: which; None: all, but for a module.
    stops_gradient
        True where it stops gradients on purpose.
    """

    named: str
    shape: tuple[str, ...] = ()
    dtype: str | None = None
    file: str | None = None
    argnum: int = 0
    wrt: str = "inputs"
    output: str | None = None
    stops_gradient: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the fields."""
        return asdict(self)

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Asked:
        """Return what ``to_json`` wrote."""
        known = {f.name: given[f.name] for f in fields(cls)}
        return cls(**{**known, "shape": tuple(known["shape"])})

    def subject(self) -> Subject:
        """Load it and say what it is; the user's file is executed."""
        loaded = by_name.load(self.named)
        found = inputs.find(
            loaded, shape=self.shape, dtype=self.dtype, file=self.file, argnum=self.argnum
        )
        numbered = self.output is not None and self.output.isdecimal()
        output = int(self.output or 0) if numbered else self.output
        return subjects.of_named(
            loaded,
            found,
            wrt=self.wrt,
            output=output,
            dtype=self.dtype,
            stops_gradient=self.stops_gradient,
        )


def described(subject: Subject) -> dict[str, Any]:
    """Return what a driver has to know of a subject that stays with its worker."""
    return {
        "name": subject.problem.name,
        "kind": subject.kind,
        "backends": list(subject.backends),
        "dtype": subject.dtype,
        "device": subject.device,
        "notes": list(subject.notes),
    }
