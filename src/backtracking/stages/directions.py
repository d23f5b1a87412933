"""Which direction separates the moments before backtracking, in each model of the study?

Directions are estimated on train problems; layer and window are scored on dev problems. Of the
pair's base there are controls without training as well, where they are asked for.

Reads: data/interim/traces, data/processed/labels, data/interim/activations, models,
    results/stability
Writes: results/directions/{places.json,directions.safetensors,selection.json,cosines.json,
    forms.json,directions.json}
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from backtracking.activations.reader import ActivationStore
from backtracking.directions import lens
from backtracking.directions.contrasts import (
    Placed,
    Sources,
    control_contrasts,
    event_contrasts,
    matched_contrasts,
    mean_of,
    other_states,
    permuted_contrasts,
    sentence_contrasts,
)
from backtracking.directions.cosines import compare_all_forms, compare_pairs
from backtracking.directions.estimates import Estimated, Resamples, estimate, select
from backtracking.directions.events import Followed, Weighted, event_decisions, follow, weigh
from backtracking.directions.vectors import action
from backtracking.labels.rules import RULES
from backtracking.models.loading import LoadedModel, final_norm_gain, unembedding
from backtracking.records import reader
from backtracking.records.columns import Sentences
from backtracking.records.decisions import Classes, Decisions
from backtracking.records.directions import Direction, write_directions
from backtracking.records.events import Event, read_events
from backtracking.records.places import CONTROLS, Place, Window
from backtracking.records.rows.directions import (
    Best,
    FormCosine,
    PairCosine,
    Strength,
)
from backtracking.records.rows.table import write_rows
from backtracking.records.tokens import Tokens
from backtracking.runtime import params
from backtracking.runtime.command import run_stage
from backtracking.runtime.workspace import Roles, Workspace
from backtracking.stages.study import Study
from backtracking.statistics import corrected
from lifeboat.stage import artifacts

WITH_INTERVAL = ("matched", "ward", "keyword", "stable")


@dataclass(frozen=True)
class Params:
    """How directions are estimated.

    Attributes:
        windows: windows of the forms at decisions, first and last offset from the deciding token,
            both included.
        ward_window: the same for Ward's form, from the first token of any sentence.
        n_strata: strata of each number of `contrast.strata`, by quantile.
        n_splits: random halves of the train problems, for reliability.
        n_null: shuffles of the labels within strata.
        controls: controls without training of every pair's base (`records.places.CONTROLS`).
        seed: of splits, resamples and shuffles.
    """

    windows: tuple[Window, ...]
    ward_window: Window
    n_strata: int
    n_splits: int
    n_null: int
    controls: tuple[str, ...]
    seed: int

    def __post_init__(self) -> None:
        if any(first > last for first, last in (*self.windows, self.ward_window)):
            raise ValueError("a window is [first, last] with first <= last.")
        counts = (self.n_strata, self.n_splits, self.n_null)
        if min(counts) < 1 or not self.windows:
            raise ValueError("windows, n_strata, n_splits and n_null must not be empty or 0.")
        if not {*self.controls} <= {*CONTROLS}:
            raise ValueError(f"controls are some of {list(CONTROLS)}, found {list(self.controls)}.")


@dataclass(frozen=True)
class Readout:
    """What of a model's unembedding the directions are held against.

    Attributes:
        action: the pure "write the marker" direction; None where the study has no marker, or no
            word in its place.
        markers: unembedding rows of the words that open backtracking, times the final norm's gain.
    """

    action: Float[Tensor, " d_model"] | None
    markers: Float[Tensor, "markers d_model"]


@dataclass(frozen=True)
class Untrained:
    """What controls without training are made of.

    Attributes:
        followed: what stands after each decision; None where neither `word` nor `next` is asked.
        permuted_by_role: activations over permuted traces, of every pair's base.
    """

    followed: Followed | None = None
    permuted_by_role: Mapping[str, ActivationStore] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """What the stage finds.

    Attributes:
        directions: all that were estimated.
        rows: one for each estimated direction.
        selection: layer and window by role.
        cosines: of each pair's two directions.
        forms: of two forms in one model.
    """

    directions: list[Direction]
    rows: list[Strength]
    selection: dict[str, Best]
    cosines: list[PairCosine]
    forms: list[FormCosine]


def run(
    params: Params,
    roles: Roles,
    classes: Classes,
    sentences: Sentences,
    decisions: Decisions,
    store_by_role: Mapping[str, ActivationStore],
    readout_by_role: Mapping[str, Readout],
    events: Sequence[Event] = (),
    untrained: Untrained = Untrained(),
) -> Result:
    """All forms for every role, layer and window.

    Args:
        params: see `Params`.
        roles: the models of the study.
        classes: the two classes of decisions that are contrasted.
        sentences: every sentence.
        decisions: every decision.
        store_by_role: activations of each model.
        readout_by_role: of each model.
        events: regenerated events of the train problems, by each model that went on from them;
            without them, `keyword` and `stable` are left out.
        untrained: what the controls of `params` are made of.
    """
    rng = np.random.default_rng(params.seed)
    n_problems = int(sentences.problem_number[sentences.split == "train"].max(initial=-1)) + 1
    splits = corrected.split_halves(n_problems, params.n_splits, rng)
    resamples = Resamples(splits, params.n_null, params.seed)
    sources = Sources(
        sentences, decisions, classes, params.windows, params.ward_window, params.n_strata
    )
    weighted = _weigh(roles, decisions, events)
    estimated: dict[Place, Estimated] = {}
    rows: list[Strength] = []
    vectors = {
        Place(role, "action"): one.action
        for role, one in readout_by_role.items()
        if one.action is not None
    }
    for role, store in store_by_role.items():
        is_studied = role == roles.studied
        states = other_states(sentences) if is_studied else ()
        for layer in store.layers:
            found = contrasts_of(sources, store, role, layer, weighted.get(role), states)
            if role in roles.pairs.values():
                found += controls_of(params, sources, store, role, layer, untrained)
            for place, one, size in estimate_all(found, resamples, readout_by_role[role].markers):
                estimated[place] = one
                rows.append(one.measure(place, size))
                if is_studied:
                    vectors |= _null_vectors(place, one)
            if is_studied:
                vectors |= mean_of(found)
    vectors |= {place: one.direction for place, one in estimated.items()}
    return Result(
        directions=[Direction(place, vector.float()) for place, vector in vectors.items()],
        rows=rows,
        selection=select(rows),
        cosines=compare_pairs(estimated, roles.base_by_role),
        forms=compare_all_forms(estimated),
    )


def contrasts_of(
    sources: Sources,
    store: ActivationStore,
    role: str,
    layer: int,
    weighted: Weighted | None,
    states: Sequence[str],
) -> list[Placed]:
    """All contrasts of a model at a layer: those by event where they are weighted."""
    return [
        *matched_contrasts(sources, store, role, layer),
        *sentence_contrasts(sources, store, role, layer, states),
        *(event_contrasts(sources, store, role, layer, weighted) if weighted else ()),
    ]


def controls_of(
    params: Params,
    sources: Sources,
    store: ActivationStore,
    role: str,
    layer: int,
    untrained: Untrained,
) -> list[Placed]:
    """The controls without training that are asked for, of a pair's base at a layer."""
    found: list[Placed] = []
    if untrained.followed is not None:
        found += control_contrasts(sources, store, role, layer, untrained.followed)
    if role in untrained.permuted_by_role:
        permuted = untrained.permuted_by_role[role]
        found += permuted_contrasts(sources, permuted, role, layer)
    return [one for one in found if one.place.form in params.controls]


