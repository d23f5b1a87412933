"""The tables that git holds are what the traces give, and say where they come from."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from project import ROOT

from backtracking.real_traces import study
from backtracking.records.intervals import Interval
from backtracking.records.rows.labellers import LabellerAgreement
from backtracking.records.rows.real_traces import Order, Source
from backtracking.records.rows.table import read_rows
from backtracking.records.rows.transitions import Compared
from lifeboat.stage.errors import UserError


@pytest.mark.slow
def test_the_committed_tables_are_what_the_traces_give(shared_traces: Path) -> None:
    found = study.check(study.measure(shared_traces), ROOT / "results")
    assert [item.fact for item in found if item.verdict != "ok"] == []
    assert len(found) == len(study.ALL) == 10


def test_a_table_that_differs_is_named_and_the_last_digits_do_not_count(tmp_path: Path) -> None:
    gain = Interval(0.25, 0.1, None, 3)
    row = Order("iid", Compared(gain, gain))
    source = Source("a", "b", 1, "c", "d", "e")
    study.write({Order: [row], Source: [source]}, tmp_path)
    near = Order("iid", Compared(replace(gain, value=0.25 + 1e-7), gain))
    assert all(item.verdict == "ok" for item in study.check({Order: [near]}, tmp_path))
    for other in (Order("iid", Compared(replace(gain, value=0.26), gain)), Order("x", row.score)):
        (item,) = study.check({Order: [other]}, tmp_path)
        assert item.verdict == "wrong" and "real_traces/order.json is not" in item.fact
    (item,) = study.check({Order: []}, tmp_path)
    assert item.verdict == "wrong"


def test_the_committed_figure_is_of_the_committed_table_and_says_who_is_best() -> None:
    rows = read_rows(LabellerAgreement, ROOT / "results")
    written = study.drawn(rows)
    assert written == (ROOT / "results" / study.FIGURE).read_bytes()
    alike = [one for one in rows if (one.source, one.subset) == ("reasoningflow_human", "all")]
    for kind in ("ours", "judge", "human"):
        best = max(one.f1.value or 0 for one in alike if one.kind == kind)
        assert f" {best:.3f} (" in re.sub(r"\s+", " ", written.decode())
    assert b"No traces that humans labelled" in study.drawn([])


def test_a_folder_without_the_traces_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"thought_anchors_math\.jsonl\.gz does not exist"):
        study.measure(tmp_path)
