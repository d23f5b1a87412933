"""Tables of the model under study: transfer, necessity, reports and the doses that it takes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from backtracking.records.decoding import INLINED
from backtracking.records.intervals import Bar, Interval, Verdict
from backtracking.records.measured import Edit
from backtracking.records.rows.table import Row

Status = Literal["defined", "left-censored", "censored", "undefined"]


@dataclass(frozen=True)
class Report(Row):
    """How far a dose moves what a model reports after the decision.

    Attributes:
        target, direction, dose, group: as in `ArmKey`; the baseline has the others' dose.
        kind: of decisions.
        shift: of the log-odds of "dead end", from the baseline's.
    """

    FILE: ClassVar[str] = "effects/steer/reports"
    target: str
    direction: str
    group: str
    dose: float
    kind: str
    shift: Interval = field(metadata=INLINED)


@dataclass(frozen=True)
class Control:
    """A positive control: a shift of the model's own report; fields as in `Cell`."""

    effect: Interval = field(metadata=INLINED)
    random_bound: float | None
    p: float | None
    verdict: Verdict


@dataclass(frozen=True)
class Cell(Row):
    """Of the transfer matrix: a model's direction in a model.

    Attributes:
        source, target: roles of the two.
        kind: of decisions.
        dose: 1 or -1.
        edit: as in `ArmKey`.
        effect: on P(backtrack).
        by_null: every null that is to be beaten.
        legal: as in `Forced`.
        control: of a base, which never backtracks; None where nothing was asked.
        verdict: `no test` where the arm breaks the model, or the control is needed and does not
            pass.
    """

    FILE: ClassVar[str] = "effects/steer/transfer"
    source: str
    target: str
    kind: str
    dose: float
    edit: Edit
    effect: Interval = field(metadata=INLINED)
    by_null: Mapping[str, Bar]
    legal: float | None
    control: Control | None
    verdict: Verdict


@dataclass(frozen=True)
class Removed:
    """What taking a direction away does at one kind of decision.

    Attributes:
        effect: on P(backtrack).
        random_bound, p: of the nulls, the hardest of them.
        baseline: P(backtrack) before.
        legal: as in `Forced`.
    """

    effect: Interval = field(metadata=INLINED)
    random_bound: float | None
    p: float | None
    baseline: float
    legal: float | None


@dataclass(frozen=True)
class ReportChange:
    """What it does to reports at dead ends.

    Attributes:
        right_baseline: share of right reports before.
        right_change: its change.
        log_odds_change: change of the log-odds of "dead end".
    """

    right_baseline: Interval
    right_change: Interval
    log_odds_change: Interval


@dataclass(frozen=True)
class Necessity(Row):
    """A direction taken away from the model under study.

    Attributes:
        target, direction, edit: as in `ArmKey`: set to the negative class's mean, or, where that
            was not run, projected out, which is no neutral state.
        by_kind: what it does at dead and at live decisions.
        report: what it does to reports; without numbers where none was asked for.
        log_odds_change_random_bound: what 95 % of random directions stay above.
        parts: whether backtracking falls, and whether the report stays.
        verdict: of both.
    """

    FILE: ClassVar[str] = "effects/steer/necessity"
    target: str
    direction: str
    edit: Edit
    by_kind: Mapping[str, Removed]
    report: ReportChange = field(metadata=INLINED)
    log_odds_change_random_bound: float | None
    parts: Mapping[str, Verdict]
    verdict: Verdict


@dataclass(frozen=True)
class DoseResponse:
    """The curve of one direction, in one sign.

    Attributes:
        status: `defined`; `left-censored` where the peak or half of it lies at or below the
            smallest dose, so that ED50 is at most that dose and nothing more is known; `censored`
            where the peak is the largest dose of the grid, so that the curve may rise further and
            ED50 is a lower bound; `undefined` where the interval of the effect at the peak
            contains 0.
        peak: dose of the largest effect, chosen elsewhere.
        effect, effect_low, effect_high: E(peak) with its interval by problem.
        ed50, ed50_low, ed50_high: in the units of the doses; None where undefined or at most the
            smallest dose.
        smallest: the smallest dose.
        share_defined, share_left_censored, share_censored, share_undefined: of the bootstrap
            replicates, where a replicate takes its own peak, and is undefined where that is not
            above 0.
        n: problems.
    """

    status: Status
    peak: float
    effect: float
    effect_low: float | None
    effect_high: float | None
    ed50: float | None
    ed50_low: float | None
    ed50_high: float | None
    smallest: float
    share_defined: float
    share_left_censored: float
    share_censored: float
    share_undefined: float
    n: int


@dataclass(frozen=True)
class Curve(Row):
    """The dose that a direction needs in the model under study.

    Attributes:
        target, direction, kind: as in `Forced`.
        sign: of the doses.
        response: the curve.
        ed50_norm, ed50_mean_residual_norms: ED50 in these units; None where undefined.
    """

    FILE: ClassVar[str] = "effects/steer/doses"
    target: str
    direction: str
    kind: str
    sign: int
    response: DoseResponse = field(metadata=INLINED)
    ed50_norm: float | None
    ed50_mean_residual_norms: float | None
