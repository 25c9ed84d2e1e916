"""``jacbench pick`` as a user starts it: real workers, files, exit statuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from importlib import resources
from pathlib import Path

import pytest

from tests.results.test_run import schema_errors
from tests.runs import JACBENCH, environment, run, strict

pytest.importorskip("autograd")

MODEL = """
import os
import signal
import time

import autograd.numpy as np

x = np.linspace(0.1, 1.0, 12)


def mixed(x):
    return np.sin(x) * np.sum(x)


def stencil(x):
    return np.concatenate([x[:1], x[1:-1] ** 2 + x[:-2] - 3.0 * x[2:], x[-1:]])


def broken(x):
    return missing(x) + 1


def killed(x):
    os.kill(os.getpid(), signal.SIGKILL)


def hangs(x):
    open("hanging", "w").close()
    time.sleep(100)
"""
QUICK = ("--no-compile", "--time-limit", "3")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "model.py").write_text(MODEL, encoding="utf-8")
    return tmp_path


def pick(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return run([*JACBENCH, "pick", *QUICK, *words], folder)


def refusal(folder: Path, *words: str) -> str:
    done = pick(folder, *words)
    assert (done.returncode, done.stdout) == (2, "")
    *told, last = done.stderr.splitlines()
    assert last.startswith("jacbench: ")
    assert not told or told[0] == "Traceback (your lines):"
    return done.stderr


def cell_errors(result):
    jsonschema = pytest.importorskip("jsonschema")
    file = resources.files("jacbench.results").joinpath("results.schema.json")
    schema = json.loads(file.read_text(encoding="utf-8"))
    whole = {**schema["$defs"]["cell"], "$defs": schema["$defs"]}
    return [error.message for error in jsonschema.Draft202012Validator(whole).iter_errors(result)]


def test_it_answers_in_a_report_and_in_json(folder):
    done = pick(folder, "model.py:stencil", "--json", "answer.json")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("model.py:stencil: autograd function, Jacobian 12 x 12, float64")
    assert "To paste (the whole (m, n) matrix):" in done.stdout
    assert "faster than autograd.jacobian" in done.stdout
    block = strict((folder / "answer.json").read_text(encoding="utf-8"))
    assert not schema_errors(block, "pick")
    assert {"dense", "csr"} <= block["picks"].keys()
    results = [row["result"] for row in block["rows"] if row["result"] is not None]
    assert results
    assert [error for result in results for error in cell_errors(result)] == []
    for lines in block["code"].values():
        told = run([JACBENCH[0], "-c", "\n".join([*lines, "print(J.shape)"])], folder)
        assert told.stdout == "(12, 12)\n", told.stderr


def test_json_alone_on_standard_output(folder):
    done = pick(folder, "model.py:mixed", "--format", "dense", "--json", "-")
    assert done.returncode == 0, done.stderr
    block = strict(done.stdout)
    assert not schema_errors(block, "pick")
    assert list(block["picks"]) == ["dense"]
    assert block["rows"][0]["result"] is None or block["m"] == 12


def test_what_cannot_be_had_is_one_line(folder):
    told = refusal(folder, "model.py:mixed", "--format", "csr")
    assert "no method was found to give a right csr Jacobian" in told
    assert "unknown method 'autograd.jacobain'" in refusal(
        folder, "model.py:mixed", "--today", "autograd.jacobain"
    )
    assert "--format 'coo'" in refusal(folder, "model.py:mixed", "--format", "coo")
    assert "unknown name 'absent'" in refusal(folder, "model.py:absent")
    assert "nowhere.py" in refusal(folder, "nowhere.py:f")
    assert "cannot be written" in refusal(folder, "model.py:mixed", "--json", "no/such/folder.json")


def test_what_the_users_function_raises_is_shown_from_its_own_lines(folder):
    told = refusal(folder, "model.py:broken")
    assert 'File "model.py", line ' in told
    assert "NameError: name 'missing' is not defined" in told
    assert "site-packages" not in told


def test_a_function_that_ends_its_process_is_one_line(folder):
    assert "SIGKILL" in refusal(folder, "model.py:killed")


def test_ctrl_c_ends_it_and_its_workers(folder):
    process = subprocess.Popen(
        [*JACBENCH, "pick", *QUICK, "model.py:hangs"],
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,
    )
    try:
        until = time.monotonic() + 60
        while not (folder / "hanging").exists():
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.05)
        by_thread = Path(f"/proc/{process.pid}/task").glob("*/children")
        workers = [int(word) for children in by_thread for word in children.read_text().split()]
        os.kill(process.pid, signal.SIGINT)
        out, told = process.communicate(timeout=30)
    finally:
        process.kill()
    assert (process.returncode, out, told) == (130, "", "jacbench: interrupted\n")
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]


def test_what_nothing_can_call_right_is_one_line_and_status_1(tmp_path):
    (tmp_path / "rule.py").write_text(
        "import numpy as np\n"
        "from autograd.extend import defjvp, defvjp, primitive\n"
        "square = primitive(lambda x: x**2)\n"
        "defvjp(square, lambda ans, x: lambda g: g * x)\n"
        "defjvp(square, lambda g, ans, x: g * x)\n"
        "def f(x):\n    return square(x)\n"
        "x = np.linspace(1.0, 2.0, 3)\n",
        encoding="utf-8",
    )
    done = pick(tmp_path, "rule.py:f")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("jacbench: rule.py:f: nothing is picked, as what is right")
    assert done.stderr.count("\n") == 1