def estimate_all(
    found: Sequence[Placed], resamples: Resamples, markers: Float[Tensor, "markers d_model"]
) -> list[tuple[Place, Estimated, float]]:
    """Every contrast's direction with the mean norm of its rows; `unmarked` beside `matched`."""
    estimated = []
    for placed in found:
        is_matched = placed.place.form == "matched"
        one = estimate(
            placed,
            resamples,
            with_interval=placed.place.form in WITH_INTERVAL,
            with_null=is_matched,
        )
        norm = float(placed.train.activations.norm(dim=1).mean())
        estimated.append((placed.place, one, norm))
        if is_matched and len(markers):
            unmarked = placed.place._replace(form="unmarked")
            estimated.append((unmarked, one.without(markers), norm))
    return estimated


def _weigh(roles: Roles, decisions: Decisions, events: Sequence[Event]) -> dict[str, Weighted]:
    """What decisions weigh by model: as it went on itself, and in the studied base as its pair."""
    chosen = event_decisions(decisions)
    found = {
        role: weigh(chosen, [event for event in events if event.role == role])
        for role in dict.fromkeys(event.role for event in events)
    }
    studied = found.get(roles.studied)
    return found | ({roles.base: studied} if studied is not None else {})


def _null_vectors(place: Place, one: Estimated) -> dict[Place, Tensor]:
    """Directions of shuffled labels, of a matched direction."""
    if place.form != "matched" or one.null is None:
        return {}
    return {
        place._replace(form="null", number=number): torch.from_numpy(vector)
        for number, vector in enumerate(one.null[0])
    }


def readout_of(loaded: LoadedModel, tokens: Tokens) -> Readout:
    """The `action` direction of a model, and its markers' rows."""
    found = None
    if tokens.marker is not None and tokens.alternative is not None:
        w_u, gain = unembedding(loaded), final_norm_gain(loaded)
        found = action(w_u, gain, tokens.marker.ids, tokens.alternative.ids)
    return Readout(found, lens.marker_rows(loaded, tokens.opener_ids))


def _untrained(study: Study, controls: Sequence[str]) -> Untrained:
    """What the controls are made of, as far as they are asked for."""
    followed = None
    if {"word", "next"} & {*controls}:
        decisions = event_decisions(study.decisions)
        followed = follow(decisions, study.sentences, study.sentences_by(RULES))
    bases = dict.fromkeys(study.roles.pairs.values()) if "permuted" in controls else ()
    return Untrained(followed, {role: study.permuted_store(role) for role in bases})


def main(argv: Sequence[str] | None = None) -> None:
    """Estimates the directions."""
    run_stage(_main, argv)


def _main(workspace: Workspace, _role: str) -> None:
    params_ = params.load(Params, "directions", workspace.params)
    study = Study(workspace)
    result = run(
        params_,
        study.roles,
        study.classes,
        study.sentences,
        study.decisions,
        {role: study.store(role) for role in study.roles.all},
        {role: readout_of(loaded, study.tokens) for role, loaded in study.models().items()},
        read_events(workspace.results("stability") / "events.jsonl"),
        _untrained(study, params_.controls),
    )
    with artifacts.new_folder(workspace.results("directions")) as folder:
        write_directions(folder, result.directions)
        reader.write_json(folder / "selection.json", result.selection)
        write_rows(Strength, result.rows, folder)
        write_rows(PairCosine, result.cosines, folder)
        write_rows(FormCosine, result.forms, folder)
    for role, best in result.selection.items():
        print(
            f"{role}: layer {best.layer}, window {best.window}, AUROC {best.dev_auroc:.4f} on dev"
        )


if __name__ == "__main__":
    main()
