"""Belief or action: does the direction make the model hold "too big", or only write "Wait"?

At live points of test problems, against a patch from the same tokens under a lower target. Doses
are matched on dev problems; the donors are exported as a benchmark for any other direction.

Reads: models/*, data/{interim/traces,processed/sentences,interim/activations/reasoning},
    results/{directions,steer}
Writes: results/belief/{selection,ceilings,betas,levels,necessity,null,benchmark,evidence}.json,
    results/belief/{donors.jsonl,baselines.safetensors}
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from backtracking.activations.reader import ActivationStore
from backtracking.activations.windows import read_windows
from backtracking.belief import files
from backtracking.belief.benchmark import Benchmark, score, with_action
from backtracking.belief.doses import Direction
from backtracking.belief.measure import Measured, Plan, measure
from backtracking.belief.readouts import questions
from backtracking.belief.tables import (
    judge_belief,
    tabulate_betas,
    tabulate_ceilings,
    tabulate_doses,
    tabulate_levels,
)
from backtracking.directions import others
from backtracking.domains.organism.donors import LIVE, Item, collect, spread
from backtracking.models import loading
from backtracking.models.loading import LoadedModel
from backtracking.records import traces
from backtracking.records.moments import Moments, is_decision, read_moments
from backtracking.records.traces import Sentence, Trace
from backtracking.runtime import params
from backtracking.runtime.command import run_stage
from backtracking.runtime.forks import Cores, run_side_by_side
from backtracking.runtime.workspace import Roles, Workspace
from backtracking.statistics.bootstrap import Bootstrap
from lifeboat.stage import artifacts

DECIDING = (4, 4)
"""Offset of a comparison's full stop from its first token."""


@dataclass(frozen=True)
class Params(Plan):
    """The plan of the experiment, and what it runs on."""

    cores: Cores


@dataclass(frozen=True)
class Inputs:
    """What the stage reads.

    Attributes:
        model_by_role: the models under study; bases are not run.
        items: decision points of all splits.
        moments: all sentences, for the baselines.
        store: activations of `reasoning` at them.
        direction_by_name: as in results/directions.
        layer, window: chosen by `steer` on dev.
        base_by_role: as in `workspace.Roles`.
    """

    model_by_role: Mapping[str, LoadedModel]
    items: Sequence[Item]
    moments: Moments
    store: ActivationStore
    direction_by_name: Mapping[str, Tensor]
    layer: int
    window: str
    base_by_role: Mapping[str, str]


@dataclass(frozen=True)
class Result:
    """JSON by file name, the donors, and the shipped baselines by `name.layer`."""

    tables: dict[str, Any]
    donors: list[Item]
    baselines: dict[str, Tensor]


def run(params: Params, bootstrap: Bootstrap, inputs: Inputs, n_at_once: int = 1) -> Result:
    """All results of the stage, `n_at_once` models side by side."""
    donors = choose(params, inputs.items)
    loaded = inputs.model_by_role["reasoning"]
    shipped, chosen = estimate_baselines(params, inputs, loaded)
    benchmark = Benchmark(loaded, "reasoning", donors)
    own = with_action(
        [*pair(inputs, "reasoning", loaded.n_layers), *shipped],
        Direction("action", 0, inputs.direction_by_name["reasoning.action"]),
    )
    controls = [role for role in inputs.base_by_role if role != "reasoning"]
    jobs: list[Callable[[], Any]] = [
        partial(score, params, bootstrap, benchmark, own, reference="reasoning"),
        *(partial(measure_control, params, inputs, benchmark, role) for role in controls),
    ]
    scored, *of_controls = run_side_by_side(jobs, n_at_once, "asking models")
    measured = [scored.measured, *of_controls]
    betas = [scored.betas, *(tabulate_betas(one, bootstrap) for one in measured[1:])]
    place = {"layer": inputs.layer, "window": inputs.window, "chosen_on": "dev"}
    doses = [row for one in measured for row in tabulate_doses(one)]
    null = [{"layer": k[0], "span": k[1], "effects": list(v)} for k, v in scored.null.items()]
    tables = {
        "selection": place | {"regularisation_by_layer": chosen, "doses": doses},
        "ceilings": [row for one in measured for row in tabulate_ceilings(one, bootstrap)],
        "betas": [row for rows in betas for row in rows],
        "levels": [row for one in measured for row in tabulate_levels(one, bootstrap)],
        "necessity": scored.necessity,
        "null": null,
        "benchmark": scored.rows,
        "evidence": [
            judge_belief(rows, direction, one.role, inputs.layer)
            for one, rows in zip(measured, betas, strict=True)
            for direction in (one.role, inputs.base_by_role[one.role])
        ],
    }
    return Result(tables, donors, {f"{one.name}.{one.layer}": one.vector for one in shipped})


