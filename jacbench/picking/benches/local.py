"""Candidates prepared, checked and timed in this process, for one library."""

from __future__ import annotations

import gc
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from jacbench.backend import Method, MethodInfo, registry
from jacbench.backend.recipes import through_jacbench
from jacbench.checking import process_state, recheck
from jacbench.checking.checks import Settled
from jacbench.checking.new_points import NewPoints
from jacbench.checking.reference import Reference
from jacbench.checking.sample_independence import batch_size as samples_of
from jacbench.checking.verdict import guarded, refused, settle
from jacbench.core import redaction, tree
from jacbench.core.cell import Cell, CellResult, Verdict
from jacbench.core.errors import JacbenchError
from jacbench.core.pattern import Pattern
from jacbench.measuring import affinity, memory
from jacbench.measuring.clock import Clock
from jacbench.measuring.warm_up import warm_up
from jacbench.picking.bench import Entry, Evidence, Look, Offer
from jacbench.picking.candidate import FORMATS, Candidate
from jacbench.picking.examining import examination
from jacbench.picking.examining.examination import Examination
from jacbench.picking.loading.subject import Subject
from jacbench.picking.loading.values import is_plain
from jacbench.picking.reference import evidence
from jacbench.picking.reference.evidence import Truth
from jacbench.problems.counted_function import Calls
from jacbench.problems.problem import Problem
from jacbench.running.prepared_cells import Harness, Limits
from jacbench.structure import compression_plan, sample_guard
from jacbench.structure.guard import Guarded
from jacbench.structure.samples import Samples
from jacbench.structure.samples import find as find_samples
from jacbench.workers.lost import LostError

NOTHING = 1e-12
"""Share of the largest entry below which one may be rounding, in place of a zero."""
_OF_TREES = "samples are looked for where y is one array: name one of its arrays with --output"
"""Why no method goes by samples where a function returns a tree."""
_PATTERN = "problem.pattern"
"""How the lines to paste call the pattern that a problem gives."""
WARM_S = 0.05
"""A fifth of this, seconds, goes into the first estimate of a call's time."""


