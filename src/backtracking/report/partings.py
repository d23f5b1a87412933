"""What steering looks like: one problem at three coefficients, in the model's own words."""

from collections.abc import Mapping

from backtracking.report.committed import Results
from backtracking.report.words import markdown, quoted

NOTHING = "No generation along the base's direction differs from the unsteered one."


def partings_table(results: Results) -> str:
    """The first problem whose generations the base's direction changes, added and subtracted."""
    match = {"target": results.summary["study_model"], "direction": results.summary["study_base"]}
    rows = [
        row
        for row in results.table_by_name["partings"]
        if all(row[key] == value for key, value in match.items())
    ]
    if not rows:
        return NOTHING
    shown = [row for row in rows if row["problem_id"] == rows[0]["problem_id"]]
    told = [[_dose(row), *(_said(row[key]) for key in PARTS)] for row in shown]
    return f"Problem: {quoted(rows[0]['prompt'])}\n\n{markdown(COLUMNS, told)}"


COLUMNS = ("coefficient", "after", "unsteered (0), it goes on", "steered, it goes on")
PARTS = ("before", "unsteered", "steered")


def _dose(row: Mapping[str, str]) -> str:
    return f"{float(row['dose']):+g}"


def _said(text: str) -> str:
    return quoted(text) if text else "(it ends)"
