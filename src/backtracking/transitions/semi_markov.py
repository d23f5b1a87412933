"""A semi-Markov chain: the hazard of leaving a label depends on the dwell so far.

p(leave | s, d) = (leaves(s, d) + a h(s)) / (n(s, d) + a), with h(s) the label's mean hazard, so
that a chain of order 1, whose hazard is constant, lies inside. Where it goes depends on the label
that it leaves. Dwells from `max_dwell` on share one hazard.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from backtracking.transitions.markov import STRENGTHS
from backtracking.transitions.scoring import LogProbabilities, best, nll
from backtracking.transitions.sequences import Sequences

MAX_DWELL = 10
"""Dwells from here on are pooled."""


@dataclass(frozen=True)
class SemiMarkov:
    """Hazards by label and dwell, and where each label goes.

    Attributes:
        hazard: p(leave | label, dwell), dwell 1 first.
        goes_to: p(symbol | label is left); 0 for the label itself.
        strengths: smoothing of the hazards and of the destinations.
    """

    hazard: Float[np.ndarray, "labels dwells"]
    goes_to: Float[np.ndarray, "labels symbols"]
    strengths: tuple[float, float]

    @property
    def memory(self) -> int:
        """How many sentences back it looks, the current one included."""
        return self.hazard.shape[1] + 1

    def predict(self, sequences: Sequences) -> LogProbabilities:
        """log p of the next symbol after every sentence, from the labels up to it."""
        label = sequences.label.clip(min=0)
        dwell = dwell_so_far(sequences.label).clip(1, self.hazard.shape[1])
        leave = self.hazard[label, dwell - 1][..., None]
        stays = np.arange(sequences.n_symbols) == label[..., None]
        return np.log(np.where(stays, 1 - leave, leave * self.goes_to[label]))


def dwell_so_far(label: Int[np.ndarray, "traces steps"]) -> Int[np.ndarray, "traces steps"]:
    """How many sentences in a row have had this label, this one included."""
    changed = np.ones_like(label, dtype=bool)
    changed[:, 1:] = label[:, 1:] != label[:, :-1]
    place = np.arange(label.shape[1])
    return place - np.maximum.accumulate(np.where(changed, place, 0), axis=1) + 1


def fit(train: Sequences, strengths: tuple[float, float], max_dwell: int = MAX_DWELL) -> SemiMarkov:
    """Hazards and destinations with the given smoothing."""
    scored = train.scored
    label, target = train.label[scored], train.target[scored]
    dwell = dwell_so_far(train.label)[scored].clip(max=max_dwell) - 1
    cells = np.zeros((2, train.n_labels, max_dwell))
    np.add.at(cells, ((label != target).astype(int), label, dwell), 1.0)
    stays, leaves = cells
    # One leave in two keeps a hazard off 0 and 1 where a label never stays or never leaves.
    mean = (leaves.sum(axis=1) + 0.5) / (cells.sum(axis=(0, 2)) + 1)
    strength, mixing = strengths
    hazard = (leaves + strength * mean[:, None]) / (stays + leaves + strength)
    went = np.zeros((train.n_labels, train.n_symbols))
    np.add.at(went, (label[label != target], target[label != target]), 1.0)
    allowed = 1 - np.eye(train.n_labels, train.n_symbols)
    overall = (went.sum(axis=0) + 1 / train.n_symbols) * allowed
    prior = overall / overall.sum(axis=1, keepdims=True)
    goes_to = (went + mixing * prior) / (went.sum(axis=1, keepdims=True) + mixing)
    return SemiMarkov(hazard, goes_to, strengths)


def select(train: Sequences, dev: Sequences, grid: Sequence[float] = STRENGTHS) -> SemiMarkov:
    """The model whose two strengths predict dev best."""
    pairs = [(strength, mixing) for strength in grid for mixing in grid]
    tried = {pair: nll(fit(train, pair).predict(dev), dev) for pair in pairs}
    return fit(train, best(tried))
