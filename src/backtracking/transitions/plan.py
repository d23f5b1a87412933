"""How the stage `transitions` goes about it: what is tried on dev, and how much is drawn."""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

from backtracking.transitions.em import Learning
from backtracking.transitions.registry import Grid

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")


@runtime_checkable
class Work(Protocol):
    """How jobs are done: side by side, each kept as a unit."""

    def __call__(self, jobs: Mapping[K, Callable[[], R]], what: str) -> dict[K, R]:
        """What each job returns, by its name; `what` is done, in a few words."""
        ...


@dataclass(frozen=True)
class Plan:
    """The plan of the state models.

    Attributes:
        rank: principal components of x in models with hidden states.
        place_states: hidden states of the model by which the layer is chosen.
        hmm_states, slds_states: numbers of hidden states that are tried.
        hmm_iterations, slds_iterations: rounds of EM, at the most.
        n_starts: starts of EM of a hidden Markov model.
        ladder_rank: principal components of the activations in the ladder.
        ridges: penalties of the ladder's regressions, strongest first.
        error_shares: shares of sentences in which a model may leave the law, for the floor.
        n_shuffles: shuffles of the labels within each trace.
        n_draws: draws of the nulls of order and dwell.
        kappas: settings of the label-noise dial.
        seed: of starts, shuffles, draws and corruption.
    """

    rank: int
    place_states: int
    hmm_states: tuple[int, ...]
    slds_states: tuple[int, ...]
    hmm_iterations: int
    slds_iterations: int
    n_starts: int
    ladder_rank: int
    ridges: tuple[float, ...]
    error_shares: tuple[float, ...]
    n_shuffles: int
    n_draws: int
    kappas: tuple[float, ...]
    seed: int

    def __post_init__(self) -> None:
        counts = (self.rank, self.ladder_rank, self.hmm_iterations, self.slds_iterations,
                  self.n_starts, self.n_shuffles, self.n_draws)  # fmt: skip
        if min(counts) < 1 or min(self.place_states, *self.hmm_states, *self.slds_states) < 2:
            raise ValueError("counts must be 1 or more, and numbers of hidden states 2 or more.")
        if list(self.ridges) != sorted(self.ridges, reverse=True) or min(self.ridges) <= 0:
            raise ValueError(f"`ridges` must be positive and fall, found {self.ridges}.")
        if not all(0 < one < 1 for one in (*self.kappas, *self.error_shares)):
            raise ValueError("`kappas` and `error_shares` must lie between 0 and 1.")

    @property
    def grid(self) -> Grid:
        """What is tried for models with hidden states."""
        return Grid(
            self.hmm_states,
            self.slds_states,
            Learning(self.hmm_iterations, self.n_starts, seed=self.seed),
            Learning(self.slds_iterations, 1, seed=self.seed),
        )
