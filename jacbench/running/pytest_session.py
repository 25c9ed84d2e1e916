"""The harness in one pytest session: its cells, its order, its figures in the saved files."""

from __future__ import annotations

import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from jacbench.core.cell import FULLNAME, Cell, CellResult, Verdict
from jacbench.core.errors import JacbenchError
from jacbench.measuring import affinity
from jacbench.measuring import threads as environment

if TYPE_CHECKING:  # NumPy may be imported only once its threads are pinned
    from jacbench.problems.problem import Problem
    from jacbench.results.run import Stretch
    from jacbench.running.prepared_cells import Harness, Limits

PARAMETERS = ("problem", "operator", "method", "backend", "device", "dtype", "threads", "visit")
"""Parameters of the one benchmark, all strings: ``--benchmark-group-by=param:method`` works."""
DEVICE_CALLS = 5
"""Calls timed by the device's own events after each stretch: their median is kept."""


class Given:
    """A plugin that hands problems to the suite as objects: :func:`jacbench.run` uses it."""

    def __init__(self, problems: Mapping[str, Problem]) -> None:
        self.problems = dict(problems)


def _given(config: pytest.Config) -> dict[str, Problem]:
    # By type: what is handed to pytest.main() is registered without a name.
    given = [p for p in config.pluginmanager.get_plugins() if isinstance(p, Given)]
    return given[0].problems if given else {}


def session_of(config: pytest.Config) -> Session:
    """Return the part of this plugin that belongs to one pytest session."""
    session = config.pluginmanager.get_plugin("jacbench-session")
    assert isinstance(session, Session)  # noqa: S101 - registered in pytest_configure
    return session


def _nobody(kind: str, **fields: Any) -> None:
    """Tell nobody."""
    del kind, fields


@contextmanager
def _spent(seconds: dict[str, float], on: str) -> Iterator[None]:
    """Add the time that the block takes."""
    start = time.perf_counter()
    try:
        yield
    finally:
        seconds[on] = seconds.get(on, 0.0) + time.perf_counter() - start