class LocalBench:
    """A bench in this process.

    Parameters
    ----------
    subject
        The function.
    backend
        Whose methods.
    threads
        How many the process has been started with.
    memory_bytes
        What a call may need; None: a share of what is free.
    configure
        False in a process that is the caller's: its settings stay.
    """

    def __init__(
        self,
        subject: Subject,
        backend: str,
        *,
        threads: int = 1,
        memory_bytes: int | None = None,
        configure: bool = True,
    ) -> None:
        self.subject, self.backend, self.threads = subject, backend, threads
        self._memory_bytes = memory_bytes
        self._configure = configure
        self._clock = Clock()
        self._settled: dict[Candidate, Settled] = {}
        self._tidy = self._frozen = self._is_warm = False
        self._examined: Examination | None = None
        self._no_samples: str | None = None
        self._as_set = registry.load(backend).state()
        self._renew(subject)

    def _renew(self, subject: Subject) -> None:
        self.subject = subject
        problem = subject.problem
        limits = Limits(None, self._memory_bytes)
        self._harness = Harness(
            self.threads,
            limits,
            {problem.name: problem},
            verify_pins=False,
            configure=self._configure,
        )
        self._library = self._harness.backend(self.backend)
        if self._configure and subject.as_set:
            self._library.restore(self._as_set)
        self._gathered: Truth | None = None
        self._points: NewPoints | None = None

    def hold(self, left_s: Callable[[], float]) -> None:
        """Do nothing: what goes on in this process cannot be ended."""

    def examine(self, time_limit_s: float, part: float = 1.0) -> Look:
        """Say what kind of function it is; from then on its point is one that can be used."""
        found = examination.examine(
            self.subject, self.backend, time_limit_s=time_limit_s, part=part
        )
        self._examined = found
        self._renew(replace(self.subject, problem=found.problem, dtype=found.dtype))
        return Look(m=found.m, n=found.n, dtype=found.dtype, call_s=found.call_s, lines=found.lines)

    def samples(self) -> Samples:
        """Look for an axis over samples; from then on the problem has it."""
        found = self._find_samples()
        self._no_samples = found.reason
        problem = self.subject.problem
        if found.axis is not None and problem.in_axes is None:
            batched = replace(problem, in_axes=(found.axis, *(None for _ in problem.constants)))
            self._examined = replace(self._looked, problem=batched)
            self._renew(replace(self.subject, problem=batched))
        return found

    def _find_samples(self) -> Samples:
        problem = self.subject.problem
        if problem.in_axes is not None:
            return Samples(problem.in_axes[0], samples_of(problem))
        if self.subject.outputs is not None:
            return Samples(None, reason=_OF_TREES)
        looked, device = self._looked, self.subject.device
        precision = looked.precision
        calls = Calls(problem, self.backend, dtype=precision, device=device, lifted=looked.lifted)
        value = looked.in_time(calls)
        with self._library.precise():
            found = find_samples(
                value,
                [problem.x, problem.elsewhere],
                pattern=None if problem.pattern is None else Pattern.of(problem.pattern),
                dtype=precision,
                seed=problem.seed,
            )
        return Samples(None, reason=value.over) if value.over else found

    @property
    def _looked(self) -> Examination:
        assert self._examined is not None  # noqa: S101 - examined first
        return self._examined

    def evidence(self) -> Evidence:
        """Say what answers are held against."""
        return Evidence(told=self._truth.told, doubt=self._truth.doubt or "")

    @property
    def _truth(self) -> Truth:
        if self._gathered is None:
            self._gathered = evidence.truth(self.subject, self.backend, self._looked)
        return self._gathered

    def offers(self) -> list[Offer]:
        """Return every candidate of the library."""
        return list(self._offers())

    def _offers(self) -> Iterator[Offer]:
        for method in self._library.methods():
            info = method.info
            if info.operator not in FORMATS or info.by_intermediate:
                continue
            candidate = Candidate(info.operator, info.name)
            problem = self.subject.problem
            yield Offer(
                candidate=candidate,
                structure=info.structure,
                mode=info.mode,
                chunking=method.chunking,
                compiled=info.compiled,
                eager_form_of=info.eager_form_of,
                reason=self._apart(info) or refused(self._cell(candidate), problem, method, None),
            )

    def _apart(self, info: MethodInfo) -> str | None:
        """Return why a method finds no samples here, or too few zeros; None: it may find them."""
        if info.structure == "sparse":
            return self._too_dense()
        if info.structure != "samples" and info.operator != "batch_jacobian":
            return None
        return self._no_samples

    def _too_dense(self) -> str | None:
        """Return that the reference alone shows too many entries to compress, or None.

        Whatever pattern a method would find holds those entries, at the least.
        """
        known = self._gathered
        if known is None or not known.whole:
            return None
        entries = np.abs(known.reference.here.jacobian)
        count = int(np.count_nonzero(entries > NOTHING * entries.max(initial=0.0)))
        return compression_plan.too_dense(count, entries.shape)

    def _cell(self, candidate: Candidate) -> Cell:
        return Cell(
            problem=self.subject.problem.name,
            operator=candidate.operator,
            method=candidate.method,
            backend=self.backend,
            device=self.subject.device,
            dtype=self.subject.dtype,
            threads=self.threads,
        )

    def warm_up(self) -> None:
        """Let the library pay for its first use, once: with a plain method, on a tiny function."""
        if self._is_warm:
            return
        self._is_warm = True
        plain = (m for m in self._library.methods() if not (m.info.structure or m.info.compiled))
        method = next((m for m in plain if m.info.operator == "jacobian"), None)
        if method is not None:
            cell = self._cell(Candidate("jacobian", method.info.name))
            self._harness.warm_up(self._library, method, cell)

    def enter(self, candidate: Candidate, time_limit_s: float | None = None) -> Entry:
        """Prepare and check a candidate, and call it a few times; nothing here ends it."""
        del time_limit_s
        cell, method = self._cell(candidate), registry.method(candidate.method)
        self.warm_up()
        begun = time.perf_counter()
        if method.info.compiled:  # starting such a compiler takes seconds, and is told apart
            self._harness.warm_up(self._library, method, cell)
        start_s = time.perf_counter() - begun
        settled = _looked_at(self._settle(cell, method, candidate))
        self._settled[candidate] = settled
        self._tidy = False
        call_s = None
        if settled.prepared is not None:
            try:
                with warnings.catch_warnings():
                    # they were kept when the candidate was settled
                    warnings.simplefilter("ignore")
                    call_s = warm_up(settled.prepared.call, settled.x, WARM_S)
            except Exception as exc:  # noqa: BLE001 - a call that fails only after a few
                reason = redaction.text(f"{type(exc).__name__}: {redaction.one_line(exc, 300)}")
                told = replace(
                    settled.result,
                    verdict=Verdict.FAILED,
                    reason=reason,
                    traceback=redaction.traceback_text(exc),
                )
                settled = self._settled[candidate] = Settled(told)
        return Entry(candidate=candidate, result=settled.result, call_s=call_s, start_s=start_s)

    def _settle(self, cell: Cell, method: Method, candidate: Candidate) -> Settled:
        problem, m = self.subject.problem, self._looked.m
        result = CellResult(cell=cell, verdict=Verdict.UNSUPPORTED, n=problem.n, m=m)
        reason = refused(cell, problem, method, candidate.chunk_size)
        if reason is not None:
            return Settled(replace(result, reason=reason))
        if candidate.format == "dense":
            large = guarded(result, problem, m, self._memory_bytes)
            if large is not None:
                return Settled(large)
        return settle(
            cell,
            problem,
            self._library,
            method,
            self._truth.reference,
            chunk_size=candidate.chunk_size,
        )

    def revive(self) -> None:
        """Do nothing: this process is here."""

    def ready(self, candidate: Candidate) -> bool:
        """Say that it was prepared: what is prepared here stays."""
        return candidate in self._settled

    def block(self, candidate: Candidate, repeats: int, iterations: int) -> list[float]:
        """Time calls of a candidate that agrees, after one to warm up."""
        settled = self._settled[candidate]
        assert settled.prepared is not None  # noqa: S101 - asked only of who agrees
        call, x = settled.prepared.call, settled.x
        if not self._tidy:
            # What is prepared lives as long as the bench: no collection need look at it.
            gc.collect()
            if self._frozen or not gc.get_freeze_count():  # else it is the caller's to undo
                gc.freeze()
                self._frozen = True
            self._tidy = True
        with self._called_again():
            call(x)
            return [self._timed(call, x, iterations) for _ in range(repeats)]

    def _timed(self, call: Callable[[Any], Any], x: Any, iterations: int) -> float:
        started = self._clock.start()
        for _ in range(iterations):
            call(x)
        return self._clock.since(started)[0] / iterations

    def peak(self, candidate: Candidate) -> int | None:
        """Return the peak memory of a call."""
        settled = self._settled[candidate]
        if settled.prepared is None:
            return None
        call, x = settled.prepared.call, settled.x
        with self._called_again():
            call(x)
            if self.subject.device != "cpu":
                return self._library.device_peak_bytes(lambda: call(x), self.subject.device)
            if self._configure:
                ready = memory.prepare_to_measure()
                return memory.peak_bytes(lambda: call(x)) if ready else None
            try:  # the allocator of a caller's process stays as it is: small peaks are not seen
                return memory.peak_bytes(lambda: call(x))
            except OSError:  # a system that does not tell
                return None

    @contextmanager
    def _called_again(self) -> Iterator[None]:
        """Raise :class:`LostError` for what a call raises that went well before."""
        try:
            with warnings.catch_warnings():
                # they were kept when the candidate was settled
                warnings.simplefilter("ignore")
                yield
        except Exception as exc:
            told = redaction.text(f"{type(exc).__name__}: {redaction.one_line(exc, 300)}")
            raise LostError(Verdict.FAILED, f"a later call raised {told}") from exc

    def changes(self, candidate: Candidate, *, again: bool = False) -> str | None:
        """Call the candidate twice more and say how the process changed; it is put back.

        ``again`` asks it at new points too.
        """
        settled = self._settled[candidate]
        if settled.prepared is None:
            return None
        before = process_state.take(self._library)
        last = None
        try:
            with self._called_again():
                for _ in range(2):
                    last = settled.prepared.call(settled.x)
        finally:
            changes = process_state.put_back(before)
        if again and changes.reason is None:
            found = recheck.again(
                settled, last, self._new_points(), whole=True, threads=self._configure
            ).result
            if found.verdict is not Verdict.AGREES:
                raise LostError(found.verdict, found.reason or str(found.verdict))
        return changes.reason

    def _new_points(self) -> NewPoints:
        """Return points that nobody has seen, with what is right there by the same evidence."""
        if self._points is None:
            looked, subject = self._looked, self.subject

            def rightly(moved: Problem) -> Reference:
                return evidence.truth(
                    replace(subject, problem=moved), self.backend, replace(looked, problem=moved)
                ).reference

            known = self._truth.reference
            self._points = NewPoints(subject.problem, known, rightly, subject.dtype)
        return self._points

    def bind(self, cpus: Sequence[int]) -> None:
        """Bind every thread of this process."""
        affinity.bind_every_thread(cpus)

    def code(self, candidate: Candidate) -> list[str]:
        """Return the lines to paste: the library's own where it has some, else jacbench's."""
        spelling = self.subject.spelled(self.backend)
        problem, outputs = self.subject.problem, self.subject.outputs
        settled = self._settled.get(candidate)
        notes = {} if settled is None or settled.prepared is None else settled.prepared.notes
        facts = {
            **notes,
            "in_axes": problem.in_axes,
            "tree": not tree.is_leaf(problem.x),
            "returns_tree": outputs is not None,
            "pattern": _PATTERN if self._is_by_pattern(candidate) else "",
            "zero": settled is not None and "zero_columns" in settled.result.notes,
            "device": self.subject.device,
            "dtype": self.subject.dtype,
        }
        method, chunk = candidate.method, candidate.chunk_size
        guarded = settled is not None and isinstance(
            getattr(settled.prepared, "call", None), (Guarded, sample_guard.LookedAt)
        )
        # plain lines would rest on what was seen at a few points, or on a tree of one library's
        lines = (
            None
            if guarded or (outputs and not is_plain(outputs))
            else self._library.recipe(method, spelling, chunk, facts)
        )
        lines = lines or through_jacbench(method, candidate.operator, spelling, chunk, facts)
        return [*spelling.setup, *lines]

    def _is_by_pattern(self, candidate: Candidate) -> bool:
        """Say whether it was prepared with the pattern that the problem gives."""
        structure = registry.method(candidate.method).info.structure
        return structure == "sparse" and self.subject.problem.pattern is not None

    def fingerprint(self) -> Mapping[str, Any]:
        """Return the machine, the versions and the settings."""
        from jacbench.results import run  # noqa: PLC0415 - it imports much that a bench does without

        described: Mapping[str, Any] = run.json_safe(run.describe(self._harness.settings))
        return described

    def close(self) -> None:
        """Let go of what was prepared."""
        self._settled.clear()
        if self._frozen:
            gc.unfreeze()
            self._frozen = self._tidy = False


def _looked_at(settled: Settled) -> Settled:
    """Return it with the guard of what gives blocks: it is timed as it is pasted."""
    trial, prepared, result = settled.trial, settled.prepared, settled.result
    cell = result.cell
    target = None if trial is None else trial.target
    if trial is None or target is None or prepared is None or cell.operator != "batch_jacobian":
        return settled
    try:
        looked = sample_guard.looked_at(cell.method, cell.method, target, trial.sizes, prepared)
    except JacbenchError as exc:
        return Settled(replace(result, verdict=Verdict.UNSUPPORTED, reason=str(exc)))
    return replace(
        settled, prepared=looked, result=replace(result, notes={**result.notes, **looked.notes})
    )
