"""Tables of the stage `belief`; `span` is the edit set, E1 or E2, and readouts are log-odds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from backtracking.records.decoding import INLINED
from backtracking.records.intervals import Interval, Verdict
from backtracking.records.rows.claims import Evidence
from backtracking.records.rows.table import Row

Judged = Literal["belief", "action", "mixed", "untestable"]


@dataclass(frozen=True)
class Ceiling:
    """What the patch can do to a readout at a layer, for an edit set.

    Attributes:
        natural: the readout in the donor's own run minus that in the clean one.
        patch: its change under the patch.
        wait: change of log-odds(marker) under the patch, which the arms are matched to.
    """

    natural: Interval
    patch: Interval
    wait: Interval


@dataclass(frozen=True)
class Patched(Row):
    """What the patch does at a place, and whether anything can be tested there.

    Attributes:
        role: the model.
        layer, span, readout: the place.
        ceiling: what the patch does.
        testable, reason: whether, and why not.
        n, n_items: problems and pairs.
    """

    FILE = "belief/ceilings"

    role: str
    layer: int
    span: str
    readout: str
    ceiling: Ceiling = field(metadata=INLINED)
    testable: bool
    reason: str
    n: int
    n_items: int


@dataclass(frozen=True)
class Score:
    """What a direction does to a readout, beside the patch, and what that says.

    Attributes:
        beta: change of the readout over that under the patch; undefined where untestable.
        minus_action: beta minus that of `action`.
        null, p: what 95 % of random directions' betas stay below, and p among them.
        flipped: share of points that are answered as of the donor.
        verdict, reason: by fixed rules, and why it is untestable.
    """

    beta: Interval
    minus_action: Interval
    null: float | None
    p: float | None
    flipped: float | None
    verdict: Judged
    reason: str


@dataclass(frozen=True)
class Beta(Row):
    """A direction at a place.

    Attributes:
        role: the model.
        direction: what is added.
        layer, span, readout: the place.
        change: of the readout.
        score: of the direction.
        wait_share: change of log-odds(marker) over that under the patch, on test.
        n: problems.
    """

    FILE = "belief/betas"

    role: str
    direction: str
    layer: int
    span: str
    readout: str
    change: Interval
    score: Score = field(metadata=INLINED)
    wait_share: float | None
    n: int


@dataclass(frozen=True)
class Level(Row):
    """The mean of a readout under an arm.

    Attributes:
        role: the model.
        readout: that is read.
        name, layer, span: the arm; None for a run that is not edited anywhere.
        level: the mean.
    """

    FILE = "belief/levels"

    role: str
    readout: str
    name: str
    layer: int | None
    span: str | None
    level: Interval = field(metadata=INLINED)


@dataclass(frozen=True)
class Without:
    """What projecting a direction out does at visible dead ends.

    Attributes:
        change: of P(backtrack).
        null, p: what 95 % of random directions' changes stay above, and p among them.
        report_kept: mean log-odds of the report over their clean mean.
        falls: whether P(backtrack) falls, by more than under random directions.
        report_stays: whether the report keeps half of its log-odds.
    """

    change: Interval
    null: float | None
    p: float | None
    report_kept: Interval
    falls: Verdict
    report_stays: Verdict


@dataclass(frozen=True)
class Necessity(Row):
    """A direction projected out.

    Attributes:
        role: the model.
        direction, layer, span: what is taken out, and where.
        p_backtrack, report: means of the clean run.
        without: what it does.
        n: problems.
    """

    FILE = "belief/necessity"

    role: str
    direction: str
    layer: int
    span: str
    p_backtrack: float
    report: float
    without: Without = field(metadata=INLINED)
    n: int


@dataclass(frozen=True)
class Null(Row):
    """Changes of P(backtrack) at dead ends as each random direction is projected out."""

    FILE = "belief/null"

    layer: int
    span: str
    effects: tuple[float, ...]


@dataclass(frozen=True)
class Benchmark(Row):
    """All scores of a direction at a layer, for an edit set.

    Attributes:
        direction, layer, span: what is scored, and where.
        dose, dose_mean_residual_norms, reached, wait_share: as in `Dose` and `Beta`.
        b, c: by the report, and by the claim that follows.
        agreement: share of most likely tokens that stay at positions that decide nothing.
        kl: mean KL divergence there, in nats; None for a direction without a dose.
        without: what projecting it out does; None where there are no visible dead ends.
    """

    FILE = "belief/benchmark"

    direction: str
    layer: int
    span: str
    dose: float
    dose_mean_residual_norms: float
    reached: bool
    wait_share: float | None
    b: Score
    c: Score
    agreement: Interval
    kl: float | None
    without: Without | None


@dataclass(frozen=True)
class BeliefEvidence(Evidence):
    """The claim that a direction is a belief; its parts are the verdicts at every place."""

    FILE = "belief/evidence"


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
    """What was chosen, on dev problems.

    Attributes:
        layer, window: that `steer` chose, as `<first>:<last>`.
        chosen_on: the split.
        regularisation_by_layer: inverse strength of the logistic baseline.
        doses: of every model and direction.
    """

    FILE = "belief/selection"

    layer: int
    window: str
    chosen_on: Literal["dev"]
    regularisation_by_layer: Mapping[str, float]
    doses: tuple[Matched, ...]
