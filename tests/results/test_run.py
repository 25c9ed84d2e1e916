"""What is written is read again; what is damaged is refused in one line; the schema is true."""

from __future__ import annotations

import copy
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jacbench import read
from jacbench.core.errors import JacbenchError
from jacbench.reporting.markup import printable
from jacbench.results import run as results
from jacbench.results import writer
from jacbench.results.run import Run, json_safe
from jacbench.running.settings import Settings
from tests import samples
from tests.runs import strict

OPTIONS = {"timer": "perf_counter", "min_rounds": 6}
# One folder for all examples of a test: each example writes its file anew.
same_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)


SCHEMA_HOMES = {
    "compare": "comparing",
    "list": "reporting",
    "pick": "picking",
    "results": "results",
}


def schema_errors(block: Any, name: str = "results") -> list[str]:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema checks the schema")
    file = resources.files(f"jacbench.{SCHEMA_HOMES[name]}").joinpath(f"{name}.schema.json")
    schema = strict(file.read_text(encoding="utf-8"))
    validator = jsonschema.Draft202012Validator(schema)
    validator.check_schema(schema)
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(block)]


@pytest.fixture
def good() -> dict[str, Any]:
    run = samples.run(samples.agrees(), samples.agrees("jax.jacrev", 2e-5))
    return json.loads(json.dumps(results.document(run, OPTIONS)))


def refusal(folder: Path, text: str) -> str:
    path = folder / "file.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(JacbenchError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(f"results file '{path}' ")
    assert "\n" not in message
    return message


# Writing and reading


@same_folder
@given(run=samples.runs)
def test_read_gives_what_was_written(tmp_path: Path, run: Run) -> None:
    path = writer.write(tmp_path / "run.json", results.document(run, OPTIONS))
    again = read(path)
    assert again.cells == run.cells
    assert again.to_json() == run.to_json()
    strict(path.read_text(encoding="ascii"))


@same_folder
@given(run=samples.runs)
def test_what_is_written_is_what_the_schema_says(run: Run) -> None:
    assert schema_errors(json.loads(json.dumps(run.to_json()))) == []


def test_schema_refuses_what_it_does_not_describe(good: dict[str, Any]) -> None:
    block = good["jacbench"]
    assert schema_errors(block) == []
    for damage in (
        {"verdict": "fine"},
        {"median_s": "1"},
        {"median_s": -1.0},
        {"device": "tpu"},
        {"surprise": 1},
    ):
        bad = copy.deepcopy(block)
        bad["cells"][0] |= damage
        assert schema_errors(bad), damage


def test_every_field_is_described() -> None:
    path = resources.files("jacbench.results").joinpath("results.schema.json")
    schema = strict(path.read_text(encoding="utf-8"))
    cell = schema["$defs"]["cell"]["properties"]
    assert set(cell) == set(samples.agrees().to_json())
    assert all(field.get("description") for field in cell.values())
    timed = [name for name in cell if name.endswith("_s")]
    assert timed
    assert all("seconds" in cell[name]["description"] for name in timed)
    assert "bytes" in cell["peak_bytes"]["description"]


def test_samples_of_each_timed_cell_come_back(tmp_path: Path) -> None:
    run = samples.run(samples.agrees(), samples.agrees("jax.jacrev", 2e-5))
    again = read(writer.write(tmp_path / "run.json", results.document(run, OPTIONS)))
    assert again.samples == run.samples


def test_visits_come_back(tmp_path: Path) -> None:
    run = samples.run(samples.agrees(), samples.agrees("jax.jacrev", 2e-5))
    run.visits[samples.cell()] = [[1e-5, 2e-5], [3e-5], [4e-5, 5e-5, 6e-5]]
    document = results.document(run, OPTIONS)
    row = document["benchmarks"][0]
    # pytest-benchmark reads them flat.
    assert row["stats"]["data"] == [1e-5, 2e-5, 3e-5, 4e-5, 5e-5, 6e-5]
    assert row["extra_info"]["visit_rounds"] == [2, 1, 3]
    again = read(writer.write(tmp_path / "run.json", document))
    assert again.visits == run.visits
    assert again.samples == run.samples


