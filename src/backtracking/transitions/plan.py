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
        n_starts: starts of EM of a hidden Markov model.
        tolerance: change between two rounds of EM at which a fit has converged, in nats a sentence.
        max_rounds: rounds of EM after which a fit fails.
        ladder_rank: principal components of the activations in the ladder.
        ridges: penalties of the ladder's regressions, strongest first.
        seed: of the starts.
    """

    rank: int
    place_states: int
    hmm_states: tuple[int, ...]
    slds_states: tuple[int, ...]
    n_starts: int
    tolerance: float
    max_rounds: int
    ladder_rank: int
    ridges: tuple[float, ...]
    seed: int

    def __post_init__(self) -> None:
        counts = (self.rank, self.ladder_rank, self.n_starts, self.max_rounds)
        if min(counts) < 1 or min(self.place_states, *self.hmm_states, *self.slds_states) < 2:
            raise ValueError("counts must be 1 or more, and numbers of hidden states 2 or more.")
        if list(self.ridges) != sorted(self.ridges, reverse=True) or min(self.ridges) <= 0:
            raise ValueError(f"`ridges` must be positive and fall, found {self.ridges}.")
        if self.tolerance <= 0:
            raise ValueError(f"`tolerance` must be above 0, found {self.tolerance}.")

    @property
    def grid(self) -> Grid:
        """What is tried for models with hidden states."""
        return Grid(
            self.hmm_states,
            self.slds_states,
            Learning(self.n_starts, self.tolerance, self.max_rounds, self.seed),
        )
