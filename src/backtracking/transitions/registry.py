"""The classes of state models, each chosen on dev, and which of them lie inside which."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from backtracking.records.rows.transitions import Setting
from backtracking.transitions import em, markov, semi_markov, variational
from backtracking.transitions.em import Learning
from backtracking.transitions.scoring import best, nll
from backtracking.transitions.sequences import Sequences

ORDERS = ("iid", "markov_1", "markov_2", "markov_3")
"""Chains by their order, from 0."""

OF_LABELS = (*ORDERS, "semi_markov")
"""Classes that read labels alone."""

HIDDEN = ("hmm", "slds")
"""Classes that read activations."""

CLASSES = (*OF_LABELS, *HIDDEN)

CONTAINED_IN: dict[str, frozenset[str]] = {
    "iid": frozenset(CLASSES),
    "markov_1": frozenset(("markov_1", "markov_2", "markov_3", "semi_markov", "hmm", "slds")),
    "markov_2": frozenset(("markov_2", "markov_3")),
    "markov_3": frozenset(("markov_3",)),
    "semi_markov": frozenset(("semi_markov",)),
    "hmm": frozenset(("hmm", "slds")),
    "slds": frozenset(("slds",)),
}
"""Classes that hold every model of a class, the class itself among them.

A hidden state that is the label itself makes a chain of order 1 a hidden Markov model; a longer
memory, or a dwell, would need more states than are tried.
"""


class Fit(NamedTuple):
    """Which model: its class, and the role whose activations it reads; None for labels alone."""

    role: str | None
    name: str


@dataclass(frozen=True)
class Grid:
    """What is tried on dev for models with hidden states.

    Attributes:
        hmm_states, slds_states: numbers of hidden states.
        learning: how both are learnt; a switching system has one start.
    """

    hmm_states: tuple[int, ...]
    slds_states: tuple[int, ...]
    learning: Learning

    def of(self, name: str) -> tuple[int, ...]:
        """Numbers of hidden states of a class."""
        return self.hmm_states if name == "hmm" else self.slds_states


@dataclass(frozen=True)
class Chosen:
    """A model with what was chosen on dev.

    Attributes:
        model: fitted on train.
        setting: what was chosen, and how well it predicts dev.
    """

    model: Any
    setting: Setting


def choose(name: str, train: Sequences, dev: Sequences, grid: Grid) -> Chosen:
    """The model of a class whose smoothing, or number of hidden states, predicts dev best.

    Raises:
        ValueError: for a class that is none of `CLASSES`.
    """
    if name not in HIDDEN:
        return choose_chain(name, train, dev)
    fitted = {n: fit_hidden(name, train, dev, n, grid.learning) for n in grid.of(name)}
    return best_of(fitted)


def choose_chain(name: str, train: Sequences, dev: Sequences) -> Chosen:
    """The model of labels of a class whose smoothing predicts dev best.

    Raises:
        ValueError: for a class that is none of `OF_LABELS`.
    """
    if name not in OF_LABELS:
        raise ValueError(f"Expected one of {CLASSES}, found {name!r}.")
    if name == "semi_markov":
        model = semi_markov.select(train, dev)
    else:
        model = markov.select(train, dev, ORDERS.index(name))
    return Chosen(model, Setting(nll(model.predict(dev), dev), strengths=tuple(model.strengths)))


def fit_hidden(
    name: str, train: Sequences, dev: Sequences, n_states: int, learning: Learning
) -> Chosen:
    """A model of a class with a number of hidden states."""
    fit = em.fit if name == "hmm" else variational.fit
    model = fit(train, n_states, learning)
    return Chosen(model, Setting(nll(model.predict(dev), dev), n_states=n_states))


def best_of(fitted: Mapping[int, Chosen]) -> Chosen:
    """The one of models with different numbers of hidden states that predicts dev best."""
    tried = {n: one.setting.dev_nll for n, one in fitted.items()}
    chosen = fitted[best(tried)]
    by_n = {str(n): value for n, value in tried.items()}
    return replace(chosen, setting=replace(chosen.setting, dev_nll_by_n_states=by_n))
