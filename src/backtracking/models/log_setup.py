"""What an entry of the experiment log tells of a run's models, data and parameters."""

from pathlib import Path
from typing import Any

from backtracking.models.sizes import Model, models
from backtracking.runtime import params
from backtracking.runtime.workspace import Workspace
from lifeboat.stage.errors import UserError

_BLANK = "..."
_KEY_HYPERPARAMETERS = {
    "traces": ("n_samples", "temperature", "max_new_tokens"),
    "steer": ("doses", "n_random"),
}


def lines(root: Path) -> list[str]:
    """Model, dataset and key hyperparameters, as far as params.yaml tells them."""
    return [
        f"Model: {_models(root)}",
        f"Dataset: {_dataset(root)}",
        f"Key hyperparameters: {_hyperparameters(root)}",
    ]


def _models(root: Path) -> str:
    try:
        found = models(root)
    except UserError:
        return _BLANK
    return "; ".join(f"{model.role}: {_model(model)}" for model in found) or _BLANK


def _model(model: Model) -> str:
    if not model.n_layers:
        return model.source
    return f"{model.source} ({model.n_layers} layers, d_model {model.d_model})"


def _dataset(root: Path) -> str:
    section = _section(root, "problems")
    return ", ".join(f"{key} {value}" for key, value in section.items()) or _BLANK


def _hyperparameters(root: Path) -> str:
    told = []
    for section, keys in _KEY_HYPERPARAMETERS.items():
        values = _section(root, section)
        told += [f"{section}.{key} {values[key]}" for key in keys if key in values]
    return ", ".join([*told, "all: `params.yaml` of the commit"])


def _section(root: Path, name: str) -> dict[str, Any]:
    try:
        section = params.read(Workspace(root).params).get(name)
    except UserError:
        return {}
    return section if isinstance(section, dict) else {}
