"""How well labellers find backtracking in real traces, as the findings have it."""

from collections.abc import Sequence

from backtracking.records.intervals import Interval
from backtracking.records.rows.labellers import LabellerAgreement
from backtracking.report.words import interval, markdown, number

WORDS = {
    "field": "markers of the literature",
    "rules": "`rules`",
    "learned": "`learned`",
}
"""What our own labellers are called."""

HEADINGS = ["traces", "labeller", "kappa", "interval", "F1", "interval", "precision", "recall", "n"]


def labellers_table(rows: Sequence[LabellerAgreement]) -> str:
    """One line a labeller and set of traces, in the order of the rows; intervals are by trace."""
    return markdown(HEADINGS, [_line(row) for row in rows])


def _line(row: LabellerAgreement) -> list[str]:
    return [
        f"{row.source}, {row.subset}",
        WORDS.get(row.labeller, row.labeller),
        *_both(row.kappa),
        *_both(row.f1),
        number(row.precision.value),
        number(row.recall.value),
        str(row.n),
    ]


def _both(one: Interval) -> tuple[str, str]:
    return number(one.value), interval(one.low, one.high)
