"""A causal language model, and its tokenizer where one is needed: loaded and checked once.

Only safetensors are read and no code of a model's repository is run. Where the decoder blocks are
is asked of TransformerLens' adapters; no bridge is built, so the model stays as transformers made
it.
"""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)
from transformers.quantizers.auto import AUTO_QUANTIZATION_CONFIG_MAPPING

from backtracking.models import architectures, folders, spreading, structure
from backtracking.models.footprint import Kind
from backtracking.models.formats import first_line
from backtracking.models.fresh import Fresh
from backtracking.models.lengths import Lengths
from backtracking.models.room import Held, Room
from lifeboat.stage.errors import UserError

DTYPES = ("float32", "float16", "bfloat16", "float64")


@dataclass(frozen=True)
class LoadedModel:
    """A model in evaluation mode without gradients, with what is known of its structure.

    Attributes:
        folder: where it was read from.
        model: the transformers model, which nothing has rewired. Each text begins in a new one:
            what the last one left behind is undone (`fresh`).
        blocks: the decoder blocks; the output of `blocks[l]` is `resid_post[l]`.
        final_norm: the norm between the last block and the unembedding.
        d_model: width of the residual stream.
        model_sha256: hash of the weights and of config.json.
        tokenizer_sha256: hash of the tokenizer's files.
        lengths: how many tokens it can read, and at which lengths it changes its formula.
        held: what it has room for, by kind of work.
    """

    folder: Path
    model: PreTrainedModel
    blocks: tuple[nn.Module, ...]
    final_norm: nn.Module
    d_model: int
    model_sha256: str
    tokenizer_sha256: str
    lengths: Lengths
    held: Held = field(default_factory=Held, compare=False)

    def room(self, kind: Kind, asked: int) -> Room:
        """How many items of a kind of work go through it at once: as asked, or as memory holds."""
        if kind not in self.held.n_tokens:
            planned = spreading.n_tokens(self.model, self.blocks, kind)
            if planned is not None:
                self.held.n_tokens[kind] = planned
        return Room(self.held, asked, kind)

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """Its tokenizer, read when it is first asked for: where only ids are used, nobody does.

        Raises:
            UserError: where the folder has none, or it cannot be read.
        """
        return _read_tokenizer(self.folder)

    @property
    def end_ids(self) -> list[int]:
        """Ids that end a text: the tokenizer's own first, then the model's."""
        configured: Any = getattr(self.model.generation_config, "eos_token_id", None)
        own: Any = self.tokenizer.eos_token_id
        its = configured if isinstance(configured, list) else [configured]
        return list(dict.fromkeys(int(one) for one in (own, *its) if one is not None))

    @property
    def n_layers(self) -> int:
        """Number of decoder blocks."""
        return len(self.blocks)

    @property
    def device(self) -> torch.device:
        """Where the model stands; of one over several cards, its home, to which all comes back."""
        return self.model.device

    @property
    def content_key(self) -> str:
        """What results depend on: weights, tokenizer, dtype, and the kind of device."""
        parts = (self.model_sha256, self.tokenizer_sha256, self.model.dtype, self.device.type)
        return " ".join(map(str, parts))

    @property
    def n_bytes_read(self) -> int:
        """Bytes of its weights, which another process reads from its folder."""
        return sum(one.nbytes for one in self.model.parameters())

    def __reduce__(self) -> tuple[Any, ...]:
        """In another process it is the model that its folder holds there."""
        dtype = str(self.model.dtype).removeprefix("torch.")
        return again, (self.folder.absolute(), self.device.type, dtype)


@lru_cache(maxsize=2)
def again(folder: Path, device: str, dtype: str) -> LoadedModel:
    """A model of a folder, kept for who asks for it again."""
    return load(folder, device=device, dtype=dtype)


