"""What stands on a page in front of its traces."""

from pathlib import Path

from synthetic_results import write_results

from backtracking.report.committed import open_results
from backtracking.report.findings import GRADES, results_table
from backtracking.report.sections import sections


def test_a_measure_that_a_study_does_not_have_is_left_out(tmp_path: Path) -> None:
    write_results(tmp_path)
    (tmp_path / "results/tables/grade.csv").write_text("measure,value,low,high,n\n")
    results = open_results(tmp_path)
    assert results_table(results).count("undefined") == len(GRADES)
    page = sections(results, [])
    assert "undefined" not in page and "<td>kappa, exact labels against rules</td>" in page
