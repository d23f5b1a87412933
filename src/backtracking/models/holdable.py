"""Whether the engines of the study can hold a model, from its configuration alone.

Asked before weights are fetched. What only weights can show is checked when they are loaded
(`structure.require_layers`, `lengths`).
"""

import contextlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import transformers
from transformers import CONFIG_MAPPING, PreTrainedConfig

from backtracking.models import architectures, structure
from backtracking.models.formats import CONFIG
from lifeboat.stage.errors import UserError

_ATTENTION = ("full_attention", "sliding_attention")
_NEEDED = (
    "Take a model with attention in every layer. For this one, a cache would have to be written "
    "(models/kv_cache.py) that keeps the state at each place where rows begin, and goes back to "
    "it; its activations alone can be had: `backtracking extract`."
)


def require(folder: Path, named: str) -> PreTrainedConfig:
    """Checks a model by its config.json; returns what it says.

    Args:
        folder: with config.json.
        named: what to call the model.

    Raises:
        UserError: naming the architecture, and what would be needed.
    """
    _require_known(folder, named)
    config = architectures.config_of(folder, named)
    require_held(config, named)
    return config


def require_held(config: PreTrainedConfig, named: str) -> None:
    """Checks that an architecture can be read, steered and written with.

    Raises:
        UserError: as `require`.
    """
    kind = architectures.class_of(config, named)
    if getattr(kind, "_is_stateful", False):
        raise UserError(
            f"{named} holds a {kind.__name__} ({config.model_type}), which keeps a running "
            f"state in {_recurrent(config)}: rows that go on from one prefix, and texts that are "
            "cut, need keys and values of every token.",
            _NEEDED,
        )
    if others := other_layers(config):
        raise UserError(
            f"{named} holds a {kind.__name__} ({config.model_type}) with layers of other kinds "
            f"than full and sliding attention: {_listed(others)}.",
            _NEEDED,
        )
    structure.find_parts(architectures.empty(kind, config, named), Path(named))


def _require_known(folder: Path, named: str) -> None:
    """Refuses what transformers reads by code of the repository alone, or not at all."""
    told: Any = {}
    with contextlib.suppress(ValueError):
        told = json.loads((folder / CONFIG).read_text())
    kind = told.get("model_type") if isinstance(told, dict) else None
    if kind in CONFIG_MAPPING:
        return
    if isinstance(told, dict) and told.get("auto_map"):
        raise UserError(
            f"{named} ({kind or 'no model_type'}) needs code of its own repository (`auto_map` of "
            f"{CONFIG}), which is never run here.",
            "Take a revision or a copy that transformers reads by itself.",
        )
    raise UserError(
        f"{named} says it is a {kind!r}, which transformers {transformers.__version__} does not "
        "know.",
        "A newer transformers may; so may another revision of the model.",
    )


def _recurrent(config: PreTrainedConfig) -> str:
    """How many of its layers keep a state, as far as its configuration says so."""
    text = config.get_text_config()
    keeping = other_layers(config)
    n_layers = getattr(text, "num_hidden_layers", None)
    if not keeping:
        return f"its {n_layers} layers" if n_layers else "its layers"
    return f"{keeping.total()} of its {len(text.layer_types)} layers ({_listed(keeping)})"


def other_layers(config: PreTrainedConfig) -> Counter[str]:
    """Layers that do not attend to keys and values of every token, or of a window, by kind.

    The local ones of GPT-Neo have a window that no mask of ours reaches.
    """
    text = config.get_text_config()
    kinds = getattr(text, "layer_types", None) or []
    local = [one for one in getattr(text, "attention_layers", None) or [] if one == "local"]
    return Counter([*local, *(one for one in kinds if one not in _ATTENTION)])


def _listed(kinds: Counter[str]) -> str:
    return ", ".join(f"{n} {one}" for one, n in kinds.items())
