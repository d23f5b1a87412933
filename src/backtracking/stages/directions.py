"""Which direction separates the moments before backtracking, in each model of the study?

Directions are estimated on train problems; layer and window are scored on dev problems.

Reads: data/interim/traces, data/processed/sentences, data/interim/activations/*, models/*
Writes: results/directions/{directions.safetensors,selection.json,cosines.json,directions.csv}
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from backtracking import artifacts, directions, models, params, statistics, traces
from backtracking.directions import Contrast
from backtracking.extraction.reader import ActivationStore
from backtracking.models import LoadedModel, final_norm_gain, unembedding
from backtracking.moments import Moments, is_decision, read_moments, read_windows, strata
from backtracking.organism.grammar import ALTERNATIVE, MARKER
from backtracking.stages.command import run_stage
from backtracking.workspace import Roles, Workspace

POSITIVE, NEGATIVE = "over", "alive"
COLUMNS = [
    "role", "form", "window", "layer", "norm", "norm_corrected", "split_half_cosine", "dev_auroc",
    "n_positive", "n_negative", "n_strata", "dropped_rate", "mean_residual_norm",
]  # fmt: skip


@dataclass(frozen=True)
class Params:
    """How directions are estimated.

    Attributes:
        windows: windows of the matched form, first and last offset from the first token of a
            comparison, both included.
        ward_window: the same for Ward's form, from the first token of any sentence.
        n_strata: strata of the running total, by quantile.
        n_splits: random halves of the train problems, for reliability.
        n_resamples: bootstrap resamples of the cosines' intervals.
        seed: of splits and resamples.
    """

    windows: tuple[tuple[int, int], ...]
    ward_window: tuple[int, int]
    n_strata: int
    n_splits: int
    n_resamples: int
    seed: int

    def __post_init__(self) -> None:
        if any(first > last for first, last in (*self.windows, self.ward_window)):
            raise ValueError("a window is [first, last] with first <= last.")
        if min(self.n_strata, self.n_splits, self.n_resamples) < 1 or not self.windows:
            raise ValueError("windows, n_strata, n_splits and n_resamples must not be empty or 0.")


@dataclass(frozen=True)
class Result:
    """Directions by name (`role.form.window.layer`), one table row each, selection and cosines."""

    direction_by_name: dict[str, Tensor]
    rows: list[dict[str, Any]]
    selection: dict[str, Any]
    cosines: list[dict[str, Any]]


@dataclass(frozen=True)
class _Estimated:
    """One direction with the sums that it comes from and the halves of its problems."""

    row: dict[str, Any]
    direction: Tensor
    halves: np.ndarray
    resampled_halves: np.ndarray | None


def name_of(role: str, form: str, window: str, layer: int) -> str:
    """Name of a direction in directions.safetensors."""
    return f"{role}.{form}.{window}.{layer}"


def window_name(window: tuple[int, int]) -> str:
    """A window as it stands in names and tables."""
    return f"{window[0]}:{window[1]}"


def run(
    params: Params,
    moments: Moments,
    store_by_role: Mapping[str, ActivationStore],
    action_by_role: Mapping[str, Tensor],
    base_by_role: Mapping[str, str],
) -> Result:
    """All forms for every role, layer and window.

    Args:
        params: see `Params`.
        moments: every sentence with its exact labels.
        store_by_role: activations of each model, `base` and `reasoning` among them.
        action_by_role: the `action` direction of each model.
        base_by_role: the base of each model that is paired with one.
    """
    rng = np.random.default_rng(params.seed)
    n_problems = int(moments.problem_number[moments.split == "train"].max()) + 1
    splits = statistics.split_halves(n_problems, params.n_splits, rng)
    weights = statistics.resample_problems(n_problems, params.n_resamples, rng)
    estimated: dict[str, _Estimated] = {}
    for role, store in store_by_role.items():
        for layer in store.layers:
            for form, window, train, dev in _contrasts(params, moments, store, layer):
                row = {"role": role, "form": form, "window": window, "layer": layer}
                resample = weights if form == "matched" else None
                one = _estimate(train, dev, splits, resample, n_problems)
                norm = float(train.activations.norm(dim=1).mean())
                estimated[name_of(role, form, window, layer)] = _Estimated(
                    row | one.row | {"mean_residual_norm": norm},
                    one.direction,
                    one.halves,
                    one.resampled_halves,
                )
    found = {name: one.direction.float() for name, one in estimated.items()}
    found |= {f"{role}.action": action.float() for role, action in action_by_role.items()}
    rows = [one.row for one in estimated.values()]
    return Result(found, rows, _select(rows), _cosines(estimated, base_by_role, n_problems))


def _contrasts(
    params: Params, moments: Moments, store: ActivationStore, layer: int
) -> list[tuple[str, str, Contrast, Contrast | None]]:
    """Form, window, train contrast and, where it is scored, dev contrast."""
    found = []
    decisions = moments[is_decision(moments) & np.isin(moments.kind, (POSITIVE, NEGATIVE))]
    edges = np.quantile(
        decisions.total[decisions.split == "train"],
        np.linspace(0, 1, params.n_strata + 1)[1:-1],
    )
    for window in params.windows:
        both = [
            _matched(store, layer, decisions[decisions.split == split], window, edges)
            for split in ("train", "dev")
        ]
        found.append(("matched", window_name(window), *both))
    train = moments[moments.split == "train"]
    is_positive = torch.from_numpy(train.label == "backtracking")
    problem = torch.from_numpy(train.problem_number)
    windows, present, offsets = read_windows(store, layer, train, params.ward_window)
    ward = directions.ward(windows, present, offsets, is_positive, problem, params.ward_window)
    found.append(("ward", window_name(params.ward_window), ward, None))
    windows, present, offsets = read_windows(store, layer, train, directions.VENHOFF_WINDOW)
    n_tokens = torch.from_numpy(train.end - train.start)
    venhoff = directions.venhoff(windows, present, offsets, n_tokens, is_positive, problem)
    found.append(("venhoff", window_name(directions.VENHOFF_WINDOW), venhoff, None))
    return found


def _matched(
    store: ActivationStore,
    layer: int,
    decisions: Moments,
    window: tuple[int, int],
    edges: np.ndarray,
) -> Contrast:
    values, present, _ = read_windows(store, layer, decisions, window)
    whole = present.all(dim=1)
    kept = decisions[whole.numpy()]
    return directions.matched(
        values[whole].mean(dim=1),
        torch.from_numpy(kept.kind == POSITIVE),
        torch.from_numpy(strata(kept.total, edges)),
        torch.from_numpy(kept.problem_number),
    )


def _estimate(
    train: Contrast,
    dev: Contrast | None,
    splits: np.ndarray,
    weights: np.ndarray | None,
    n_problems: int,
) -> _Estimated:
    estimate = directions.estimate(train)
    cells = directions.sum_cells(train, n_problems)
    halves = directions.split_half_directions(cells, splits)
    resampled = None
    if weights is not None:
        resampled = directions.split_half_directions(cells, splits, weights)
    auroc = None
    if dev is not None:
        scores = directions.project(dev.activations, estimate.direction).numpy()
        auroc = statistics.auroc(scores, dev.is_positive.numpy(), dev.stratum.numpy())
    row = {
        "norm": float(estimate.direction.norm()),
        "norm_corrected": statistics.noise_corrected_norm(halves[0]),
        "split_half_cosine": statistics.split_half_cosine(halves[0]),
        "dev_auroc": auroc,
    }
    counts = asdict(estimate)
    del counts["direction"]
    return _Estimated(row | counts, estimate.direction, halves, resampled)


def _select(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The layer and window of each model's matched direction that separate best on dev."""
    selection: dict[str, Any] = {}
    for row in rows:
        if row["form"] != "matched" or row["dev_auroc"] is None:
            continue
        best = selection.get(row["role"])
        if best is None or row["dev_auroc"] > best["dev_auroc"]:
            selection[row["role"]] = {key: row[key] for key in ("layer", "window", "dev_auroc")}
    return selection


