"""The picture of the ratios that have peers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.measure import Row

OURS, OTHERS, INK, LIMIT = "#f37626", "#9aa5b1", "#24292f", "#57606a"


def draw(rows: Sequence[Row], file: Path) -> None:
    """Write an SVG with one panel for each row that has bars; shorter is better."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "ratios", "svg.fonttype": "none", "font.family": "sans-serif"})
    from matplotlib import pyplot as plt

    panels = [row for row in rows if len(row.bars) > 1]
    heights = [len(row.bars) + 0.8 for row in panels]
    figure, axes = plt.subplots(
        len(panels),
        figsize=(7.6, 0.42 * sum(heights) + 0.6),
        height_ratios=heights,
        squeeze=False,
        layout="constrained",
    )
    for row, axis in zip(panels, axes[:, 0], strict=True):
        names = list(reversed(row.bars))
        values = [row.bars[name] for name in names]
        colours = [OURS if name == "jupyter_nativeauth" else OTHERS for name in names]
        bars = axis.barh(names, values, color=colours, height=0.62)
        axis.bar_label(bars, [f"{value:.2f}" for value in values], padding=4, color=INK)
        axis.axvline(1, color=LIMIT, linewidth=0.8, linestyle=":")
        axis.set_xlim(0, max(values) * 1.12)
        axis.set_title(row.what.replace("`", ""), loc="left", color=INK, fontsize=10)
        axis.tick_params(colors=INK, length=0)
        axis.set_xticks([1], ["1 = without"])
        axis.spines[:].set_visible(False)
    figure.savefig(file, format="svg", facecolor="white", metadata={"Date": None, "Creator": None})
    plt.close(figure)
    text = file.read_text(encoding="utf-8")
    file.write_text("\n".join(line.rstrip() for line in text.splitlines()) + "\n", encoding="utf-8")