def choose(params: Params, items: Sequence[Item]) -> list[Item]:
    """The points of the benchmark: live ones of dev and test, and test points that are over."""
    found = []
    for split, kinds, n in (
        ("dev", LIVE, params.n_dev_items),
        ("test", LIVE, params.n_items),
        ("test", ("over",), params.n_over),
    ):
        here = [item for item in items if item.split == split and item.kind in kinds]
        found += spread(here, n)
    return found


def pair(inputs: Inputs, role: str, n_layers: int) -> list[Direction]:
    """The matched directions of a model and of its base, at every layer."""
    return [
        Direction(name, layer, inputs.direction_by_name[f"{name}.matched.{inputs.window}.{layer}"])
        for name in (role, inputs.base_by_role[role])
        for layer in range(n_layers)
    ]


def measure_control(params: Params, inputs: Inputs, benchmark: Benchmark, role: str) -> Measured:
    """A control pair's model along its own directions, its base's and its `action`."""
    loaded = inputs.model_by_role[role]
    action = Direction("action", 0, inputs.direction_by_name[f"{role}.action"])
    directions = with_action(pair(inputs, role, loaded.n_layers), action)
    dev, test = benchmark.live("dev"), benchmark.live("test")
    words = questions(loaded.tokenizer.get_vocab())
    return measure(params, loaded, role, dev, test, directions, words)


def estimate_baselines(
    params: Params, inputs: Inputs, loaded: LoadedModel
) -> tuple[list[Direction], dict[str, float]]:
    """The shipped directions at every layer, and the C that dev chose for the logistic one."""
    kept = inputs.moments[is_decision(inputs.moments)]
    rows = {
        split: kept[(kept.split == split) & ((kept.kind == "over") | (kept.kind == "alive"))]
        for split in ("train", "dev")
    }
    train = [item for item in inputs.items if item.split == "train" and item.kind in LIVE]
    by_layer = others.gradients(
        loaded, spread(train, params.n_dev_items), questions(loaded.tokenizer.get_vocab())
    )
    found, chosen = [], {}
    for layer in range(loaded.n_layers):
        here = {}
        for split, moments in rows.items():
            values, present, _ = read_windows(inputs.store, layer, moments, DECIDING)
            whole = present[:, 0]
            here[split] = (values[whole, 0], torch.from_numpy(moments.kind == "over")[whole])
        generator = torch.Generator().manual_seed(params.seed)
        (train_rows, is_over), (dev_rows, dev_is_over) = here["train"], here["dev"]
        vectors, chosen[str(layer)] = others.estimate(
            train_rows, is_over, dev_rows, dev_is_over, params.regularisations, generator
        )
        vectors |= {name: by_one[layer] for name, by_one in by_layer.items()}
        found += [Direction(name, layer, v.float()) for name, v in vectors.items() if v.any()]
    return found, chosen


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the experiment."""
    run_stage(_main, argv)


def _main(workspace: Workspace, _role: str) -> None:
    params_ = params.load(Params, "belief", workspace.params)
    bootstrap = params.load(Bootstrap, "statistics", workspace.params)
    roles = params.load(Roles, "models", workspace.params)
    n_at_once = params_.cores.begin()
    sampled, greedy = (
        traces.read(Trace, workspace.traces / f"{name}.jsonl") for name in ("traces", "greedy")
    )
    sentences = traces.read(Sentence, workspace.sentences / "sentences.jsonl")
    selection = artifacts.read_json(workspace.results("steer") / "selection.json")
    model_by_role = {
        role: loading.load(workspace.model(role), device=params_.cores.device)
        for role in roles.base_by_role
    }
    vocabulary = model_by_role["reasoning"].tokenizer.get_vocab()
    source = workspace.results("directions") / "directions.safetensors"
    inputs = Inputs(
        model_by_role=model_by_role,
        items=collect([*sampled, *greedy], vocabulary, params_.seed),
        moments=read_moments(sampled, sentences),
        store=ActivationStore(workspace.activations("reasoning")),
        direction_by_name=safetensors.torch.load_file(source),
        layer=selection["layer"],
        window=selection["window"],
        base_by_role=roles.base_by_role,
    )
    result = run(params_, bootstrap, inputs, n_at_once)
    with artifacts.new_folder(workspace.results("belief")) as folder:
        for name, value in result.tables.items():
            artifacts.write_json(folder / f"{name}.json", value)
        files.write_items(folder / "donors.jsonl", result.donors)
        tensors = {name: v.contiguous() for name, v in sorted(result.baselines.items())}
        artifacts.write_bytes(folder / "baselines.safetensors", safetensors.torch.save(tensors))
    for row in result.tables["evidence"]:
        print(f"belief, {row['pair']}: {row['verdict']}")


if __name__ == "__main__":
    main()
