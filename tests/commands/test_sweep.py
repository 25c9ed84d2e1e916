"""``jacbench sweep`` as a user starts it: real workers, files and exit statuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from jacbench import read
from jacbench.api import sweep
from jacbench.core.errors import JacbenchError
from tests.results.test_run import schema_errors as results_errors
from tests.runs import environment, jacbench, strict, tiny_site
from tests.sweeping.test_outcome import schema_errors

Usage = Callable[..., tuple[int, str]]
QUICK = ("--visits", "2", "--cell-seconds", "0.02")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "no problem to sweep: give one, such as jacbench sweep shape/square --n 16:4096"),
        (("--n", "16:64"), "no problem to sweep"),
        (("shape/square", "shape/tall", "--n", "4,8"), "2 problems: shape/square, shape/tall"),
        (("shape/sqare", "--n", "4,8"), "did you mean 'shape/square'"),
        (("shape/square",), "nothing to sweep: shape/square has m=256, n=256, width=256"),
        (("shape/square", "--n"), "--n: give its values, such as --n 16:4096"),
        (("shape/square", "--n", "--m", "4"), "--n: give its values"),
        (("shape/square", "--n", "4,8", "--n=2"), "--n is given twice"),
        (("shape/square", "--n", "much"), "--n much: give whole numbers of at least 1"),
        (("shape/square", "--n", "-4"), "--n -4: give whole numbers of at least 1"),
        (("shape/square", "--metod", "jax.*"), "--width; did you mean --method?"),
        (
            ("shape/square", "--q", "1,2"),
            "shape/square has no size --q: it has --m, --n, --width\n",
        ),
        (("basics/linear-sum", "--n", "1,2"), "basics/linear-sum has no size --n: it has none"),
        (("shape/square", "--n", "4,8", "--m", "1,2,3"), "n has 2, m has 3"),
        (("shape/square", "--n", "4,8", "--method", "no.such"), "unknown method 'no.such'"),
        (("shape/square", "--n", "4,8", "--plot", "x.pdf"), "ends in .png or .svg"),
        (("shape/square", "--n", "4,8", "--plot", "no/x.svg"), "--plot 'no/x.svg' cannot be"),
        (("shape/square", "--n", "4,8", "--json", "no/x"), "--json 'no/x' cannot be written"),
        (("shape/square", "--n", "4,8", "--budget", "0"), "--budget 0: give a number of seconds"),
        (("shape/square", "--n", "4,8", "--output", "/dev/null/x"), "'/dev/null/x' cannot"),
    ],
)
def test_a_mistake_is_one_line(
    usage: Usage, tmp_path: Path, words: tuple[str, ...], told: str
) -> None:
    status, said = usage("sweep", *words)
    assert status == 2
    assert told in said
    assert said.startswith("jacbench: ")
    assert said.count("\n") == 1
    assert not list(tmp_path.glob("results/*"))


def test_a_sweep(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib draws")
    done = jacbench(
        *("sweep", "--n", "2:16", "shape/square", "--m", "3", "--width=4", *QUICK),
        *("--method", "tiny.right", "--plot", "plot.svg", "--json", "out.json"),
        cwd=tmp_path,
        env=environment(tiny_site()),
    )
    assert done.stderr == ""
    assert done.returncode == 0
    found = strict((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert schema_errors(found["sweep"]) == []
    assert results_errors(found["jacbench"]) == []
    assert [(p["x"], p["m"], p["n"]) for p in found["sweep"]["points"]] == [
        *((2.0, 3, 2), (4.0, 3, 4), (8.0, 3, 8), (16.0, 3, 16)),
    ]
    (panel,) = found["sweep"]["panels"]
    (method,) = panel["methods"]
    assert method["time"]["low"] <= method["time"]["exponent"] <= method["time"]["high"]
    (path,) = (tmp_path / "results").iterdir()
    assert [cell.cell.problem for cell in read(path).cells] == [
        f"shape/square[n={n},m=3,width=4]" for n in (2, 4, 8, 16)
    ]
    whole = strict(path.read_text(encoding="ascii"))
    assert whole["sweep"] == found["sweep"]
    assert (tmp_path / "plot.svg").read_text(encoding="utf-8").startswith("<?xml")
    assert "shape/square, m = 3, width = 4, cpu, float64, 1 thread" in done.stdout
    assert "tiny.right is fastest, or not told from the fastest" in done.stdout
    assert "plot: plot.svg" in done.stdout


def test_a_size_that_is_too_large_keeps_its_verdict(tmp_path: Path) -> None:
    done = jacbench(
        *("sweep", "shape/square", "--m", "2,2000", "--n", "2,2000", "--width", "2", *QUICK),
        *("--method", "tiny.right", "--memory", "20MiB", "--json", "-"),
        cwd=tmp_path,
        env=environment(tiny_site()),
    )
    assert done.returncode == 0
    found = strict(done.stdout)
    assert [cell["verdict"] for cell in found["jacbench"]["cells"]] == ["agrees", "too large"]


def test_a_wrong_jacobian_fails(tmp_path: Path) -> None:
    done = jacbench(
        *("sweep", "shape/square", "--n", "2,4", "--m", "2", "--width", "2", *QUICK),
        *("--method", "tiny.wrong"),
        cwd=tmp_path,
        env=environment(tiny_site()),
    )
    assert done.returncode == 1
    assert "tiny.wrong: disagrees at every size" in done.stdout


def test_the_function_says_the_same() -> None:
    with pytest.raises(JacbenchError, match="at least two sizes"):
        sweep("shape/square", {"n": 4})
    with pytest.raises(JacbenchError, match="--n 4,8,x: give whole numbers"):
        sweep("shape/square", {"n": "4,8,x"})
    with pytest.raises(JacbenchError, match=r"ends in \.png or \.svg"):
        sweep("shape/square", {"n": "4,8"}, plot="plot.gif")


def test_a_size_that_takes_too_long_keeps_its_verdict_and_the_rest_goes_on(tmp_path: Path) -> None:
    done = jacbench(
        *("sweep", "shape/square", "--n", "2,4", "--m", "2", "--width", "2", *QUICK),
        *("--method", "tiny.slow-prepare", "--method", "tiny.right", "--timeout", "4"),
        *("--json", "-"),
        cwd=tmp_path,
        # It sleeps where x has more than two entries.
        env=environment(tiny_site(), TINY_GREEDY="1"),
    )
    assert done.returncode == 0
    found = strict(done.stdout)
    verdicts = {
        (cell["method"], cell["problem"]): cell["verdict"] for cell in found["jacbench"]["cells"]
    }
    small, large = (f"shape/square[n={n},m=2,width=2]" for n in (2, 4))
    assert verdicts == {
        ("tiny.right", small): "agrees",
        ("tiny.right", large): "agrees",
        ("tiny.slow-prepare", small): "agrees",
        ("tiny.slow-prepare", large): "timed out",
    }
    assert found["sweep"]["panels"][0]["fastest"][0]["reigns"][-1]["method"] == "tiny.right"
