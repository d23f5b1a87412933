"""Tables of the stage `transitions`: nats a sentence of test problems, chosen on dev."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from backtracking.records.decoding import INLINED
from backtracking.records.intervals import Interval
from backtracking.records.rows.table import Row


@dataclass(frozen=True)
class Compared:
    """How well a model predicts what follows a sentence, beside another model.

    Attributes:
        nll: -log p of what followed.
        low, high, n: its interval, and the number of problems.
        difference: its NLL minus that of the other model, paired.
    """

    nll: float | None
    low: float | None
    high: float | None
    n: int
    difference: Interval


@dataclass(frozen=True)
class StateModel(Row):
    """A model of labels or of activations, beside the chain of order 1.

    Attributes:
        role: whose activations it reads; `labels` where it reads none.
        class_: of the model.
        score: on test.
    """

    FILE = "transitions/models"

    role: str
    class_: str
    score: Compared = field(metadata=INLINED)


@dataclass(frozen=True)
class Rung(Row):
    """A rung of the ladder from labels to the writer's own law, beside `tokens`.

    Attributes:
        position: where the text is cut.
        model: what is read: `labels`, `tokens`, `tokens_<role>`, `next_token` or `posterior`.
        score: on test.
    """

    FILE = "transitions/ladder"

    position: str
    model: str
    score: Compared = field(metadata=INLINED)


@dataclass(frozen=True)
class Cut(Row):
    """A position of the ladder.

    Attributes:
        position: where the text is cut.
        n_rows: test sentences that are predicted from there.
        tokens_before_the_sentences_end: how far ahead of it, on average.
        difference_to_controls: NLL of the model under study minus that of each other role.
    """

    FILE = "transitions/positions"

    position: str
    n_rows: int
    tokens_before_the_sentences_end: float
    difference_to_controls: Mapping[str, Interval]


@dataclass(frozen=True)
class Density(Row):
    """A model's forecast of the reduced activation one sentence ahead.

    Attributes:
        role: whose activations.
        model: that forecasts.
        log_density: in nats a sentence.
        over_iid: its gain over one Gaussian for all sentences.
        r2: share of the squared deviations that the forecast's mean explains.
    """

    FILE = "transitions/densities"

    role: str
    model: str
    log_density: Interval
    over_iid: Interval
    r2: Interval


@dataclass(frozen=True)
class VarianceShare(Row):
    """The share of the variance of train activations in the first `rank` components."""

    FILE = "transitions/variance"

    role: str
    rank: int
    share: float


@dataclass(frozen=True)
class Transition(Row):
    """An entry of the matrix of transitions.

    Attributes:
        from_, to: labels; the second may be END.
        share: p(to | from).
        count: how often.
        null: mean share where labels are shuffled within each trace.
        p, p_holm: two-sided, of the shuffle; and corrected for all entries.
    """

    FILE = "transitions/matrix"

    from_: str
    to: str
    share: Interval = field(metadata=INLINED)
    count: int
    null: float
    p: float
    p_holm: float


@dataclass(frozen=True)
class Steps(Row):
    """Expected sentences from a label until the answer, or END, is written."""

    FILE = "transitions/steps"

    from_: str
    steps: Interval = field(metadata=INLINED)


@dataclass(frozen=True)
class Hazard:
    """How often a run that has lasted `dwell` sentences ends there; `n_runs` lasted as long."""

    dwell: int
    n_runs: int
    share: Interval = field(metadata=INLINED)


@dataclass(frozen=True)
class Dwell(Row):
    """How long a label lasts, and whether its dwells are geometric.

    Attributes:
        label: that stays.
        mean_dwell: in sentences, 1 / `hazard`.
        hazard: share of its sentences after which it ends.
        hazards: the same by dwell.
        statistic, null_95: G of hazards by dwell against one hazard, and what 95 % of its draws
            under the geometric law stay below.
        p, p_holm: of that law; and corrected for all labels.
    """

    FILE = "transitions/dwell"

    label: str
    mean_dwell: Interval
    hazard: Interval
    hazards: tuple[Hazard, ...]
    statistic: float
    null_95: float
    p: float
    p_holm: float


@dataclass(frozen=True)
class LikelihoodRatio:
    """A chain of labels tested against the next longer one.

    Attributes:
        order, against: of the null and of the alternative.
        statistic: twice the difference of their log-likelihoods.
        null_mean, null_95: of draws from the null.
        p: share of draws as large.
    """

    order: int
    against: int
    statistic: float
    null_mean: float
    null_95: float
    p: float


@dataclass(frozen=True)
class Order(Row):
    """An order's test on test traces, and what the next one gains in NLL there."""

    FILE = "transitions/order"

    test: LikelihoodRatio = field(metadata=INLINED)
    held_out_gain: Interval