class Session:
    """Cells, harness and results of one pytest session."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.cells: dict[str, Cell] = {}
        self.results: dict[Cell, CellResult] = {}
        self.stretches: dict[Cell, list[Stretch]] = {}
        self.extra: dict[Cell, list[dict[str, Any]]] = {}
        self.too_early: list[str] = []
        self.mistake: str | None = None
        self.seconds: dict[str, float] = {}
        """Time by what it was spent on, as :class:`jacbench.results.run.Run` names it."""
        self.tell: Callable[..., None] = _nobody
        """Takes the kind of an event and its fields: a worker's driver wants to know."""
        self.visit: int | None = None
        """The visit that a driver asked for; None: the one that a test's parameter names."""
        self._asked_again: set[Cell] = set()
        self._block: dict[str, Any] | None = None
        self._harness: Harness | None = None
        self._scratch: tempfile.TemporaryDirectory[str] | None = None

    # Collection

    @pytest.hookimpl(tryfirst=True)
    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Give the one benchmark its cells."""
        if metafunc.function.__name__ != "test_cell" or "visit" not in metafunc.fixturenames:
            return
        try:
            self._pin()
            asked = self._asked()
        except JacbenchError as exc:
            # Raised here, it would be shown as an error of the suite's, with a traceback.
            self.mistake = str(exc)
            return
        self.cells = {cell.key: cell for cell, _ in asked}
        many = max((visit for _, visit in asked), default=0) > 0
        metafunc.parametrize(
            PARAMETERS,
            [
                (
                    cell.problem,
                    cell.operator,
                    cell.method,
                    cell.backend,
                    cell.device,
                    cell.dtype,
                    str(cell.threads),
                    str(visit),
                )
                for cell, visit in asked
            ],
            ids=[f"{cell.key}-visit{visit}" if many else cell.key for cell, visit in asked],
        )

    def _pin(self) -> None:
        if (cpus := self.config.getoption("jacbench_cpus")) is not None:
            affinity.bind(affinity.parse(cpus))
        self.too_early = environment.pin(max(1, self.config.getoption("jacbench_threads")))
        if "TORCHINDUCTOR_CACHE_DIR" not in os.environ:
            # A warm cache on disk would falsify the preparation time.
            self._scratch = tempfile.TemporaryDirectory(
                prefix="jacbench-", ignore_cleanup_errors=True
            )
            os.environ["TORCHINDUCTOR_CACHE_DIR"] = self._scratch.name

    def _asked(self) -> list[tuple[Cell, int]]:
        from jacbench.running.selection import Selection, cells  # noqa: PLC0415

        option = self.config.getoption
        if option("jacbench_cells"):
            rows = json.loads(Path(option("jacbench_cells")).read_text(encoding="utf-8"))
            return [(Cell(**row["cell"]), visit) for row in rows for visit in row["visits"]]
        for name in ("visits", "threads", "chunk-size"):
            value = option(f"jacbench_{name.replace('-', '_')}")
            if value is not None and value < 1:
                raise JacbenchError(f"--jacbench-{name} {value}: give a whole number of at least 1")
        self._limits()
        selection = Selection(
            problems=option("jacbench_problem"),
            methods=option("jacbench_method"),
            devices=option("jacbench_device"),
            dtypes=option("jacbench_dtype"),
            threads=option("jacbench_threads"),
            operators=option("jacbench_operator"),
        )
        chosen = cells(selection, given=_given(self.config))
        return [(cell, visit) for visit in range(option("jacbench_visits")) for cell in chosen]

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Sort several visits by visit, and at random within each: noise is shared by all."""
        if self.mistake is not None:
            raise pytest.UsageError(self.mistake)
        ours = [item for item in items if _visit_of(item) is not None]
        if all(_visit_of(item) == 0 for item in ours):
            return
        # An order of measurement, not a secret.
        order = random.Random(self.config.getoption("jacbench_seed"))  # noqa: S311
        keyed = sorted(((_visit_of(item) or 0, order.random(), item) for item in ours), key=_order)
        places = [index for index, item in enumerate(items) if _visit_of(item) is not None]
        for place, (_, _, item) in zip(places, keyed, strict=True):
            items[place] = item

    def pytest_report_header(self) -> list[str]:
        """Say which backends are absent, and how to get them."""
        if not self.cells:
            return []
        from jacbench.backend.registry import absent  # noqa: PLC0415

        return [f"jacbench: {why}" for why in absent().values()]

    # Running

    @property
    def harness(self) -> Harness:
        """The harness, made when the first cell runs."""
        if self._harness is None:
            from jacbench.running.prepared_cells import Harness  # noqa: PLC0415

            option = self.config.getoption
            self._harness = Harness(
                option("jacbench_threads"),
                self._limits(),
                _given(self.config),
                verify_pins=not option("jacbench_check"),
            )
        return self._harness

    def _limits(self) -> Limits:
        from jacbench.measuring.memory import parse_size  # noqa: PLC0415
        from jacbench.running.prepared_cells import Limits  # noqa: PLC0415

        size = self.config.getoption("jacbench_memory")
        return Limits(
            self.config.getoption("jacbench_chunk_size"),
            None if size is None else parse_size(size),
            self.config.getoption("jacbench_rtol"),
            self.config.getoption("jacbench_atol"),
        )

    def run(self, cell: Cell, visit: int, benchmark: Any) -> None:
        """Settle ``cell``; time it if it agrees."""
        if self.visit is not None:
            visit = self.visit
        self.tell("start", cell=cell.key, visit=visit)
        with _spent(self.seconds, "settling"):
            result = self._cautioned(self.harness.settle(cell).result)
        if cell not in self.results:
            self.results[cell] = result
            self.tell("settled", cell=cell.key, result=result.to_json())
        if result.verdict is Verdict.AGREES and not self.config.getoption("jacbench_check"):
            self.tell("timing", cell=cell.key)
            with _spent(self.seconds, "timing"):
                self._time(cell, benchmark)
        if result.verdict in (Verdict.UNSUPPORTED, Verdict.TOO_LARGE):
            pytest.skip(f"{result.verdict}: {result.reason}")
        if result.verdict is not Verdict.AGREES:
            pytest.fail(f"{result.verdict}: {result.reason}", pytrace=False)

    def _cautioned(self, result: CellResult) -> CellResult:
        """Return ``result`` with a caution where its backend takes more cores than it may."""
        caution = self.harness.pins_hold(result.cell.backend)
        if caution is None or result.verdict is not Verdict.AGREES:
            return result
        return replace(result, cautions=(*result.cautions, caution))

    def _time(self, cell: Cell, benchmark: Any) -> None:
        from jacbench.backend import registry  # noqa: PLC0415
        from jacbench.checking import verdict as settle  # noqa: PLC0415
        from jacbench.measuring import warm_up as timing  # noqa: PLC0415

        settled = self.harness.settle(cell)
        prepared, x, result = settled.prepared, settled.x, self.results[cell]
        if prepared is None:
            return
        benchmark.group = cell.problem
        benchmark.fullname = FULLNAME + benchmark.name
        benchmark.extra_info.update(result.extra_info())
        self.extra.setdefault(cell, []).append(benchmark.extra_info)
        visits = max(1, self.config.getoption("jacbench_visits"))
        budget_s = float(benchmark._max_time) / visits
        try:
            if benchmark.disabled:
                benchmark.pedantic(prepared.call, args=(x,))
                return
            call_s = timing.warm_up(prepared.call, x, budget_s)
            plan = timing.plan(call_s, budget_s, -(-benchmark._min_rounds // visits))
            with timing.ProcessorTime() as used:
                last = benchmark.pedantic(
                    prepared.call, args=(x,), rounds=plan.rounds, iterations=plan.iterations
                )
            device_s = self._device_seconds(cell, prepared.call, x)
        except Exception as exc:  # noqa: BLE001 - a fault that shows only after many calls
            method, backend = registry.method(cell.method), self.harness.backend(cell.backend)
            found = settle.fault(result, method, backend, exc)
            self._fail(cell, replace(found, reason=f"in a timed call: {found.reason}"))
            return
        if (change := self.harness.state_changes()) is not None:
            self._fail(cell, replace(result, verdict=Verdict.FAILED, reason=change))
            return
        self._ask_again(cell, last)
        stretch = {
            "samples": list(benchmark.stats.stats.data),
            "iterations": plan.iterations,
            "cpu_s": used.seconds / plan.calls,
            "device_s": device_s,
        }
        self.tell("timed", cell=cell.key, **stretch)
        self._record(cell, stretch)

    def _ask_again(self, cell: Cell, last: Any) -> None:
        """Ask again what was timed: all of it after the first stretch, the least after others."""
        self.tell("asking-again", cell=cell.key)
        result = self.harness.ask_again(cell, last, whole=cell not in self._asked_again)
        self._asked_again.add(cell)
        known = self.results[cell]
        if result.verdict is not Verdict.AGREES:
            self._fail(cell, replace(result, cautions=known.cautions))
            return
        cautions = tuple(dict.fromkeys((*known.cautions, *result.cautions)))
        changed = replace(known, cautions=cautions, notes=result.notes, error=result.error)
        if changed != known:
            self.results[cell] = changed
            self.tell("asked-again", cell=cell.key, result=changed.to_json())

    def _device_seconds(self, cell: Cell, call: Callable[[Any], Any], x: Any) -> float | None:
        """Return the time of one call by the device's own events, where it has any, seconds."""
        if cell.device == "cpu":
            return None
        backend = self.harness.backend(cell.backend)
        found = [backend.device_seconds(lambda: call(x), cell.device) for _ in range(DEVICE_CALLS)]
        seconds = [s for s in found if s is not None]
        return statistics.median(seconds) if seconds else None

    def _fail(self, cell: Cell, result: CellResult) -> None:
        from jacbench.results import run as results  # noqa: PLC0415

        result = results.untimed(result)
        self.results[cell] = result
        self.stretches.pop(cell, None)
        for extra in self.extra.get(cell, []):
            extra["verdict"] = str(result.verdict)
        self.harness.settled[cell] = type(self.harness.settled[cell])(result)
        self.tell("settled", cell=cell.key, result=result.to_json())
        pytest.fail(f"{result.verdict}: {result.reason}", pytrace=False)

    def _record(self, cell: Cell, stretch: Mapping[str, Any]) -> None:
        from jacbench.results import run as results  # noqa: PLC0415

        stretches = self.stretches.setdefault(cell, [])
        stretches.append(results.Stretch(**stretch))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self) -> Generator[None, object, object]:
        """After the last cell is timed, measure peak memory; then say how sure the figures are."""
        try:
            outcome = yield
            option = self.config.getoption
            timed = self._harness is not None and not option("jacbench_check")
            driven = option("jacbench_worker")  # then its driver says when
            if timed and not (driven or option("benchmark_disable") or option("collectonly")):
                for cell in [c for c, s in self.harness.settled.items() if s.prepared is not None]:
                    self.measure_memory(cell)
        finally:
            self._pool()
        return outcome

    def measure_memory(self, cell: Cell) -> None:
        """Measure the peak memory of one call, where ``cell`` agrees."""
        self.tell("memory-start", cell=cell.key)
        self.harness.settle(cell)  # in a worker that took over from one that died
        from jacbench.measuring import memory  # noqa: PLC0415

        with _spent(self.seconds, "memory"):
            peak = self.harness.measure_memory(cell)
            leak = self.harness.leak_bytes(cell)
        told = () if leak is None else (memory.leak_caution(leak),)
        if cell in self.results:
            known = self.results[cell]
            cautions = (*known.cautions, *told)
            self.results[cell] = replace(known, peak_bytes=peak, cautions=cautions)
        for extra in self.extra.get(cell, []):
            extra["peak_bytes"] = peak
        self.tell("memory", cell=cell.key, peak_bytes=peak, cautions=told)

    def _pool(self) -> None:
        from jacbench.results import run as results  # noqa: PLC0415

        for cell, stretches in self.stretches.items():
            self.results[cell] = results.pooled(self.results[cell], stretches)

    # Saving

    def pytest_benchmark_update_machine_info(self, machine_info: dict[str, Any]) -> None:
        """Take the host's name out: people share these files."""
        if self.cells:
            machine_info.pop("node", None)

    @pytest.hookimpl(tryfirst=True)
    def pytest_benchmark_compare_machine_info(
        self, machine_info: dict[str, Any], compared_benchmark: dict[str, Any]
    ) -> None:
        """Compare with a file of ours as it was saved, or every comparison would warn."""
        if "jacbench" in compared_benchmark:
            machine_info.pop("node", None)

    def pytest_benchmark_update_json(self, output_json: dict[str, Any]) -> None:
        """Add every cell with its verdict, and the fingerprint; may be called twice."""
        if not self.cells:
            return
        if self._block is None:
            from jacbench.results import run as results  # noqa: PLC0415

            settings = self._harness.settings if self._harness else {}
            self._block = results.block(list(self.results.values()), settings)
        output_json["jacbench"] = self._block
        # A cell that failed after an earlier visit was timed has no time.
        output_json["benchmarks"][:] = [
            row
            for row in output_json["benchmarks"]
            if row["extra_info"].get("verdict", "agrees") == "agrees"
        ]

    def pytest_unconfigure(self) -> None:
        """Remove the compiler's cache."""
        if self._scratch is not None:
            os.environ.pop("TORCHINDUCTOR_CACHE_DIR", None)
            self._scratch.cleanup()


def _visit_of(item: pytest.Item) -> int | None:
    params = getattr(getattr(item, "callspec", None), "params", {})
    return int(params["visit"]) if set(PARAMETERS) <= set(params) else None


def _order(keyed: tuple[int, float, pytest.Item]) -> tuple[int, float]:
    return keyed[:2]
