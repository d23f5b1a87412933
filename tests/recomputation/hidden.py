"""A hidden Markov model of labels and activations, filtered trace by trace."""

from dataclasses import dataclass

import numpy as np
from recomputation.parsing import STATES
from scipy.stats import multivariate_normal

END = len(STATES)
"""What follows the last sentence of a trace that its writer ended."""


@dataclass(frozen=True)
class Sequence:
    """A trace: label and reduced activation of each sentence, and whether its writer ended it."""

    labels: np.ndarray
    x: np.ndarray
    ended: bool


@dataclass(frozen=True)
class Expected:
    """States and moves, END last, that are expected of a whole trace, and its log-likelihood."""

    states: np.ndarray
    moves: np.ndarray
    log_likelihood: float


class Hidden:
    """Parameters that fit expected states best, each count with a tenth more, covariances shrunk.

    Args:
        train: the traces.
        expected: of each.
    """

    def __init__(self, train: list[Sequence], expected: list[Expected]) -> None:
        weight = np.concatenate([one.states for one in expected])
        x = np.concatenate([one.x for one in train])
        labels = np.concatenate([one.labels for one in train])
        mass, d = weight.sum(axis=0), x.shape[1]
        first = np.sum([one.states[0] for one in expected], axis=0) + 0.1
        moves = np.sum([one.moves for one in expected], axis=0) + 0.1
        words = np.stack([weight[labels == code].sum(axis=0) for code in range(END)], axis=1) + 0.1
        self.initial = first / first.sum()
        self.moves = moves / moves.sum(axis=1, keepdims=True)
        self.words = words / words.sum(axis=1, keepdims=True)
        overall = np.cov(x.T, bias=True).reshape(d, d)
        self.means = (weight.T @ x + x.mean(axis=0)) / (mass[:, None] + 1)
        self.covariances = []
        for mean, its, n in zip(self.means, weight.T, mass, strict=True):
            scatter = ((x - mean) * its[:, None]).T @ (x - mean)
            self.covariances.append((scatter + 5 * overall + 1e-6 * np.eye(d)) / (n + 5))

    def emitted(self, traces: list[Sequence]) -> list[np.ndarray]:
        """log p(label, activation | state) of each sentence of traces."""
        x = np.concatenate([one.x for one in traces])
        laws = zip(self.means, self.covariances, strict=True)
        densities = [np.atleast_1d(multivariate_normal.logpdf(x, *law)) for law in laws]
        words = np.log(self.words).T[np.concatenate([one.labels for one in traces])]
        ends = np.cumsum([len(one.x) for one in traces])[:-1]
        return np.split(np.stack(densities, axis=1) + words, ends)

    def filtered(self, emitted: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """p(state | all up to a sentence), p of each sentence given those before, likelihoods.

        The last two are over the largest likelihood that any state gives the sentence.
        """
        likelihood = np.exp(emitted - emitted.max(axis=1, keepdims=True))
        states, evidence, ahead = np.empty_like(emitted), np.empty(len(emitted)), self.initial
        for step, row in enumerate(likelihood):
            joint = ahead * row
            evidence[step] = joint.sum()
            states[step] = joint / evidence[step]
            ahead = states[step] @ self.moves[:, :-1]
        return states, evidence, likelihood

    def expected(self, one: Sequence, emitted: np.ndarray) -> Expected:
        """Expected states and moves, by what comes before and after each sentence."""
        past, evidence, likelihood = self.filtered(emitted)
        going = self.moves[:, :-1]
        after = np.empty_like(past)
        after[-1] = self.moves[:, -1] if one.ended else 1.0
        scaled = likelihood / evidence[:, None]
        for step in reversed(range(len(past) - 1)):
            after[step] = going @ (scaled[step + 1] * after[step + 1])
        total = float(past[-1] @ after[-1])
        states = past * after / total
        moves = going * (past[:-1].T @ (scaled * after)[1:]) / total
        log_likelihood = float(np.log(evidence).sum() + emitted.max(axis=1).sum() + np.log(total))
        return Expected(states, np.column_stack([moves, states[-1] * one.ended]), log_likelihood)

    def losses(self, one: Sequence, emitted: np.ndarray) -> list[float]:
        """-log p of each next label, or END, from the past alone."""
        ahead = self.filtered(emitted)[0] @ self.moves
        symbols = np.column_stack([ahead[:, :-1] @ self.words, ahead[:, -1]])
        followed = [*one.labels[1:].tolist(), *[END] * one.ended]
        return [-float(np.log(row[code])) for row, code in zip(symbols, followed, strict=False)]
