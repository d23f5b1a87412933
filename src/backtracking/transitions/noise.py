"""The label-noise dial: what a study would have seen through labellers of lower agreement.

Exact labels are corrupted to a wanted kappa, either evenly or with the confusion concentrated at
true events, where real labellers disagree. A corrupted label is drawn from how often labels occur,
so that it may be the same one, and even corruption of a share e has kappa 1 - e.
"""

from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from backtracking.transitions.sequences import Sequences

Where = Literal["evenly", "at_events"]

CONCENTRATION = 8.0
"""How much more often a label at an event is corrupted than another."""


def near_events(sequences: Sequences, event: int) -> Bool[np.ndarray, "traces steps"]:
    """Sentences of the `event` label, and their neighbours on either side."""
    is_event = sequences.label == event
    near = is_event.copy()
    near[:, 1:] |= is_event[:, :-1]
    near[:, :-1] |= is_event[:, 1:]
    return near & sequences.present


def corrupt(
    sequences: Sequences,
    kappa: float,
    where: Where,
    event: int,
    rng: np.random.Generator,
) -> Sequences:
    """The same traces with labels of about this kappa with the exact ones.

    Args:
        sequences: exact labels.
        kappa: wanted agreement over all sentences.
        where: `evenly`, or `at_events`: near true events `CONCENTRATION` times as often.
        event: code of the label that is the event.
        rng: source of chance.
    """
    present, label = sequences.present, sequences.label
    shares = np.bincount(label[present], minlength=sequences.n_labels) / present.sum()
    weight = np.ones(label.shape)
    if where == "at_events":
        weight[near_events(sequences, event)] = CONCENTRATION
    p = corruption(weight[present], shares[label[present]], kappa, shares)
    hit = np.zeros(label.shape, dtype=bool)
    hit[present] = rng.random(len(p)) < p
    drawn = rng.choice(sequences.n_labels, size=label.shape, p=shares)
    return sequences.with_labels(np.where(hit, drawn, label))


def corruption(
    weight: Float[np.ndarray, " rows"],
    own_share: Float[np.ndarray, " rows"],
    kappa: float,
    shares: Float[np.ndarray, " labels"],
) -> Float[np.ndarray, " rows"]:
    """P(a label is drawn anew) of each sentence, min(1, c x weight), with c by bisection.

    Args:
        weight: how often, beside others.
        own_share: how often the sentence's own label occurs, which a draw may give again.
        kappa: wanted agreement.
        shares: how often labels occur; the agreement by chance is the sum of their squares.
    """
    chance = (shares**2).sum()
    low, high = 0.0, 1.0 / weight.min()
    for _ in range(60):
        middle = (low + high) / 2
        kept = 1 - np.minimum(1.0, middle * weight) * (1 - own_share)
        expected = (kept.mean() - chance) / (1 - chance)
        low, high = (middle, high) if expected > kappa else (low, middle)
    return np.minimum(1.0, (low + high) / 2 * weight)


def kappa_of(first: Int[np.ndarray, " n"], second: Int[np.ndarray, " n"], n_labels: int) -> float:
    """Cohen's kappa of two labellings."""
    table = np.bincount(first * n_labels + second, minlength=n_labels**2).reshape(n_labels, -1)
    p = table / table.sum()
    chance = (p.sum(axis=0) * p.sum(axis=1)).sum()
    return float((np.trace(p) - chance) / (1 - chance))
