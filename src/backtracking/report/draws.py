"""What drawn sentences say of P(an opener), in the summary and in a sentence of the findings."""

from collections.abc import Mapping, Sequence
from typing import Any

from backtracking.records.intervals import Interval
from backtracking.records.measured import BASELINE
from backtracking.records.rows.drawn import Calibration, Frozen
from backtracking.report.words import interval, number

KEY = "steer_calibration"
HALF = 0.5
"""Of the baseline's slope: an arm below it says the word more than it turns."""


def summarize_draws(
    lines: Sequence[Calibration], openers: Frozen | None, studied: str, base: str
) -> dict[str, Any]:
    """Keys of summary.json; none where nothing was drawn.

    Args:
        lines: of all arms.
        openers: that were frozen.
        studied, base: roles of the pair.
    """
    its = [row for row in lines if row.arm.target == studied and row.run == "affine"]
    found: dict[str, Any] = {}
    for name, direction, dose in (("baseline", BASELINE, 0.0), ("base", base, 1.0)):
        for row in its:
            if (row.arm.direction, row.arm.dose) == (direction, dose):
                found |= _interval(f"{KEY}_slope_{name}", row.slope)
                found |= _interval(f"{KEY}_ratio_{name}", row.slope_of_baseline)
                found[f"{KEY}_r2_{name}"] = row.r2.value
    if openers is not None:
        found["steer_openers_coverage"] = openers.coverage
        found["steer_openers_usable"] = openers.is_usable
    return found


def tell_draws(summary: Mapping[str, Any]) -> str:
    """The sentences; empty where nothing was drawn."""
    if f"{KEY}_slope_baseline" not in summary:
        return ""
    slopes = [
        f"{_told(summary, f'{KEY}_slope_{name}')} {words}"
        for name, words in (("baseline", "without an edit"), ("base", "under the base's direction"))
        if f"{KEY}_slope_{name}" in summary
    ]
    said = (
        "P_back is the share of drawn next sentences that backtrack. Over decisions it rises with "
        f"P(an opener) with a slope of {' and '.join(slopes)}."
    )
    ratio = summary.get(f"{KEY}_ratio_base")
    if ratio is not None and ratio <= HALF:
        said += " So steered the model has learnt to say the word more than to turn."
    coverage = summary.get("steer_openers_coverage")
    if coverage is not None:
        said += f" The openers that were frozen on dev begin {number(coverage)} of what backtracks"
        said += (
            "." if summary["steer_openers_usable"] else ", too little for P(an opener) to count."
        )
    return said


def _interval(name: str, found: Interval) -> dict[str, float | None]:
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}


def _told(summary: Mapping[str, Any], name: str) -> str:
    ends = interval(summary[f"{name}_low"], summary[f"{name}_high"])
    return f"{number(summary[name])} ({ends})"
