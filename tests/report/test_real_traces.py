"""Blocks on real traces say what the committed tables say, and nothing where there are none."""

import subprocess
from pathlib import Path

import pytest

from backtracking.claims.literature import stability
from backtracking.real_traces import study
from backtracking.records.intervals import Interval
from backtracking.records.rows.real_traces import (
    Excited,
    Lagged,
    OneMoreDraw,
    Order,
    OrderNull,
    Source,
    Stability,
    StabilityBin,
)
from backtracking.records.rows.transitions import Compared
from backtracking.report import real_traces
from backtracking.report.committed import STAGED

VALUE = Interval(0.75, 0.7, 0.8, 27)
NONE = Interval(None, None, None, 27)


def staged(root: Path, tables: study.Tables) -> dict[str, str]:
    subprocess.run(["git", "init", "--quiet"], cwd=root, check=True)
    study.write(tables, root / "results")
    subprocess.run(["git", "add", "results"], cwd=root, check=True)
    return real_traces.blocks(root, STAGED)


def test_without_tables_every_block_says_how_to_make_them(tmp_path: Path) -> None:
    found = staged(tmp_path, {Order: []})
    assert set(found) == set(real_traces.BLOCKS)
    assert all("backtracking real-traces FOLDER" in text for text in found.values())


def test_the_claim_is_held_against_the_published_share_of_ten_draws(tmp_path: Path) -> None:
    row = Stability("wait", "any", 350, 27, VALUE, VALUE, VALUE, VALUE, VALUE, VALUE, VALUE, NONE)
    source = Source("a.gz", "f" * 64, 3, "who/what", "abc", "MIT")
    bins = [StabilityBin(0.0, 0.1, VALUE)]
    draw = OneMoreDraw("any", 9, 3, 2.0, VALUE, VALUE, VALUE, VALUE, VALUE)
    tables: study.Tables = {
        Source: [source], Stability: [row], StabilityBin: bins, OneMoreDraw: [draw],
    }  # fmt: skip
    found = staged(tmp_path, tables)
    text = found["real-stability"]
    assert "repeat: 0.750 (0.700 to 0.800, n = 27)" in text and "**holds**" in text
    assert "Published: 0.933" in text and "fewer than 8 of 10 draws): not comparable." in text
    assert '| "Wait" | any | 350 | 0.750 (0.700 to 0.800)' in text and "| undefined |" in text
    assert "| share of continuations | 0 to 0.1 |" in text
    assert "`who/what` | abc | MIT | `ffffffffffffffff` |" in found["real-sources"]


@pytest.mark.parametrize(("low", "verdict"), [(0.45, "no test"), (0.55, "holds"), (None, "no row")])
def test_what_stands_is_no_test_unless_one_more_draw_says_so_too(
    low: float | None, verdict: str
) -> None:
    row = Stability("wait", "any", 350, 27, VALUE, VALUE, VALUE, VALUE, VALUE, VALUE, VALUE, NONE)
    of_ten = Interval(0.6, low, 0.7, 27)
    draw = OneMoreDraw("any", 9, 3, 2.0, VALUE, VALUE, VALUE, VALUE, of_ten)
    claim = stability.real([row], [draw] if low else [])
    assert claim is not None
    assert claim.finding.verdict == {"no row": "untestable"}.get(verdict, verdict)
    assert ("0.600 (0.450 to 0.700)" in claim.finding.why) == (verdict == "no test")


def test_gains_are_in_thousandths_and_stand_beside_what_no_memory_gains(tmp_path: Path) -> None:
    source = Source("a.gz", "f" * 64, 3, "who/what", "abc", "MIT")
    loss = Interval(-0.02, -0.03, -0.01, 28)
    tables: study.Tables = {
        Source: [source],
        Order: [Order("markov_1", Compared(VALUE, NONE)), Order("markov_2", Compared(VALUE, loss))],
        OrderNull: [OrderNull("markov_2", 0.02, 0.012, 0.021, 0.02, 99)],
        Lagged: [Lagged("wait", 1, 1, 3, 4.0, VALUE), Lagged("wait", 2, 5, 3, 4.0, VALUE)],
        Excited: [Excited("wait", 9, 90, VALUE, VALUE, VALUE, VALUE, VALUE, -loss, loss)],
    }
    found = staged(tmp_path, tables)
    assert "+0.020 (0.010 to 0.030) | +0.012, +0.021 of 99 | 0.02 |" in found["real-order"]
    assert "| 1 | 2 to 5 |" in found["real-bursts"]
    assert found["real-bursts"].endswith(
        '(begins with "Wait") gains beyond the own rate, 20.000 (10.000 to 30.000) mnat, may be '
        "drift that is common to all traces: with a rate for each tenth of a trace, whose length "
        "is taken as known, -20.000 (-30.000 to -10.000) mnat are left."
    )
