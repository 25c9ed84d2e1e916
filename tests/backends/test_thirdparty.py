"""A backend of another distribution is found, listed, gated and timed like jacbench's own."""

from __future__ import annotations

from pathlib import Path

from tests.results.test_run import schema_errors
from tests.runs import PROBLEM, environment, jacbench, strict, tiny_site


def test_it_is_listed_with_its_version_and_methods(tmp_path: Path) -> None:
    done = jacbench("list", "--json", "-", cwd=tmp_path, env=environment(tiny_site()))
    everything = strict(done.stdout)
    assert schema_errors(everything, "list") == []
    (tiny,) = [b for b in everything["backends"] if b["name"] == "tiny"]
    assert tiny == {
        "name": "tiny",
        "version": "0.2.0",
        "oracle": False,
        "install": "pip install jacbench-tiny",
    }
    assert {m["name"] for m in everything["methods"] if m["backend"] == "tiny"} == {
        "tiny.right",
        "tiny.wrong",
        "tiny.slow-prepare",
    }


def test_broken_entry_points_are_told_and_take_nothing_down(tmp_path: Path) -> None:
    env = environment(tiny_site())
    broken = (
        "backend 'tiny-broken' is broken: ImportError: cannot import name 'x' from 'y' "
        "(__init__.py)"
    )
    done = jacbench("list", "--json", "-", cwd=tmp_path, env=env)
    assert (done.returncode, done.stderr) == (0, "")
    reasons = {b["name"]: b.get("reason") for b in strict(done.stdout)["backends"]}
    assert reasons["tiny-broken"] == broken
    assert reasons["tiny-stranger"] == (
        "backend 'tiny-stranger': jacbench_tiny:__name__ is a str: the entry point must name a "
        "jacbench.backend.Descriptor"
    )
    assert reasons["numpy"] is None
    shown = jacbench("list", cwd=tmp_path, env=env)
    assert shown.returncode == 0
    assert "tiny-broken" in shown.stdout
    checked = jacbench("check", PROBLEM, "--method", "numpy.analytic", cwd=tmp_path, env=env)
    assert checked.returncode == 0
    assert f"left out: {broken}" in checked.stdout


def test_right_is_timed_and_wrong_disagrees(tmp_path: Path) -> None:
    done = jacbench(
        *("run", PROBLEM, "--method", "tiny.right", "--method", "tiny.wrong"),
        *("--cell-seconds", "0.01", "--visits", "1"),
        cwd=tmp_path,
        env=environment(tiny_site()),
    )
    assert (done.returncode, done.stderr) == (1, "")
    (path,) = (tmp_path / "results").iterdir()
    document = strict(path.read_text())
    right, wrong = document["jacbench"]["cells"]
    assert right["verdict"] == "agrees"
    assert right["median_s"] > 0
    assert (wrong["verdict"], wrong["median_s"]) == ("disagrees", None)
    assert 0.9e-6 < wrong["error"] < 1.1e-6
    assert wrong["error"] > wrong["tolerance"]
    assert wrong["worst"]["value"] != wrong["worst"]["expected"]
    assert [row["extra_info"]["method"] for row in document["benchmarks"]] == ["tiny.right"]
    assert document["jacbench"]["fingerprint"]["versions"]["jacbench-tiny"] == "0.2.0"
    assert document["jacbench"]["fingerprint"]["settings"]["tiny"]["tiny_threads"] == 1


def test_what_lies_to_the_clock_gets_no_time(tmp_path: Path) -> None:
    done = jacbench(
        *("run", PROBLEM, "--method", "lying.*", "--cell-seconds", "0.02", "--visits", "2"),
        cwd=tmp_path,
        env=environment(tiny_site()),
    )
    assert (done.returncode, done.stderr) == (1, "")
    (path,) = (tmp_path / "results").iterdir()
    document = strict(path.read_text())
    later, keeps, right = document["jacbench"]["cells"]
    assert (later["verdict"], later["median_s"]) == ("disagrees", None)
    assert later["reason"].startswith("asked again after it was timed: in the last timed call: ")
    assert (keeps["verdict"], keeps["median_s"]) == ("disagrees", None)
    assert "it keeps answers" in keeps["reason"]
    assert right["verdict"] == "agrees"
    assert right["median_s"] > 0
    assert [row["extra_info"]["method"] for row in document["benchmarks"]] == ["lying.right"]
