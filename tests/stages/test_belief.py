"""The stage on a study in miniature: whole, and where the domain makes no pairs."""

import pytest
from belief_helpers import DOMAIN, TOKENS, make_pairs

from backtracking.belief.plan import Points
from backtracking.records.choices import Choice
from backtracking.records.pairs import MinimalPair
from backtracking.runtime.forks import Cores
from backtracking.stages.belief import Params, choose, select

SIZES = {
    "n_items": 12, "n_dev_items": 5, "doses": (0.5, 1.0), "n_rounds": 1,
    "n_random": 4, "regularisations": (1.0,), "rows_per_batch": 64, "seed": 0,
    "cores": Cores(1, 1, "cpu"),
}  # fmt: skip


def points_of(pairs: list[MinimalPair]) -> Points:
    return choose(Params(**SIZES), pairs, DOMAIN.kinds, TOKENS)


def test_pairs_come_from_dev_and_test_and_have_donors() -> None:
    pairs = [pair for split in ("train", "dev", "test") for pair in make_pairs(12, split)]
    found = points_of(pairs)
    assert not found.reason and found.sign == 1
    counts = {
        (split, kind): sum(
            one.split == split and bool(one.donor_kind) == kind for one in found.pairs
        )
        for split in ("train", "dev", "test")
        for kind in (True, False)
    }
    assert counts == {
        ("train", True): 0, ("train", False): 0, ("dev", True): 5, ("dev", False): 0,
        ("test", True): 12, ("test", False): 0,
    }  # fmt: skip


def test_where_pairs_are_lacking_the_reason_says_of_which_splits() -> None:
    assert points_of([]).reason == "there are no minimal pairs of dev and test"
    assert points_of(make_pairs(12)).reason == "there are no minimal pairs of dev"


def test_where_nothing_can_be_asked_the_selection_says_why_and_holds_no_dose() -> None:
    found = select(Choice("trained", "plain", 2, (0, 0), 1.0), "there are no minimal pairs")
    assert (found.layer, found.window, found.reason) == (2, "0:0", "there are no minimal pairs")
    assert not found.doses and not found.n_layers_by_role


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
