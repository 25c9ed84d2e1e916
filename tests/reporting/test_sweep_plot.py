"""A plot is drawn as PNG or SVG, and says in one line why it cannot be."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from jacbench.core.cell import Verdict
from jacbench.core.errors import JacbenchError
from jacbench.reporting import sweep_plot
from jacbench.sweeping.outcome import Sweep
from tests.sweeping.simulated import Law, law, swept

LAWS = {
    "numpy.analytic": law(1e-7, 1.0),
    "jax.a": law(1e-6, 1.0),
    "jax.b": law(1e-5, 0.5),
    "torch.a": law(1e-5, 2.0, until=1000),
    "torch.b": lambda _: Verdict.UNSUPPORTED,
}


@pytest.fixture(scope="module")
def mixed() -> Sweep:
    pytest.importorskip("matplotlib", reason="matplotlib draws")
    return swept(LAWS, noise=0.02)


def words(file: Path) -> str:
    """Return the text of an SVG, which matplotlib keeps as comments beside the glyphs' shapes."""
    text = file.read_text(encoding="utf-8")
    ET.fromstring(text)  # noqa: S314 - our own file
    return "\n".join(re.findall(r"<!-- (.*?) -->", text, re.DOTALL))


def test_svg(mixed: Sweep, tmp_path: Path) -> None:
    sweep_plot.draw(mixed, tmp_path / "a.svg")
    sweep_plot.draw(mixed, tmp_path / "b.svg")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    told = words(tmp_path / "a.svg")
    for text in ("time of one call", "peak memory of one call", "4096", "jax.a  (p = 1.0", "95 %:"):
        assert text in told
    assert "too large" in told
    assert "torch.b" not in told


def test_png(mixed: Sweep, tmp_path: Path) -> None:
    sweep_plot.draw(mixed, tmp_path / "a.PNG")
    assert (tmp_path / "a.PNG").read_bytes().startswith(b"\x89PNG\r\n")


def test_many_methods_are_grey(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib draws")
    laws = {f"jax.m{i}": law(1e-6 * (1 + i), 1.0) for i in range(20)}
    found = swept(laws)
    (panel,) = found.panels
    assert sweep_plot.leading(panel) == [f"jax.m{i}" for i in range(sweep_plot.NAMED)]
    sweep_plot.draw(found, tmp_path / "many.svg")
    told = words(tmp_path / "many.svg")
    assert "12 others" in told
    assert "jax.m8" not in told


@pytest.mark.parametrize(
    "laws",
    [
        {"jax.a": lambda _: Verdict.TIMED_OUT},
        {"jax.a": lambda x: 1e-6 if x == 16 else Verdict.TIMED_OUT},
        {"numpy.analytic": law(1e-6, 1.0)},
    ],
)
def test_hardly_any_time(laws: dict[str, Law], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib draws")
    found = swept(laws)
    sweep_plot.draw(found, tmp_path / "few.svg")
    told = words(tmp_path / "few.svg")
    assert "time of one call" in told
    assert ("nothing to show" in told) is not any(r.median_s for r in found.run.cells)


@pytest.mark.parametrize("name", ["plot.pdf", "plot", "plot.svg.txt"])
def test_other_endings(name: str) -> None:
    with pytest.raises(JacbenchError, match=r"give a file that ends in \.png or \.svg"):
        sweep_plot.check(Path(name))


def test_no_such_folder(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib draws")
    sweep_plot.check(tmp_path / "plot.svg")
    with pytest.raises(JacbenchError, match="there is no such folder"):
        sweep_plot.check(tmp_path / "absent" / "plot.svg")


def test_without_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(JacbenchError, match=r'pip install "jacbench\[plot\]"'):
        sweep_plot.check(tmp_path / "plot.svg")


def test_a_file_that_cannot_be_written(mixed: Sweep, tmp_path: Path) -> None:
    (tmp_path / "taken.svg").mkdir()
    with pytest.raises(JacbenchError, match=r"taken\.svg' cannot be written"):
        sweep_plot.draw(mixed, tmp_path / "taken.svg")


@pytest.mark.parametrize(
    ("value", "seconds", "size"),
    [
        *((1.0, "1 s", "1 B"), (1e-3, "1 ms", "0.001 B"), (1e-4, "100 µs", "0.0001 B")),
        *((1e-9, "1 ns", "1e-09 B"), (100.0, "100 s", "100 B"), (1e6, "1e+06 s", "1 MB")),
    ],
)
def test_ticks(value: float, seconds: str, size: str) -> None:
    assert sweep_plot._seconds(value) == seconds
    assert sweep_plot._bytes(value) == size
