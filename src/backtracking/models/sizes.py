"""How large the models of the study are, from params.yaml and from files; nothing is loaded."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from backtracking.models.published import SHAPES
from backtracking.models.sources import PACKAGE, find
from backtracking.runtime import params
from backtracking.runtime.workspace import Roles, Workspace
from lifeboat import processes
from lifeboat.stage.errors import UserError

BYTES_BY_DTYPE = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2}
MAX_HEADER_BYTES = 100_000_000
"""As safetensors itself has it: a longer header is no header."""


@dataclass(frozen=True)
class Model:
    """One model of the study.

    Attributes:
        role: its role.
        source: `train`, or as `sources` has it; that of the other role where it has its weights.
        n_layers: decoder blocks; None where no file here says so, and it is not of `published`.
        d_model: width of the residual stream; None likewise.
        n_parameters: parameters; None likewise.
        is_here: whether its weights are on this machine, or are made here.
        revision: commit of a hub id; None for what is no model of the hub.
    """

    role: str
    source: str
    n_layers: int | None = None
    d_model: int | None = None
    n_parameters: int | None = None
    is_here: bool = False
    revision: str | None = None

    @property
    def is_trained_here(self) -> bool:
        """Whether the study trains it."""
        return self.source == "train"


def models(root: Path) -> list[Model]:
    """Every model that params.yaml names, each source described as far as files here do.

    Raises:
        UserError: where params.yaml cannot be read or has no such section.
    """
    path = Workspace(root).params
    roles = params.load(Roles, "models", path)
    weights = params.load_value(dict, "weights", path)
    named = [role for role in roles.all if isinstance(weights.get(role), dict)]
    return [replace(_model(root, role, weights, roles), role=role) for role in named]


def hub_cache(root: Path) -> Path:
    """Where a stage started here would find and put files of the Hugging Face Hub."""
    environment = processes.environment(root)
    home = environment["HF_HOME"]
    return Path(environment.get("HF_HUB_CACHE") or Path(home) / "hub").expanduser()


def _owner(role: str, weights: dict[str, Any]) -> str:
    """The role whose weights a role has: its own, or the one whose folder its source is."""
    of_role = {f"models/{other}": other for other in weights if other != role}
    return of_role.get(str(weights[role].get("source")), role)


def _model(root: Path, role: str, weights: dict[str, Any], roles: Roles) -> Model:
    role = _owner(role, weights)
    source, revision = str(weights[role].get("source", "")), weights[role].get("revision")
    if source == "train":
        start = roles.roles[role].start if role in roles.roles else None
        if "optimizer" in weights[role] and start in weights:
            size = _model(root, start, weights, roles)
            return replace(size, source=source, is_here=True, revision=None)
        return _trained_here(role, weights.get("architecture") or {})
    if source.startswith(PACKAGE) or source.endswith(".gguf"):
        return _of_gguf(root, role, source, revision)
    folder = _folder(root, source, revision)
    is_local = revision is None or (root / Path(source).expanduser()).is_dir()
    pinned = None if is_local else str(revision)
    if folder is None:
        return replace(_published(role, source), revision=pinned)
    config = _read(folder / "config.json")
    files = sorted(folder.glob("*.safetensors"))
    return Model(
        role,
        source,
        _whole(config.get("num_hidden_layers")),
        _whole(config.get("hidden_size")),
        sum(_counts(files)) or _from_config(config),
        bool(files),
        pinned,
    )


def _of_gguf(root: Path, role: str, source: str, revision: str | None) -> Model:
    """As the head of the file says; of one that is not there, nothing is known."""
    from backtracking.models import gguf_files  # torch, for those alone who have such a file

    try:
        told = gguf_files.describe(Path(str(find(source, revision, root))))
    except UserError:
        return Model(role, source)
    return Model(role, source, told.n_layers, told.d_model, told.n_parameters, is_here=True)


def _published(role: str, source: str) -> Model:
    """A model that is not here, as large as its shape says where that is known."""
    shape = SHAPES.get(source)
    if shape is None:
        return Model(role, source)
    return Model(role, source, shape.n_layers, shape.d_model, shape.n_parameters)


def _trained_here(role: str, architecture: dict[str, Any]) -> Model:
    n_layers, d_model, d_mlp = (
        _whole(architecture.get(k)) for k in ("n_layers", "d_model", "d_mlp")
    )
    if not n_layers or not d_model or not d_mlp:
        return Model(role, "train", is_here=True)
    n_parameters = n_layers * (4 * d_model**2 + 3 * d_model * d_mlp)
    return Model(role, "train", n_layers, d_model, n_parameters, True)


def _folder(root: Path, source: str, revision: object) -> Path | None:
    """The folder of a model that is on this machine."""
    given = Path(source).expanduser()
    local = given if given.is_absolute() else root / given
    if local.is_dir():
        return local
    snapshots = hub_cache(root) / f"models--{source.replace('/', '--')}" / "snapshots"
    cached = snapshots / str(revision)
    return cached if cached.is_dir() else None


def _counts(files: list[Path]) -> Iterator[int]:
    """Parameters of each file of weights, from its header."""
    for path in files:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            if size > MAX_HEADER_BYTES:
                continue
            header = _parsed(file.read(size))
        tensors = [value for name, value in header.items() if name != "__metadata__"]
        shapes = [tensor.get("shape") for tensor in tensors if isinstance(tensor, dict)]
        yield sum(math.prod(shape) for shape in shapes if isinstance(shape, list))


def _from_config(config: dict[str, Any]) -> int | None:
    """Parameters of a decoder with gated MLPs; others come out within tens of percent."""
    names = ("num_hidden_layers", "hidden_size", "intermediate_size", "vocab_size")
    n_layers, d_model, d_mlp, d_vocab = (_whole(config.get(name)) for name in names)
    if not n_layers or not d_model or not d_mlp or not d_vocab:
        return None
    n_heads = _whole(config.get("num_attention_heads")) or 1
    n_key_value = _whole(config.get("num_key_value_heads")) or n_heads
    attention = d_model**2 * (2 + 2 * n_key_value / n_heads)
    embeddings = d_vocab * d_model * (1 if config.get("tie_word_embeddings") else 2)
    return round(n_layers * (attention + 3 * d_model * d_mlp) + embeddings)


def _read(path: Path) -> dict[str, Any]:
    return _parsed(path.read_bytes()) if path.is_file() else {}


def _parsed(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
