"""A bench of planted candidates: times, verdicts and faults without any library."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass

from jacbench.core.cell import Cell, CellResult, Verdict
from jacbench.picking.bench import Entry, Evidence, Look, Offer
from jacbench.picking.candidate import Candidate
from jacbench.structure.samples import Samples
from jacbench.workers.lost import LostError


@dataclass
class Planted:
    """A candidate as it really is."""

    method: str
    call_s: float = 1e-5
    operator: str = "jacobian"
    mode: str = ""
    chunking: str = "whole"
    structure: str = ""
    compiled: bool = False
    reason: str | None = None
    verdict: Verdict = Verdict.AGREES
    prepare_s: float = 0.0
    start_s: float = 0.0
    peak_bytes: int = 1000
    lost_at: int | None = None
    by_chunk: dict | None = None
    notes: dict | None = None


class SimulatedBench:
    """Candidates as planted."""

    def __init__(self, *planted, backend="sim", noise=0.005):
        self.backend = backend
        self.planted = {p.method: p for p in planted}
        self.rng = random.Random(0)  # noqa: S311
        self.noise = noise
        self.entered = []
        self.blocks = []
        self.bound = []
        self.counts = {name: itertools.count(1) for name in self.planted}

    def hold(self, left_s):
        self.left_s = left_s

    def examine(self, time_limit_s, part=1.0):
        return Look(m=200, n=100, dtype="float64", call_s=1e-5)

    def samples(self):
        return Samples(None)

    def evidence(self):
        return Evidence(told="planted")

    def offers(self):
        return [
            Offer(
                candidate=Candidate(p.operator, p.method),
                structure=p.structure,
                mode=p.mode,
                chunking=p.chunking,
                compiled=p.compiled,
                reason=p.reason,
            )
            for p in self.planted.values()
        ]

    def _call_s(self, candidate):
        planted = self.planted[candidate.method]
        if candidate.chunk_size is not None:
            return (planted.by_chunk or {}).get(candidate.chunk_size, planted.call_s)
        return planted.call_s

    def enter(self, candidate, time_limit_s=None):
        self.entered.append(candidate)
        planted = self.planted[candidate.method]
        cell = Cell("p", candidate.operator, candidate.method, "sim", "cpu", "float64", 1)
        agrees = planted.verdict is Verdict.AGREES
        result = CellResult(
            cell=cell,
            verdict=planted.verdict,
            reason=None if agrees else "planted",
            prepare_s=planted.prepare_s,
            notes=planted.notes or {},
        )
        call_s = self._call_s(candidate) if agrees else None
        return Entry(candidate=candidate, result=result, call_s=call_s, start_s=planted.start_s)

    def revive(self):
        pass

    def ready(self, candidate):
        return True

    def block(self, candidate, repeats, iterations):
        self.blocks.append(candidate)
        lost_at = self.planted[candidate.method].lost_at
        if lost_at is not None and next(self.counts[candidate.method]) >= lost_at:
            raise LostError(Verdict.CRASHED, "the worker was killed by SIGKILL")
        own = [1 + self.noise * self.rng.gauss(0, 1) for _ in range(repeats)]
        return [self._call_s(candidate) * factor for factor in own]

    def peak(self, candidate):
        planted = self.planted[candidate.method]
        share = 1 if candidate.chunk_size is None else candidate.chunk_size / 200
        return int(planted.peak_bytes * share)

    def changes(self, candidate, *, again=False):
        return None

    def bind(self, cpus):
        self.bound.append(tuple(cpus))

    def code(self, candidate):
        return [f"J = {candidate.method}"]

    def fingerprint(self):
        return {}

    def close(self):
        pass
