"""The files of directions that users have scored."""

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from backtracking.belief.doses import Candidate
from backtracking.records.measured import ACTION, PATCHED, RANDOM
from backtracking.records.rows.belief import CLEAN, DONOR
from lifeboat.stage.errors import UserError

RESERVED = (ACTION, PATCHED, CLEAN, DONOR)
_CURE = "Save named vectors with `safetensors.torch.save_file({'name.2': vector}, path)`."


def read_candidates(
    path: Path, d_model: int, n_layers: int, default_layer: int, layer: int | None = None
) -> list[Candidate]:
    """The vectors of a safetensors file, named `name.layer`, or `name` for the default layer.

    Args:
        path: the file.
        d_model: width of the model's residual stream.
        n_layers: its number of layers.
        default_layer: layer of a vector that names none.
        layer: only what is there is taken; a vector that names no layer is.

    Raises:
        UserError: for a file that is missing or no safetensors file, or holds nothing to score; for
            a vector of another shape or type, with NaN or infinity, of norm 0, or of a layer that
            the model does not have.
    """
    if layer is not None and not 0 <= layer < n_layers:
        raise UserError(
            f"--layer {layer}: the model has layers 0 to {n_layers - 1}.", "Ask for one of these."
        )
    found = []
    for key, vector in _tensors(path).items():
        name, _, suffix = key.rpartition(".")
        named_layer = int(suffix) if name and suffix.isdecimal() else None
        if layer is not None and named_layer not in (None, layer):
            continue
        at = named_layer if named_layer is not None else default_layer if layer is None else layer
        name = key if named_layer is None else name
        _require_usable(path, key, name, vector, d_model)
        if at >= n_layers:
            raise UserError(
                f"{path}: `{key}` names layer {at}, and the model has layers 0 to {n_layers - 1}.",
                "Layers count from 0; layer l is the output of block l.",
            )
        found.append(Candidate(name, at, vector.float()))
    if not found:
        asked = "" if layer is None else f" at layer {layer}"
        raise UserError(f"{path} holds no vector{asked}.", _CURE)
    doubled = [one for n, one in enumerate(found) if _key(one) in map(_key, found[:n])]
    if doubled:
        raise UserError(
            f"{path}: `{doubled[0].name}` stands twice for layer {doubled[0].layer}.",
            "Name the layer of every vector, as `name.layer`.",
        )
    return found


def _tensors(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise UserError(f"{path} is no file.", _CURE)
    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in sorted(file.keys())}
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path} is no safetensors file: {error}.", _CURE) from None


def _require_usable(path: Path, key: str, name: str, vector: Tensor, d_model: int) -> None:
    if name in RESERVED or name.startswith(f"{RANDOM}_"):
        raise UserError(
            f"{path}: `{key}` is called as one of the experiment's own arms "
            f"({', '.join(RESERVED)}, random_<k>).",
            "Give it another name.",
        )
    if tuple(vector.shape) != (d_model,) or not vector.is_floating_point():
        raise UserError(
            f"{path}: `{key}` must be floating-point numbers of shape [{d_model}], found "
            f"{str(vector.dtype).removeprefix('torch.')} of shape {list(vector.shape)}.",
            "One vector of the residual stream's width each; flatten it or take its row.",
        )
    if not torch.isfinite(vector).all():
        bad = int((~torch.isfinite(vector)).sum())
        raise UserError(
            f"{path}: `{key}` has NaN or infinity in {bad} of {d_model} components.",
            "A direction must be finite; look at how it was estimated.",
        )
    if not vector.any():
        raise UserError(f"{path}: `{key}` is all zeros.", "A direction needs a norm above 0.")


def _key(candidate: Candidate) -> tuple[str, int]:
    return candidate.name, candidate.layer
