"""A bench in a process of its own, ``python -m jacbench.picking.benches.worker``.

It is driven over its channel. The user's file is executed here and nowhere else: it may hang,
crash or change what it likes.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jacbench.core.errors import JacbenchError, NothingRightError
from jacbench.measuring import threads as environment
from jacbench.workers.channel import Upward
from jacbench.workers.lost import LostError

if TYPE_CHECKING:  # NumPy is imported once its threads are pinned, and the process has a folder
    from jacbench.picking.benches.local import LocalBench
    from jacbench.picking.loading.subject import Subject


class Worker:
    """What one process holds, and how it answers commands."""

    def __init__(self, threads: int, memory_bytes: int | None) -> None:
        self._threads, self._memory_bytes = threads, memory_bytes
        self._subject: Subject | None = None
        self._bench: LocalBench | None = None

    def answer(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """Do what ``command`` says and return the fields of the answer."""
        does: dict[str, Callable[..., dict[str, Any]]] = {
            "open": self.open,
            "start": self.start,
            "examine": self.examine,
            "samples": self.samples,
            "evidence": self.evidence,
            "offers": self.offers,
            "enter": self.enter,
            "block": self.block,
            "peak": self.peak,
            "changes": self.changes,
            "code": self.code,
            "bind": self.bind,
            "fingerprint": self.fingerprint,
        }
        rest = {key: value for key, value in command.items() if key != "do"}
        return does[command["do"]](**rest)

    @property
    def bench(self) -> LocalBench:
        """The bench, once it was started."""
        assert self._bench is not None  # noqa: S101 - the driver starts it first
        return self._bench

    def open(self, folder: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Load what the user named; return what it is."""
        from jacbench.picking.loading import function_request  # noqa: PLC0415 - NumPy, after the pins

        os.chdir(folder)
        self._subject = function_request.Asked.from_json(asked).subject()
        return function_request.described(self._subject)

    def start(self, backend: str) -> dict[str, Any]:
        """Make the bench of one library, past its first use."""
        from jacbench.picking.benches.local import LocalBench  # noqa: PLC0415

        assert self._subject is not None  # noqa: S101 - opened first
        self._bench = LocalBench(
            self._subject, backend, threads=self._threads, memory_bytes=self._memory_bytes
        )
        self._bench.warm_up()
        return {}

    def examine(self, time_limit_s: float, part: float) -> dict[str, Any]:
        """Look at the function."""
        return asdict(self.bench.examine(time_limit_s, part))

    def samples(self) -> dict[str, Any]:
        """Look for samples."""
        return asdict(self.bench.samples())

    def evidence(self) -> dict[str, Any]:
        """Say what answers are held against."""
        return asdict(self.bench.evidence())

    def offers(self) -> dict[str, Any]:
        """Return the candidates."""
        return {"offers": [asdict(offer) for offer in self.bench.offers()]}

    def enter(self, candidate: Mapping[str, Any]) -> dict[str, Any]:
        """Prepare and check a candidate."""
        entry = self.bench.enter(_candidate(candidate))
        return {"result": entry.result.to_json(), "call_s": entry.call_s, "start_s": entry.start_s}

    def block(self, candidate: Mapping[str, Any], repeats: int, iterations: int) -> dict[str, Any]:
        """Time some calls."""
        return {"seconds": self.bench.block(_candidate(candidate), repeats, iterations)}

    def peak(self, candidate: Mapping[str, Any]) -> dict[str, Any]:
        """Measure the memory of a call."""
        return {"peak_bytes": self.bench.peak(_candidate(candidate))}

    def changes(self, candidate: Mapping[str, Any], again: bool = False) -> dict[str, Any]:
        """Say what calls changed."""
        return {"reason": self.bench.changes(_candidate(candidate), again=again)}

    def code(self, candidate: Mapping[str, Any]) -> dict[str, Any]:
        """Return the lines to paste."""
        return {"lines": self.bench.code(_candidate(candidate))}

    def bind(self, cpus: list[int]) -> dict[str, Any]:
        """Bind this process."""
        self.bench.bind(cpus)
        return {}

    def fingerprint(self) -> dict[str, Any]:
        """Return machine, versions and settings."""
        return {"fingerprint": dict(self.bench.fingerprint())}


def _candidate(fields: Mapping[str, Any]) -> Any:
    from jacbench.picking.candidate import Candidate  # noqa: PLC0415

    return Candidate.from_json(fields)


def main() -> None:
    """Answer commands until there are no more."""
    channel = Upward()
    environment.die_with_parent()
    # A terminal sends Ctrl-C to a whole group; the driver decides what becomes of its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    first = channel.receive()
    if first is None:
        return
    worker = Worker(int(first["threads"]), first["memory_bytes"])
    channel.send("ready")
    while (command := channel.receive()) is not None:
        try:
            channel.send("answer", answer=worker.answer(command))
        except LostError as exc:
            channel.send("lost", verdict=str(exc.verdict), reason=exc.reason)
        except JacbenchError as exc:
            channel.send(
                "refused",
                reason=str(exc),
                traceback=_own_lines(exc),
                nothing_right=isinstance(exc, NothingRightError),
            )
        except Exception as exc:  # noqa: BLE001 - whatever a user's function raises
            from jacbench.core import redaction  # noqa: PLC0415

            told = redaction.text(f"{type(exc).__name__}: {redaction.one_line(exc, 300)}")
            channel.send("failed", reason=told, traceback=redaction.traceback_text(exc))


def _own_lines(exc: JacbenchError) -> str | None:
    """Return the traceback of what the user's own code raised, from its own lines on."""
    import traceback  # noqa: PLC0415 - only for what went wrong

    cause = exc.__cause__
    if cause is None or isinstance(cause, JacbenchError):
        return None
    here = Path.cwd()
    own = [f for f in traceback.extract_tb(cause.__traceback__) if _is_own(f.filename)]
    for frame in own:
        if Path(frame.filename).is_relative_to(here):
            frame.filename = str(Path(frame.filename).relative_to(here))
    told = ["Traceback (your lines):\n", *traceback.format_list(own)]
    return "".join([*told, *traceback.format_exception_only(cause)]) if own else None


def _is_own(file: str) -> bool:
    """Say whether a file is the user's: no library's, not jacbench's, not Python's."""
    path = Path(file)
    libraries = {"site-packages", "dist-packages"} & set(path.parts)
    shipped = (Path(os.__file__).parent, Path(__file__).parents[2])
    return path.is_file() and not libraries and not any(map(path.is_relative_to, shipped))


if __name__ == "__main__":
    main()