@dataclass(frozen=True)
class EntropyRate(Row):
    """Bounds on the entropy of the next symbol given the labels before it.

    Attributes:
        at_least: by the writer's law; None where no law is known.
        at_most: by the best model of labels.
        by: that model.
    """

    FILE = "transitions/entropy_rate"

    at_least: Interval | None
    at_most: Interval
    by: str


@dataclass(frozen=True)
class Heard:
    """What labels alone say of the traces.

    Attributes:
        gains: in NLL, of one model over another.
        entropy_rate_bound: NLL of the best model of labels.
        stays_in_event, deduction_to_event: two entries of the matrix of transitions.
        mean_dwell: in the event; None where it never stays.
        dwell_p_geometric: of the test of its dwells.
    """

    gains: Mapping[str, Interval]
    entropy_rate_bound: Interval
    stays_in_event: Interval
    deduction_to_event: Interval
    mean_dwell: Interval | None
    dwell_p_geometric: float | None


@dataclass(frozen=True)
class Noise(Row):
    """A setting of the label-noise dial.

    Attributes:
        kappa: wanted agreement with the exact labels.
        realised: agreement on test.
        where: sentences whose labels are corrupted.
        heard: what would have been found.
    """

    FILE = "transitions/noise"

    kappa: float
    realised: float
    where: Literal["nowhere", "evenly", "at_events"]
    heard: Heard = field(metadata=INLINED)


@dataclass(frozen=True)
class Agreement:
    """Normalised mutual information and adjusted Rand index of two labellings."""

    nmi: Interval
    ari: Interval
    n_latent: int
    n_true: int


@dataclass(frozen=True)
class Latent(Row):
    """The most probable hidden states of a model beside what is true.

    Attributes:
        role, model: whose activations, and the class of the model.
        truth: what the states are compared with: `label`, `form` or `kind`.
        agreement: of the two.
    """

    FILE = "transitions/latents"

    role: str
    model: str
    truth: str
    agreement: Agreement = field(metadata=INLINED)


@dataclass(frozen=True)
class Representation(Row):
    """Whether decisions at the same search state look alike, whatever their histories.

    Attributes:
        role, layer: whose activations; `tokens` and None for counts of what is written.
        against: the pairs that stand at different states.
        auroc: P(a pair at one state is more alike than a pair at two); None where there are none.
        cosine_same, cosine_different: mean cosines of both kinds of pairs.
        n_same, n_different: pairs.
    """

    FILE = "transitions/representation"

    role: str
    layer: int | None
    against: str
    auroc: Interval | None
    cosine_same: Interval | None
    cosine_different: Interval | None
    n_same: int
    n_different: int


@dataclass(frozen=True)
class Setting:
    """What dev problems chose for a model.

    Attributes:
        dev_nll: of the one that was chosen.
        strengths: of smoothing; None for a model with hidden states.
        n_states: hidden states; None for a chain of labels.
        dev_nll_by_n_states: of all that were tried.
    """

    dev_nll: float
    strengths: tuple[float, ...] | None = None
    n_states: int | None = None
    dev_nll_by_n_states: Mapping[str, float] | None = None


@dataclass(frozen=True)
class LayerTried:
    """NLL on dev of the model by which the layer is chosen."""

    layer: int
    dev_nll: float


@dataclass(frozen=True)
class Selection(Row):
    """What was chosen, on dev problems.

    Attributes:
        chosen_on: the split.
        layer: of `resid_post`.
        rank: principal components in models with hidden states.
        grid: all layers.
        models: by `<role>/<class>`.
        ladder: penalties by position and rung.
        error_share: of the floor; None where no law is known.
    """

    FILE = "transitions/selection"

    chosen_on: Literal["dev"]
    layer: int
    rank: int
    grid: tuple[LayerTried, ...]
    models: Mapping[str, Setting]
    ladder: Mapping[str, Mapping[str, float]]
    error_share: float | None
