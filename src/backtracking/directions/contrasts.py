"""Which rows each form of a direction compares, read from a model's activations.

`matched`, `ward` and `venhoff` are the forms of `directions`. `keyword` and `stable` compare
decisions with a backtracking event found by keyword with those without one, each event counting 1
or its stability. `state.<name>` is Venhoff's form of another sentence state.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from backtracking.activations.reader import ActivationStore
from backtracking.activations.windows import read_windows
from backtracking.directions import estimator
from backtracking.directions.estimator import Contrast
from backtracking.directions.events import Weighted
from backtracking.records.moments import Moments, is_decision, strata

POSITIVE, NEGATIVE = "over", "alive"

Window = tuple[int, int]


@dataclass(frozen=True)
class Named:
    """A contrast on train problems with its form and window, and the same on dev where scored."""

    form: str
    window: str
    train: Contrast
    dev: Contrast | None = None


@dataclass(frozen=True)
class Sources:
    """What is compared, the same for every model and layer.

    Attributes:
        moments: every sentence with its exact labels.
        windows: windows of the forms at comparisons, from the comparison's first token.
        ward_window: of Ward's form, from the first token of any sentence.
        n_strata: strata of the running total, by quantile of the train problems' decisions.
    """

    moments: Moments
    windows: Sequence[Window]
    ward_window: Window
    n_strata: int

    def decisions(self, split: str) -> Moments:
        """Comparisons of a split that are over or alive."""
        moments = self.moments[is_decision(self.moments) & (self.moments.split == split)]
        return moments[np.isin(moments.kind, (POSITIVE, NEGATIVE))]

    @property
    def edges(self) -> Float[np.ndarray, " edges"]:
        """Running totals that separate the strata."""
        shares = np.linspace(0, 1, self.n_strata + 1)[1:-1]
        return np.quantile(self.decisions("train").total, shares)


def window_name(window: Window) -> str:
    """A window as it stands in names and tables."""
    return f"{window[0]}:{window[1]}"


def name_of(role: str, form: str, window: str, layer: int) -> str:
    """Name of a direction in directions.safetensors."""
    return f"{role}.{form}.{window}.{layer}"


def event_decisions(moments: Moments) -> Moments:
    """Comparisons of the train problems at which something is decided, whatever their kind."""
    chosen = is_decision(moments) & (moments.split == "train")
    return moments[chosen & ~np.isin(moments.kind, ("", "solved"))]


def matched_contrasts(sources: Sources, store: ActivationStore, layer: int) -> list[Named]:
    """`over` minus `alive` at comparisons, in every window."""
    both = [sources.decisions(split) for split in ("train", "dev")]
    found = []
    for window in sources.windows:
        train, dev = (
            _at_comparisons(store, layer, one, one.kind == POSITIVE, window, sources.edges)
            for one in both
        )
        found.append(Named("matched", window_name(window), train, dev))
    return found


def event_contrasts(
    sources: Sources, store: ActivationStore, layer: int, events: Weighted
) -> list[Named]:
    """Decisions with a keyword event minus those without, plain and weighted by stability.

    Args:
        sources: what is compared.
        store: activations of a model.
        layer: where they are read.
        events: what each decision weighs: `event_decisions`, in their order.
    """
    if not events.is_keyword.any():
        return []
    decisions = event_decisions(sources.moments)[events.rows]
    found = []
    for window in sources.windows:
        plain = _at_comparisons(store, layer, decisions, events.is_keyword, window, sources.edges)
        weighted = _at_comparisons(
            store, layer, decisions, events.is_keyword, window, sources.edges, events.weight
        )
        found += [
            Named("keyword", window_name(window), plain),
            Named("stable", window_name(window), weighted),
        ]
    return found


def sentence_contrasts(
    sources: Sources, store: ActivationStore, layer: int, states: Sequence[str] = ()
) -> list[Named]:
    """Ward's and Venhoff's forms of backtracking, and Venhoff's of the other states asked for."""
    train = sources.moments[sources.moments.split == "train"]
    is_positive = torch.from_numpy(train.label == "backtracking")
    problem = torch.from_numpy(train.problem_number)
    read = read_windows(store, layer, train, sources.ward_window)
    ward = estimator.ward(*read, is_positive, problem, sources.ward_window)
    windows, present, offsets = read_windows(store, layer, train, estimator.VENHOFF_WINDOW)
    n_tokens = torch.from_numpy(train.end - train.start)
    venhoff = estimator.venhoff(windows, present, offsets, n_tokens, is_positive, problem)
    window = window_name(estimator.VENHOFF_WINDOW)
    found = [
        Named("ward", window_name(sources.ward_window), ward),
        Named("venhoff", window, venhoff),
    ]
    kept = (present & (offsets < n_tokens[:, None])).any(dim=1).numpy()
    for state in states:
        of_state = torch.from_numpy(train.label[kept] == state)
        if of_state.any() and not of_state.all():
            found.append(Named(f"state.{state}", window, replace(venhoff, is_positive=of_state)))
    return found


def other_states(moments: Moments) -> list[str]:
    """Sentence states of the train problems other than backtracking, in order of their names."""
    labels = set(moments.label[moments.split == "train"].tolist())
    return sorted(labels - {"backtracking", "unparsed"})


def mean_of(found: Sequence[Named]) -> Mapping[str, Float[Tensor, " d_model"]]:
    """The overall mean that Venhoff's form subtracts, by window."""
    return {
        one.window: one.train.activations.mean(dim=0, dtype=torch.float64)
        for one in found
        if one.form == "venhoff"
    }


def _at_comparisons(
    store: ActivationStore,
    layer: int,
    decisions: Moments,
    is_positive: np.ndarray,
    window: Window,
    edges: np.ndarray,
    weight: np.ndarray | None = None,
) -> Contrast:
    """Decisions by class within strata of the true running total; incomplete windows left out."""
    values, present, _ = read_windows(store, layer, decisions, window)
    whole = present.all(dim=1)
    kept = decisions[whole.numpy()]
    contrast = estimator.matched(
        values[whole].mean(dim=1),
        torch.from_numpy(is_positive)[whole],
        torch.from_numpy(strata(kept.total, edges)),
        torch.from_numpy(kept.problem_number),
    )
    return contrast if weight is None else replace(contrast, weight=torch.from_numpy(weight)[whole])
