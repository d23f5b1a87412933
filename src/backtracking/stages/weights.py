"""Which models? One of the study's, trained here by its domain's recipe or taken from elsewhere.

Reads: params.yaml; models/<the role that `models.roles` has it start from>
Writes: models/<role>/ in transformers format, with training.csv where it was trained here
"""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

import torch
from tokenizers import Tokenizer
from transformers import PreTrainedModel

from backtracking.domains.domain import Recipe
from backtracking.domains.registry import open_domain
from backtracking.models import loading
from backtracking.models.finetuning import FineTuning, Tuning, fine_tune
from backtracking.models.formats import TOKENIZER_FILES
from backtracking.models.taking import copy, take
from backtracking.models.training import Architecture, Schedule, Task, Trained, build_model, fit
from backtracking.runtime import params
from backtracking.runtime.command import run_stage
from backtracking.runtime.forks import Cores, run_side_by_side
from backtracking.runtime.ordering import order
from backtracking.runtime.workspace import Roles, Workspace
from lifeboat.stage import artifacts, progress
from lifeboat.stage.errors import UserError
from lifeboat.stage.steps import Steps
from lifeboat.stage.units import Units

TRAIN = "train"
S = TypeVar("S", Schedule, FineTuning)


@dataclass(frozen=True)
class Params(Schedule):
    """A role that is trained here from random weights or from another tiny model.

    A source from elsewhere is taken, too: then nothing of the schedule counts.

    Attributes:
        source: `train`, or as in `Taken`.
        revision: as in `Taken`.
    """

    source: str
    revision: str | None


@dataclass(frozen=True)
class Tuned(FineTuning):
    """A role that is fine-tuned here from a pretrained model.

    Attributes:
        source: `train`.
    """

    source: Literal["train"]


@dataclass(frozen=True)
class Taken:
    """A role that is taken from elsewhere.

    Attributes:
        source: see `models/sources.py`.
        revision: commit of a hub id, version of a package, null of what is on this machine.
        dtype: of the weights that a GGUF file is unpacked to; others stay what they are.
    """

    source: str
    revision: str | None
    dtype: Literal["float32", "float16", "bfloat16"]


def read(role: str, path: Path) -> Params | Tuned | Taken:
    """The section of a role, which is of the kind that its keys show.

    Raises:
        UserError: as `params.load`.
    """
    keys = params.load_value(dict, f"weights.{role}", path)
    if "optimizer" in keys:
        return params.load(Tuned, f"weights.{role}", path)
    kind = Taken if keys.get("source") != TRAIN and "steps" not in keys else Params
    return params.load(kind, f"weights.{role}", path)


def _schedule(kind: type[S], section: S) -> S:
    """The training alone."""
    return kind(**{one.name: getattr(section, one.name) for one in fields(kind)})


def main(argv: Sequence[str] | None = None) -> None:
    """Makes models/<role>."""
    run_stage(_main, argv, role=True)


def _main(workspace: Workspace, role: str) -> None:
    section = read(role, workspace.params)
    if isinstance(section, Taken) or section.source != TRAIN:
        dtype = section.dtype if isinstance(section, Taken) else "float32"
        folder = workspace.model(role)
        take(section.source, section.revision, dtype, workspace.root, folder)
    else:
        _train(workspace, role, section.steps)


def _train(workspace: Workspace, role: str, n_steps: int) -> None:
    """Trains a role, and side by side with it those that are not there yet.

    Their own stages find them in the store: DVC runs one stage at a time, and a small model keeps
    one core busy.
    """
    recipe, start = _recipe(workspace, role)
    cores = params.load(Cores, "weights.cores", workspace.params)
    n_at_once = cores.begin()
    if n_at_once > 1 and len(roles := _to_train(workspace, role, n_at_once)) > 1:
        jobs = [partial(_train_ahead, workspace, one) for one in roles]
        run_side_by_side(jobs, n_at_once, f"training {len(jobs)} models")
    model, _tokenizer, losses = _trained(workspace, role, n_steps)
    print(f"{role}: {len(losses)} steps, the last with a loss of {losses[-1]:.4f}")
    with artifacts.new_folder(workspace.model(role)) as folder:
        model.save_pretrained(folder)
        if start is None:
            recipe.tokenizer().save_pretrained(folder)
        else:
            copy(workspace.model(start), folder, TOKENIZER_FILES)
        rows = [{"step": step, "loss": loss} for step, loss in enumerate(losses, start=1)]
        artifacts.write_csv(folder / "training.csv", rows, ["step", "loss"])


def _to_train(workspace: Workspace, role: str, n_at_once: int) -> list[str]:
    """A role and all others to train that are not there, in the order in which they end soonest."""
    sizes, starts = {}, {}
    for one in params.load(Roles, "models", workspace.params).roles:
        section = read(one, workspace.params)
        is_there = one != role and workspace.model(one).is_dir()
        if not isinstance(section, Taken) and section.source == TRAIN and not is_there:
            with contextlib.suppress(UserError):  # its own stage says it
                starts[one] = _awaited(workspace, one)
                sizes[one] = section.steps * section.tokens_per_step
    return order(sizes, starts, n_at_once)


