import csv
from pathlib import Path

import pytest
from project import write_tiny_params

from backtracking.stages import power
from lifeboat.stage import artifacts


def test_every_size_has_a_row_and_larger_studies_see_smaller_effects(tmp_path: Path) -> None:
    write_tiny_params(tmp_path / "params.yaml")
    spread = {"between": 0.2, "within": 0.3, "random": 0.05, "decisions": 6.0}
    artifacts.write_json(tmp_path / "results" / "effects" / "steer" / "spread.json", spread)
    power.main(["--root", str(tmp_path)])
    with (tmp_path / "results" / "power" / "power.csv").open(newline="") as file:
        rows = [
            ((int(r["n_problems"]), int(r["n_samples"])), float(r["minimal_effect"]))
            for r in csv.DictReader(file)
            if r["n_random"] == "39"
        ]
    found = dict(rows)
    assert len(found) == len(rows) == 18
    assert found[500, 4] < found[50, 1] < found[10, 1]


@pytest.mark.parametrize(("n", "share"), [((1,), 0.8), ((10,), 1.0)])
def test_studies_that_cannot_be_sized_are_refused(n: tuple[int, ...], share: float) -> None:
    with pytest.raises(ValueError, match="`power`|sizes must be"):
        power.Params(n, (1,), (39,), share, 0)
