"""P(backtrack) against the dose, at live and at dead decision points."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

from backtracking.claims.literature.study import Study
from backtracking.records.measured import BASELINE
from backtracking.records.rows.arms import Forced
from backtracking.report.tables import decided, is_random


def draw_dose(study: Study) -> bytes:
    """An SVG whose bytes depend on the results alone: teacher-forced arms with intervals."""
    lines = {
        study.studied: ("own direction", "C0"),
        study.base: ("base's direction", "C1"),
        "action": ("action (W_U)", "C2"),
    }
    with pyplot.rc_context({"svg.hashsalt": "mats-backtracking", "font.size": 9}):
        figure, axes = pyplot.subplots(1, 2, figsize=(8, 3), sharey=True)
        for axis, kind in zip(axes, (study.live, study.dead), strict=True):
            _draw_lines(axis, decided(study, kind), lines)
            axis.set_title(f"decision points: {kind}")
            axis.set_xlabel("dose (norms of the model's own direction)")
        axes[0].set_ylabel("P(backtrack)")
        axes[0].set_ylim(0, 1)
        axes[0].legend(frameon=False)
        figure.tight_layout()
        file = io.BytesIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
        pyplot.close(figure)
    return file.getvalue()


def _draw_lines(axis: Any, rows: Sequence[Forced], lines: Mapping[str, tuple[str, str]]) -> None:
    for direction, (label, color) in lines.items():
        line = [row for row in rows if row.arm.direction in (direction, BASELINE)]
        line.sort(key=lambda row: row.arm.dose)
        doses = [row.arm.dose for row in line]
        axis.plot(doses, [row.level.value for row in line], color=color, marker="o", label=label)
        if all(row.level.low is not None for row in line):
            low, high = ([getattr(row.level, end) for row in line] for end in ("low", "high"))
            axis.fill_between(doses, low, high, color=color, alpha=0.2, linewidth=0)
    randoms = [row for row in rows if is_random(row)]
    axis.plot(
        [row.arm.dose for row in randoms],
        [row.level.value for row in randoms],
        color="0.6",
        linestyle="",
        marker="_",
        label="random directions",
        zorder=0,
    )
