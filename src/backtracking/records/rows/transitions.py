"""Tables of the stage `transitions`: nats a sentence of test problems, chosen on dev."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from backtracking.records.decoding import INLINED
from backtracking.records.edges import Edge
from backtracking.records.intervals import Interval
from backtracking.records.rows.table import Row


@dataclass(frozen=True)
class Compared:
    """How well a model predicts what follows a sentence, beside another model.

    Attributes:
        nll: -log p of what followed.
        difference: that minus the other model's, paired.
    """

    nll: Interval
    difference: Interval


@dataclass(frozen=True)
class StateModel(Row):
    """A model of labels or of activations, beside the chain of order 1.

    Attributes:
        role: whose activations it reads, `labels` where it reads none, `writer` for its law.
        class_: of the model; `law` and `next_token` are no state models and know more than any.
        score: on test.
        n_states: hidden states that dev chose; None where there are none.
        edge: where that lies in its grid. Smoothing has no grid (`transitions/smoothing.py`).
    """

    FILE = "transitions/models"

    role: str
    class_: str
    score: Compared = field(metadata=INLINED)
    n_states: int | None
    edge: Edge | None


@dataclass(frozen=True)
class Rung(Row):
    """A rung of the ladder from labels to activations, beside `tokens`.

    Attributes:
        model: what is read: `labels`, `tokens` or `tokens_<role>`.
        score: on test.
        ridge: penalty that dev chose.
        edge: where it lies in its grid.
    """

    FILE = "transitions/ladder"

    model: str
    score: Compared = field(metadata=INLINED)
    ridge: float
    edge: Edge


@dataclass(frozen=True)
class Forecast(Row):
    """A model's forecast of the reduced activation one sentence ahead.

    Attributes:
        role: whose activations.
        model: that forecasts, `var_1` or `slds`.
        r2: share of the squared deviations that the forecast explains.
    """

    FILE = "transitions/forecasts"

    role: str
    model: str
    r2: Interval


@dataclass(frozen=True)
class VarianceShare(Row):
    """The share of the variance of train activations in the first `rank` components."""

    FILE = "transitions/variance"

    role: str
    rank: int
    share: float


@dataclass(frozen=True)
class Representation(Row):
    """Whether decisions at one search state look alike, beside others with the same words.

    Attributes:
        role: whose activations; `tokens` for counts of what is written.
        auroc: P(a pair at one state is more alike than a pair at two); None where there are none.
        n_same, n_different: pairs.
    """

    FILE = "transitions/representation"

    role: str
    auroc: Interval | None
    n_same: int
    n_different: int


@dataclass(frozen=True)
class Setting:
    """What dev problems chose for a model.

    Attributes:
        dev_nll: of the one that was chosen.
        strengths: of smoothing, in counts; None for a model with hidden states.
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
    """

    FILE = "transitions/selection"

    chosen_on: Literal["dev"]
    layer: int
    rank: int
    grid: tuple[LayerTried, ...]
    models: Mapping[str, Setting]
