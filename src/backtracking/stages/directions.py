"""Which direction separates the moments before backtracking, in each model of the study?

Directions are estimated on train problems; layer and window are scored on dev problems.

Reads: data/interim/traces, data/processed/sentences, data/interim/activations/*, models/*,
    results/stability
Writes: results/directions/{directions.safetensors,selection.json,cosines.json,layers.json,
    forms.json,directions.json,directions.csv}
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from backtracking.activations.reader import ActivationStore
from backtracking.directions import estimator
from backtracking.directions.contrasts import (
    Named,
    Sources,
    event_contrasts,
    event_decisions,
    matched_contrasts,
    mean_of,
    name_of,
    other_states,
    sentence_contrasts,
)
from backtracking.directions.cosines import Key, compare_all_forms, compare_layers, compare_pairs
from backtracking.directions.estimates import Estimated, Resamples, estimate, select
from backtracking.directions.events import Event, Weighted, read_events, weigh
from backtracking.domains.organism.grammar import ALTERNATIVE, BACKTRACKING_OPENERS, MARKER
from backtracking.models import loading
from backtracking.models.loading import LoadedModel, final_norm_gain, unembedding
from backtracking.records import traces
from backtracking.records.moments import Moments, read_moments
from backtracking.runtime import params
from backtracking.runtime.command import run_stage
from backtracking.runtime.workspace import Roles, Workspace
from backtracking.statistics import corrected
from lifeboat.stage import artifacts

COLUMNS = [
    "role", "form", "window", "layer", "norm", "norm_corrected", "norm_low", "norm_high",
    "norm_null", "norm_p", "split_half_cosine", "dev_auroc",
    "n_positive", "n_negative", "n_strata", "dropped_rate", "mean_residual_norm",
]  # fmt: skip
PAIR = ("base", "reasoning")
WITH_INTERVAL = ("matched", "ward", "keyword", "stable")


@dataclass(frozen=True)
class Params:
    """How directions are estimated.

    Attributes:
        windows: windows of the matched form, first and last offset from the first token of a
            comparison, both included.
        ward_window: the same for Ward's form, from the first token of any sentence.
        n_strata: strata of the running total, by quantile.
        n_splits: random halves of the train problems, for reliability.
        n_null: shuffles of the labels within strata.
        seed: of splits, resamples and shuffles.
    """

    windows: tuple[tuple[int, int], ...]
    ward_window: tuple[int, int]
    n_strata: int
    n_splits: int
    n_null: int
    seed: int

    def __post_init__(self) -> None:
        if any(first > last for first, last in (*self.windows, self.ward_window)):
            raise ValueError("a window is [first, last] with first <= last.")
        counts = (self.n_strata, self.n_splits, self.n_null)
        if min(counts) < 1 or not self.windows:
            raise ValueError("windows, n_strata, n_splits and n_null must not be empty or 0.")


@dataclass(frozen=True)
class Readout:
    """What of a model's unembedding the directions are held against.

    Attributes:
        action: the pure "write Wait" direction.
        markers: unembedding rows of the marker words, times the final norm's gain.
    """

    action: Tensor
    markers: Tensor


@dataclass(frozen=True)
class Result:
    """What the stage finds.

    Attributes:
        direction_by_name: `role.form.window.layer`, and `role.action`.
        rows: one for each estimated direction.
        selection: layer and window by role.
        cosines: of each pair's two directions.
        layers: of a model's directions at two layers.
        forms: of two forms in one model.
    """

    direction_by_name: dict[str, Tensor]
    rows: list[dict[str, Any]]
    selection: dict[str, Any]
    cosines: list[dict[str, Any]]
    layers: list[dict[str, Any]]
    forms: list[dict[str, Any]]


def run(
    params: Params,
    moments: Moments,
    store_by_role: Mapping[str, ActivationStore],
    readout_by_role: Mapping[str, Readout],
    base_by_role: Mapping[str, str],
    trace_ids: Sequence[str] = (),
    events: Sequence[Event] = (),
) -> Result:
    """All forms for every role, layer and window.

    Args:
        params: see `Params`.
        moments: every sentence with its exact labels.
        store_by_role: activations of each model, `base` and `reasoning` among them.
        readout_by_role: of each model.
        base_by_role: the base of each model that is paired with one.
        trace_ids: name of each trace by its row, where there are events.
        events: regenerated events of the train problems, by each model that went on from them;
            without them, `keyword` and `stable` are left out.
    """
    rng = np.random.default_rng(params.seed)
    n_problems = int(moments.problem_number[moments.split == "train"].max()) + 1
    splits = corrected.split_halves(n_problems, params.n_splits, rng)
    resamples = Resamples(splits, params.n_null, params.seed)
    sources = Sources(moments, params.windows, params.ward_window, params.n_strata)
    weighted = {
        role: weigh(event_decisions(moments), trace_ids, [e for e in events if e.role == role])
        for role in dict.fromkeys(event.role for event in events)
    }
    estimated: dict[Key, Estimated] = {}
    rows: list[dict[str, Any]] = []
    vectors = {f"{role}.action": readout.action for role, readout in readout_by_role.items()}
    for role, store in store_by_role.items():
        for layer in store.layers:
            found = contrasts_of(sources, store, layer, role, weighted)
            if role == "reasoning":
                for window, mean in mean_of(found).items():
                    vectors[name_of(role, "mean", window, layer)] = mean
            for key, one, size in estimate_all(found, resamples, role, layer, readout_by_role):
                estimated[key] = one
                vectors[name_of(*key)] = one.direction
                names = dict(zip(("role", "form", "window", "layer"), key, strict=True))
                rows.append(names | one.measure() | {"mean_residual_norm": size})
                if role == "reasoning" and key[1] == "matched":
                    vectors |= _null_vectors(key, one)
    return Result(
        direction_by_name={name: vector.float() for name, vector in vectors.items()},
        rows=rows,
        selection=select(rows),
        cosines=compare_pairs(estimated, base_by_role),
        layers=compare_layers(estimated),
        forms=compare_all_forms(estimated),
    )


def contrasts_of(
    sources: Sources,
    store: ActivationStore,
    layer: int,
    role: str,
    weighted: Mapping[str, Weighted],
) -> list[Named]:
    """All contrasts of a model at a layer.

    Those of other states are estimated in the pair only; those by event with the weights that the
    model itself has given them, and a base without any with the reasoning model's.
    """
    states = other_states(sources.moments) if role == "reasoning" else ()
    own = weighted.get("reasoning" if role in PAIR else role)
    return [
        *matched_contrasts(sources, store, layer),
        *sentence_contrasts(sources, store, layer, states),
        *(event_contrasts(sources, store, layer, own) if own else ()),
    ]


def estimate_all(
    found: Sequence[Named],
    resamples: Resamples,
    role: str,
    layer: int,
    readout_by_role: Mapping[str, Readout],
) -> list[tuple[Key, Estimated, float]]:
    """Every contrast's direction with the mean norm of its rows; `unmarked` beside `matched`."""
    estimated = []
    for named in found:
        one = estimate(
            named,
            resamples,
            with_interval=named.form in WITH_INTERVAL,
            with_null=named.form == "matched",
        )
        norm = float(named.train.activations.norm(dim=1).mean())
        estimated.append(((role, named.form, named.window, layer), one, norm))
        if named.form == "matched":
            unmarked = one.without(readout_by_role[role].markers)
            estimated.append(((role, "unmarked", named.window, layer), unmarked, norm))
    return estimated


