"""What `belief` chose, and the tables of what it measured.

`span` is the edit set, E1 or E2, and readouts are log-odds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from backtracking.records.decoding import INLINED
from backtracking.records.intervals import Interval
from backtracking.records.rows.claims import Evidence
from backtracking.records.rows.table import Row

CLEAN, DIRECTION, DONOR = "clean", "direction", "donor"
"""Groups beside `patch` and `random`: nothing; a direction at its dose; the donor's own run."""

Judged = Literal["belief", "action", "mixed", "not read by the report", "untestable"]

Standing = Literal["read", "not read by the report", "untestable"]
"""Of a place: whether the readout reads the state there, does not, or nothing can be said."""


@dataclass(frozen=True)
class Ceiling:
    """What the patch can do to a readout at a layer, for an edit set.

    Attributes:
        natural: the readout in the donor's own run minus that in the clean one, in nats.
        marker_natural: the same of the marker.
        patch: change of the readout under the patch, as a share of `natural`.
        marker: change of the marker's log-odds, as a share of `marker_natural`; the arms' doses
            are matched to it.
    """

    natural: Interval
    marker_natural: Interval
    patch: Interval
    marker: Interval


@dataclass(frozen=True)
class Patched(Row):
    """What the patch does at a place, and whether anything can be tested there.

    Attributes:
        role: the model.
        layer, span, readout: the place.
        ceiling: what the patch does.
        standing, reason: of the place, and why it is untestable.
        n_items: pairs.
    """

    FILE = "effects/belief/ceilings"

    role: str
    layer: int
    span: str
    readout: str
    ceiling: Ceiling = field(metadata=INLINED)
    standing: Standing
    reason: str
    n_items: int


@dataclass(frozen=True)
class Shares:
    """What a direction does to a readout, beside the patch.

    Attributes:
        share: change of the readout, as a share of its natural difference.
        beta: that change over the patch's; undefined where the readout does not read the state.
        minus_action: beta minus that of `action`.
        null, p: what 95 % of random directions' shares stay below, and p among them.
        flipped: share of pairs whose answer becomes the donor's.
        flipped_null: what 95 % of random directions' stay below.
    """

    share: Interval
    beta: Interval
    minus_action: Interval
    null: float | None
    p: float | None
    flipped: Interval
    flipped_null: float | None


@dataclass(frozen=True)
class Score(Shares):
    """The same, and what that says.

    Attributes:
        verdict, reason: by fixed rules, and why.
    """

    verdict: Judged
    reason: str


@dataclass(frozen=True)
class Beta(Row):
    """A direction at a place, at the dose that dev matched.

    Attributes:
        role: the model.
        direction: what is added.
        layer, span, readout: the place.
        dose: in mean norms of the residual stream.
        reached: whether the marker moves there as much as under the patch, on dev.
        marker: its change over the patch's, on test.
        fluent: mass of the next token, behind the edited one, on tokens that the model itself
            gives there, over that of the clean run.
        score: of the direction.
    """

    FILE = "effects/belief/betas"

    role: str
    direction: str
    layer: int
    span: str
    readout: str
    dose: float
    reached: bool
    marker: float | None
    fluent: float | None
    score: Score = field(metadata=INLINED)


@dataclass(frozen=True)
class Null(Row):
    """What random directions do at a place, added with the norm of the model's own at its dose.

    Attributes:
        role: the model.
        layer, span, readout: the place.
        shares: change of the readout as a share of its natural difference, one a direction.
        flipped: share of pairs whose answer becomes the donor's, one a direction.
    """

    FILE = "effects/belief/null"

    role: str
    layer: int
    span: str
    readout: str
    shares: tuple[float, ...]
    flipped: tuple[float, ...]


@dataclass(frozen=True)
class BeliefEvidence(Evidence):
    """The claim that a direction is a belief."""

    FILE = "effects/belief/evidence"


@dataclass(frozen=True)
class Dose:
    """How much of a direction is added.

    Attributes:
        norm: norm of what is added; 0 where there is nothing to match.
        reached: whether its change of log-odds(marker) on dev gets as large as the patch's.
        change: that change at the dose, on dev.
        target: the patch's change, on dev.
        mean_residual_norms: the norm over the mean norm of the residual stream there.
    """

    norm: float
    reached: bool
    change: float
    target: float
    mean_residual_norms: float


@dataclass(frozen=True)
class Matched:
    """The dose of a direction in a model at a layer."""

    role: str
    direction: str
    layer: int
    dose: Dose = field(metadata=INLINED)


@dataclass(frozen=True)
class Selection(Row):
    """What was chosen, on dev problems, and what of the models it takes to judge the rest.

    Attributes:
        layer, window: that `steer` chose, as `<first>:<last>`.
        chosen_on: the split.
        regularisation_by_layer: inverse strength of the logistic baseline.
        doses: of every model and direction.
        n_layers_by_role: blocks of each model that was asked.
        sign: what a change towards the donors is multiplied by, to be one towards the dead end.
        reason: why no model was asked; empty where they were.
    """

    FILE = "belief/selection"

    layer: int
    window: str
    chosen_on: Literal["dev"]
    regularisation_by_layer: Mapping[str, float]
    doses: tuple[Matched, ...]
    n_layers_by_role: Mapping[str, int]
    sign: int
    reason: str
