"""Which models? One of the study's, trained here by its domain's recipe or taken from elsewhere.

Reads: params.yaml; models/<the role that `models.roles` has it start from>
Writes: models/<role>/ in transformers format, with training.csv where it was trained
"""

import contextlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, PreTrainedModel

from backtracking.domains.domain import Recipe
from backtracking.domains.registry import open_domain
from backtracking.models import folders
from backtracking.models.training import Architecture, Schedule, Task, build_model, fit
from backtracking.runtime import params
from backtracking.runtime.command import run_stage
from backtracking.runtime.forks import Cores, run_side_by_side
from backtracking.runtime.workspace import Roles, Workspace
from lifeboat.stage import artifacts, progress
from lifeboat.stage.errors import UserError
from lifeboat.stage.units import Units

TRAIN = "train"


@dataclass(frozen=True)
class Params(Schedule):
    """One role's weights.

    Attributes:
        source: `train` to train here, else a folder, from that of params.yaml, or a hub id.
        revision: commit of the hub id; a model from the hub must be pinned.
    """

    source: str
    revision: str | None

    @property
    def schedule(self) -> Schedule:
        """The training alone."""
        return Schedule(**{one.name: getattr(self, one.name) for one in fields(Schedule)})


def main(argv: Sequence[str] | None = None) -> None:
    """Makes models/<role>."""
    run_stage(_main, argv, role=True)


def _main(workspace: Workspace, role: str) -> None:
    params_ = params.load(Params, f"weights.{role}", workspace.params)
    if params_.source == TRAIN:
        _train(workspace, role)
    else:
        _fetch(params_, workspace.root, workspace.model(role))


def _train(workspace: Workspace, role: str) -> None:
    """Trains a role, and side by side with it those that are not there yet.

    Their own stages find them in the store: DVC runs one stage at a time, and a small model keeps
    one core busy.
    """
    recipe, start = _recipe(workspace, role)
    cores = params.load(Cores, "weights.cores", workspace.params)
    n_at_once = cores.begin()
    if n_at_once > 1 and (ahead := _ahead(workspace, role)):
        jobs = [partial(_train_ahead, workspace, one) for one in (role, *ahead)]
        run_side_by_side(jobs, n_at_once, f"training {len(jobs)} models")
    n_steps = params.load(Params, f"weights.{role}", workspace.params).steps
    with progress.bar(f"training {role}", n_steps, "steps") as advance:
        model, _tokenizer, losses = _trained(workspace, role, advance)
    with artifacts.new_folder(workspace.model(role)) as folder:
        model.save_pretrained(folder)
        if start is None:
            recipe.tokenizer().save_pretrained(folder)
        else:
            _copy(workspace.model(start), folder, folders.TOKENIZER_FILES)
        rows = [{"step": step, "loss": loss} for step, loss in enumerate(losses, start=1)]
        artifacts.write_csv(folder / "training.csv", rows, ["step", "loss"])


def _ahead(workspace: Workspace, role: str) -> list[str]:
    """The other roles to train that are not there yet: a start before what starts from it."""
    depths = {}
    for one in params.load(Roles, "models", workspace.params).roles:
        params_ = params.load(Params, f"weights.{one}", workspace.params)
        is_there = one == role or workspace.model(one).is_dir()
        if params_.source == TRAIN and not is_there:
            with contextlib.suppress(UserError):  # its own stage says it
                depths[one] = _depth(workspace, one), -params_.steps * params_.tokens_per_step
    return sorted(depths, key=lambda one: depths[one])


def _depth(workspace: Workspace, role: str) -> int:
    """How many models are trained before a role.

    Raises:
        UserError: where one of them is not there and not trained here, or as `_recipe`.
    """
    _found, start = _recipe(workspace, role)
    if start is None or workspace.model(start).is_dir():
        return 0
    if params.load(Params, f"weights.{start}", workspace.params).source != TRAIN:
        raise UserError(f"{workspace.model(start)} does not exist.")
    return 1 + _depth(workspace, start)


def _train_ahead(workspace: Workspace, role: str) -> None:
    _trained(workspace, role)


def _trained(
    workspace: Workspace, role: str, advance: Callable[[int], None] = lambda _n: None
) -> tuple[PreTrainedModel, Tokenizer, list[float]]:
    """A role's model, its words, and the loss of every step; from the store where it is there."""
    units = Units(workspace.root, ("backtracking",))
    schedule = params.load(Params, f"weights.{role}", workspace.params).schedule
    architecture = params.load(Architecture, "weights.architecture", workspace.params)
    recipe, start = _recipe(workspace, role)
    model: PreTrainedModel
    if start is None:
        words = recipe.tokenizer()
        model, tokenizer = build_model(architecture, words, schedule.seed), words.backend_tokenizer
    elif (folder := workspace.model(start)).is_dir():
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    else:
        model, tokenizer, _losses = _trained(workspace, start)
    task = Task(recipe, schedule, architecture.context, torch.get_num_threads())
    key = units.key(fit, task, dict(model.named_parameters()), tokenizer.to_str())
    trained = units.resume(
        f"models/{role}", key, partial(fit, task, model, tokenizer, advance=advance)
    )
    model.load_state_dict(trained.weights)
    return model, tokenizer, trained.losses


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
            "Give it a folder, or a hub id with its revision.",
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


def _fetch(params_: Params, root: Path, folder: Path) -> None:
    """Brings a model from the hub (pinned) or from a folder into the study's own."""
    given = root / params_.source
    if params_.revision is None and not given.is_dir():
        raise UserError(
            f"{params_.source} has no `revision`.", "Pin the commit, so that others get the same."
        )
    source = folders.locate(given if given.is_dir() else params_.source, params_.revision)
    weights = [path.name for path in source.glob("*.safetensors")]
    with artifacts.new_folder(folder) as fresh:
        _copy(source, fresh, (*weights, *folders.DESCRIPTION_FILES))


def _copy(source: Path, target: Path, names: Sequence[str]) -> None:
    for name in names:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)


if __name__ == "__main__":
    main()
