"""What the runs of a study share: the models, what they read, and what a job is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from backtracking.directions.forms import Contrast
from backtracking.interventions.along import matched_place
from backtracking.interventions.arms import Ground
from backtracking.interventions.drawing import Telling
from backtracking.interventions.measure import Sizes
from backtracking.interventions.plan import Plan, Read, Words
from backtracking.models.loading import LoadedModel
from backtracking.records.choices import Choice
from backtracking.records.directions import Directions
from backtracking.records.places import Window
from backtracking.records.tokens import Pattern, Question

DECIDING = (0, 0)
"""The window of what edits are made of: the deciding token, where they are made."""


@dataclass(frozen=True)
class Job:
    """One run of one model, which gives `Measured` or a tuple of `Rollouts`.

    Attributes:
        make: does it; the arguments are all that the result depends on.
        is_drawn: whether it is judged by what is written after its decisions: affine edits with
            their nulls, the donor's state, and of the test run the plan's doses.
    """

    make: partial[Any]
    is_drawn: bool = False


@dataclass(frozen=True)
class Target:
    """A model that is steered.

    Attributes:
        role: the model.
        loaded: itself.
        base: role of the base that it is paired with; of a base, itself.
        sources: roles whose directions it is steered along.
    """

    role: str
    loaded: LoadedModel
    base: str
    sources: tuple[str, ...]


@dataclass(frozen=True)
class Setting:
    """What all runs of a study share.

    Attributes:
        plan: doses and sizes.
        directions: all that there are.
        words: whose probabilities are read.
        patterns: the online rule of where something is decided.
        question: what models are asked to report; None where the domain has no question.
        telling: how it is told what is written after a decision.
        contrast_at: what a role's model holds at decisions of train problems, by role, layer and
            window: what its matched direction there is estimated from.
    """

    plan: Plan
    directions: Directions
    words: Words
    patterns: tuple[Pattern, ...]
    question: Question | None
    telling: Telling
    contrast_at: Callable[[str, int, Window], Contrast]

    @property
    def is_drawn(self) -> bool:
        """Whether P(backtrack) is read by writing on."""
        return self.plan.drawn.n > 0

    @property
    def sizes(self) -> Sizes:
        """How much is done at a time."""
        plan = self.plan
        return Sizes(plan.rows_per_batch, plan.edits_per_batch, plan.n_null_back)

    def ground(self, role: str, choice: Choice) -> Ground:
        """What a model holds at the chosen layer, and its own class distance at that place."""
        own = self.directions.get(matched_place(choice, role))
        held = self.contrast_at(role, choice.layer, DECIDING)
        return Ground(held, float(own.norm()))


@dataclass(frozen=True)
class Reads:
    """What is read.

    Attributes:
        test, dev: prefixes of a split, with their decisions.
        live, dead: prefixes of test problems that end at a decision of the negative, and of the
            positive class, at which models are asked to report.
        pairs: prefixes that end at a decision of the negative class, with their donors.
        prompts: of test problems, by problem, for free runs.
        prompted: prefixes of the test split behind an instruction; empty where there is none.
    """

    test: Read
    dev: Read
    live: Read
    dead: Read
    pairs: Read
    prompts: Mapping[str, Sequence[int]]
    prompted: Read
