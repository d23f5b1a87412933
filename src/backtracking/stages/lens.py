"""Does a direction just say "wait", and does it still steer without the word?

Every direction is read through the unembedding of its own model and of the models that it is
paired with. At the layer and window that `steer` chose on dev problems, the directions are then
added to the models with and without the markers' unembedding rows, on the test prefixes that
`steer` reads, so that its random directions are the null.

Reads: models/*, data/{interim/traces,processed/sentences}, results/directions,
    results/steer/{selection,forced}.json
Writes: results/lens/{ranks,tokens,forced,projected,evidence}.json
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from backtracking.directions import estimator
from backtracking.directions.decoding import (
    decode,
    judge_decoded,
    reader_of,
    tabulate_ranks,
    tabulate_tokens,
)
from backtracking.domains.organism.grammar import BACKTRACKING_OPENERS, MARKER
from backtracking.effects.markerless import WITHOUT, Read, compare, judge, measure, variants
from backtracking.effects.rates import Measured, tabulate
from backtracking.interventions.runs import Choice, Inputs, prefixes_of
from backtracking.models import loading
from backtracking.records import traces
from backtracking.records.moments import read_moments
from backtracking.records.traces import Trace
from backtracking.runtime import params
from backtracking.runtime.command import run_stage
from backtracking.runtime.compute import prepare_torch
from backtracking.runtime.workspace import Roles, Workspace
from backtracking.statistics.bootstrap import Bootstrap
from lifeboat.stage import artifacts


@dataclass(frozen=True)
class Params:
    """How directions are decoded and steered with.

    Attributes:
        n_null: random directions that ranks are compared with.
        n_tokens: highest and lowest tokens that are listed.
        rows_per_batch: prefixes times arms in one call of the model.
        seed: of the random directions that ranks are compared with.
        n_threads: CPU threads.
        device: as torch names it, or `auto`.
    """

    n_null: int
    n_tokens: int
    rows_per_batch: int
    seed: int
    n_threads: int
    device: str

    def __post_init__(self) -> None:
        if min(self.n_null, self.n_tokens, self.rows_per_batch, self.n_threads) < 1:
            raise ValueError("all sizes must be 1 or more.")


@dataclass(frozen=True)
class Steered:
    """What `steer` settled, and the null that it measured.

    Attributes:
        choice: layer, window and norm.
        n_samples: traces of each test problem that it reads.
        random_by_target: effects of its random directions on P(backtrack | alive), dose 1.
    """

    choice: Choice
    n_samples: int
    random_by_target: Mapping[str, tuple[float, ...]]


def run(params: Params, bootstrap: Bootstrap, inputs: Inputs, steered: Steered) -> dict[str, Any]:
    """All results of the stage by file name."""
    ranks, tokens = decode_all(params, inputs)
    forced, projected, evidence = [], [], judge_ranks(inputs, steered.choice, ranks)
    for target, base in inputs.base_by_role.items():
        random = steered.random_by_target[target]
        measured, cosine_by_name = steer(params, inputs, steered, target)
        forced += tabulate(measured, bootstrap)
        projected += compare(measured, cosine_by_name, random, bootstrap)
        evidence += [judge(measured, name, random, bootstrap) for name in (base, target)]
    return {
        "ranks": ranks,
        "tokens": tokens,
        "forced": forced,
        "projected": projected,
        "evidence": evidence,
    }


def decode_all(params: Params, inputs: Inputs) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Markers' ranks and extreme tokens: every direction through its model and those paired."""
    ranks, tokens = [], []
    pairs = list(inputs.base_by_role.items())
    for role, loaded in inputs.model_by_role.items():
        named = {n: v for n, v in inputs.direction_by_name.items() if n.split(".")[0] == role}
        paired = [other for pair in pairs if role in pair for other in pair]
        for other in dict.fromkeys((role, *paired)):
            reader = reader_of(other, inputs.model_by_role[other], BACKTRACKING_OPENERS)
            randoms = draw(params.n_null, params.seed, loaded.d_model)
            for decoded in decode(reader, torch.stack(list(named.values())), randoms):
                ranks += tabulate_ranks(reader, list(named), decoded)
                tokens += tabulate_tokens(reader, list(named), decoded, params.n_tokens)
    return ranks, tokens


