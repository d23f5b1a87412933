"""Studies with known truth at the size of the organism's, to count how often intervals cover.

Problems differ (`between`), and what is measured in one problem differs less (`within`), so rows
of one problem are not independent; problems have different numbers of rows. What these numbers
are in the default study is `ORGANISM`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.stats import norm

from backtracking import directions, statistics
from backtracking.directions import Contrast
from backtracking.intervals import LOG, auroc_interval, jackknife_interval, leave_one_out
from backtracking.statistics import Bootstrap, Interval


@dataclass(frozen=True)
class Shape:
    """The size of a study, and what it measures.

    Attributes:
        n_test, n_train: problems.
        n_alive: live decisions of a test problem that are steered, on average.
        n_over: decisions over the target for each live one.
        n_sentences: sentences of a test problem, on average.
        dispersion: of these numbers between problems: variance is mean + mean^2 / dispersion.
        between, within: standard deviations of an effect, of problems and in a problem.
        effect: true mean effect.
        auroc: true AUROC within a stratum.
        score_between: share of the scores' variance that is the problems'.
        n_strata: strata of the running total.
        d_model: width of the residual stream.
        cosine: true cosine of two directions of norm 1.
        row_noise: standard deviation of each component of an activation, in norms of the direction.
        problem_noise: of each component of a problem's own direction.
        shared: share of both that the two models have in common, since they read the same tokens.
        state_rates: true rates of the states of a sentence.
        concentration: of the problems' own rates around them (Dirichlet).
    """

    n_test: int
    n_train: int
    n_alive: float
    n_over: float
    n_sentences: float
    dispersion: float
    between: float
    within: float
    effect: float
    auroc: float
    score_between: float
    n_strata: int
    d_model: int
    cosine: float
    row_noise: float
    problem_noise: float
    shared: float
    state_rates: tuple[float, ...]
    concentration: float


ORGANISM = Shape(
    n_test=70,
    n_train=110,
    n_alive=2.5,
    n_over=1.5,
    n_sentences=30.0,
    dispersion=3.0,
    between=0.15,
    within=0.2,
    effect=0.05,
    auroc=0.94,
    score_between=0.3,
    n_strata=6,
    d_model=64,
    cosine=0.6,
    row_noise=0.1,
    problem_noise=0.3,
    shared=0.5,
    state_rates=(0.3, 0.25, 0.15, 0.1, 0.1, 0.07, 0.03),
    concentration=10.0,
)
"""The default study, as it was measured; the tests name what they take from elsewhere."""


@dataclass(frozen=True)
class Labelled:
    """Rows of two classes: score, class, stratum and problem of each."""

    scores: Float[np.ndarray, " rows"]
    is_positive: Bool[np.ndarray, " rows"]
    stratum: Int[np.ndarray, " rows"]
    problem: Int[np.ndarray, " rows"]


def draw_problems(
    n_problems: int, mean: float, dispersion: float, rng: np.random.Generator
) -> Int[np.ndarray, " rows"]:
    """The problem of each row, where problems have different numbers of them, at least one."""
    share = dispersion / (dispersion + mean - 1)
    counts = 1 + rng.negative_binomial(dispersion, share, n_problems)
    return np.repeat(np.arange(n_problems), counts)


def draw_effects(
    shape: Shape, rng: np.random.Generator
) -> tuple[Float[np.ndarray, " rows"], Int[np.ndarray, " rows"]]:
    """Paired effects with mean `shape.effect`, decision by decision, and their problems."""
    problem = draw_problems(shape.n_test, shape.n_alive, shape.dispersion, rng)
    means = shape.effect + shape.between * rng.standard_normal(shape.n_test)
    return means[problem] + shape.within * rng.standard_normal(len(problem)), problem


def draw_scores(shape: Shape, rng: np.random.Generator) -> Labelled:
    """Scores whose AUROC within a stratum is `shape.auroc`, with strata far apart.

    Both classes are normal with variance 1, so the AUROC is Phi(shift / sqrt(2)). Pairs of rows of
    one problem, whose AUROC is larger, are one in `n_test`.
    """
    per_problem = shape.n_alive * (1 + shape.n_over)
    problem = draw_problems(shape.n_test, per_problem, shape.dispersion, rng)
    stratum = rng.integers(shape.n_strata, size=len(problem))
    rate = 0.3 + 0.5 * stratum / max(shape.n_strata - 1, 1)
    is_positive = rng.random(len(problem)) < rate
    own, common = np.sqrt([1 - shape.score_between, shape.score_between])
    noise = own * rng.standard_normal(len(problem))
    noise += common * rng.standard_normal(shape.n_test)[problem]
    shift = np.sqrt(2) * norm.ppf(shape.auroc)
    return Labelled(noise + shift * is_positive + 2.0 * stratum, is_positive, stratum, problem)


def draw_contrasts(
    shape: Shape, rng: np.random.Generator, n_strata: int = 1
) -> tuple[Contrast, Contrast]:
    """Contrasts of two models on the same rows, with true directions of norm 1 and known cosine.

    The effect of the class varies with the problem; a part of all noise is common to the models.
    """
    per_problem = 2 * shape.n_alive * (1 + shape.n_over)
    problem = draw_problems(shape.n_train, per_problem, shape.dispersion, rng)
    is_positive = rng.random(len(problem)) < shape.n_over / (1 + shape.n_over)
    stratum = rng.integers(n_strata, size=len(problem))
    truths = np.zeros((2, shape.d_model))
    truths[:, 0], truths[1, 1] = (1.0, shape.cosine), np.sqrt(1 - shape.cosine**2)
    by_row = shape.row_noise * _correlated(shape, len(problem), rng)
    by_problem = shape.problem_noise * _correlated(shape, shape.n_train, rng)
    columns = [torch.from_numpy(column) for column in (is_positive, stratum, problem)]
    first, second = (
        directions.matched(
            torch.from_numpy(rows + is_positive[:, None] * (truth + own[problem])), *columns
        )
        for truth, rows, own in zip(truths, by_row, by_problem, strict=True)
    )
    return first, second


def draw_nll_differences(
    shape: Shape, rng: np.random.Generator
) -> tuple[Float[np.ndarray, " rows"], Int[np.ndarray, " rows"], float]:
    """Nats by which a uniform guess is worse than the true mean rates, sentence by sentence.

    Returns:
        The differences, the problem of each, and the true mean: log(n states) minus the entropy.
    """
    rates = np.array(shape.state_rates)
    problem = draw_problems(shape.n_test, shape.n_sentences, shape.dispersion, rng)
    own_rates = rng.dirichlet(shape.concentration * rates, shape.n_test)
    drawn = rng.random(len(problem))[:, None] > own_rates.cumsum(axis=1)[problem]
    state = drawn.sum(axis=1).clip(max=len(rates) - 1)
    gain = np.log(rates * len(rates))
    return gain[state], problem, float(rates @ gain)


def study_effect(shape: Shape, seed: int) -> tuple[Interval, float]:
    """One study's interval of a paired effect, and the truth."""
    values, problem = draw_effects(shape, np.random.default_rng(seed))
    return _bootstrap(seed).intervals(values, _names(problem))[0], shape.effect


