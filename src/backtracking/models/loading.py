"""A causal language model with its tokenizer: loaded offline or from the hub, checked once.

Only safetensors are read and no code of a model's repository is run. Where the decoder blocks are
is asked of TransformerLens' adapters; no bridge is built, so the model stays as transformers made
it.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from backtracking.models import structure
from lifeboat.stage import artifacts
from lifeboat.stage.errors import UserError

DTYPES = ("float32", "float16", "bfloat16", "float64")
VOCABULARY_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
)
TOKENIZER_FILES = (
    *VOCABULARY_FILES,
    "added_tokens.json",
    "chat_template.jinja",
    "merges.txt",
    "special_tokens_map.json",
    "tokenizer_config.json",
)
DESCRIPTION_FILES = (
    "config.json",
    "generation_config.json",
    "model.safetensors.index.json",
    *TOKENIZER_FILES,
)


@dataclass(frozen=True)
class LoadedModel:
    """A model in evaluation mode without gradients, with what is known of its structure.

    Attributes:
        model: the transformers model, which nothing has rewired.
        tokenizer: its tokenizer.
        blocks: the decoder blocks; the output of `blocks[l]` is `resid_post[l]`.
        final_norm: the norm between the last block and the unembedding.
        d_model: width of the residual stream.
        model_sha256: hash of the weights and of config.json.
        tokenizer_sha256: hash of the tokenizer's files.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    blocks: tuple[nn.Module, ...]
    final_norm: nn.Module
    d_model: int
    model_sha256: str
    tokenizer_sha256: str

    @property
    def n_layers(self) -> int:
        """Number of decoder blocks."""
        return len(self.blocks)

    @property
    def device(self) -> torch.device:
        """Where the model stands."""
        return self.model.device

    @property
    def content_key(self) -> str:
        """What results depend on: weights, tokenizer, dtype, and the kind of device."""
        parts = (self.model_sha256, self.tokenizer_sha256, self.model.dtype, self.device.type)
        return " ".join(map(str, parts))


def load(
    source: Path | str,
    *,
    revision: str | None = None,
    device: str = "cpu",
    dtype: str = "float32",
) -> LoadedModel:
    """The model and tokenizer of a folder or of a hub id, after one check of their structure.

    Args:
        source: a folder in transformers format (a `Path` is always one), or a hub id.
        revision: branch, tag or commit of a hub id.
        device: as torch names it, or `auto`: the GPU where there is one.
        dtype: one of `DTYPES`.

    Raises:
        UserError: for a folder that is missing or lacks config, weights or tokenizer, or has its
            weights as pickles only; for weights that do not fill the model; for an architecture
            that TransformerLens has no adapter for, or whose blocks are not what it says.
    """
    folder = locate(source, revision)
    place = _device(device)
    model = _read_model(folder, dtype).to(place)  # type: ignore[arg-type]
    model.eval().requires_grad_(False)
    tokenizer = _read_tokenizer(folder)
    blocks, final_norm, d_model = structure.find_parts(model, folder)
    structure.require_layers(model, blocks, d_model, folder)
    structure.require_vocabulary(model, tokenizer, folder)
    return LoadedModel(
        model,
        tokenizer,
        blocks,
        final_norm,
        d_model,
        model_sha256(folder),
        tokenizer_sha256(folder),
    )


def final_norm_gain(loaded: LoadedModel) -> Float[Tensor, " d_model"]:
    """The factor of each component in the final norm, whatever its formula (Gemma adds 1).

    Read off the norm itself: a vector of alternating 1 and -1 has mean 0 and mean square 1, so an
    RMS norm and a layer norm both return it times their gain (plus a bias, which cancels).
    """
    sign = torch.ones(loaded.d_model, device=loaded.device, dtype=loaded.model.dtype)
    sign[1::2] = -1
    with torch.inference_mode():
        return (loaded.final_norm(sign) - loaded.final_norm(-sign)) / 2 * sign


def unembedding(loaded: LoadedModel) -> Float[Tensor, "d_vocab d_model"]:
    """W_U: the rows that the normed residual stream is multiplied with."""
    head: Any = loaded.model.get_output_embeddings()
    return head.weight


def model_sha256(folder: Path) -> str:
    """Hash of a model folder's weights and config.json, whatever else stands beside them."""
    return _hash([*folder.glob("*.safetensors"), folder / "config.json"])


