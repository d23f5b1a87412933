"""The classes of state models, each chosen on dev, and which of them lie inside which."""

from dataclasses import dataclass
from typing import Any, Protocol

from backtracking.transitions import em, markov, semi_markov, variational
from backtracking.transitions.em import Learning
from backtracking.transitions.scoring import LogProbabilities, best, nll
from backtracking.transitions.sequences import Sequences

CLASSES = ("iid", "markov_1", "markov_2", "markov_3", "semi_markov", "hmm", "slds")

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


class StateModel(Protocol):
    """Anything that predicts the next symbol from the past."""

    def predict(self, sequences: Sequences) -> LogProbabilities:
        """log p of the next symbol after every sentence."""
        ...


@dataclass(frozen=True)
class Grid:
    """What is tried on dev for models with hidden states.

    Attributes:
        hmm_states, slds_states: numbers of hidden states.
        hmm, slds: how each is learnt.
    """

    hmm_states: tuple[int, ...]
    slds_states: tuple[int, ...]
    hmm: Learning
    slds: Learning


@dataclass(frozen=True)
class Chosen:
    """A model with what was chosen on dev.

    Attributes:
        model: fitted on train.
        setting: what was chosen.
        dev_nll: its NLL on dev, in nats a sentence.
    """

    model: Any
    setting: dict[str, Any]
    dev_nll: float


def choose(name: str, train: Sequences, dev: Sequences, grid: Grid) -> Chosen:
    """The model of a class whose smoothing, or number of hidden states, predicts dev best.

    Raises:
        ValueError: for a class that is none of `CLASSES`.
    """
    if name not in CLASSES:
        raise ValueError(f"Expected one of {CLASSES}, found {name!r}.")
    if name in ("hmm", "slds"):
        return _choose_hidden(name, train, dev, grid)
    if name == "semi_markov":
        model = semi_markov.select(train, dev)
    else:
        model = markov.select(train, dev, 0 if name == "iid" else int(name[-1]))
    return Chosen(model, {"strengths": list(model.strengths)}, nll(model.predict(dev), dev))


def _choose_hidden(name: str, train: Sequences, dev: Sequences, grid: Grid) -> Chosen:
    counts = grid.hmm_states if name == "hmm" else grid.slds_states
    fitted: dict[int, Any] = {
        n: em.fit(train, n, grid.hmm) if name == "hmm" else variational.fit(train, n, grid.slds)
        for n in counts
    }
    tried = {n: nll(model.predict(dev), dev) for n, model in fitted.items()}
    n = best(tried)
    setting = {"n_states": n, "dev_nll_by_n_states": {str(k): v for k, v in tried.items()}}
    return Chosen(fitted[n], setting, tried[n])