def load(
    source: Path | str,
    *,
    revision: str | None = None,
    device: str = "cpu",
    dtype: str = "float32",
    hashes: tuple[str, str] | None = None,
) -> LoadedModel:
    """The model of a folder or of a hub id, after one check of its structure.

    Args:
        source: a folder in transformers format (a `Path` is always one), or a hub id.
        revision: branch, tag or commit of a hub id.
        device: as torch names it, or `auto`: the GPU where there is one, and so many as hold the
            model where there are several. `cuda:0,cuda:1` are those that it may be spread over.
        dtype: one of `DTYPES`.
        hashes: what `folders.hashes` returned, where that was asked before.

    Raises:
        UserError: for a folder that is missing, that lacks config or weights, or holds something
            else in their place; for weights that cannot be read or do not fill the model; for an
            architecture that TransformerLens has no adapter for, or whose blocks are not what it
            says; for a model that the cards do not hold.
    """
    _require_dtype(dtype)
    folder, devices = folders.locate(source, revision), devices_of(device)
    is_chosen = len(devices) > 1 or (device == "auto" and devices[0].type == "cuda")
    spread = spreading.plan(folder, devices, dtype) if is_chosen else None
    home, *others = devices[:1] if spread is None else spread.devices
    if spread is None or not others:
        model = read(folder, dtype).to(home)  # type: ignore[arg-type]
    else:
        model = read(folder, dtype, spread.device_by_module)
    blocks, final_norm, d_model = structure.find_parts(model, folder)
    if spread is not None and others:
        spread.join(model, blocks)
    model.eval().requires_grad_(False)
    lengths = Lengths(model)
    model.register_forward_pre_hook(partial(_begin, lengths.fresh), with_kwargs=True)
    structure.require_layers(model, blocks, d_model, folder)
    hashes = hashes or folders.hashes(folder)
    return LoadedModel(folder, model, blocks, final_norm, d_model, *hashes, lengths)


def _begin(fresh: Fresh, _model: Any, _arguments: Any, named: dict[str, Any]) -> None:
    """Makes the model new where a text begins, and not where one goes on behind a cache."""
    past = named.get("past_key_values")
    # A cache of recurrent layers alone has no length, and their modules keep nothing themselves.
    with contextlib.suppress(ValueError):
        if past is None or not past.get_seq_length():
            fresh.restore()


def require_ids(loaded: LoadedModel, ids: Sequence[int], what: str) -> None:
    """Checks that a model can read token ids: that it embeds them and has positions for them.

    Args:
        loaded: the model.
        ids: of one text.
        what: the text's name, to begin a sentence with.

    Raises:
        UserError: naming the text.
    """
    d_vocab = loaded.model.get_input_embeddings().weight.shape[0]  # type: ignore[union-attr]
    if max(ids, default=0) >= d_vocab or min(ids, default=0) < 0:
        raise UserError(
            f"{what} has token ids from {min(ids)} to {max(ids)}, and the model embeds ids from 0 "
            f"to {d_vocab - 1}.",
            "Use a model of the tokenizer that the ids were made with.",
        )
    if not loaded.lengths.holds(len(ids)):
        raise UserError(
            f"{what} has {len(ids)} tokens, and the model has positions for "
            f"{loaded.lengths.made_for or 'fewer'}.",
            "Leave it out, cut it, or take a model with a longer context.",
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


def devices_of(name: str) -> list[torch.device]:
    """The devices of a name: `auto` is every GPU where there is one, a list is as it stands.

    Raises:
        UserError: as `device_of`.
    """
    if name == "auto" and torch.cuda.is_available():
        return [torch.device("cuda", number) for number in range(torch.cuda.device_count())]
    return [device_of(one) for one in dict.fromkeys(name.split(","))]


def device_of(name: str) -> torch.device:
    """The device of a name, `auto` the GPU where there is one.

    Raises:
        UserError: for what is no device, and for a GPU where there is none.
    """
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


def read(
    folder: Path, dtype: str, device_by_module: Mapping[str, torch.device] | None = None
) -> PreTrainedModel:
    """The model of a folder as transformers makes it, with gradients and without other checks.

    Raises:
        UserError: for another dtype than `DTYPES`, and for weights that cannot be read or do not
            fill the model.
    """
    _require_dtype(dtype)
    cure = "Fetch or make it again; code of a model's repository is never run."
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        if (method := architectures.quantization(config)) is not None:
            cure = (
                f"Its weights are quantised ({method}): install the package that reads them, "
                "or take the checkpoint that is not quantised."
            )
            if method not in AUTO_QUANTIZATION_CONFIG_MAPPING:
                raise ValueError("transformers does not know this method, and would ignore it")
        loaded: Any = architectures.opener(config, folder).from_pretrained(
            folder,
            dtype=getattr(torch, dtype),
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
            device_map=device_by_module,
        )
    except UserError:
        raise
    except Exception as error:  # what reads a checkpoint may be any package
        raise UserError(
            f"The model in {folder} could not be read: {first_line(error)}", cure
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


def _require_dtype(name: str) -> None:
    if name not in DTYPES:
        raise UserError(f"{name!r} is not a dtype.", f"Use one of {', '.join(DTYPES)}.")


def _read_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    folders.require_tokenizer(folder)
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
            f"The tokenizer in {folder} could not be read: {first_line(error)}",
            "Fetch or make it again.",
        ) from error