def _cosines(
    estimated: Mapping[str, _Estimated], base_by_role: Mapping[str, str], n_problems: int
) -> list[dict[str, Any]]:
    """Noise-corrected cosine of each pair's two directions, by form, window and layer."""
    found = []
    for one in estimated.values():
        role, form, window, layer = (one.row[key] for key in ("role", "form", "window", "layer"))
        if role not in base_by_role:
            continue
        base = estimated[name_of(base_by_role[role], form, window, layer)]
        cosine = statistics.noise_corrected_cosine(base.halves[0], one.halves[0])
        interval = statistics.Interval(cosine, None, None, n_problems)
        if cosine is not None and one.resampled_halves is not None:
            assert base.resampled_halves is not None
            replicates = statistics.noise_corrected_cosines(
                base.resampled_halves, one.resampled_halves
            )
            interval = statistics.percentile_interval(cosine, replicates, n_problems)
        key = {
            "pair": f"{base_by_role[role]}-{role}",
            "form": form,
            "window": window,
            "layer": layer,
        }
        ends = {"low": interval.low, "high": interval.high, "n": n_problems}
        raw = float(torch.cosine_similarity(base.direction, one.direction, dim=0))
        found.append(key | {"cosine": cosine} | ends | {"raw": raw})
    return found


def action_of(loaded: LoadedModel) -> Tensor:
    """The `action` direction of a model."""
    ids = loaded.tokenizer.get_vocab()
    return directions.action(
        unembedding(loaded), final_norm_gain(loaded), [ids[MARKER]], [ids[ALTERNATIVE]]
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Estimates the directions."""
    run_stage(_main, argv)


def _main(workspace: Workspace, _role: str) -> None:
    params_ = params.load(Params, "directions", workspace.params)
    roles = params.load(Roles, "models", workspace.params)
    moments = read_moments(
        traces.read(traces.Trace, workspace.traces / "traces.jsonl"),
        traces.read(traces.Sentence, workspace.sentences / "sentences.jsonl"),
    )
    result = run(
        params_,
        moments,
        {role: ActivationStore(workspace.activations(role)) for role in roles.all},
        {role: action_of(models.load(workspace.model(role))) for role in roles.all},
        roles.base_by_role,
    )
    with artifacts.new_folder(workspace.results("directions")) as folder:
        tensors = {name: v.contiguous() for name, v in sorted(result.direction_by_name.items())}
        artifacts.write_bytes(folder / "directions.safetensors", safetensors.torch.save(tensors))
        artifacts.write_json(folder / "selection.json", result.selection)
        artifacts.write_json(folder / "cosines.json", result.cosines)
        artifacts.write_csv(folder / "directions.csv", result.rows, COLUMNS)
        artifacts.write_json(folder / "directions.json", result.rows)
    print(result.selection)


if __name__ == "__main__":
    main()
