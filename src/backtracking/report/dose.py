"""P(backtrack) against the dose, at live and at dead decision points."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

LINES = {
    "reasoning": ("own direction", "C0"),
    "base": ("base's direction", "C1"),
    "action": ("action (W_U)", "C2"),
}


def draw_dose(rows: Sequence[Mapping[str, Any]], target: str = "reasoning") -> bytes:
    """An SVG whose bytes depend on the rows alone.

    Args:
        rows: as results/steer/forced.json: teacher-forced arms with intervals.
        target: the model that is steered.
    """
    with pyplot.rc_context({"svg.hashsalt": "mats-backtracking", "font.size": 9}):
        figure, axes = pyplot.subplots(1, 2, figsize=(8, 3), sharey=True)
        for axis, kind in zip(axes, ("alive", "over"), strict=True):
            chosen = [
                row
                for row in rows
                if row["target"] == target and row["kind"] == kind and row["where"] == "decision"
            ]
            _draw_lines(axis, chosen)
            axis.set_title(f"decision points that are {kind}")
            axis.set_xlabel("dose (norms of the model's own direction)")
        axes[0].set_ylabel("P(backtrack)")
        axes[0].set_ylim(0, 1)
        axes[0].legend(frameon=False)
        figure.tight_layout()
        file = io.BytesIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
        pyplot.close(figure)
    return file.getvalue()


def _draw_lines(axis: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    baseline = [row for row in rows if row["direction"] == "baseline"]
    for direction, (label, color) in LINES.items():
        line = [row for row in rows if row["direction"] == direction]
        line = sorted([*line, *baseline], key=lambda row: row["dose"])
        doses = [row["dose"] for row in line]
        axis.plot(doses, [row["value"] for row in line], color=color, marker="o", label=label)
        if all(row["low"] is not None for row in line):
            low, high = ([row[end] for row in line] for end in ("low", "high"))
            axis.fill_between(doses, low, high, color=color, alpha=0.2, linewidth=0)
    randoms = [row for row in rows if row["direction"].startswith("random_")]
    axis.plot(
        [row["dose"] for row in randoms],
        [row["value"] for row in randoms],
        color="0.6",
        linestyle="",
        marker="_",
        label="random directions",
        zorder=0,
    )
