"""The table of labellers says what its rows say, and what is undefined."""

from backtracking.records.intervals import Interval
from backtracking.records.rows.labellers import LabellerAgreement
from backtracking.report.labellers import labellers_table


def test_a_row_is_a_line_with_its_intervals() -> None:
    known, unknown = Interval(0.5, 0.25, 0.75, 8), Interval(None, None, None, 8)
    row = LabellerAgreement(
        "flow", "held-back", "field", "ours", 90, 8, 9, 7, known, known, unknown, known
    )
    assert labellers_table([row]).splitlines()[2] == (
        "| flow, held-back | markers of the literature | 0.500 | 0.250 to 0.750 | 0.500 "
        "| 0.250 to 0.750 | undefined | 0.500 | 90 |"
    )
