"""Belief or action: does the direction make the model hold a dead end, or only write its marker?

At test points with a donor, against a patch from the same tokens but for a few, under which the
search stands otherwise; no edit touches the token at which is read. Doses are matched on dev
problems; the pairs are exported as a benchmark for any other direction. Where the domain makes no
pairs, nothing is measured, and the selection says so. What it all amounts to, `effects` says.

Reads: models/*, data/processed/labels, data/interim/{traces,activations/<the one under study>},
    results/{directions,steer}
Writes: results/belief/{selection.json,pairs.jsonl,baselines.safetensors,measured/*.safetensors}
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from backtracking.activations.reader import ActivationStore
from backtracking.belief.doses import Candidate
from backtracking.belief.measure import Subject, measure, with_action
from backtracking.belief.plan import Plan, Points, Run
from backtracking.directions import other_estimators
from backtracking.models.loading import LoadedModel
from backtracking.records import reader
from backtracking.records.choices import Choice, read_choice
from backtracking.records.decisions import Classes, Decisions
from backtracking.records.directions import Direction, Directions
from backtracking.records.measured import Measured, write_measured
from backtracking.records.pairs import MinimalPair, distinct, spread, write_pairs
from backtracking.records.places import Place
from backtracking.records.rows.belief import Selection
from backtracking.records.sentences import Kind
from backtracking.records.tokens import Tokens
from backtracking.runtime import params
from backtracking.runtime.command import run_stage
from backtracking.runtime.forks import Cores, run_side_by_side
from backtracking.runtime.workspace import Roles, Workspace
from backtracking.stages.study import Study
from lifeboat.stage import artifacts
from lifeboat.stage.units import Units, kept

OUT = "results/belief"
NO_DIRECTION = "no direction could be estimated"
DECIDING = (0, 0)
"""The window of the shipped baselines: the deciding token."""


@dataclass(frozen=True)
class Params(Plan):
    """The plan of the experiment, and what it runs on."""

    cores: Cores


@dataclass(frozen=True)
class Inputs:
    """What the stage reads.

    Attributes:
        roles: the models of the study.
        model_by_role: the models under study and of control pairs; bases are not run.
        points: where models are asked.
        train: train points with donors, for gradients.
        decisions: all decisions, for the baselines.
        classes: the two classes of them.
        store: activations of the model under study at them.
        directions: of the stage `directions`.
        choice: made by `steer` on dev.
    """

    roles: Roles
    model_by_role: Mapping[str, LoadedModel]
    points: Points
    train: Sequence[MinimalPair]
    decisions: Decisions
    classes: Classes
    store: ActivationStore
    directions: Directions
    choice: Choice


@dataclass(frozen=True)
class Result:
    """What was chosen, the pairs, what was measured, and the shipped baselines."""

    selection: Selection
    pairs: list[MinimalPair] = field(default_factory=list)
    measured: list[Measured] = field(default_factory=list)
    baselines: list[Candidate] = field(default_factory=list)


def run(params: Params, inputs: Inputs, do: Run) -> Result:
    """All results of the stage; `do` runs what needs a model."""
    roles, points = inputs.roles, inputs.points
    studied = inputs.model_by_role[roles.studied]
    shipped, chosen = estimate_baselines(params, inputs, studied, do)
    subjects = [
        Subject(role, loaded, directions_of(inputs, role, extra), role)
        for role, loaded in inputs.model_by_role.items()
        for extra in [shipped if role == roles.studied else ()]
    ]
    asked = measure(params, subjects, points, do)
    selection = replace(
        select(inputs.choice),
        regularisation_by_layer=chosen,
        doses=tuple(row for one in asked for row in one.doses),
        n_layers_by_role={one.measured.target: one.n_layers for one in asked},
        sign=points.sign,
    )
    return Result(selection, list(points.pairs), [one.measured for one in asked], shipped)


def select(choice: Choice, reason: str = "") -> Selection:
    """Layer and window that the claims stand on, where nothing else was chosen."""
    window = "{}:{}".format(*choice.window)
    return Selection(choice.layer, window, "dev", {}, (), {}, 1, reason)


def asked_roles(roles: Roles) -> list[str]:
    """The models that are asked, the one under study first; further pairs are not."""
    return [roles.studied, *roles.controls]


def choose(
    params: Params, pairs: Sequence[MinimalPair], kinds: tuple[Kind, ...], tokens: Tokens
) -> Points:
    """The points of the benchmark: those of dev and of test."""
    every = Points(pairs, kinds, tokens)
    chosen = [
        *spread(every.with_donor("dev"), params.n_dev_items),
        *spread(every.with_donor("test"), params.n_items),
    ]
    return Points(distinct(chosen), kinds, tokens)


def directions_of(inputs: Inputs, role: str, extra: Sequence[Candidate]) -> list[Candidate]:
    """Matched directions of a model and its base at every stored layer, further ones, `action`."""
    matched = []
    for name in (role, inputs.roles.base_by_role[role]):
        for layer in inputs.store.layers:
            place = Place(name, "matched", inputs.choice.window, layer)
            matched.append(Candidate(name, layer, inputs.directions.get(place), place))
    action = Place(role, "action")
    return with_action([*matched, *extra], Direction(action, inputs.directions.get(action)))


def estimate_baselines(
    params: Params, inputs: Inputs, loaded: LoadedModel, do: Run
) -> tuple[list[Candidate], dict[str, float]]:
    """Shipped directions at every stored layer, and the C that dev chose for the logistic one."""
    role, marker = inputs.roles.studied, inputs.points.words.marker
    prefixes = [one.clean_ids for one in spread(inputs.train, params.n_dev_items)]
    jobs = [partial(other_estimators.gradient, loaded, prefixes, marker)] if prefixes else []
    gradients = do(jobs)  # none without a train point that has a donor
    found, chosen = [], {}
    for layer in inputs.store.layers:
        (train, is_positive), (dev, dev_is_positive) = (
            rows_at(inputs, layer, split) for split in ("train", "dev")
        )
        vectors, chosen[str(layer)] = other_estimators.estimate(
            train, is_positive, dev, dev_is_positive, params.regularisations
        )
        if gradients:
            vectors["gradient"] = gradients[0][layer]
        found += [
            Candidate(name, layer, vector.float(), Place(role, name, DECIDING, layer))
            for name, vector in vectors.items()
        ]
    return found, chosen


def rows_at(inputs: Inputs, layer: int, split: str) -> tuple[Tensor, Tensor]:
    """Activations at the deciding tokens of both classes, and which are of the positive one."""
    decisions = inputs.decisions.of(split=split, classes=inputs.classes)
    decisions = decisions[inputs.store.has(decisions.trace, decisions.position)]
    values = inputs.store.gather(layer, decisions.trace, decisions.position).float()
    return values, torch.from_numpy(decisions.is_positive(inputs.classes))


def do_kept(units: Units, n_at_once: int, jobs: Sequence[Callable[[], Any]]) -> list[Any]:
    """Runs jobs side by side, each kept as a unit of the stage."""
    return run_side_by_side([kept(units, OUT, job) for job in jobs], n_at_once, "asking models")


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the experiment."""
    run_stage(_main, argv)


