"""Planted state models, traces drawn from them, and whether the right class is found again.

A run passes where the model's own class lies within `TOLERANCE` of the oracle (the true model's own
predictions on the same test traces) and is significantly better than every class that does not
contain it (`classes.CONTAINED_IN`): a chain of order 3 may do as well on data of order 2.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from backtracking.statistics.bootstrap import Bootstrap
from backtracking.transitions.comparing import compare
from backtracking.transitions.hmm import Hmm
from backtracking.transitions.markov import Markov
from backtracking.transitions.registry import CLASSES, CONTAINED_IN, Grid, choose
from backtracking.transitions.scoring import losses
from backtracking.transitions.semi_markov import SemiMarkov
from backtracking.transitions.sequences import Sequences, make_sequences
from backtracking.transitions.slds import Slds

PLANTED = ("markov_2", "semi_markov", "hmm", "slds")

TOLERANCE = 0.01
"""Nats a sentence above the oracle."""

N_LABELS, N_STATES, N_DIMENSIONS = 4, 3, 6
STAYS, ENDS = 0.85, 0.02


@dataclass(frozen=True)
class Size:
    """How much is drawn.

    Attributes:
        n_problems: problems.
        n_samples: traces of each.
        max_steps: longest trace; a longer one is truncated, without END.
    """

    n_problems: int
    n_samples: int
    max_steps: int

    @property
    def n_traces(self) -> int:
        """Traces of all problems."""
        return self.n_problems * self.n_samples


@dataclass(frozen=True)
class Recovery:
    """One run.

    Attributes:
        planted: class of the true model.
        gap: NLL of the class minus the oracle's, by class, in nats a sentence.
        beaten: classes that do not contain the planted one, and whether it is better than each.
    """

    planted: str
    gap: dict[str, float]
    beaten: dict[str, bool]

    @property
    def passes(self) -> bool:
        """Whether the run meets both conditions."""
        return self.gap[self.planted] <= TOLERANCE and all(self.beaten.values())


def recover(
    planted: str, size: Size, grid: Grid, bootstrap: Bootstrap, rng: np.random.Generator
) -> Recovery:
    """Draws traces from a model of a class, and fits every class to them.

    Half of the problems are train, and a fifth dev, as in the study.
    """
    oracle, drawn = plant(planted, size, rng)
    cut = np.cumsum([round(share * size.n_problems) * size.n_samples for share in (0.5, 0.2)])
    train, dev, test = (drawn[rows] for rows in np.split(np.arange(len(drawn)), cut))
    floor = losses(oracle.predict(test), test)
    loss = {
        name: losses(choose(name, train, dev, grid).model.predict(test), test) for name in CLASSES
    }
    rows = compare(loss, test.row_problem, planted, bootstrap)
    others = [name for name in CLASSES if name not in CONTAINED_IN[planted]]
    return Recovery(
        planted,
        {name: float((one - floor).mean()) for name, one in loss.items()},
        {name: (rows[name].difference.low or 0.0) > 0 for name in others},
    )


def plant(planted: str, size: Size, rng: np.random.Generator) -> tuple[Any, Sequences]:
    """A drawn model of a class, and traces from it."""
    if planted in ("hmm", "slds"):
        model = plant_hmm(rng) if planted == "hmm" else plant_slds(rng)
        return model, draw_hidden(model, size, rng)[0]
    chain = plant_markov_2(rng) if planted == "markov_2" else plant_semi_markov(rng)
    first = rng.integers(0, N_LABELS, size.n_traces)
    label, ended = draw_labels(chain, first, N_LABELS, size.max_steps, rng)
    # Activations tell the label and nothing else, so no class may gain by reading them.
    centre = 2 * rng.standard_normal((N_LABELS, N_DIMENSIONS))
    x = centre[label] + rng.standard_normal((*label.shape, N_DIMENSIONS))
    return chain, pack(label, x, ended, N_LABELS, size.n_samples)


def plant_markov_2(rng: np.random.Generator) -> Markov:
    """A chain whose next label depends on the last two, END being rare."""
    p = rng.dirichlet(np.full(N_LABELS, 0.5), size=(N_LABELS + 1) ** 2)
    p = np.column_stack([(1 - ENDS) * (0.9 * p + 0.1 / N_LABELS), np.full(len(p), ENDS)])
    return Markov(np.log(p), 2, (0.0, 0.0))


def plant_semi_markov(rng: np.random.Generator) -> SemiMarkov:
    """Labels that last: the hazard is low at first, and high from a dwell of 4 to 7 on."""
    lasts = rng.integers(4, 8, N_LABELS)
    hazard = np.where(np.arange(1, 11) < lasts[:, None], 0.05, 0.7)
    goes_to = rng.dirichlet(np.full(N_LABELS, 1.0), size=N_LABELS) * (1 - np.eye(N_LABELS))
    goes_to /= goes_to.sum(axis=1, keepdims=True)
    end = 4 * ENDS
    goes_to = np.column_stack([(1 - end) * goes_to, np.full(N_LABELS, end)])
    return SemiMarkov(hazard, goes_to, (0.0, 0.0))


def plant_hmm(rng: np.random.Generator) -> Hmm:
    """States that last and overlap in labels and in activations."""
    return Hmm(
        initial=np.full(N_STATES, 1 / N_STATES),
        transition=_moves(rng),
        emission=_emission(rng),
        mean=1.2 * rng.standard_normal((N_STATES, N_DIMENSIONS)),
        covariance=np.stack([np.eye(N_DIMENSIONS)] * N_STATES),
    )


def plant_slds(rng: np.random.Generator) -> Slds:
    """Regimes that turn the state in different planes and differ in nothing that one x shows."""
    d = N_DIMENSIONS
    turns = [np.linalg.qr(rng.standard_normal((d, d)))[0] for _ in range(N_STATES)]
    return Slds(
        initial=np.full(N_STATES, 1 / N_STATES),
        transition=_moves(rng),
        emission=_emission(rng),
        start_mean=np.zeros(d),
        start_covariance=np.eye(d),
        dynamics=0.9 * np.stack(turns),
        offset=np.zeros((N_STATES, d)),
        noise=np.stack([0.3 * np.eye(d)] * N_STATES),
        observation=0.1 * np.eye(d),
    )


def draw_hidden(
    model: Hmm | Slds, size: Size, rng: np.random.Generator
) -> tuple[Sequences, Int[np.ndarray, "traces steps"]]:
    """Traces of a model with hidden states, and those states."""
    n = size.n_traces
    shape = (n, size.max_steps)
    state, label = np.zeros(shape, dtype=np.int64), np.full(shape, -1, dtype=np.int64)
    y = np.zeros((*shape, _width(model)))
    ended = np.zeros(n, dtype=bool)
    symbol = draw(np.broadcast_to(model.initial, (n, len(model.initial))), rng)
    for step in range(size.max_steps):
        going = ~ended
        state[:, step] = np.where(going, symbol, 0)
        drawn = draw(model.emission[state[:, step]], rng)
        label[going, step] = drawn[going]
        y[:, step] = _draw_y(model, state[:, step], y[:, step - 1] if step else None, rng)
        symbol = draw(model.transition[state[:, step]], rng)
        ended |= going & (symbol == len(model.initial))
    x = y if isinstance(model, Hmm) else y + _normal(np.zeros_like(y), model.observation, rng)
    return pack(label, x, ended, model.emission.shape[1], size.n_samples), state


def _moves(rng: np.random.Generator) -> np.ndarray:
    leave = rng.dirichlet(np.full(N_STATES - 1, 2.0), size=N_STATES) * (1 - STAYS - ENDS)
    moves = np.full((N_STATES, N_STATES), STAYS)
    moves[~np.eye(N_STATES, dtype=bool)] = leave.ravel()
    return np.column_stack([moves, np.full(N_STATES, ENDS)])


def _emission(rng: np.random.Generator) -> np.ndarray:
    """Each state prefers a label of its own, and gives the others as well."""
    preferred = np.eye(N_STATES, N_LABELS)
    return 0.5 * preferred + 0.5 * rng.dirichlet(np.full(N_LABELS, 2.0), size=N_STATES)


def _draw_y(
    model: Hmm | Slds, state: np.ndarray, before: np.ndarray | None, rng: np.random.Generator
) -> np.ndarray:
    if isinstance(model, Hmm):
        return _normal(model.mean[state], model.covariance[state], rng)
    if before is None:
        mean = np.broadcast_to(model.start_mean, (len(state), len(model.start_mean)))
        return _normal(mean, model.start_covariance, rng)
    mean = np.einsum("nde,ne->nd", model.dynamics[state], before) + model.offset[state]
    return _normal(mean, model.noise[state], rng)


def _normal(mean: np.ndarray, covariance: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    standard = rng.standard_normal(mean.shape)
    return mean + (np.linalg.cholesky(covariance) @ standard[..., None])[..., 0]


def _width(model: Hmm | Slds) -> int:
    return model.mean.shape[1] if isinstance(model, Hmm) else len(model.start_mean)


def draw_labels(
    model: Markov | SemiMarkov,
    first: Int[np.ndarray, " traces"],
    n_labels: int,
    max_steps: int,
    rng: np.random.Generator,
) -> tuple[Int[np.ndarray, "traces steps"], Bool[np.ndarray, " traces"]]:
    """Labels drawn from a model that reads labels only, -1 after the end; and which traces ended.

    Args:
        model: the law of the next symbol.
        first: label of each trace's first sentence.
        n_labels: number of labels.
        max_steps: longest trace.
        rng: source of chance.
    """
    label = np.full((len(first), max_steps), -1, dtype=np.int64)
    label[:, 0] = first
    ended = np.zeros(len(first), dtype=bool)
    for step in range(max_steps):
        window = label[:, max(0, step + 1 - model.memory) : step + 1]
        symbol = draw(np.exp(model.predict(_bare(window, n_labels))[:, -1]), rng)
        goes_on = ~ended & (symbol != n_labels)
        ended |= symbol == n_labels
        if step + 1 < max_steps:
            label[goes_on, step + 1] = symbol[goes_on]
    return label, ended


def pack(
    label: Int[np.ndarray, "traces steps"],
    x: Float[np.ndarray, "traces steps d"],
    ended: Bool[np.ndarray, " traces"],
    n_labels: int,
    n_samples: int,
) -> Sequences:
    """Drawn arrays as sequences; traces of a problem follow each other."""
    lengths = (label >= 0).sum(axis=1)
    return make_sequences(
        [row[:n] for row, n in zip(label, lengths, strict=True)],
        [row[:n] for row, n in zip(x, lengths, strict=True)],
        [f"p{row // n_samples:04d}" for row in range(len(label))],
        [bool(one) for one in ended],
        n_labels,
    )


def draw(p: Float[np.ndarray, "rows symbols"], rng: np.random.Generator) -> np.ndarray:
    """One symbol a row."""
    below = p.cumsum(axis=1)
    return (rng.random((len(p), 1)) * below[:, -1:] >= below).sum(axis=1)


def _bare(label: Int[np.ndarray, "traces steps"], n_labels: int) -> Sequences:
    """Labels alone, with nothing to score."""
    nothing = np.full_like(label, -1)
    no_x = np.zeros((*label.shape, 0))
    return Sequences(label, nothing, no_x, np.zeros(len(label), dtype=object), n_labels)