def test_file_of_an_older_schema_has_one_visit(tmp_path: Path, good: dict[str, Any]) -> None:
    block = good["jacbench"]
    block["schema"] = 2
    for name in ("seconds", "options", "ending"):
        del block[name]
    new = ("low_s", "high_s", "cpu_s", "device_s", "outliers", "cautions", "visits")
    for cell in block["cells"]:
        for name in (*new, "problem_hash", "method_hash"):
            del cell[name]
    for row in good["benchmarks"]:
        del row["extra_info"]["visit_rounds"]
    assert schema_errors(block) == []
    path = tmp_path / "old.json"
    path.write_text(json.dumps(good))
    run = read(path)
    assert [len(visits) for visits in run.visits.values()] == [1, 1]
    assert [(r.low_s, r.cautions, r.outliers) for r in run.cells] == [(None, (), {})] * 2
    assert (run.seconds, run.options, run.ending) == ({}, {}, None)
    use(run)


def test_read_takes_a_path_as_text(tmp_path: Path) -> None:
    run = samples.run(samples.agrees())
    path = writer.write(tmp_path / "run.json", results.document(run, OPTIONS))
    assert read(str(path)).cells == run.cells


def test_not_a_number_is_written_as_null(tmp_path: Path) -> None:
    run = samples.run(samples.agrees(error=float("nan"), notes={"loss": float("inf")}))
    run.fingerprint = {**samples.FINGERPRINT, "load": [float("nan")] * 3}
    path = writer.write(tmp_path / "run.json", results.document(run, OPTIONS))
    block = strict(path.read_text())["jacbench"]
    assert block["cells"][0]["error"] is None
    assert block["cells"][0]["notes"] == {"loss": None}
    assert block["fingerprint"]["load"] == [None] * 3


def test_untimed_cells_have_no_benchmark_row() -> None:
    untimed = samples.agrees("jax.jacrev", median_s=None)
    document = results.document(samples.run(samples.agrees(), untimed), OPTIONS)
    assert [row["param"] for row in document["benchmarks"]] == [samples.cell().key]
    assert len(document["jacbench"]["cells"]) == 2


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=10,
)


@given(value=json_values)
def test_json_safe_makes_anything_strict_and_changes_nothing_else(value: Any) -> None:
    safe = json_safe(value)
    text = json.dumps(safe, allow_nan=False)
    assert json_safe(json.loads(text)) == safe
    if "NaN" not in (loose := json.dumps(value)) and "Infinity" not in loose:
        assert safe == value


def test_json_safe_takes_tuples_and_numpy_floats() -> None:
    assert json_safe((1.5, np.float64("nan"), {2: (np.float64(3),)})) == [1.5, None, {"2": [3.0]}]


# Files on a disk


