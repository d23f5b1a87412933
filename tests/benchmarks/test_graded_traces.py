"""The verdicts of others on their own traces are reproduced, or each difference is explained."""

from pathlib import Path

import pytest

from benchmarks.graded_traces import PAGE, compare, equations, page


@pytest.mark.slow
def test_no_verdict_of_a_source_is_contradicted_and_the_page_says_so(shared_traces: Path) -> None:
    found = list(compare(shared_traces))
    assert len(found) == 191
    assert [one.grade.trace_id for one in found if one.is_contradicted] == []
    assert page(found, equations(shared_traces)) == PAGE.read_text()