def judge_ranks(
    inputs: Inputs, choice: Choice, ranks: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The marker along both directions of every pair, at the chosen layer, in the pair's model."""
    n_problems = len(set(inputs.moments.problem[inputs.moments.split == "train"]))
    read = {
        (row["direction"], row["unembedding"]): row
        for row in ranks
        if (row["variant"], row["final_norm"], row["marker"]) == ("whole", True, MARKER)
    }
    chosen = {("matched", choice.window, str(choice.layer))}
    found = []
    for target, base in inputs.base_by_role.items():
        for (name, reader), row in read.items():
            source, *place = name.split(".")
            is_ward = place[0] == "ward" and place[-1] == str(choice.layer)
            if (
                reader == target
                and source in (base, target)
                and (tuple(place) in chosen or is_ward)
            ):
                action = read[f"{target}.action", target]
                found.append(judge_decoded(row, action, n_problems))
    return found


def steer(
    params: Params, inputs: Inputs, steered: Steered, target: str
) -> tuple[Measured, dict[str, float]]:
    """A pair's directions and `action` in its model, whole and projected, with their cosines."""
    loaded, choice = inputs.model_by_role[target], steered.choice
    prefixes, problems, decisions = prefixes_of(inputs, "test", steered.n_samples)
    vectors = {
        role: inputs.direction_by_name[f"{role}.matched.{choice.window}.{choice.layer}"]
        for role in (inputs.base_by_role[target], target)
    } | {"action": inputs.direction_by_name[f"{target}.action"]}
    ids = list(reader_of(target, loaded, BACKTRACKING_OPENERS).id_by_marker.values())
    units = variants(loaded, vectors, ids)
    cosines = {n: float(units[n].double() @ units[n + WITHOUT].double()) for n in vectors}
    read = Read(prefixes, problems, decisions.kind, decisions.problem)
    measured = measure(
        target, loaded, choice.layer, choice.norm, read, units, ids, params.rows_per_batch
    )
    return measured, cosines


def draw(n: int, seed: int, d_model: int) -> Tensor:
    """Random unit vectors, the same for every model of that width."""
    return estimator.random_directions(n, d_model, torch.Generator().manual_seed(seed))


def main(argv: Sequence[str] | None = None) -> None:
    """Decodes and steers."""
    run_stage(_main, argv)


def _main(workspace: Workspace, _role: str) -> None:
    params_ = params.load(Params, "lens", workspace.params)
    bootstrap = params.load(Bootstrap, "statistics", workspace.params)
    prepare_torch(params_.n_threads)
    roles = params.load(Roles, "models", workspace.params)
    written = traces.read(Trace, workspace.traces / "traces.jsonl")
    sentences = traces.read(traces.Sentence, workspace.sentences / "sentences.jsonl")
    inputs = Inputs(
        model_by_role={
            role: loading.load(workspace.model(role), device=params_.device) for role in roles.all
        },
        traces=written,
        moments=read_moments(written, sentences),
        problems=(),
        direction_by_name=safetensors.torch.load_file(
            workspace.results("directions") / "directions.safetensors"
        ),
        residual_norm={},
        base_by_role=roles.base_by_role,
    )
    n_samples = params.load_value(int, "steer.n_samples", workspace.params)
    result = run(params_, bootstrap, inputs, _read_steered(workspace, roles, n_samples))
    with artifacts.new_folder(workspace.results("lens")) as folder:
        for name, value in result.items():
            artifacts.write_json(folder / f"{name}.json", value)
    for claim in result["evidence"]:
        print(f"{claim['claim']}, {claim['pair']}: {claim['verdict']}")


def _read_steered(workspace: Workspace, roles: Roles, n_samples: int) -> Steered:
    folder = workspace.results("steer")
    selection = artifacts.read_json(folder / "selection.json")
    rows = artifacts.read_json(folder / "forced.json")
    arm = {"kind": "alive", "where": "decision", "dose": 1.0}
    randoms = [
        row
        for row in rows
        if row["direction"].startswith("random_") and all(row[k] == v for k, v in arm.items())
    ]
    return Steered(
        Choice(selection["layer"], selection["window"], selection["norm"]),
        n_samples,
        {
            role: tuple(row["effect_value"] for row in randoms if row["target"] == role)
            for role in roles.base_by_role
        },
    )


if __name__ == "__main__":
    main()
