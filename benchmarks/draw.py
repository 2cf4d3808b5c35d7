"""Draw docs/benchmarks/*.json as charts beside them; run with the peers' environment, which has matplotlib."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

RESULTS = Path(__file__).resolve().parent.parent / "docs/benchmarks"
OURS, OTHERS, DARK = "#d9822b", "#7a8ca3", "#1d2530"
COLOURS = {"fp32": "#2f6fb0", "int8": "#d9822b"}


def main() -> None:
    """Draw what is there."""
    plt.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "savefig.dpi": 130})
    for name, draw in (
        ("peers_tiny", draw_peers),
        ("peers_base", draw_peers),
        ("cold_start", draw_starts),
        ("scaling", draw_scaling),
    ):
        path = RESULTS / f"{name}.json"
        if path.exists():
            found = json.loads(path.read_text(encoding="utf-8"))
            figure = draw(found)
            machine = found["machine"]
            figure.text(
                0.01, 0.01, f"{machine['cpu']}, {machine['cores']} cores, {machine['date']}", fontsize=7, color=OTHERS
            )
            figure.savefig(RESULTS / f"{name}.png")
            plt.close(figure)


def draw_peers(found: dict[str, Any]) -> Any:
    """Rates as bars."""
    peers = sorted(found["peers"].items(), key=lambda item: item[1]["pairs_per_second"])
    figure, axes = plt.subplots(figsize=(8, 3.8), layout="constrained")
    rates = [peer["pairs_per_second"] for _, peer in peers]
    colours = [OURS if name.startswith("pairlift") else OTHERS for name, _ in peers]
    bars = axes.barh([peer["title"] for _, peer in peers], rates, color=colours)
    axes.bar_label(bars, [f"{rate:,.0f}" for rate in rates], padding=4, color=DARK)
    axes.set_xlim(0, max(rates) * 1.12)
    size = "2 layers, 128 wide" if found["size"] == "tiny" else "12 layers, 768 wide"
    axes.set_title(f"Pairs a second, file to file: BERT, {size}", loc="left")
    figure.get_layout_engine().set(rect=(0, 0.04, 1, 0.96))
    return figure


def draw_starts(found: dict[str, Any]) -> Any:
    """Starts as stacked bars, the slowest cut off with its figure beside it."""
    starts = list(found["starts"].items())[::-1]
    figure, axes = plt.subplots(figsize=(8, 2.6), layout="constrained")
    limit = 1.25 * max(s["seconds"] for name, s in starts if name.startswith(("pairlift", "bare")))
    parts = {
        "process": "#b8c4d3",
        "import": "#7a8ca3",
        "tokenizer": "#d9822b",
        "session": "#2f6fb0",
        "first_batch": "#3b8f5a",
    }
    for row, (_, start) in enumerate(starts):
        left = 0.0
        for part, colour in parts.items():
            width = start["split"].get(part, 0.0)
            axes.barh(row, width, left=left, color=colour, label=part.replace("_", " ") if row == 2 else None)
            left += width
        cut = start["seconds"] > limit
        rest = axes.barh(
            row, min(start["seconds"], limit) - left, left=left, color="#dde2e8", hatch="///" if cut else None
        )
        if row == len(starts) - 1:
            rest.set_label("not split, or the process's end")
        note = f"{start['seconds'] * 1000:,.0f} ms" + (" (cut off)" if cut else "")
        axes.text(min(start["seconds"], limit) + limit * 0.01, row, note, va="center")
    axes.set_yticks(range(len(starts)), [name for name, _ in starts])
    axes.set_xlim(0, limit * 1.2)
    axes.set_xlabel("seconds from process start to the first score")
    axes.legend(ncols=6, loc="upper center", bbox_to_anchor=(0.38, 1.18), frameon=False, fontsize=8)
    figure.get_layout_engine().set(rect=(0, 0.06, 1, 0.94))
    return figure


def draw_scaling(found: dict[str, Any]) -> Any:
    """Rates and memory against the file, and the share of the matrix rate against length."""
    figure, (first, second, third) = plt.subplots(1, 3, figsize=(12, 3.4), layout="constrained")
    for variant, colour in COLOURS.items():
        rows = [r for r in found["files"] if r["variant"] == variant]
        first.plot([r["rows"] for r in rows], [r["rows_per_second"] for r in rows], "o-", color=colour, label=variant)
        second.plot([r["rows"] for r in rows], [r["peak_mb"] for r in rows], "o-", color=colour, label=variant)
        for size, style in (("tiny", "o--"), ("base", "s-")):
            shares = [r for r in found["lengths"][size] if r["variant"] == variant]
            third.plot(
                [r["length"] for r in shares],
                [100 * r["share"] for r in shares],
                style,
                color=colour,
                label=f"{size} {variant}",
            )
    for axes, title in (
        (first, "rows a second, the process whole"),
        (second, "peak memory, MB"),
        (third, "% of the machine's matrix rate, same type"),
    ):
        axes.set_xscale("log", base=2 if axes is third else 10)
        axes.set_ylim(bottom=0)
        axes.set_title(title, loc="left")
        axes.set_xlabel("tokens of a row" if axes is third else "rows of the file")
        axes.legend(frameon=False)
    third.set_xticks([8, 16, 32, 64, 128, 256, 512], ["8", "16", "32", "64", "128", "256", "512"])
    figure.get_layout_engine().set(rect=(0, 0.05, 1, 0.95))
    return figure


if __name__ == "__main__":
    main()
