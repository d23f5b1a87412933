"""How much of the experiment is run, on which points, and how jobs are done."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from backtracking.belief.doses import orientation
from backtracking.belief.readouts import Words, words_of
from backtracking.records.pairs import MinimalPair
from backtracking.records.sentences import Kind
from backtracking.records.tokens import Tokens

Run = Callable[[Sequence[Callable[[], Any]]], list[Any]]
"""Does jobs and returns what each gave, in their order; a stage keeps them as units."""


@dataclass(frozen=True)
class Plan:
    """How much of the experiment is run.

    Attributes:
        n_items: test points with donors, at most.
        n_dev_items: the same on dev, on which doses are matched.
        doses: grid of the match, in mean norms of the residual stream; the last is the bound.
        n_rounds: refinements of a dose.
        n_random: random directions, in every model.
        regularisations: inverse strengths among which dev chooses that of the logistic baseline.
        rows_per_batch: edits in one call of the model.
        seed: of random directions.
    """

    n_items: int
    n_dev_items: int
    doses: tuple[float, ...]
    n_rounds: int
    n_random: int
    regularisations: tuple[float, ...]
    rows_per_batch: int
    seed: int

    def __post_init__(self) -> None:
        counts = (self.n_items, self.n_dev_items, self.rows_per_batch)
        if min(*counts, self.n_random) < 1 or self.n_rounds < 0:
            raise ValueError("numbers of items, random directions and rows must be 1 or more.")
        if not self.doses or sorted({0.0, *self.doses}) != [0.0, *self.doses]:
            raise ValueError(f"doses {list(self.doses)} must ascend from above 0.")
        if not self.regularisations or min(self.regularisations) <= 0:
            raise ValueError("regularisations must be above 0, and one at the least.")


@dataclass(frozen=True)
class Points:
    """The decision points that models are asked at.

    Attributes:
        pairs: points of dev and test.
        kinds: the domain's kinds.
        tokens: the words of the study.
    """

    pairs: Sequence[MinimalPair]
    kinds: tuple[Kind, ...]
    tokens: Tokens

    def with_donor(self, split: str) -> list[MinimalPair]:
        """Points of a split that have a donor."""
        return [one for one in self.pairs if one.split == split and one.donor_kind is not None]

    @cached_property
    def sign(self) -> int:
        """See `orientation`."""
        return orientation(self.pairs, self.kinds)

    @property
    def reason(self) -> str:
        """Why nothing can be asked here; empty where it can."""
        if words_of(self.tokens) is None:
            return "the study has no marker, or no question `report`"
        lacking = [split for split in ("dev", "test") if not self.with_donor(split)]
        return f"there are no minimal pairs of {' and '.join(lacking)}" if lacking else ""

    @property
    def words(self) -> Words:
        """The words of the readouts.

        Raises:
            ValueError: where `reason` says that there are none.
        """
        found = words_of(self.tokens)
        if found is None:
            raise ValueError(self.reason)
        return found
