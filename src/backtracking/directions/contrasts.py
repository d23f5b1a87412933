"""Which rows each form of a direction compares, read from a model's activations.

`matched`, `ward` and `venhoff` are those of `forms`. `keyword` and `stable` compare
decisions with a backtracking event found by keyword with those without one, each event counting 1
or its stability. `state` is Venhoff's form of another sentence state. `word`, `next` and `permuted`
are controls without training (`records.places.CONTROLS`). A contrast that has no stratum with rows
of both classes is not there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from backtracking.activations.reader import ActivationStore
from backtracking.activations.windows import read_windows
from backtracking.directions import forms
from backtracking.directions.events import TURN, Followed, Weighted, event_decisions
from backtracking.directions.forms import Contrast
from backtracking.records.columns import Sentences
from backtracking.records.decisions import Classes, Decisions
from backtracking.records.places import Place, Window


@dataclass(frozen=True)
class Placed:
    """A contrast on train problems, where its direction is, and the same on dev where scored."""

    place: Place
    train: Contrast
    dev: Contrast | None = None


@dataclass(frozen=True)
class Sources:
    """What is compared, the same for every model and layer.

    Attributes:
        sentences: every sentence.
        decisions: every decision.
        classes: the two classes of decisions, and what must be alike in both.
        windows: windows of the forms at decisions, from the deciding token.
        ward_window: of Ward's form, from the first token of any sentence.
        n_strata: strata of each number, by quantile of the train problems' decisions.
    """

    sentences: Sentences
    decisions: Decisions
    classes: Classes
    windows: Sequence[Window]
    ward_window: Window
    n_strata: int

    @cached_property
    def train(self) -> Decisions:
        """Decisions of either class on train problems; their quantiles part the strata."""
        return self.decisions.of(split="train", classes=self.classes)

    @cached_property
    def dev(self) -> Decisions:
        """The same on dev problems."""
        return self.decisions.of(split="dev", classes=self.classes)


def matched_contrasts(
    sources: Sources, store: ActivationStore, role: str, layer: int
) -> list[Placed]:
    """The positive class minus the negative one at decisions, in every window."""
    found = []
    for window in sources.windows:
        train, dev = (
            _at_decisions(sources, store, layer, one, one.is_positive(sources.classes), window)
            for one in (sources.train, sources.dev)
        )
        found.append(Placed(Place(role, "matched", window, layer), train, dev))
    return [one for one in found if _has_both(one.train)]


def event_contrasts(
    sources: Sources, store: ActivationStore, role: str, layer: int, events: Weighted
) -> list[Placed]:
    """Decisions with a keyword event minus those without, plain and weighted by stability.

    Args:
        sources: what is compared.
        store: activations of a model.
        role: of that model.
        layer: where they are read.
        events: what each decision weighs: `event_decisions`, in their order.
    """
    decisions = event_decisions(sources.decisions)[events.rows]
    found = []
    for window in sources.windows:
        stable = _at_decisions(
            sources, store, layer, decisions, events.is_keyword, window, events.weight
        )
        found += [
            Placed(Place(role, "keyword", window, layer), replace(stable, weight=None)),
            Placed(Place(role, "stable", window, layer), stable),
        ]
    return [one for one in found if _has_both(one.train)]


def sentence_contrasts(
    sources: Sources, store: ActivationStore, role: str, layer: int, states: Sequence[str] = ()
) -> list[Placed]:
    """Ward's and Venhoff's forms of backtracking, and Venhoff's of the other states asked for."""
    train = sources.sentences[sources.sentences.split == "train"]
    is_positive = torch.from_numpy(train.state == TURN)
    problem = torch.from_numpy(train.problem_number)
    read = read_windows(store, layer, train, sources.ward_window)
    ward = forms.ward(*read, is_positive, problem, sources.ward_window)
    windows, present, offsets = read_windows(store, layer, train, forms.VENHOFF_WINDOW)
    n_tokens = torch.from_numpy(train.end - train.start)
    venhoff = forms.venhoff(windows, present, offsets, n_tokens, is_positive, problem)
    kept = (present & (offsets < n_tokens[:, None])).any(dim=1).numpy()
    place = Place(role, "venhoff", forms.VENHOFF_WINDOW, layer)
    found = [
        Placed(Place(role, "ward", sources.ward_window, layer), ward),
        Placed(place, venhoff),
    ]
    for state in states:
        of_state = replace(venhoff, is_positive=torch.from_numpy(train.state[kept] == state))
        found.append(Placed(place._replace(form="state", state=state), of_state))
    return [one for one in found if _has_both(one.train)]


