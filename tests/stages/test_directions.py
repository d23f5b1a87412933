"""The stage on planted activations: what was planted is found, selected and told from noise."""

import numpy as np
import pytest
import torch

from backtracking.extraction.reader import ActivationStore
from backtracking.moments import Moments
from backtracking.stages.directions import Params, Result, name_of, run

D_MODEL, N = 16, 900
PARAMS = Params(((4, 4), (1, 1)), (-3, -1), 3, 8, 40, 0)


class Planted(ActivationStore):
    """A store in which `truth` times `size` is added at the last token of `over` comparisons."""

    def __init__(self, moments: Moments, truth: torch.Tensor, size: dict[int, float]) -> None:
        self.moments, self.truth, self.size = moments, truth, size
        self.manifest = {"layers": [0, 1], "d_model": D_MODEL}

    def has(self, trace: np.ndarray, position: np.ndarray) -> np.ndarray:
        """Every token is stored."""
        return position >= 0

    def gather(self, layer: int, trace: np.ndarray, position: np.ndarray) -> torch.Tensor:
        """Noise by place, a slope along the running total, and the planted direction."""
        place = dict(
            zip(zip(self.moments.trace, self.moments.start + 4, strict=True), range(N), strict=True)
        )
        generator = torch.Generator().manual_seed(layer)
        table = torch.randn(N + 1, D_MODEL, generator=generator)
        rows = [place.get((t, p), N) for t, p in zip(trace, position, strict=True)]
        values = table[rows].clone()
        for number, row in enumerate(rows):
            if row < N:
                if self.moments.kind[row] == "over":
                    values[number] += self.size[layer] * self.truth
                values[number, 0] += 0.3 * float(self.moments.total[row])
        return values


@pytest.fixture(scope="module")
def result() -> Result:
    """All forms on a planted pair whose true cosine is 0.6 at layer 1, where it is strongest."""
    random = np.random.default_rng(0)
    problem = np.arange(N) // 6
    total = random.integers(0, 20, N)
    over = random.random(N) < 0.2 + 0.03 * total
    names = np.array([f"p{n:03d}" for n in problem], dtype=object)
    split = np.array(["train" if n % 3 else "dev" for n in problem], dtype=object)
    number = np.array(
        [
            {n: i for i, n in enumerate(sorted(set(names[split == s])))}[p]
            for p, s in zip(names, split, strict=True)
        ]
    )
    moments = Moments(
        trace=problem, problem=names, problem_number=number, split=split,
        start=10 + 10 * (np.arange(N) % 6), end=15 + 10 * (np.arange(N) % 6),
        label=np.array(["backtracking" if o else "deduction" for o in over], dtype=object),
        form=np.full(N, "compare", dtype=object),
        kind=np.where(over, "over", "alive").astype(object),
        action=np.full(N, "", dtype=object), total=total,
    )  # fmt: skip
    first, second = torch.zeros(2, D_MODEL)
    first[3] = 1.0
    second[3], second[4] = 0.6, 0.8
    stores = {
        "base": Planted(moments, first, {0: 0.3, 1: 3.0}),
        "reasoning": Planted(moments, second, {0: 0.3, 1: 3.0}),
    }
    actions = {role: torch.ones(D_MODEL) for role in stores}
    return run(PARAMS, moments, stores, actions, {"reasoning": "base"})


def test_the_planted_direction_is_found_without_the_slope_of_the_running_total(
    result: Result,
) -> None:
    found = result.direction_by_name[name_of("base", "matched", "4:4", 1)]
    truth = torch.zeros(D_MODEL)
    truth[3] = 1.0
    assert torch.cosine_similarity(found, truth, dim=0) > 0.97
    assert found.norm() == pytest.approx(3.0, abs=0.4)


def test_selection_takes_the_layer_and_window_where_dev_problems_are_told_apart(
    result: Result,
) -> None:
    for role in ("base", "reasoning"):
        assert (result.selection[role]["layer"], result.selection[role]["window"]) == (1, "4:4")
        assert result.selection[role]["dev_auroc"] > 0.9


def test_the_corrected_cosine_of_the_pair_is_the_planted_one(result: Result) -> None:
    (row,) = [
        row
        for row in result.cosines
        if (row["form"], row["window"], row["layer"]) == ("matched", "4:4", 1)
    ]
    assert row["pair"] == "base-reasoning"
    assert row["low"] < 0.6 < row["high"]
    assert row["cosine"] == pytest.approx(0.6, abs=0.12)
    assert row["n"] == 100


def test_every_form_layer_and_window_has_its_row_and_its_direction(result: Result) -> None:
    forms = {(row["form"], row["window"]) for row in result.rows}
    assert forms == {
        ("matched", "4:4"),
        ("matched", "1:1"),
        ("ward", "-3:-1"),
        ("venhoff", "-1:10"),
    }
    assert len(result.rows) == 2 * 2 * 4
    assert set(result.direction_by_name) == {"base.action", "reasoning.action"} | {
        name_of(row["role"], row["form"], row["window"], row["layer"]) for row in result.rows
    }


def test_a_window_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(ValueError, match="first <= last"):
        Params(((4, 1),), (-3, -1), 3, 8, 40, 0)