def _null_vectors(key: Key, one: Estimated) -> dict[str, Tensor]:
    role, _, window, layer = key
    assert one.null is not None
    return {
        name_of(role, f"null_{number}", window, layer): torch.from_numpy(vector)
        for number, vector in enumerate(one.null[0])
    }


def readout_of(loaded: LoadedModel) -> Readout:
    """The `action` direction of a model, and its markers' rows."""
    ids = loaded.tokenizer.get_vocab()
    w_u, gain = unembedding(loaded), final_norm_gain(loaded)
    markers = w_u[[ids[word] for word in BACKTRACKING_OPENERS]].double() * gain.double()
    return Readout(estimator.action(w_u, gain, [ids[MARKER]], [ids[ALTERNATIVE]]), markers)


def main(argv: Sequence[str] | None = None) -> None:
    """Estimates the directions."""
    run_stage(_main, argv)


def _main(workspace: Workspace, _role: str) -> None:
    params_ = params.load(Params, "directions", workspace.params)
    roles = params.load(Roles, "models", workspace.params)
    written = traces.read(traces.Trace, workspace.traces / "traces.jsonl")
    sentences = traces.read(traces.Sentence, workspace.sentences / "sentences.jsonl")
    result = run(
        params_,
        read_moments(written, sentences),
        {role: ActivationStore(workspace.activations(role)) for role in roles.all},
        {role: readout_of(loading.load(workspace.model(role))) for role in roles.all},
        roles.base_by_role,
        [trace.trace_id for trace in written],
        read_events(workspace.results("stability") / "events.jsonl"),
    )
    with artifacts.new_folder(workspace.results("directions")) as folder:
        tensors = {name: v.contiguous() for name, v in sorted(result.direction_by_name.items())}
        artifacts.write_bytes(folder / "directions.safetensors", safetensors.torch.save(tensors))
        for name in ("selection", "cosines", "layers", "forms"):
            artifacts.write_json(folder / f"{name}.json", getattr(result, name))
        artifacts.write_csv(folder / "directions.csv", result.rows, COLUMNS)
        artifacts.write_json(folder / "directions.json", result.rows)
    print(result.selection)


if __name__ == "__main__":
    main()
