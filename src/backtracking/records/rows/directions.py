"""Rows of the stage `directions`: what each direction rests on, and how alike two of them are."""

from dataclasses import dataclass, field

from backtracking.records.decoding import INLINED
from backtracking.records.intervals import Interval
from backtracking.records.rows.table import Row


@dataclass(frozen=True)
class Counts:
    """The rows that a direction rests on.

    Attributes:
        n_positive: positive rows in the strata used; of weighted rows, the rounded sum of weights.
        n_negative: negative rows in the strata used, likewise.
        n_strata: number of strata used, those with both classes.
        dropped_rate: share of rows in strata that lack a class.
    """

    n_positive: int
    n_negative: int
    n_strata: int
    dropped_rate: float


@dataclass(frozen=True)
class Strength(Row):
    """How strong and how reliable an estimated direction is; None where undefined or not asked.

    Attributes:
        role, form, state, window, layer: where it was estimated (`records.places.Place`).
        norm: of the difference of means, as long as the activations are.
        norm_corrected: the same without what noise adds.
        norm_low, norm_high: interval of the corrected norm, by problem.
        norm_null: 95th percentile of the corrected norms under shuffled labels.
        norm_p: share of these that reach the true one.
        split_half_cosine: cosine of the directions of two halves of the problems. It has no
            interval: it measures noise, and has no truth to hold.
        dev_auroc: within strata, of the projection on dev problems.
        dev_low, dev_high: its interval by problem, conditional on the direction; None where the
            AUROC is 1.
        counts: rows that it rests on.
        mean_residual_norm: mean norm of these rows.
    """

    FILE = "directions/directions"

    role: str
    form: str
    state: str | None
    window: str | None
    layer: int | None
    norm: float
    norm_corrected: float | None
    norm_low: float | None
    norm_high: float | None
    norm_null: float | None
    norm_p: float | None
    split_half_cosine: float | None
    dev_auroc: float | None
    counts: Counts = field(metadata=INLINED)
    mean_residual_norm: float
    dev_low: float | None
    dev_high: float | None


@dataclass(frozen=True)
class Best:
    """The layer and window of a model's matched direction that separate best on dev."""

    layer: int | None
    window: str | None
    dev_auroc: float


@dataclass(frozen=True)
class Likeness:
    """How alike two directions are, beside what shuffled labels give.

    Of shuffled labels there are two nulls. 95 % of the corrected cosines lie between `null_low` and
    `null_high`: the numerator under labels that are shuffled alike for both directions, over the
    denominator of the true ones (their own reliability is 0, which would leave it undefined). That
    is the null of labels that mean nothing; two orthogonal directions whose effects vary between
    problems lie outside of it more often than in 5 %, so whether a cosine is 0 is told by its own
    interval.

    Attributes:
        cosine: corrected for noise; None where the reliability of either is not positive.
        low, high: its interval by problem.
        n: number of problems.
        raw: cosine of the directions as they were estimated.
        null_low, null_high: see above; None where either has no shuffles.
        null_raw: mean raw cosine of shuffled labels: what two directions share because their rows
            do.
    """

    cosine: float | None
    low: float | None
    high: float | None
    n: int
    raw: float
    null_low: float | None
    null_high: float | None
    null_raw: float | None


@dataclass(frozen=True)
class PairCosine(Row):
    """The directions of a pair of models.

    Attributes:
        pair: `<base>-<role>`.
        form, window, layer: where both were estimated.
        likeness: of the two.
    """

    FILE = "directions/cosines"

    pair: str
    form: str
    window: str | None
    layer: int | None
    likeness: Likeness = field(metadata=INLINED)


@dataclass(frozen=True)
class FormCosine(Row):
    """Two forms of direction in a model at a layer.

    Attributes:
        role, form, window, layer: the one.
        other_form, other_window: the other.
        likeness: of the two.
        nearer: of `stable` and `matched`: cosine of `stable` minus cosine of `keyword`, both to
            `matched`; None for other forms.
    """

    FILE = "directions/forms"

    role: str
    form: str
    window: str | None
    layer: int | None
    other_form: str
    other_window: str | None
    likeness: Likeness = field(metadata=INLINED)
    nearer: Interval | None
