from pathlib import Path

import pytest
from synthetic_results import write_pairs

from backtracking.report import trained
from backtracking.report.committed import read_table

DEVICE = "2 vCPU, a machine"


def test_what_is_kept_of_several_pairs_counts_as_they_do(tmp_path: Path) -> None:
    write_pairs(tmp_path / "results", 3)
    trained.main(["--root", str(tmp_path), "--device", DEVICE])
    rows = read_table((tmp_path / trained.KEPT).read_text())
    assert len(rows) == 9 and {row["device"] for row in rows} == {DEVICE}
    assert rows[0]["because"].startswith("The model is broken there: only 0.800")
    first = trained.counts(rows)[0]
    assert (first.claim, first.n_pairs, first.n_holds, first.n_no_test) == ("primary", 3, 2, 1)
    assert first.estimate == pytest.approx(0.4)


def test_one_pair_is_nothing_to_keep_and_the_cure_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pairs(tmp_path / "results", 1)
    with pytest.raises(SystemExit):
        trained.main(["--root", str(tmp_path), "--device", DEVICE])
    assert "organism-seeds" in capsys.readouterr().err
    assert not (tmp_path / trained.KEPT).exists()
