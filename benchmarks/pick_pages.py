"""The tables of results/pick.md, from the files that the pick's benchmarks wrote."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jacbench.core.units import format_seconds
from jacbench.reporting.markup import markdown_lines

RESULTS = Path(__file__).resolve().parents[1] / "results"


def parts() -> dict[str, str]:
    """Return each table by the name of its place on the page."""
    return {
        "structure": structure(_read("structure")),
        "products": products(_read("products")),
        "habits": habits(_read("habits")),
        "time": time_to_answer(_read("time-to-answer")),
        "regret": regret(_read("regret")),
        "compiled": regret(_read("regret-compiled")),
        "mended": regret(_read("regret-mended")),
        "busy": regret(_read("regret-busy")),
        "limit": limit(_read("limit")),
    }


def _read(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return content


def structure(found: dict[str, Any]) -> str:
    """Return what structure gains, each ratio beside that of the method to itself."""
    head = ("method", "against", "its time", "the other's", "times faster", "95 %", "A/A", "part")
    rows = []
    for row in found["rows"]:
        if "speedup" not in row:
            rows.append((row["method"], row.get("other", ""), *[""] * 5, row["part"]))
            continue
        ratio = row["speedup"]
        rows.append(
            (
                row["method"],
                row["other"],
                format_seconds(ratio["b_median_s"]),
                format_seconds(ratio["a_median_s"]),
                _digits(ratio["median"]),
                _ends(ratio),
                f"{row['itself']['median']:.3f}",
                row["part"],
            )
        )
    return _markdown(head, rows)


def products(found: dict[str, Any]) -> str:
    """Return what a product takes in the library's own way and in a method's."""
    head = ("product", "own", "ours", "own time", "our time", "own / ours", "95 %")
    rows = [
        (
            row["sizes"],
            row["own"],
            row["ours"],
            format_seconds(row["ratio"]["a_median_s"]),
            format_seconds(row["ratio"]["b_median_s"]),
            _digits(row["ratio"]["median"]),
            _ends(row["ratio"]),
        )
        for row in found["rows"]
    ]
    return _markdown(head, rows)


def habits(found: dict[str, Any]) -> str:
    """Return by how much the pick beats each habit."""
    names = list(found["means"])
    head = ("problem", "picked", *names, "A/A")
    rows = [
        (
            row["problem"],
            row["picked"],
            *(
                _digits(row["speedups"][name]["median"]) if name in row["speedups"] else ""
                for name in names
            ),
            f"{row['itself']['median']:.3f}",
        )
        for row in found["rows"]
    ]
    means = [f"{_digits(found['means'][n]['mean'])} ({_ends(found['means'][n])})" for n in names]
    rows.append(("geometric mean (95 %)", "", *means, ""))
    return _markdown(head, rows)


def time_to_answer(found: dict[str, Any]) -> str:
    """Return what a pick takes beside measuring everything."""
    head = ("problem", "pick", "every method", "share", "picked", "fastest of all")
    rows = [
        (
            row["problem"],
            f"{row['pick_s']:.1f} s",
            f"{row['everything_s']:.1f} s ({row['methods']})",
            f"{row['share']:.2f}",
            row["picked"],
            row["fastest"],
        )
        for row in sorted(found["rows"], key=lambda row: -row["share"])
    ]
    summary = found["summary"]
    told = (
        f"Median share {summary['median_share']:.2f}, largest {summary['largest_share']:.2f}, "
        f"longest pick {summary['longest_pick_s']:.1f} s."
    )
    return f"{_markdown(head, rows)}\n\n{told}"


def regret(found: dict[str, Any]) -> str:
    """Return what is lost by trusting the pick."""
    head = ("function", "family", "picked", "regret", "fastest other", "95 %", "A/A", "pick took")
    rows = []
    for row in found["rows"]:
        if "picked" not in row:
            rows.append((row["name"], row["family"], row["reason"], *[""] * 5))
            continue
        ratio = row["ratio"]
        rows.append(
            (
                row["name"],
                row["family"],
                row["picked"],
                _percent(row["regret"]),
                row["best"] if row["regret"] else "",
                "" if ratio is None else _ends(ratio),
                f"{row['itself']['median']:.3f}",
                f"{row['pick_s']:.1f} s",
            )
        )
    whole = found["summary"]
    told = (
        f"{whole['functions']} functions: median regret {_percent(whole['median'])}, 95th "
        f"percentile {_percent(whole['p95'])}, largest {_percent(whole['max'])}; over 5 % for "
        f"{whole['notable']}; no answer for {whole['without_answer']}."
    )
    ended = "; ".join(
        f"{', '.join(f'`{method}`' for method in row['ended'])} on {row['name']}"
        for row in found["rows"]
        if row.get("ended")
    )
    if ended:
        told += f"\nCrashed or took too long, and not among the others: {ended}."
    return f"{_markdown(head, rows)}\n\n{told}"


def limit(found: dict[str, Any]) -> str:
    """Return how near the best method comes to what the machine can do."""
    head = ("problem", "m x n", "best", "its time", "by hand", "best / by hand")
    head = (*head, "floor", "of", "best / floor")
    rows = []
    for row in found["rows"]:
        by_hand, floor = row["by_hand_s"], row["floor_s"]
        rows.append(
            (
                row["problem"],
                f"{row['m']} x {row['n']}",
                row["best"],
                format_seconds(row["best_s"]),
                format_seconds(by_hand),
                _digits(row["best_s"] / by_hand) if by_hand else "",
                format_seconds(floor),
                "moving" if floor == row["moving_s"] else "computing",
                _digits(row["best_s"] / floor) if floor else "",
            )
        )
    machine, largest = found["limits"], max(found["limits"]["bytes_per_s"], key=int)
    speeds = machine["bytes_per_s"]
    told = (
        f"Copies at {speeds[largest] / 1e9:.3g} to {max(speeds.values()) / 1e9:.3g} GB/s, matrix "
        f"products at {machine['flops_per_s'] / 1e9:.3g} GFLOP/s. {found['untimed']}."
    )
    return f"{_markdown(head, rows)}\n\n{told}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _markdown(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    return "\n".join(markdown_lines(head, rows, "---"))


def _digits(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def _ends(ratio: dict[str, float]) -> str:
    return f"{_digits(ratio['low'])} to {_digits(ratio['high'])}"
