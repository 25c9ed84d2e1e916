"""The command line as a user meets it: what is printed where, statuses, one line per mistake."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jacbench import cli
from jacbench.core.cell import CellResult, Verdict
from jacbench.results import run as results
from jacbench.results import writer
from tests import samples
from tests.results.test_run import schema_errors
from tests.runs import JACBENCH, PROBLEM, environment, jacbench, run, strict

LIBRARIES = ("torch", "jax", "jaxlib", "autograd", "tensorflow")


class Told:
    """What the command line said when it was called in this process."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err


@pytest.fixture
def call(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Any:
    """Call the command line in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> Told:
        monkeypatch.setattr(sys, "argv", ["jacbench", *words])
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            cli.main()
        said = capsys.readouterr()
        status = caught.value.code
        assert isinstance(status, int)
        return Told(status, said.out, said.err)

    return call


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """A results file with a hostile name, a failure and a backend that was absent."""
    hostile = replace(samples.cell(), problem="\x1b[31m[bold]<b>x</b>")
    run_ = samples.run(
        replace(samples.agrees(), cell=hostile),
        CellResult(cell=samples.cell("a.b"), verdict=Verdict.FAILED, reason="[red]\x07no[/red]"),
        absent={"jax": "backend 'jax' \x1b]0;title\x07 is not installed"},
    )
    return writer.write(tmp_path / "stored.json", results.document(run_, {}))


def mistake(told: Told) -> str:
    """Check that a mistake was told in one line on standard error; return it."""
    assert told.status == 2
    assert told.out == ""
    assert told.err.startswith("jacbench: ")
    assert told.err.count("\n") == 1
    return told.err


# Help and list


def imported(*words: str, cwd: Path) -> set[str]:
    """Return the modules that a command imports."""
    code = (
        "import atexit, sys; "
        "atexit.register(lambda: print(*sys.modules, sep='\\n', file=sys.stderr)); "
    )
    done = run([sys.executable, "-c", code + "from jacbench.cli import main; main()", *words], cwd)
    assert done.returncode == 0, done.stderr
    return {line.partition(".")[0] for line in done.stderr.splitlines()}


def test_help_and_list_import_no_library_and_no_numpy(tmp_path: Path) -> None:
    for words in (["--help"], ["list"], ["list", "--json", "-"]):
        modules = imported(*words, cwd=tmp_path)
        assert "jacbench" in modules
        assert not modules & {*LIBRARIES, "numpy"}, words


def test_importing_the_package_imports_next_to_nothing(tmp_path: Path) -> None:
    code = "import sys, jacbench; print(*sys.modules, sep='\\n')"
    done = run([sys.executable, "-c", code], tmp_path)
    assert not {line.partition(".")[0] for line in done.stdout.splitlines()} & {
        *LIBRARIES,
        "numpy",
        "pytest",
        "rich",
        "typer",
    }


def test_console_script_is_the_same_command(tmp_path: Path) -> None:
    script = Path(sys.executable).with_name("jacbench")
    if not script.exists():
        pytest.skip("jacbench's console script is not installed beside this Python")
    done = run([str(script), "--help"], tmp_path)
    assert done.returncode == 0
    for command in ("list", "check", "run", "show"):
        assert f" {command} " in done.stdout


def test_no_command_shows_help_and_no_mistake(call: Any) -> None:
    told = call()
    assert "Usage" in told.out + told.err
    assert "jacbench: \n" not in told.err


def test_list_is_what_its_schema_says(call: Any) -> None:
    told = call("list", "--json", "-")
    assert (told.status, told.err) == (0, "")
    everything = strict(told.out)
    assert schema_errors(everything, "list") == []
    assert schema_errors({**everything, "surprise": 1}, "list")
    assert {"torch", "jax", "autograd", "numpy"} <= {b["name"] for b in everything["backends"]}
    for kind in ("backends", "methods", "problems", "devices"):
        assert everything[kind]


def test_list_shows_every_name(call: Any) -> None:
    told = call("list")
    everything = strict(call("list", "--json", "-").out)
    assert told.status == 0
    for kind in ("backends", "methods", "problems", "devices"):
        for entry in everything[kind]:
            assert entry["name"] in told.out


def test_list_into_a_file_is_also_shown(call: Any, tmp_path: Path) -> None:
    told = call("list", "--json", "list.json")
    assert strict((tmp_path / "list.json").read_text())["schema"] == 2
    assert "torch.func.jacrev" in told.out


# Check, run, show


def test_check_gives_a_program_json_and_nothing_else(tmp_path: Path) -> None:
    some = ["--method", "numpy.*", "--operator", "jacobian"]
    words = ["check", PROBLEM, *some, "--dtype", "all", "--json", "-"]
    done = jacbench(*words, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    block = strict(done.stdout)
    assert schema_errors(block) == []
    assert {cell["verdict"] for cell in block["cells"]} == {"agrees"}
    assert [(cell["method"], cell["dtype"]) for cell in block["cells"]] == [
        (f"numpy.{method}", dtype)
        for method in ("analytic", "central-difference", "complex-step")
        for dtype in ("float64", "float32")
    ]
    assert all(cell["median_s"] is None for cell in block["cells"])
    assert list(tmp_path.iterdir()) == []


def test_run_writes_one_file_and_shows_it(tmp_path: Path, call: Any) -> None:
    words = ["run", PROBLEM, "--method", "numpy.*", "--operator", "jacobian"]
    quick = ["--cell-seconds", "0.01", "--visits", "2", "--json", "copy.json"]
    done = jacbench(*words, *quick, "--output", "out/deep", cwd=tmp_path)
    # No progress where standard error is no terminal.
    assert (done.returncode, done.stderr) == (0, "")
    (path,) = (tmp_path / "out" / "deep").iterdir()
    assert f"results: {Path('out/deep') / path.name}" in done.stdout
    assert "numpy.analytic (floor)" in done.stdout
    document = strict(path.read_text(encoding="ascii"))
    assert schema_errors(document["jacbench"]) == []
    assert document["jacbench"] == strict((tmp_path / "copy.json").read_text())
    for cell in document["jacbench"]["cells"]:
        assert cell["verdict"] == "agrees"
        assert cell["median_s"] > 0
        assert cell["prepare_s"] >= 0
        assert cell["rounds"] >= 2
    assert {row["param"] for row in document["benchmarks"]} == {
        f"{PROBLEM}-numpy.{method}-cpu-float64"
        for method in ("analytic", "central-difference", "complex-step")
    }
    tables = done.stdout.partition("3 cells: ")[0]
    assert call("show", str(path)).out.startswith(tables)


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a pseudo-terminal")
def test_progress_is_shown_on_a_terminal(tmp_path: Path) -> None:
    import subprocess

    ours, theirs = os.openpty()
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        done = subprocess.run(
            [*JACBENCH, "check", PROBLEM, "--method", "numpy.analytic", "--json", "-"],
            stdout=subprocess.PIPE,
            stderr=theirs,
            cwd=tmp_path,
            env=environment(TERM="xterm"),
            timeout=120,
            check=False,
        )
        os.close(theirs)
        told = b""
        try:
            while chunk := terminal.read(4096):
                told += chunk
        except OSError:  # Linux says so that the other side is closed
            pass
    assert done.returncode == 0
    assert strict(done.stdout.decode())["schema"] == 3
    assert told


def test_show_prints_names_as_text(call: Any, stored: Path) -> None:
    for words in (["show", str(stored)], ["show", "--markdown", str(stored)]):
        told = call(*words)
        # What a file says failed is no failure of showing it.
        assert (told.status, told.err) == (0, "")
        assert all(c.isprintable() or c == "\n" for c in told.out)
    assert "&lt;b&gt;" in told.out
    assert "[bold]<b>x</b>" in call("show", str(stored)).out


def test_show_gives_json(call: Any, stored: Path, tmp_path: Path) -> None:
    told = call("show", str(stored), "--json", "-")
    assert strict(told.out) == strict(stored.read_text())["jacbench"]
    told = call("show", str(stored), "--markdown", "--json", "again.json")
    assert told.out.startswith("### ")
    assert strict((tmp_path / "again.json").read_text()) == strict(stored.read_text())["jacbench"]


def test_output_that_knows_no_greek_letters(tmp_path: Path, stored: Path) -> None:
    env = environment(PYTHONIOENCODING="ascii")
    done = jacbench("show", str(stored), cwd=tmp_path, env=env)
    assert (done.returncode, done.stderr) == (0, "")
    assert "10.0 ?s" in done.stdout


def test_reader_that_has_seen_enough(tmp_path: Path) -> None:
    import subprocess

    for words in (["list"], ["list", "--json", "-"]):
        read, write = os.pipe()
        os.close(read)
        with os.fdopen(write, "wb") as closed:
            done = subprocess.run(
                [*JACBENCH, *words],
                stdout=closed,
                stderr=subprocess.PIPE,
                cwd=tmp_path,
                text=True,
                env=environment(),
                check=False,
            )
        assert "Traceback" not in done.stderr
        assert "Exception ignored" not in done.stderr


# Mistakes

RUN = ["run", PROBLEM, "--method", "numpy.analytic"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "basics/linear-summ"], "did you mean 'basics/linear-sum'"),
        (["check", "nothing/*"], "unknown problem 'nothing/*': jacbench list shows them all"),
        (["check", PROBLEM, "--method", "numpy.analytics"], "did you mean 'numpy.analytic'"),
        ([*RUN, "--device", "gpu"], "unknown device 'gpu': did you mean"),
        ([*RUN, "--device", "cuda"], "device 'cuda': numpy sees no CUDA device here"),
        ([*RUN, "--device", "cuda:12"], "use --device cpu, or install a CUDA build"),
        ([*RUN, "--dtype", "float16"], "unknown dtype 'float16': did you mean 'float64'"),
        ([*RUN, "--threads", "0"], "--threads 0: give a whole number of at least 1"),
        ([*RUN, "--threads", "two"], "--threads 'two': give whole numbers of at least 1, such as"),
        ([*RUN, "--threads", "1,0"], "--threads 0: give a whole number of at least 1"),
        ([*RUN, "--threads", "1,"], "--threads '1,': give whole numbers"),
        ([*RUN, "--start-timeout", "0"], "--start-timeout 0: give a number of seconds above 0"),
        ([*RUN, "--budget", "0"], "--budget 0: give a number of seconds above 0"),
        ([*RUN, "--budget", "nan"], "--budget nan: give a number of seconds above 0"),
        ([*RUN, "--cpus", "first"], "--cpus 'first': give processors such as 0,2-3"),
        ([*RUN, "--cpus", "3-1"], "--cpus '3-1': give processors such as 0,2-3"),
        ([*RUN, "--cpus", "99999"], "--cpus 99999: "),
        (["run", "--resume", "nothing.json"], "results file 'nothing.json' cannot be read"),
        (["run", "--resume", "file"], "results file 'file' is cut short"),
        (["run", PROBLEM, "--resume", "file"], "--resume takes the problems from its file"),
        (
            ["run", "--resume", "file", "--visits", "9"],
            "--resume takes cells and settings from its file: leave out --visits",
        ),
        ([*RUN, "--timeout", "-1"], "--timeout -1: give a number of seconds above 0"),
        ([*RUN, "--timeout", "0"], "--timeout 0: give a number of seconds above 0"),
        ([*RUN, "--timeout", "nan"], "--timeout nan: give a number of seconds above 0"),
        ([*RUN, "--cell-seconds", "0"], "--cell-seconds 0: give a number of seconds above 0"),
        ([*RUN, "--cell-seconds", "inf"], "--cell-seconds inf"),
        ([*RUN, "--visits", "0"], "--visits 0: give a whole number of at least 1"),
        ([*RUN, "--chunk-size", "0"], "--chunk-size 0: give a whole number of at least 1"),
        ([*RUN, "--memory", "plenty"], "--memory 'plenty': give a size such as 2GiB or 500MB"),
        ([*RUN, "--memory", "1.2.3GB"], "--memory '1.2.3GB'"),
        ([*RUN, "--memory", "1e400"], "--memory '1e400'"),
        ([*RUN, "--memory", "0"], "--memory '0'"),
        ([*RUN, "--json", "no/such/folder.json"], "--json 'no/such/folder.json' cannot be written"),
        (["list", "--json", "."], "--json '.' cannot be written: Is a directory"),
        ([*RUN, "--output", "file/below"], "output folder 'file/below' cannot be written: Not a d"),
        ([*RUN, "--output", "file"], "output folder 'file' cannot be written"),
        (["show", "nothing.json"], "results file 'nothing.json' cannot be read: No such file"),
        (["show", "file"], "results file 'file' is cut short"),
        (["show"], "Missing argument 'RESULTS'"),
        (["frobnicate"], "No such command 'frobnicate'"),
        (["run", "--frobnicate"], "No such option: --frobnicate"),
    ],
)
def test_mistakes_are_one_line(
    call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    from jacbench.running import backend_worker

    def computed(*_: object) -> None:
        raise AssertionError("computed something before the mistake was told")

    monkeypatch.setattr(backend_worker, "Worker", computed)
    (tmp_path / "file").touch()
    assert message in mistake(call(*words))
    # Nothing is left behind: no empty results file, no folder.
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_damaged_file_does_not_drive_the_terminal(call: Any, tmp_path: Path) -> None:
    document = results.document(samples.run(samples.agrees()), {})
    document["jacbench"]["cells"][0] |= {"verdict": "\x1b[2Jgone"}
    (tmp_path / "bad.json").write_text(json.dumps(document))
    message = mistake(call("show", "bad.json"))
    assert "is damaged" in message
    assert "\x1b" not in message


NO_TORCH = """
import sys

class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")

sys.meta_path.insert(0, NoTorch())
"""


def test_absent_backend_is_told_with_the_command_that_installs_it(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(NO_TORCH)
    env = environment(tmp_path / "site")
    why = "backend 'torch' is not installed: run pip install \"jacbench[torch]\""
    done = jacbench("check", PROBLEM, "--method", "torch.*", cwd=tmp_path, env=env)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"jacbench: {why}\n")
    everything = strict(jacbench("list", "--json", "-", cwd=tmp_path, env=env).stdout)
    assert schema_errors(everything, "list") == []
    reasons = {b["name"]: b.get("reason") for b in everything["backends"]}
    assert reasons["torch"] == why
    assert reasons["numpy"] is None
    assert {m["reason"] for m in everything["methods"] if m["backend"] == "torch"} == {why}
    # Not named, it is left out, and that is told.
    done = jacbench("check", PROBLEM, "--method", "*.analytic", cwd=tmp_path, env=env)
    assert done.returncode == 0
    assert f"left out: {why}" in done.stdout