def test_file_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = writer.write(tmp_path / "run.json", {"old": 1})

    def refuse(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(writer.os, "fsync", refuse)
    with pytest.raises(JacbenchError, match=r"could not be written to .*Input/output error"):
        writer.write(path, {"new": 2})
    assert json.loads(path.read_text()) == {"old": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["run.json"]


def test_results_go_elsewhere_where_their_folder_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, elsewhere = tmp_path / "full", tmp_path / "tmp"
    folder.mkdir()
    elsewhere.mkdir()
    monkeypatch.setattr(writer.tempfile, "tempdir", str(elsewhere))
    replace = Path.replace

    def full(self: Path, target: Path) -> Path:
        if target.parent == folder:
            raise OSError(28, "No space left on device")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", full)
    written = writer.write(folder / "run.json", {"precious": 1})
    assert written.is_relative_to(elsewhere)
    assert json.loads(written.read_text()) == {"precious": 1}
    assert list(folder.iterdir()) == []


def test_full_disk_is_one_line(tmp_path: Path) -> None:
    pytest.importorskip("resource", reason="a limit on file sizes needs POSIX")
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from jacbench.results import writer as results_writer; from jacbench.core import errors\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "try: results_writer.write(Path(sys.argv[1]), {'much': 'x' * 1000})\n"
        "except errors.JacbenchError as exc: print(exc)\n"
    )
    target = tmp_path / "run.json"
    done = subprocess.run(
        [sys.executable, "-c", code, str(target)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert "could not be written" in done.stdout
    assert len(done.stdout.splitlines()) == 1
    assert not target.exists()
    assert list(tmp_path.rglob("*.tmp")) == []


def test_two_runs_of_one_second_get_two_files(tmp_path: Path) -> None:
    paths = [writer.new_path(tmp_path) for _ in range(20)]
    assert len(set(paths)) == 20
    assert all(path.parent == tmp_path and path.suffix == ".json" for path in paths)


@pytest.mark.parametrize("name", ["file/below", "file"])
def test_folder_that_cannot_be_written(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(JacbenchError, match=r"^output folder .* cannot be written: .*--output$"):
        writer.check_folder(tmp_path / name)


def test_folder_is_made_and_left_empty(tmp_path: Path) -> None:
    writer.check_folder(tmp_path / "new" / "folder")
    assert list((tmp_path / "new" / "folder").iterdir()) == []


# Reading what is not a results file


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(JacbenchError, match=r"cannot be read: No such file"):
        read(tmp_path / "nothing.json")
    with pytest.raises(JacbenchError, match=r"cannot be read: Is a directory"):
        read(tmp_path)
    with pytest.raises(JacbenchError, match="cannot be read: embedded null"):
        read("a\0b")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is cut short"),
        (" \n", "is cut short"),
        ('{"jacbench": {"cells": [', "is cut short"),
        ("<html>not found</html>", "is not JSON"),
        ('{"jacbench": NaN}', "is not JSON"),
        ("1" * 5000, "is not JSON"),
        ("[" * 200_000, "is "),
        ("[1, 2]", "is another kind of file"),
        ("null", "is another kind of file"),
        ('{"jacbench": []}', "is another kind of file"),
        ('{"benchmarks": [], "machine_info": {}}', "another kind of pytest-benchmark file without"),
        ('{"jacbench": {"schema": 4}}', r"has schema 4 and this jacbench reads up to 3: pip "),
        ('{"jacbench": {"schema": "1"}}', "has schema '1'"),
        ('{"jacbench": {"schema": true}}', "has schema True"),
        ('{"jacbench": {}}', "has schema None"),
        ('{"jacbench": {"schema": 1}}', "is damaged"),
    ],
)
def test_other_files_are_named_for_what_they_are(tmp_path: Path, text: str, why: str) -> None:
    assert re.search(why, refusal(tmp_path, text))


def test_file_that_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(JacbenchError, match="cannot be read"):
        read(path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("problem", 5),
        ("backend", []),
        ("dtype", None),
        ("threads", "1"),
        ("threads", True),
        ("verdict", "splendid"),
        ("verdict", ["agrees"]),
        ("reason", 5),
        ("notes", []),
        ("worst", "entry"),
        ("median_s", "fast"),
        ("median_s", True),
        ("error", 10**400),
        ("peak_bytes", {}),
        ("chunk_size", "8"),
        ("traceback", ["line"]),
        ("low_s", "low"),
        ("high_s", []),
        ("cpu_s", True),
        ("device_s", {}),
        ("visits", "3"),
        ("outliers", []),
        ("outliers", {"high_mild": "many"}),
        ("outliers", {"high_mild": None}),
        ("cautions", "busy"),
        ("cautions", {}),
        ("cautions", [5]),
        ("problem_hash", 5),
        ("method_hash", ["hash"]),
    ],
)
def test_wrong_types_inside(
    tmp_path: Path, good: dict[str, Any], field: str, value: object
) -> None:
    good["jacbench"]["cells"][0][field] = value
    assert "is damaged" in refusal(tmp_path, json.dumps(good))


@pytest.mark.parametrize("field", ["problem", "threads", "verdict"])
def test_missing_fields(tmp_path: Path, good: dict[str, Any], field: str) -> None:
    del good["jacbench"]["cells"][0][field]
    why = f"is damaged (Object missing required field `{field}` - at `$.cells[0]`)"
    assert why in refusal(tmp_path, json.dumps(good))


def test_a_wrong_type_is_named_with_its_place(tmp_path: Path, good: dict[str, Any]) -> None:
    good["jacbench"]["cells"][1]["median_s"] = "fast"
    why = "is damaged (Expected `float | null`, got `str` - at `$.cells[1].median_s`)"
    assert why in refusal(tmp_path, json.dumps(good))


def test_fields_of_a_later_version_are_left_out(tmp_path: Path, good: dict[str, Any]) -> None:
    before = read(writer.write(tmp_path / "run.json", good))
    good["jacbench"]["later"] = good["jacbench"]["fingerprint"]["later"] = 1
    good["jacbench"]["cells"][0]["later"] = {"deep": [1]}
    assert read(writer.write(tmp_path / "run.json", good)).cells == before.cells


@pytest.mark.parametrize("number", ["1e999", "-1e999", "9" * 400])
@pytest.mark.parametrize("field", ["error", "m"])
def test_numbers_beyond_all_floats(
    tmp_path: Path, good: dict[str, Any], field: str, number: str
) -> None:
    good["jacbench"]["cells"][0][field] = "HERE"
    text = json.dumps(good).replace('"HERE"', number)
    assert "is damaged" in refusal(tmp_path, text)


@pytest.mark.parametrize("data", [["1"], [10**400], "1", 5, [None]])
def test_wrong_samples(tmp_path: Path, good: dict[str, Any], data: object) -> None:
    good["benchmarks"][0]["stats"]["data"] = data
    assert "is damaged" in refusal(tmp_path, json.dumps(good))


@pytest.mark.parametrize("rounds", [[1], [2, 2], [3, 1]])
def test_visits_that_are_not_those_of_the_samples(
    tmp_path: Path, good: dict[str, Any], rounds: list[int]
) -> None:
    good["benchmarks"][0]["extra_info"]["visit_rounds"] = rounds
    assert "is damaged (ValueError: 3 samples" in refusal(tmp_path, json.dumps(good))


@pytest.mark.parametrize("rounds", [None, [], "3", [3.0], [True, 2], [0, 3], [-1, 4]])
def test_samples_of_which_visits_are_not_known_are_one(
    tmp_path: Path, good: dict[str, Any], rounds: object
) -> None:
    (first, _) = good["benchmarks"]
    first["extra_info"]["visit_rounds"] = rounds
    if rounds is None:
        del first["extra_info"]["visit_rounds"]
    path = tmp_path / "run.json"
    path.write_text(json.dumps(good))
    if rounds == []:
        assert "3 samples, and visits of 0" in refusal(tmp_path, json.dumps(good))
        return
    run = read(path)
    assert run.visits[samples.cell()] == [first["stats"]["data"]]


@pytest.mark.parametrize(
    ("name", "value"),
    [("seconds", {"wall": "long"}), ("seconds", [1]), ("options", 5), ("seconds", {"wall": None})],
)
def test_wrong_accounts(tmp_path: Path, good: dict[str, Any], name: str, value: object) -> None:
    good["jacbench"][name] = value
    assert "is damaged" in refusal(tmp_path, json.dumps(good))


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to each value inside ``value``."""
    yield path
    if isinstance(value, (dict, list)):
        for key, child in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(child, (*path, key))


def use(run: Run) -> None:
    """Do with a run what `jacbench show` does."""
    from rich.console import Console

    from jacbench.reporting import run_table

    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        console = Console(file=nowhere)
        console.print(run_table.terminal(run, console, timed=True))
    run_table.markdown(run)
    assert printable(run_table.spent(run)).isprintable()
    json.dumps(run.to_json(), allow_nan=False)


@settings(same_folder, max_examples=200)
@given(data=st.data())
def test_mutated_files_are_read_or_refused(
    tmp_path: Path, good: dict[str, Any], data: st.DataObject
) -> None:
    changed = copy.deepcopy(good)
    *way, last = data.draw(st.sampled_from([p for p in places(good) if p]))
    inner = changed
    for key in way:
        inner = inner[key]
    inner[last] = data.draw(json_values)
    path = tmp_path / "file.json"
    path.write_text(json.dumps(changed), encoding="utf-8")
    try:
        run = read(path)
    except JacbenchError:
        return
    use(run)


@settings(same_folder, max_examples=100)
@given(data=st.data())
def test_truncated_and_overwritten_files_are_read_or_refused(
    tmp_path: Path, good: dict[str, Any], data: st.DataObject
) -> None:
    text = json.dumps(good).encode()
    start = data.draw(st.integers(0, len(text)))
    stop = data.draw(st.sampled_from([len(text), start, start + 1, start + 20]))
    path = tmp_path / "file.json"
    path.write_bytes(text[:start] + data.draw(st.binary(max_size=4)) + text[stop:])
    try:
        run = read(path)
    except JacbenchError:
        return
    use(run)


@pytest.mark.parametrize("end", range(0, 400, 13))
def test_every_truncation_is_refused(tmp_path: Path, good: dict[str, Any], end: int) -> None:
    refusal(tmp_path, json.dumps(good)[:end])


def test_a_save_on_the_way_may_fail_and_the_last_one_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = writer.Store(tmp_path, Settings().benchmark_options())
    run = samples.run(samples.agrees())

    def refuse(*_: object) -> None:
        raise JacbenchError("no room")

    monkeypatch.setattr(writer, "write", refuse)
    store(run, final=False)
    with pytest.raises(JacbenchError, match="no room"):
        store(run, final=True)
    monkeypatch.undo()
    store(run, final=True)
    assert run.path is not None
    assert read(run.path).cells == run.cells


def test_a_run_has_one_file_however_often_it_is_saved(tmp_path: Path) -> None:
    store = writer.Store(tmp_path, Settings().benchmark_options())
    run = samples.run(samples.agrees())
    for final in (False, False, True):
        store(run, final=final)
    assert [run.path] == list(tmp_path.iterdir())


@given(
    stretches=st.lists(
        st.tuples(st.integers(1, 9), st.integers(1, 50), st.floats(1e-9, 1e-3)), min_size=1
    )
)
def test_processor_time_is_that_of_a_call_over_all_of_them(
    stretches: list[tuple[int, int, float]],
) -> None:
    pooled = results.pooled(
        samples.agrees(),
        [
            results.Stretch(samples=[1e-5] * rounds, iterations=iterations, cpu_s=cpu_s)
            for rounds, iterations, cpu_s in stretches
        ],
    )
    calls = sum(rounds * iterations for rounds, iterations, _ in stretches)
    spent_s = sum(rounds * iterations * cpu_s for rounds, iterations, cpu_s in stretches)
    assert pooled.cpu_s == pytest.approx(spent_s / calls)


@settings(max_examples=10)  # each asks git
@given(st.floats(1e-9, 1e3))
def test_samples_are_kept_to_six_digits(second: float) -> None:
    result = samples.agrees()
    run = samples.run(result, visits={result.cell: [[second, 2 * second]]})
    (row,) = results.document(run, OPTIONS)["benchmarks"]
    assert row["stats"]["data"] == pytest.approx([second, 2 * second], rel=5e-6)


def test_what_is_untimed_keeps_no_figure_of_a_time() -> None:
    timed = samples.agrees(cpu_s=1e-5, device_s=1e-6, visits=3)
    found = results.untimed(timed)
    left = {name for name, value in vars(found).items() if value not in (None, {}, ())}
    assert not left & {"median_s", "low_s", "high_s", "iqr_s", "cpu_s", "device_s", "visits"}
    assert not left & {"rounds", "iterations", "outliers"}
    assert (found.prepare_s, found.error) == (timed.prepare_s, timed.error)
