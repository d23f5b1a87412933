from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import marked
import pytest
from marked import COLLECTED, row

from backtracking import PROJECT_ROOT
from backtracking.report import kinds, reliability
from backtracking.report.kinds import Tried
from backtracking.report.reliability import Seen
from lifeboat.stage import artifacts
from lifeboat.stage.errors import UserError

ROW: dict[str, Any] = {
    "fault": "a flood",
    "store": "moto",
    "says": "is wet",
    "saved": "no",
    "lost": 0,
    "wrongly": 0,
    "mended": 1,
    "runs": 1,
}


def test_the_committed_page_is_what_the_committed_figures_say() -> None:
    seen = reliability.read_seen(PROJECT_ROOT / reliability.KEPT)
    tried = kinds.read(PROJECT_ROOT / kinds.KEPT)
    assert (PROJECT_ROOT / reliability.PAGE).read_text() == reliability.render(seen, tried)


def test_every_kind_was_tried_and_is_as_stated() -> None:
    tried = kinds.read(PROJECT_ROOT / kinds.KEPT)
    assert {one.kind for one in tried} == set(kinds.KINDS)
    assert all(one.passed for one in tried)


def test_the_committed_kinds_are_those_that_pytest_collects(
    request: pytest.FixtureRequest,
) -> None:
    """As far as this run collects them: what stands in other files is not missed."""
    collected = request.config.stash[COLLECTED]
    here = Counter(Tried(**row(item), passed=True) for item in collected if row(item))
    kept = Counter(kinds.read(PROJECT_ROOT / kinds.KEPT))
    cure = "Run `make reliability`"
    assert not here - kept, f"{cure}: members without a run."
    if marked.files(PROJECT_ROOT / "tests") <= {item.path for item in collected}:
        assert not kept - here, f"{cure}: runs of members that there are no more."


def test_members_share_a_row_and_what_is_not_as_stated_is_printed() -> None:
    tried = [Tried(2, "a path is named", member, member != "c") for member in "abc"]
    page = kinds.render(tried)
    assert "| a path is named | `a`, `b`, `c` | 2 of 3 |" in page
    assert "1 statements, 3 members, 2 as stated" in page
    many = [replace(tried[0], member=f"m{n:02}") for n in range(15)]
    assert "`m11` and 3 more" in kinds.render(many)


def test_the_committed_figures_hold_no_loss_and_every_fault_on_both_servers() -> None:
    seen = reliability.read_seen(PROJECT_ROOT / reliability.KEPT)
    assert sum(row.lost for row in seen) == 0
    assert sum(row.wrongly for row in seen) == 0
    assert all(row.mended == row.runs for row in seen)
    assert sum(row.runs for row in seen if row.fault.startswith("kill -9")) == 30
    by_store = {store: {row.fault for row in seen if row.store == store} for store in STORES}
    assert len(by_store["moto"]) == 18
    assert by_store["rclone"] - by_store["moto"] == {"credentials of nobody, refused by the server"}
    assert by_store["folder"] == {"disk full"}


STORES = ("moto", "rclone", "folder")


def test_stores_that_behave_alike_share_a_row_and_a_loss_is_printed() -> None:
    row = Seen(**ROW)
    page = reliability.render([row, replace(row, store="rclone")], [])
    assert "| a flood | moto, rclone | is wet | no | 0 | 0 | mends it |" in page
    assert "**0 objects lost**, 2 of 2 mended" in page
    page = reliability.render([row, replace(row, store="rclone", lost=3, mended=0)], [])
    assert "| a flood | rclone | is wet | no | 3 | 0 | DOES NOT MEND IT |" in page
    assert "**3 objects lost**, 1 of 2 mended" in page


def test_a_row_that_lacks_a_column_is_told(tmp_path: Path) -> None:
    less = {name: value for name, value in ROW.items() if name != "lost"}
    artifacts.write_json(tmp_path / "seen.json", [less])
    with pytest.raises(UserError, match="lost missing"):
        reliability.read_seen(tmp_path / "seen.json")


def test_the_command_takes_in_what_was_seen_and_writes_the_page(tmp_path: Path) -> None:
    artifacts.write_json(tmp_path / reliability.SEEN, [ROW])
    artifacts.write_json(
        tmp_path / kinds.SEEN, {"test_a": asdict(Tried(5, "it is read", "", True))}
    )
    reliability.main(["--root", str(tmp_path)])
    assert artifacts.read_json(tmp_path / reliability.KEPT) == [ROW]
    assert "| it is read |  | 1 of 1 |" in (tmp_path / reliability.PAGE).read_text()
    assert "| a flood | moto |" in (tmp_path / reliability.PAGE).read_text()
    (tmp_path / reliability.SEEN).unlink()
    (tmp_path / reliability.PAGE).unlink()
    reliability.main(["--root", str(tmp_path)])
    assert "| a flood | moto |" in (tmp_path / reliability.PAGE).read_text()
