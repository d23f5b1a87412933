"""Does a direction just say "wait"?

Every direction is read through the unembedding of its own model and of the models that it is
paired with, and so are random directions. Whether a word stands out is told by `effects`.

Reads: models, data/processed/labels, results/directions
Writes: results/lens/{decoded,random}.jsonl
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from backtracking.directions.decoding import decode, decode_random, reader_of
from backtracking.directions.vectors import random_directions
from backtracking.models.loading import LoadedModel
from backtracking.records.decoded import Decoded, Random, write_decoded
from backtracking.records.directions import Directions
from backtracking.records.tokens import TokenSet
from backtracking.runtime import params
from backtracking.runtime.command import run_stage
from backtracking.runtime.compute import prepare_torch
from backtracking.runtime.workspace import Workspace
from backtracking.stages.study import Study
from lifeboat.stage import artifacts


@dataclass(frozen=True)
class Params:
    """How directions are decoded.

    Attributes:
        n_null: random directions that ranks are compared with.
        n_tokens: highest and lowest tokens that are listed.
        seed: of the random directions.
        n_threads: CPU threads.
        device: as torch names it, or `auto`.
    """

    n_null: int
    n_tokens: int
    seed: int
    n_threads: int
    device: str

    def __post_init__(self) -> None:
        if min(self.n_null, self.n_tokens, self.n_threads) < 1:
            raise ValueError("all sizes must be 1 or more.")


@dataclass(frozen=True)
class Result:
    """What directions decode to, and random ones."""

    decoded: list[Decoded]
    random: list[Random]


def run(
    params: Params,
    model_by_role: Mapping[str, LoadedModel],
    base_by_role: Mapping[str, str],
    markers: Sequence[TokenSet],
    directions: Directions,
) -> Result:
    """Markers' places and extreme tokens, of every direction in its model and those paired.

    Args:
        params: see `Params`.
        model_by_role: all models.
        base_by_role: every pair.
        markers: words that open backtracking.
        directions: of any of the models.
    """
    readers = {role: reader_of(role, one, markers) for role, one in model_by_role.items()}
    decoded = [
        one
        for role in model_by_role
        if len(its := directions.of(role=role))
        for other in _paired(role, base_by_role)
        for one in decode(readers[other], its, params.n_tokens)
    ]
    random = [
        one
        for role, loaded in model_by_role.items()
        for one in decode_random(readers[role], draw(params.n_null, params.seed, loaded.d_model))
    ]
    return Result(decoded, random)


def _paired(role: str, base_by_role: Mapping[str, str]) -> list[str]:
    """A role, and those of the models that it is in a pair with."""
    pairs = [pair for pair in base_by_role.items() if role in pair]
    return list(dict.fromkeys((role, *(other for pair in pairs for other in pair))))


def draw(n: int, seed: int, d_model: int) -> Float[Tensor, "n d_model"]:
    """Random unit vectors, the same for every model of that width."""
    return random_directions(n, d_model, torch.Generator().manual_seed(seed))


def main(argv: Sequence[str] | None = None) -> None:
    """Decodes."""
    run_stage(_main, argv)


def _main(workspace: Workspace, _role: str) -> None:
    params_ = params.load(Params, "lens", workspace.params)
    prepare_torch(params_.n_threads)
    study = Study(workspace, params_.device)
    markers = [opener.ids for opener in study.tokens.openers if opener.ids.ids]
    result = run(params_, study.models(), study.roles.base_by_role, markers, study.directions)
    with artifacts.new_folder(workspace.results("lens")) as folder:
        write_decoded(folder, result.decoded, result.random)
    print(f"{len(result.decoded)} readings of {len(study.directions)} directions")


if __name__ == "__main__":
    main()