def other_states(sentences: Sentences) -> list[str]:
    """Sentence states of the train problems other than backtracking, in order of their names."""
    states = set(sentences.state[sentences.split == "train"].tolist())
    return sorted(states - {TURN, "unparsed"})


def control_contrasts(
    sources: Sources, store: ActivationStore, role: str, layer: int, followed: Followed
) -> list[Placed]:
    """Decisions before a sentence that only opens like backtracking, and before each other state.

    Against those before any other sentence; none is before one that backtracks.

    Args:
        sources: what is compared.
        store: activations of a model.
        role: of that model.
        layer: where they are read.
        followed: what stands after each decision of `event_decisions`, in their order.
    """
    chosen = ~followed.turns & followed.is_known
    decisions, found = event_decisions(sources.decisions)[chosen], []
    classes = {("word", None): followed.opens[chosen]} | {
        ("next", state): (followed.state[chosen] == state) & ~followed.opens[chosen]
        for state in other_states(sources.sentences)
    }
    for window in sources.windows:
        for (form, state), is_positive in classes.items():
            contrast = _at_decisions(sources, store, layer, decisions, is_positive, window)
            found.append(Placed(Place(role, form, window, layer, state), contrast))
    return [one for one in found if _has_both(one.train)]


def permuted_contrasts(
    sources: Sources, store: ActivationStore, role: str, layer: int
) -> list[Placed]:
    """`matched`, in activations over traces whose sentences stand in another order."""
    found = matched_contrasts(sources, store, role, layer)
    return [replace(one, place=one.place._replace(form="permuted")) for one in found]


def mean_of(found: Sequence[Placed]) -> Mapping[Place, Float[Tensor, " d_model"]]:
    """The overall mean that Venhoff's form subtracts, by its place."""
    return {
        one.place._replace(form="mean"): one.train.activations.mean(dim=0, dtype=torch.float64)
        for one in found
        if one.place.form == "venhoff"
    }


def _at_decisions(
    sources: Sources,
    store: ActivationStore,
    layer: int,
    decisions: Decisions,
    is_positive: Bool[np.ndarray, " n"],
    window: Window,
    weight: Float[np.ndarray, " n"] | None = None,
) -> Contrast:
    """Decisions by class within strata; those without a whole window are left out."""
    values, present, _ = read_windows(store, layer, decisions, window)
    whole = present.all(dim=1)
    kept = decisions[whole.numpy()]
    stratum = kept.strata(sources.classes.strata, sources.n_strata, like=sources.train)
    contrast = forms.matched(
        values[whole].mean(dim=1),
        torch.from_numpy(is_positive)[whole],
        torch.from_numpy(stratum),
        torch.from_numpy(kept.problem_number),
    )
    return contrast if weight is None else replace(contrast, weight=torch.from_numpy(weight)[whole])


def _has_both(contrast: Contrast) -> bool:
    """Whether a stratum holds rows of both classes that count, so that there is a direction."""
    counts = torch.ones(len(contrast.stratum)) if contrast.weight is None else contrast.weight
    positive, negative = (
        set(contrast.stratum[rows & (counts > 0)].tolist())
        for rows in (contrast.is_positive, ~contrast.is_positive)
    )
    return not positive.isdisjoint(negative)
