"""Which models? Trains one model of the organism, or takes a pinned revision from elsewhere.

Reads: params.yaml; models/base (for every other role of the organism)
Writes: models/<role>/ in transformers format, with training.csv where it was trained
"""

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import LlamaForCausalLM

from backtracking.domains.organism.corpus import Corpus, stream_batches
from backtracking.domains.organism.policy import BasePolicy, Policy
from backtracking.domains.organism.recipes import recipe_of
from backtracking.domains.organism.tokenizer import build_tokenizer
from backtracking.domains.organism.world import World
from backtracking.models import loading
from backtracking.models.training import Architecture, Schedule, Trainer, build_model, train
from backtracking.runtime import params
from backtracking.runtime.command import run_stage
from backtracking.runtime.compute import prepare_torch
from backtracking.runtime.workspace import Workspace
from lifeboat.stage import artifacts, interruption, progress
from lifeboat.stage.errors import UserError

ORGANISM = "organism"


@dataclass(frozen=True)
class Params(Schedule):
    """One role's weights.

    Attributes:
        source: `organism` to train here, else a hub id or a folder.
        revision: commit of the hub id; a model from the hub must be pinned.
    """

    source: str
    revision: str | None


def run(
    params: Params,
    model: LlamaForCausalLM,
    corpus: Corpus,
    world: World,
    id_by_word: dict[str, int],
    context: int,
    checkpoint: Path,
    advance: progress.Advance = lambda _: None,
) -> list[float]:
    """Trains `model` in place and returns the loss of every step, in nats a token."""
    batches = stream_batches(
        world, corpus, id_by_word, params.seed, context, params.tokens_per_step
    )

    def after_step(step: int, _loss: float) -> None:
        advance(1)
        if step % params.checkpoint_every == 0:
            interruption.checkpoint()

    return train(Trainer(model, params), batches, checkpoint, after_step)


def main(argv: Sequence[str] | None = None) -> None:
    """Makes models/<role>."""
    run_stage(_main, argv, role=True)


def _main(workspace: Workspace, role: str) -> None:
    params_ = load_params(workspace, role)
    n_threads = params.load_value(int, "weights.n_threads", workspace.params)
    with progress.bar(f"training {role}", params_.steps, "steps") as advance:
        make(workspace, role, n_threads, advance)
    remove_checkpoints(workspace, role)


def load_params(workspace: Workspace, role: str) -> Params:
    """The section of a role."""
    return params.load(Params, f"weights.{role}", workspace.params)


def make(workspace: Workspace, role: str, n_threads: int, advance: progress.Advance) -> None:
    """Trains a role or brings it from elsewhere; its last checkpoint is left in the store."""
    params_ = load_params(workspace, role)
    if params_.source == ORGANISM:
        _train(workspace, role, params_, n_threads, advance)
    else:
        _fetch(params_, workspace.model(role))


def remove_checkpoints(workspace: Workspace, role: str) -> None:
    """Removes the role's checkpoints, of which nothing is needed once its model is there."""
    for path in (workspace.store / "checkpoints").glob(f"{role}.*.safetensors"):
        path.unlink(missing_ok=True)


def _train(
    workspace: Workspace, role: str, params_: Params, n_threads: int, advance: progress.Advance
) -> None:
    prepare_torch(n_threads)
    architecture = params.load(Architecture, "weights.architecture", workspace.params)
    world = params.load(World, "world", workspace.params)
    recipe, tokenizer = recipe_of(role), build_tokenizer()
    policy = (
        params.load(BasePolicy, "base_policy", workspace.params)
        if recipe.walks
        else params.load(Policy, "policy", workspace.params)
    )
    if recipe.start is None:
        model = build_model(architecture, tokenizer, params_.seed)
    else:
        start = workspace.model(recipe.start)
        model = LlamaForCausalLM.from_pretrained(start, dtype=torch.float32)
    settings = repr((params_, architecture, world, policy, n_threads))
    key = artifacts.sha256_json([role, settings, _hash(model)])
    losses = run(
        params_,
        model,
        recipe.corpus(policy),
        world,
        tokenizer.get_vocab(),
        architecture.context,
        workspace.store / "checkpoints" / f"{role}.{key}.safetensors",
        advance,
    )
    with artifacts.new_folder(workspace.model(role)) as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        rows = [{"step": step, "loss": loss} for step, loss in enumerate(losses, start=1)]
        artifacts.write_csv(folder / "training.csv", rows, ["step", "loss"])


def _hash(model: LlamaForCausalLM) -> str:
    digest = hashlib.sha256(torch.__version__.encode())
    for parameter in model.parameters():
        digest.update(parameter.detach().numpy().tobytes())
    return digest.hexdigest()


def _fetch(params_: Params, folder: Path) -> None:
    """Brings a model from the hub (pinned) or from a folder into the study's own."""
    if params_.revision is None and not Path(params_.source).is_dir():
        raise UserError(
            f"{params_.source} has no `revision`.", "Pin the commit, so that others get the same."
        )
    source = loading.locate(params_.source, params_.revision)
    with artifacts.new_folder(folder) as fresh:
        for path in sorted(source.iterdir()):
            if path.suffix == ".safetensors" or path.name in loading.DESCRIPTION_FILES:
                shutil.copyfile(path, fresh / path.name)


if __name__ == "__main__":
    main()
