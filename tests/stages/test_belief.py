import pytest
from belief_helpers import make_items

from backtracking.domains.organism.donors import LIVE
from backtracking.runtime.forks import Cores
from backtracking.stages.belief import Params, choose

SIZES = {
    "n_items": 12, "n_dev_items": 5, "n_over": 6, "doses": (0.5, 1.0), "n_rounds": 1,
    "n_random": 4, "regularisations": (1.0,), "rows_per_batch": 64, "seed": 0,
    "cores": Cores(1, 1, "cpu"),
}  # fmt: skip


def test_live_points_come_from_dev_and_test_and_over_ones_from_test_alone() -> None:
    items = [item for split in ("train", "dev", "test") for item in make_items(12, split)]
    found = choose(Params(**SIZES), items)
    counts = {
        (split, kind): sum(i.split == split and (i.kind in LIVE) == kind for i in found)
        for split in ("train", "dev", "test")
        for kind in (True, False)
    }
    assert counts == {
        ("train", True): 0, ("train", False): 0, ("dev", True): 5, ("dev", False): 0,
        ("test", True): 12, ("test", False): 6,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"doses": (1.0, 0.5)}, "must ascend"),
        ({"doses": (0.0, 1.0)}, "must ascend"),
        ({"doses": ()}, "must ascend"),
        ({"n_random": 0}, "must be 1 or more"),
        ({"regularisations": (0.0,)}, "above 0"),
    ],
)
def test_an_experiment_that_cannot_be_run_is_refused(changed: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Params(**(SIZES | changed))