def _main(workspace: Workspace, _role: str) -> None:
    params_ = params.load(Params, "belief", workspace.params)
    n_at_once = params_.cores.begin()
    study = Study(workspace, params_.cores.device)
    units = study.units
    choice = read_choice(workspace.results("steer"))
    points = choose(params_, study.pairs or [], study.kinds, study.tokens)
    if reason := points.reason or ("" if choice.grid else NO_DIRECTION):
        result = Result(select(choice, reason))
    else:
        inputs = read_inputs(study, points, choice)
        result = run(params_, inputs, partial(do_kept, units, n_at_once))
    with artifacts.new_folder(workspace.results("belief")) as folder:
        reader.write_json(folder / "selection.json", result.selection)
        write_pairs(folder / "pairs.jsonl", result.pairs)
        tensors = {f"{one.name}.{one.layer}": one.vector.contiguous() for one in result.baselines}
        tensors = dict(sorted(tensors.items()))
        artifacts.write_bytes(folder / "baselines.safetensors", safetensors.torch.save(tensors))
        for one in result.measured:
            write_measured(folder / "measured" / f"{one.target}.{one.run}.safetensors", one)
    print(reason or f"{len(points.pairs)} pairs")


def read_inputs(study: Study, points: Points, choice: Choice) -> Inputs:
    """All that the experiment reads, of a study that has points."""
    pairs = study.pairs or []
    return Inputs(
        roles=study.roles,
        model_by_role=study.models(asked_roles(study.roles)),
        points=points,
        train=[one for one in pairs if one.split == "train" and one.donor_kind is not None],
        decisions=study.decisions,
        classes=study.classes,
        store=study.store(study.roles.studied),
        directions=study.directions,
        choice=choice,
    )


if __name__ == "__main__":
    main()
