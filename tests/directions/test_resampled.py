"""Directions and means of problems that are drawn anew, against those of the rows drawn."""

import torch

from backtracking.directions.estimator import estimate
from backtracking.directions.forms import Contrast
from backtracking.directions.nulls import class_means
from backtracking.directions.resampled import _weights, resample

D_MODEL, N = 5, 8


def contrast(seed: int, n_problems: int = 6) -> Contrast:
    """Rows of several problems; number 2 has none."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.arange(12 * n_problems)
    problem = rows // 12
    problem += (problem >= 2).long()
    values = torch.randn(len(rows), D_MODEL, generator=generator)
    return Contrast(values, rows % 2 == 0, rows // 2 % 3, problem)


def drawn(whole: Contrast, weights: torch.Tensor) -> Contrast:
    """Each row as often as its problem was drawn."""
    rows = torch.arange(len(whole.problem)).repeat_interleave(weights[whole.problem].long())
    return Contrast(
        whole.activations[rows], whole.is_positive[rows], whole.stratum[rows], whole.problem[rows]
    )


def test_a_sample_is_what_the_rows_of_the_problems_drawn_give() -> None:
    """The same problems for the direction and for the means of the model that is edited."""
    estimated, held = contrast(0), contrast(1)
    found = resample(estimated, held, N, torch.Generator().manual_seed(2))
    weights = _weights(estimated, held, N, torch.Generator().manual_seed(2))
    assert len(found) == N and (weights.sum(dim=1) == 6).all() and (weights[:, 2] == 0).all()
    for one, row in zip(found, weights, strict=True):
        direction = estimate(drawn(estimated, row)).direction
        torch.testing.assert_close(one.unit, (direction / direction.norm()).float())
        negative, positive = class_means(drawn(held, row))
        torch.testing.assert_close(one.mean(-1.0), negative)
        torch.testing.assert_close(one.mean(1.0), positive)


def test_a_sample_without_both_classes_is_left_out() -> None:
    whole = contrast(0)
    one_sided = Contrast(whole.activations, whole.problem == 0, whole.stratum, whole.problem)
    found = resample(one_sided, one_sided, 50, torch.Generator().manual_seed(0))
    assert 0 < len(found) < 50 and all(one.unit.isfinite().all() for one in found)
