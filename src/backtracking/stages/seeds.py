"""In how many pairs does each claim hold, where the seed of the training is all that differs?

With one pair, the default, the claims are those of the stage `steer`, and n is 1. With further
pairs (`backtracking profile use organism-seeds`) every pair is measured by the same short version
of it, the study's own included.

Reads: models/*, models/pairs, results/{directions,steer}, data/{interim/traces,processed/sentences}
Writes: results/seeds/{selection,claims,counts}.json
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from backtracking.claims.pairs import count_pairs
from backtracking.runtime import params
from backtracking.runtime.command import run_stage
from backtracking.runtime.workspace import Roles, Workspace
from backtracking.statistics.bootstrap import Bootstrap
from lifeboat.stage import artifacts

if TYPE_CHECKING:
    from backtracking.interventions.pairs import Pair
    from backtracking.interventions.runs import Inputs, Plan


@dataclass(frozen=True)
class Params:
    """Where further pairs are measured; how, stands in `directions` and `steer`.

    Attributes:
        n_threads: CPU threads.
        device: as torch names it, or `auto`.
    """

    n_threads: int
    device: str

    def __post_init__(self) -> None:
        if self.n_threads < 1:
            raise ValueError(f"n_threads {self.n_threads} must be 1 or more.")


@dataclass(frozen=True)
class Result:
    """What was chosen for each pair, one claim row per pair and claim, and the counts."""

    selection: list[dict[str, Any]]
    claims: list[dict[str, Any]]
    counts: list[dict[str, Any]]


def run(plan: "Plan", bootstrap: Bootstrap, study: "Inputs", pairs: Mapping[int, "Pair"]) -> Result:
    """Every pair in the place of the study's own, one after the other."""
    from backtracking.interventions.pairs import cast, study_pair

    selection, claims = [], []
    for number in pairs:
        chosen, found = study_pair(plan, bootstrap, cast(study, pairs, number))
        selection.append({"number": number} | chosen)
        claims += [claim | {"number": number} for claim in found]
    return Result(selection, claims, count_pairs(claims, bootstrap.level))


def take_own(
    selection: Mapping[str, Any], evidence: Sequence[Mapping[str, Any]], level: float
) -> Result:
    """The result of a study with one pair, from what the stage `steer` found."""
    own = ("base -> reasoning", "reasoning -> reasoning")
    claims = [
        {key: value for key, value in row.items() if key != "must_fail"} | {"number": 1}
        for row in evidence
        if row["pair"] in own
    ]
    return Result([{"number": 1} | dict(selection)], claims, count_pairs(claims, level))


def main(argv: Sequence[str] | None = None) -> None:
    """Counts the pairs in which each claim holds."""
    run_stage(_main, argv)


def _main(workspace: Workspace, _role: str) -> None:
    bootstrap = params.load(Bootstrap, "statistics", workspace.params)
    further = artifacts.read_json(workspace.model("pairs") / "pairs.json")
    if further:
        result = _measure(workspace, bootstrap, [row["number"] for row in further])
    else:
        source = workspace.results("steer")
        selection, evidence = (
            artifacts.read_json(source / f"{name}.json") for name in ("selection", "evidence")
        )
        result = take_own(selection, evidence, bootstrap.level)
    with artifacts.new_folder(workspace.results("seeds")) as folder:
        artifacts.write_json(folder / "selection.json", result.selection)
        artifacts.write_json(folder / "claims.json", result.claims)
        artifacts.write_json(folder / "counts.json", result.counts)
    for row in result.counts:
        print(f"{row['claim']}: holds in {row['n_holds']} of {row['n_pairs']} pairs")


def _measure(workspace: Workspace, bootstrap: Bootstrap, numbers: Sequence[int]) -> Result:
    """The study's own pair and the further ones, measured alike."""
    import safetensors.torch  # torch and all that follows: with one pair there is no need of it

    from backtracking.interventions.pairs import ROLES, further_pair, own_pair
    from backtracking.interventions.runs import Inputs
    from backtracking.models import loading
    from backtracking.records import traces
    from backtracking.records.moments import read_moments
    from backtracking.runtime.compute import prepare_torch
    from backtracking.stages import directions, steer

    params_ = params.load(Params, "seeds", workspace.params)
    plan = params.load(steer.Params, "steer", workspace.params)
    forms = params.load(directions.Params, "directions", workspace.params)
    roles = params.load(Roles, "models", workspace.params)
    prepare_torch(params_.n_threads)
    written = traces.read(traces.Trace, workspace.traces / "traces.jsonl")
    sentences = traces.read(traces.Sentence, workspace.sentences / "sentences.jsonl")
    study = Inputs(
        model_by_role={
            role: loading.load(workspace.model(role), device=params_.device) for role in roles.all
        },
        traces=written,
        moments=read_moments(written, sentences),
        problems=[],
        direction_by_name=safetensors.torch.load_file(
            workspace.results("directions") / "directions.safetensors"
        ),
        residual_norm={},
        base_by_role=roles.base_by_role,
    )
    pairs = {1: own_pair(study)}
    for number in numbers:
        folder = workspace.model("pairs") / str(number)
        loaded = {role: loading.load(folder / role, device=params_.device) for role in ROLES}
        pairs[number] = further_pair(loaded, written, study.moments, forms.windows, forms.n_strata)
    return run(plan, bootstrap, study, pairs)


if __name__ == "__main__":
    main()
