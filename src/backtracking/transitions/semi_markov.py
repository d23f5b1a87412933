"""A semi-Markov chain: the hazard of leaving a label depends on the dwell so far.

p(leave | s, d) = (leaves(s, d) + a h(s)) / (n(s, d) + a), with h(s) the label's mean hazard, so
that a chain of order 1, whose hazard is constant, lies inside. Where it goes depends on the label
that it leaves: (went(s, s') + b q(s')) / (went(s) + b), with q how often each symbol is gone to.
Dwells from `max_dwell` on share one hazard. h and q have half a count more of each outcome.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from backtracking.transitions.scoring import LogProbabilities, cost
from backtracking.transitions.sequences import Sequences
from backtracking.transitions.smoothing import best_strength, with_few

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
    mean = with_few(cells.sum(axis=2).T)[:, 1]
    strength, mixing = strengths
    hazard = (leaves + strength * mean[:, None]) / (stays + leaves + strength)
    went = np.zeros((train.n_labels, train.n_symbols))
    np.add.at(went, (label[label != target], target[label != target]), 1.0)
    allowed = 1 - np.eye(train.n_labels, train.n_symbols)
    overall = with_few(went.sum(axis=0)) * allowed
    prior = overall / overall.sum(axis=1, keepdims=True)
    goes_to = (went + mixing * prior) / (went.sum(axis=1, keepdims=True) + mixing)
    return SemiMarkov(hazard, goes_to, strengths)


def select(train: Sequences, dev: Sequences) -> SemiMarkov:
    """The model whose two strengths predict dev best.

    When a label is left and where it goes are two factors, so that each has its own minimum.
    """
    strength = best_strength(lambda one: cost(fit(train, (one, 1.0)).predict(dev), dev))
    mixing = best_strength(lambda one: cost(fit(train, (1.0, one)).predict(dev), dev))
    return fit(train, (strength, mixing))