def study_nll(shape: Shape, seed: int) -> tuple[Interval, float]:
    """One study's interval of a difference in NLL, and the truth."""
    values, problem, truth = draw_nll_differences(shape, np.random.default_rng(seed))
    return _bootstrap(seed).intervals(values, _names(problem))[0], truth


def study_auroc(shape: Shape, seed: int) -> tuple[Interval, float]:
    """One study's interval of an AUROC within strata, and the truth."""
    found = draw_scores(shape, np.random.default_rng(seed))
    names = _names(found.problem)
    interval = auroc_interval(found.scores, found.is_positive, names, 0.95, found.stratum)
    return interval, shape.auroc


def study_cosine(shape: Shape, seed: int) -> tuple[Interval, float]:
    """One study's interval of a noise-corrected cosine, and the truth."""
    (first, second), (firsts, seconds) = _halves(shape, seed)
    value = statistics.noise_corrected_cosine(first, second)
    left_out = statistics.noise_corrected_cosines(firsts, seconds)
    return jackknife_interval(value, left_out, 0.95), shape.cosine


def study_norm(shape: Shape, seed: int) -> tuple[Interval, float]:
    """One study's interval of a noise-corrected norm, and the truth."""
    (first, _), (firsts, _) = _halves(shape, seed)
    value = statistics.noise_corrected_norm(first)
    return jackknife_interval(value, statistics.noise_corrected_norms(firsts), 0.95, LOG), 1.0


STUDIES: dict[str, Callable[[Shape, int], tuple[Interval, float]]] = {
    "auroc": study_auroc,
    "effect": study_effect,
    "corrected_cosine": study_cosine,
    "corrected_norm": study_norm,
    "nll_difference": study_nll,
}
"""One simulated study of each measure: its interval and the truth."""


def count_hits(
    study: Callable[[Shape, int], tuple[Interval, float]], shape: Shape, n: int, seed: int
) -> int:
    """In how many of `n` studies the interval holds the truth; an undefined one never does."""
    found = (study(shape, one) for one in range(seed, seed + n))
    return sum(covers(interval, truth) for interval, truth in found)


def covers(interval: Interval, truth: float) -> bool:
    """Whether the truth lies in the interval, ends included."""
    low, high = interval.low, interval.high
    return low is not None and high is not None and low <= truth <= high


def _halves(
    shape: Shape, seed: int
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Half estimates of both directions: from all problems, and without each."""
    rng = np.random.default_rng(seed)
    contrasts = draw_contrasts(shape, rng)
    splits = statistics.split_halves(shape.n_train, 5, rng)
    cells = [directions.sum_cells(contrast, shape.n_train) for contrast in contrasts]
    weights = leave_one_out(shape.n_train)
    first, second = (directions.split_half_directions(one, splits)[0] for one in cells)
    firsts, seconds = (directions.split_half_directions(one, splits, weights) for one in cells)
    return (first, second), (firsts, seconds)


def _correlated(
    shape: Shape, n: int, rng: np.random.Generator
) -> Float[np.ndarray, "2 n d_model"]:
    """Standard normal noise of both models, `shared` of it common."""
    own = rng.standard_normal((2, n, shape.d_model))
    common = rng.standard_normal((n, shape.d_model))
    return np.sqrt(1 - shape.shared) * own + np.sqrt(shape.shared) * common


def _bootstrap(seed: int) -> Bootstrap:
    return Bootstrap(1000, 0.95, seed)


def _names(problem: Int[np.ndarray, " rows"]) -> list[str]:
    return [f"{number:04d}" for number in problem]
