"""Studies with known truth at the organism's size, to count how often intervals hold the truth.

Rows of one problem are not independent, and problems have different numbers of rows. The defaults
of every model are sizes and spreads that were measured in the default study; where something was
not measured, its docstring says so.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.stats import norm

from backtracking.directions import estimator, forms
from backtracking.directions.forms import Contrast
from backtracking.records.intervals import Interval
from backtracking.statistics import corrected
from backtracking.statistics.bootstrap import Bootstrap
from backtracking.statistics.jackknife import LOG, auroc_interval, jackknife_interval, leave_one_out

LEVEL = 0.95


@dataclass(frozen=True)
class Rows:
    """Values, and the problem of each."""

    values: Float[np.ndarray, " rows"]
    problem: Int[np.ndarray, " rows"]

    @property
    def problem_ids(self) -> list[str]:
        """The problems by name."""
        return [f"{number:04d}" for number in self.problem]


@dataclass(frozen=True)
class Effects:
    """Paired effects of steering, decision by decision.

    Attributes:
        n_problems: test problems with a live decision.
        mean: live decisions of a problem.
        dispersion: as in `draw_problems`.
        between, within: standard deviations, of problems and in a problem.
        truth: mean effect.
    """

    n_problems: int = 70
    mean: float = 2.56
    dispersion: float = 50.0
    between: float = 0.156
    within: float = 0.142
    truth: float = 0.052

    def draw(self, rng: np.random.Generator) -> Rows:
        """The effects of one study."""
        problem = draw_problems(self.n_problems, self.mean, self.dispersion, rng)
        means = self.truth + self.between * rng.standard_normal(self.n_problems)
        return Rows(means[problem] + self.within * rng.standard_normal(len(problem)), problem)


@dataclass(frozen=True)
class Scores:
    """Scores of two classes whose AUROC within a stratum is known, with strata far apart.

    Both classes are normal with variance 1, so the AUROC is Phi(shift / sqrt(2)). Pairs of rows of
    one problem, whose AUROC is a little larger, are one in `n_problems`.

    Attributes:
        n_problems: test problems.
        mean, dispersion: decisions of a problem, as in `draw_problems`.
        between: share of the variance that is the problems' (not measured).
        n_strata: strata; the positive class is commoner in the higher ones.
        truth: AUROC within a stratum.
    """

    n_problems: int = 75
    mean: float = 13.0
    dispersion: float = 3.0
    between: float = 0.3
    n_strata: int = 6
    truth: float = 0.94

    def draw(
        self, rng: np.random.Generator
    ) -> tuple[Rows, Bool[np.ndarray, " rows"], Int[np.ndarray, " rows"]]:
        """Scores, whether each is positive, and its stratum."""
        problem = draw_problems(self.n_problems, self.mean, self.dispersion, rng)
        stratum = rng.integers(self.n_strata, size=len(problem))
        is_positive = rng.random(len(problem)) < 0.3 + 0.5 * stratum / self.n_strata
        noise = np.sqrt(1 - self.between) * rng.standard_normal(len(problem))
        noise += np.sqrt(self.between) * rng.standard_normal(self.n_problems)[problem]
        scores = noise + np.sqrt(2) * norm.ppf(self.truth) * is_positive + 2.0 * stratum
        return Rows(scores, problem), is_positive, stratum


@dataclass(frozen=True)
class Pair:
    """Activations of two models on the same rows, with true directions of norm 1.

    Noise is as far from a sphere as it was measured: rows fall into two clusters along the model's
    own direction, whatever their class, and the axes' standard deviations fall geometrically.

    Attributes:
        n_problems: train problems.
        mean, dispersion: rows of a problem, as in `draw_problems`.
        rate: share of the positive class.
        d_model: width of the residual stream.
        truth: cosine of the two directions.
        clusters: for each model, half the distance of its clusters, in norms of its direction.
        noise: for each model, standard deviation along the first axis.
        decay: standard deviation along an axis over that along the one before.
        between: share of the noise's variance that is the problems'.
        shared: share of it that the models have in common, since they read the same tokens (not
            measured).
    """

    n_problems: int = 110
    mean: float = 12.5
    dispersion: float = 3.0
    rate: float = 0.6
    d_model: int = 64
    truth: float = 0.6
    clusters: tuple[float, float] = (1.4, 0.15)
    noise: tuple[float, float] = (0.73, 0.23)
    decay: float = 0.8
    between: float = 0.1
    shared: float = 0.5

    def draw(self, rng: np.random.Generator) -> tuple[Contrast, Contrast]:
        """The contrasts of one study."""
        problem = draw_problems(self.n_problems, self.mean, self.dispersion, rng)
        is_positive = rng.random(len(problem)) < self.rate
        truths = np.zeros((2, self.d_model))
        truths[:, 0], truths[1, 1] = (1.0, self.truth), np.sqrt(1 - self.truth**2)
        rows, own = self._noise(len(problem), rng), self._noise(self.n_problems, rng)
        side = np.where(is_positive, 1.0, -1.0)[
            :, None
        ]  # a problem may have a direction of its own
        columns = [torch.from_numpy(c) for c in (is_positive, np.zeros_like(problem), problem)]
        found = []
        for model, truth in enumerate(truths):
            values = np.sqrt(1 - self.between) * rows[model]
            values += np.sqrt(self.between) * own[model, problem] * side
            along = is_positive + self.clusters[model] * rng.choice([-1.0, 1.0], len(problem))
            activations = self.noise[model] * values + along[:, None] * truth
            found.append(forms.matched(torch.from_numpy(activations), *columns))
        return found[0], found[1]

    def _noise(self, n: int, rng: np.random.Generator) -> Float[np.ndarray, "2 n d_model"]:
        own = np.sqrt(1 - self.shared) * rng.standard_normal((2, n, self.d_model))
        common = np.sqrt(self.shared) * rng.standard_normal((n, self.d_model))
        return (own + common) * self.decay ** np.arange(self.d_model)


@dataclass(frozen=True)
class Likelihoods:
    """Nats by which one model of the next label is worse than another, sentence by sentence.

    The better one knows the states' mean rates, the other guesses uniformly; problems have rates
    of their own, so that sentences of one problem are alike.

    Attributes:
        n_problems: test problems.
        mean, dispersion: sentences of a problem, as in `draw_problems`.
        rates: of the states.
        concentration: of the problems' rates around them (Dirichlet; not measured).
    """

    n_problems: int = 79
    mean: float = 94.0
    dispersion: float = 3.9
    rates: tuple[float, ...] = (0.36, 0.24, 0.14, 0.12, 0.10, 0.02, 0.02)
    concentration: float = 10.0

    @property
    def gains(self) -> Float[np.ndarray, " states"]:
        """The difference at a sentence of each state."""
        return np.log(np.array(self.rates) * len(self.rates))

    @property
    def truth(self) -> float:
        """Mean difference: log(number of states) minus the entropy of the rates."""
        return float(np.array(self.rates) @ self.gains)

    def draw(self, rng: np.random.Generator) -> Rows:
        """The differences of one study."""
        problem = draw_problems(self.n_problems, self.mean, self.dispersion, rng)
        own = rng.dirichlet(self.concentration * np.array(self.rates), self.n_problems)
        above = rng.random(len(problem))[:, None] > own.cumsum(axis=1)[problem, :-1]
        return Rows(self.gains[above.sum(axis=1)], problem)


def draw_problems(
    n_problems: int, mean: float, dispersion: float, rng: np.random.Generator
) -> Int[np.ndarray, " rows"]:
    """The problem of each row, where problems have different numbers of them, at least one.

    One more than a negative binomial number: with m = mean - 1, variance is m + m^2 / dispersion.
    """
    share = dispersion / (dispersion + mean - 1)
    counts = 1 + rng.negative_binomial(dispersion, share, n_problems)
    return np.repeat(np.arange(n_problems), counts)


Study = Mapping[str, tuple[Interval, float]]
"""An interval and the truth by measure."""


def study_effect(seed: int, model: Effects = Effects()) -> Study:  # noqa: B008
    """One study of a paired effect, with the percentile bootstrap."""
    rows = model.draw(np.random.default_rng(seed))
    return {"effect": (_bootstrapped(rows, seed), model.truth)}


def study_nll(seed: int, model: Likelihoods = Likelihoods()) -> Study:  # noqa: B008
    """One study of a difference in NLL, with the percentile bootstrap."""
    rows = model.draw(np.random.default_rng(seed))
    return {"nll_difference": (_bootstrapped(rows, seed), model.truth)}


def study_auroc(seed: int, model: Scores = Scores()) -> Study:  # noqa: B008
    """One study of an AUROC within strata."""
    rows, is_positive, stratum = model.draw(np.random.default_rng(seed))
    interval = auroc_interval(rows.values, is_positive, rows.problem_ids, LEVEL, stratum)
    return {"auroc": (interval, model.truth)}


def study_directions(seed: int, model: Pair = Pair(), n_splits: int = 5) -> Study:  # noqa: B008
    """One study of the corrected cosine of two directions and the corrected norm of the first."""
    rng = np.random.default_rng(seed)
    cells = [estimator.sum_cells(one, model.n_problems) for one in model.draw(rng)]
    splits = corrected.split_halves(model.n_problems, n_splits, rng)
    weights = leave_one_out(model.n_problems)
    first, second = (estimator.split_half_directions(one, splits) for one in cells)
    firsts, seconds = (estimator.split_half_directions(one, splits, weights) for one in cells)
    cosine = jackknife_interval(
        corrected.noise_corrected_cosine(first[0], second[0]),
        corrected.noise_corrected_cosines(firsts, seconds),
        LEVEL,
    )
    norm_ = jackknife_interval(
        corrected.noise_corrected_norm(first[0]),
        corrected.noise_corrected_norms(firsts),
        LEVEL,
        LOG,
    )
    return {"corrected_cosine": (cosine, model.truth), "corrected_norm": (norm_, 1.0)}


STUDIES: tuple[Callable[[int], Study], ...] = (
    study_auroc,
    study_effect,
    study_nll,
    study_directions,
)
"""A study of each measure that the project gives an interval of."""


def count_hits(study: Callable[[int], Study], n: int, first_seed: int = 0) -> dict[str, int]:
    """In how many of `n` studies each interval holds the truth; an undefined one never does."""
    hits: dict[str, int] = {}
    for seed in range(first_seed, first_seed + n):
        for measure, (interval, truth) in study(seed).items():
            hits[measure] = hits.get(measure, 0) + covers(interval, truth)
    return hits


def covers(interval: Interval, truth: float) -> bool:
    """Whether the truth lies in the interval, ends included."""
    low, high = interval.low, interval.high
    return low is not None and high is not None and low <= truth <= high


def _bootstrapped(rows: Rows, seed: int) -> Interval:
    return Bootstrap(1000, LEVEL, seed).intervals(rows.values, rows.problem_ids)[0]