def _awaited(workspace: Workspace, role: str) -> str | None:
    """The model that has to be trained before a role.

    Raises:
        UserError: where it, or one before it, is not there and not trained here, or as `_recipe`.
    """
    _found, start = _recipe(workspace, role)
    if start is None or workspace.model(start).is_dir():
        return None
    if read(start, workspace.params).source != TRAIN:
        raise UserError(f"{workspace.model(start)} does not exist.")
    _awaited(workspace, start)
    return start


def _train_ahead(workspace: Workspace, role: str) -> None:
    _trained(workspace, role)


def _trained(
    workspace: Workspace, role: str, n_steps: int = 0
) -> tuple[PreTrainedModel, Tokenizer, list[float]]:
    """A role's model, its words, and the loss of every step; from the store where it is there.

    Where it is not, the progress over so many steps is shown; of none, nothing.
    """
    units = Units(workspace.root, ("backtracking",))
    section = read(role, workspace.params)
    recipe, start = _recipe(workspace, role)
    if isinstance(section, Taken):
        raise UserError(f"params.yaml: `weights.{role}.source` is not `{TRAIN}`.")
    model, tokenizer = _start(workspace, start, recipe, section.seed)
    n_threads = torch.get_num_threads()
    if isinstance(section, Tuned):
        device = loading.device_of(params.load(Cores, "weights.cores", workspace.params).device)
        tuning = Tuning(recipe, _schedule(FineTuning, section), device.type, n_threads)
        make = partial(fine_tune, tuning)
    else:
        context = params.load(Architecture, "weights.architecture", workspace.params).context
        make = partial(fit, Task(recipe, _schedule(Schedule, section), context, n_threads))
    words = tokenizer.to_str()
    key = units.key(make.func, *make.args, dict(model.named_parameters()), words)

    def whole(steps: Steps) -> Trained:
        with progress.bar(f"training {role}", n_steps, "steps", shown=n_steps > 0) as advance:
            return make(model, tokenizer, steps, advance=advance)

    trained = units.resume(f"models/{role}", key, whole)
    _fill(model.to("cpu"), trained.weights)  # type: ignore[arg-type]
    return model, tokenizer, trained.losses


def _fill(model: PreTrainedModel, weights: Mapping[str, torch.Tensor]) -> None:
    """Gives a model all of its weights; a head that is tied to the embeddings is none of its own.

    Raises:
        UserError: where they are not those of this model.
    """
    tied = dict(model.named_parameters(remove_duplicate=False)).keys() - dict(
        model.named_parameters()
    )
    found = model.load_state_dict(weights, strict=False)
    wrong = sorted({*found.missing_keys} - tied) + sorted(found.unexpected_keys)
    if wrong:
        raise UserError(
            f"What was kept of a training does not fit a {type(model).__name__}: {len(wrong)} "
            f"tensors are missing or foreign, the first is {wrong[0]}.",
            "Remove it from the store of units, and train again.",
        )


def _start(
    workspace: Workspace, start: str | None, recipe: Recipe, seed: int
) -> tuple[PreTrainedModel, Tokenizer]:
    """The model that a training starts from, and its words."""
    if start is None:
        architecture = params.load(Architecture, "weights.architecture", workspace.params)
        words = recipe.tokenizer()
        return build_model(architecture, words, seed), words.backend_tokenizer
    if (folder := workspace.model(start)).is_dir():
        return loading.read(folder, "float32"), Tokenizer.from_file(str(folder / "tokenizer.json"))
    model, tokenizer, _losses = _trained(workspace, start)
    return model, tokenizer


def _recipe(workspace: Workspace, role: str) -> tuple[Recipe, str | None]:
    """How a role is trained, and the role whose weights it starts from.

    Raises:
        UserError: where the domain trains no such model, or from another start.
    """
    roles = params.load(Roles, "models", workspace.params)
    recipe = open_domain(workspace.params).recipe(roles.recipe(role))
    if recipe is None:
        raise UserError(
            f"params.yaml: `weights.{role}.source` is `{TRAIN}`, and the domain trains no models.",
            "Give it a folder, a GGUF file, a package, or a hub id with its revision.",
        )
    start = roles.roles[role].start
    found = None if start is None else roles.recipe(start)
    if found != recipe.starts_from:
        raise UserError(
            f"params.yaml: `{role}` starts from {found or 'nothing'}, and its recipe starts from "
            f"{recipe.starts_from or 'nothing'}.",
            "Correct `starts_from` in `models.roles`.",
        )
    return recipe, start


if __name__ == "__main__":
    main()
