"""The harness in one pytest session: its cells, its order, its figures in the saved files."""

from __future__ import annotations

import json
import os
import random
import tempfile
from collections.abc import Generator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from jacbench import environment
from jacbench.cell import Cell, CellResult, Verdict
from jacbench.errors import JacbenchError
from jacbench.events import EventWriter
from jacbench.suite import FULLNAME

if TYPE_CHECKING:  # NumPy may be imported only once its threads are pinned
    from jacbench.harness import Harness, Limits
    from jacbench.problem import Problem

PARAMETERS = ("problem", "operator", "method", "backend", "device", "dtype", "threads", "visit")
"""Parameters of the one benchmark, all strings: ``--benchmark-group-by=param:method`` works."""


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


class Session:
    """Cells, harness and results of one pytest session."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.cells: dict[str, Cell] = {}
        self.results: dict[Cell, CellResult] = {}
        self.samples: dict[Cell, list[float]] = {}
        self.extra: dict[Cell, list[dict[str, Any]]] = {}
        self.too_early: list[str] = []
        self.mistake: str | None = None
        self._block: dict[str, Any] | None = None
        self._harness: Harness | None = None
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        path = config.getoption("jacbench_events")
        self.events = EventWriter(Path(path) if path else None)
        if path:
            environment.die_with_parent()

    # Collection

    @pytest.hookimpl(tryfirst=True)
    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Give the one benchmark its cells."""
        if metafunc.function.__name__ != "test_cell" or "visit" not in metafunc.fixturenames:
            return
        self._pin()
        try:
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
        self.too_early = environment.pin(max(1, self.config.getoption("jacbench_threads")))
        if "TORCHINDUCTOR_CACHE_DIR" not in os.environ:
            # A warm cache on disk would falsify the preparation time.
            self._scratch = tempfile.TemporaryDirectory(
                prefix="jacbench-", ignore_cleanup_errors=True
            )
            os.environ["TORCHINDUCTOR_CACHE_DIR"] = self._scratch.name

    def _asked(self) -> list[tuple[Cell, int]]:
        from jacbench.selection import Selection, cells  # noqa: PLC0415

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
        from jacbench.selection import absent  # noqa: PLC0415

        return [f"jacbench: {why}" for why in absent().values()]

    # Running

    @property
    def harness(self) -> Harness:
        """The harness, made when the first cell runs."""
        if self._harness is None:
            from jacbench.harness import Harness  # noqa: PLC0415

            option = self.config.getoption
            self._harness = Harness(
                option("jacbench_threads"),
                self._limits(),
                _given(self.config),
                verify_pins=not option("jacbench_check"),
            )
        return self._harness

    def _limits(self) -> Limits:
        from jacbench.harness import Limits  # noqa: PLC0415
        from jacbench.memory import parse_size  # noqa: PLC0415

        size = self.config.getoption("jacbench_memory")
        return Limits(
            self.config.getoption("jacbench_chunk_size"), None if size is None else parse_size(size)
        )

    def run(self, cell: Cell, visit: int, benchmark: Any) -> None:
        """Settle ``cell``; time it if it agrees."""
        where = {"cell": cell.key, "visit": visit}
        self.events("start", **where)
        result = self.harness.settle(cell).result
        if cell not in self.results:
            self.results[cell] = result
            self.events("settled", result=result.to_json(), **where)
        if result.verdict is Verdict.AGREES and not self.config.getoption("jacbench_check"):
            self._time(cell, visit, benchmark)
        self.events("done", settings=self.harness.settings, **where)
        if result.verdict in (Verdict.UNSUPPORTED, Verdict.TOO_LARGE):
            pytest.skip(f"{result.verdict}: {result.reason}")
        if result.verdict is not Verdict.AGREES:
            pytest.fail(f"{result.verdict}: {result.reason}", pytrace=False)

    def _time(self, cell: Cell, visit: int, benchmark: Any) -> None:
        from jacbench import settle, timing  # noqa: PLC0415

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
            benchmark.pedantic(
                prepared.call, args=(x,), rounds=plan.rounds, iterations=plan.iterations
            )
        except Exception as exc:  # noqa: BLE001 - a fault that shows only after many calls
            failed = settle.failed(result, exc)
            reason = f"in a timed call: {failed.reason}"
            untimed = replace(failed, median_s=None, iqr_s=None, rounds=None, iterations=None)
            self._fail(cell, visit, replace(untimed, reason=reason))
            return
        samples = list(benchmark.stats.stats.data)
        self.events(
            "timed", cell=cell.key, visit=visit, samples=samples, iterations=plan.iterations
        )
        self._record(cell, samples, plan.iterations)

    def _fail(self, cell: Cell, visit: int, result: CellResult) -> None:
        self.results[cell] = result
        self.samples.pop(cell, None)
        for extra in self.extra.get(cell, []):
            extra["verdict"] = str(result.verdict)
        self.harness.settled[cell] = type(self.harness.settled[cell])(result)
        where = {"cell": cell.key, "visit": visit}
        self.events("settled", result=result.to_json(), **where)
        self.events("done", settings=self.harness.settings, **where)
        pytest.fail(f"{result.verdict}: {result.reason}", pytrace=False)

    def _record(self, cell: Cell, samples: list[float], iterations: int) -> None:
        from jacbench import results  # noqa: PLC0415

        pooled = self.samples.setdefault(cell, [])
        pooled.extend(samples)
        self.results[cell] = results.pooled(self.results[cell], pooled, iterations)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self) -> Generator[None, object, object]:
        """After the last cell is timed, measure peak memory."""
        if self.cells:
            self.events("ready", too_early=self.too_early)
        outcome = yield
        option = self.config.getoption
        timed = self._harness is not None and not option("jacbench_check")
        if timed and not option("benchmark_disable") and not option("collectonly"):
            self._measure_memory()
        return outcome

    def _measure_memory(self) -> None:
        agreed = [cell for cell, s in self.harness.settled.items() if s.prepared is not None]
        for cell in agreed:
            self.events("memory-start", cell=cell.key)
            peak = self.harness.measure_memory(cell)
            self.results[cell] = replace(self.results[cell], peak_bytes=peak)
            for extra in self.extra.get(cell, []):
                extra["peak_bytes"] = peak
            self.events("memory", cell=cell.key, peak_bytes=peak)

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
            from jacbench import results  # noqa: PLC0415

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
        """Close the events; remove the compiler's cache."""
        self.events.close()
        if self._scratch is not None:
            os.environ.pop("TORCHINDUCTOR_CACHE_DIR", None)
            self._scratch.cleanup()


def _visit_of(item: pytest.Item) -> int | None:
    params = getattr(getattr(item, "callspec", None), "params", {})
    return int(params["visit"]) if set(PARAMETERS) <= set(params) else None


def _order(keyed: tuple[int, float, pytest.Item]) -> tuple[int, float]:
    return keyed[:2]