def tokenizer_sha256(folder: Path) -> str:
    """Hash of a model folder's tokenizer files."""
    return _hash([folder / name for name in TOKENIZER_FILES if (folder / name).is_file()])


def _hash(paths: list[Path]) -> str:
    return artifacts.sha256_json({path.name: artifacts.sha256_file(path) for path in paths})


def locate(source: Path | str, revision: str | None = None) -> Path:
    """The folder of a model, fetched from the hub where `source` is a hub id.

    Raises:
        UserError: for a folder that is missing or lacks config, weights or tokenizer.
    """
    folder = _folder(source, revision)
    _require_files(folder)
    return folder


def _folder(source: Path | str, revision: str | None) -> Path:
    if Path(source).is_dir():
        if revision is not None:
            raise UserError(
                f"{source} is a folder, and revision {revision!r} was asked for.",
                "A revision belongs to a hub id; leave it out.",
            )
        return Path(source)
    if isinstance(source, Path) or not re.fullmatch(r"\w[\w.-]*(/[\w.-]+)?", source):
        raise UserError(
            f"The model folder {source} does not exist.",
            "Make it with `dvc --wait-for-lock repro`, or fetch it with `dvc pull`.",
        )
    return _download(source, revision)


def _download(hub_id: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download

    wanted = ["*.safetensors", *DESCRIPTION_FILES]
    try:
        return Path(
            snapshot_download(
                hub_id,
                revision=revision,
                allow_patterns=wanted,
                ignore_patterns=["*/*", "consolidated*"],
            )
        )
    except (OSError, ValueError) as error:
        raise UserError(
            f"{hub_id!r} (revision {revision or 'main'}) is neither a folder here nor a model that "
            f"the hub delivered: {_first_line(error)}",
            "Check the name, the network, and HF_TOKEN where the model is gated.",
        ) from None


def _require_files(folder: Path) -> None:
    cure = "A model folder is what `save_pretrained` of model and tokenizer writes."
    if not (folder / "config.json").is_file():
        raise UserError(f"The model folder {folder} has no config.json.", cure)
    if not any(folder.glob("*.safetensors")):
        pickles = [path.name for kind in ("bin", "pt", "pth") for path in folder.glob(f"*.{kind}")]
        if pickles:
            raise UserError(
                f"The model folder {folder} has its weights as pickles only ({min(pickles)}), "
                "which can run code when they are read.",
                "Convert them with `save_pretrained`, or take a revision with safetensors.",
            )
        raise UserError(f"The model folder {folder} has no weights (*.safetensors).", cure)
    if not any((folder / name).is_file() for name in VOCABULARY_FILES):
        raise UserError(f"The model folder {folder} has no tokenizer (tokenizer.json).", cure)


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UserError(f"{name!r} is not a device.", "Use auto, cpu, cuda or cuda:0.") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UserError(
            f"The device {name!r} was asked for, and torch {torch.__version__} finds no GPU.",
            "Use `auto` or `cpu`, or ask `backtracking doctor` why.",
        )
    return device


def _read_model(folder: Path, dtype: str) -> PreTrainedModel:
    if dtype not in DTYPES:
        raise UserError(f"{dtype!r} is not a dtype.", f"Use one of {', '.join(DTYPES)}.")
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=getattr(torch, dtype),
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        raise UserError(
            f"The model in {folder} could not be read: {_first_line(error)}",
            "Fetch or make it again; code of a model's repository is never run.",
        ) from error
    model, info = loaded
    missing = sorted(info["missing_keys"])
    if missing:
        raise UserError(
            f"The weights in {folder} lack {len(missing)} tensors of {type(model).__name__}, the "
            f"first is {missing[0]}: they would be random.",
            "Fetch or make the folder again.",
        )
    return model


def _read_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            folder, trust_remote_code=False, local_files_only=True
        )
        if structure.is_as_filed(tokenizer, folder):
            return tokenizer
        # Some classes (Qwen2Tokenizer) put their own way of splitting in place of the file's.
        return PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # the tokenizers library raises bare Exception
        raise UserError(
            f"The tokenizer in {folder} could not be read: {_first_line(error)}",
            "Fetch or make it again.",
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
