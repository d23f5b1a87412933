"""The stage on planted activations: what was planted is found, selected and told from noise."""

import numpy as np
import pytest
import torch

from backtracking.activations.reader import ActivationStore
from backtracking.directions.events import Event
from backtracking.records.moments import Moments
from backtracking.stages.directions import Params, Readout, Result, name_of, run

D_MODEL, N, N_NULL = 16, 900, 9
PARAMS = Params(((4, 4), (1, 1)), (-3, -1), 3, 8, N_NULL, 0)
MARKERS = torch.eye(D_MODEL)[[3, 7]]


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
    readouts = {role: Readout(torch.ones(D_MODEL), MARKERS) for role in stores}
    trace_ids = [f"p{n:03d}/0" for n in range(N // 6)]
    keyword = (over | (random.random(N) < 0.2)) & (split == "train")
    events = [
        Event(trace_ids[trace], f"p{trace:03d}", int(end) - 1, kind, True, kind == "over", 8, 8, n)
        for trace, end, kind, n in zip(
            problem[keyword], moments.end[keyword], moments.kind[keyword],
            (6 * over[keyword]).tolist(),
            strict=True,
        )
    ]  # fmt: skip
    return run(PARAMS, moments, stores, readouts, {"reasoning": "base"}, trace_ids, events)


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
    at_comparisons = ("matched", "unmarked", "keyword", "stable")
    forms = {(form, window) for form in at_comparisons for window in ("4:4", "1:1")}
    forms |= {("ward", "-3:-1"), ("venhoff", "-1:10")}
    by_role = {
        role: {(row["form"], row["window"]) for row in result.rows if row["role"] == role}
        for role in ("base", "reasoning")
    }
    state = ("state.deduction", "-1:10")
    assert by_role == {"base": forms, "reasoning": forms | {state}}
    named = {name_of(row["role"], row["form"], row["window"], row["layer"]) for row in result.rows}
    assert len(named) == len(result.rows)
    null = {
        name_of("reasoning", f"null_{k}", window, layer)
        for k in range(N_NULL)
        for window in ("4:4", "1:1")
        for layer in (0, 1)
    }
    mean = {name_of("reasoning", "mean", "-1:10", layer) for layer in (0, 1)}
    actions = {"base.action", "reasoning.action"}
    assert set(result.direction_by_name) == named | null | mean | actions


def test_without_the_markers_rows_nothing_of_the_direction_reaches_their_logits(
    result: Result,
) -> None:
    found = result.direction_by_name[name_of("reasoning", "unmarked", "4:4", 1)]
    matched = result.direction_by_name[name_of("reasoning", "matched", "4:4", 1)]
    assert (MARKERS @ found).abs().max() < 1e-6 < (MARKERS @ matched).abs().max()
    kept = [axis for axis in range(D_MODEL) if axis not in (3, 7)]
    torch.testing.assert_close(found[kept], matched[kept])
    (row,) = [
        row
        for row in result.forms
        if (row["role"], row["form"], row["window"], row["layer"])
        == ("reasoning", "unmarked", "4:4", 1)
    ]
    assert row["raw"] == pytest.approx(float(found.norm() / matched.norm()), abs=1e-5)


def test_stable_events_give_a_stronger_direction_that_is_nearer_to_the_planted_one(
    result: Result,
) -> None:
    names = [name_of("base", form, "4:4", 1) for form in ("matched", "keyword", "stable")]
    matched, keyword, stable = (result.direction_by_name[name] for name in names)
    assert keyword.norm() < 0.85 * stable.norm()
    assert stable.norm() == pytest.approx(float(matched.norm()), rel=0.1)
    (row,) = [
        row
        for row in result.forms
        if (row["role"], row["form"], row["other_form"], row["window"], row["layer"])
        == ("base", "stable", "matched", "4:4", 1)
    ]
    assert row["low"] < 1 < row["high"] or row["cosine"] == pytest.approx(1, abs=0.02)
    assert row["nearer_high"] > 0


def test_planted_norms_lie_beyond_those_of_shuffled_labels(result: Result) -> None:
    for row in result.rows:
        if (row["form"], row["window"], row["layer"]) == ("matched", "4:4", 1):
            assert row["norm_low"] < 3.0 < row["norm_high"]
            assert row["norm_null"] < 1.5 and row["norm_p"] == 1 / (1 + N_NULL)
        if (row["form"], row["window"]) == ("matched", "1:1"):
            assert row["norm_p"] is None or row["norm_p"] > 1 / (1 + N_NULL)


def test_every_two_layers_of_a_model_are_compared(result: Result) -> None:
    keys = {(row["role"], row["window"], row["layer"], row["other_layer"]) for row in result.layers}
    assert keys == {(role, w, 0, 1) for role in ("base", "reasoning") for w in ("4:4", "1:1")}


def test_a_window_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(ValueError, match="first <= last"):
        Params(((4, 1),), (-3, -1), 3, 8, 9, 0)
