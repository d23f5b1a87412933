"""What stands in a model's folder: nothing is demanded that is not needed, and causes are named."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from extraction.families import _BASE, LIMIT, build
from tiny_models import build_tokenizer, save_model
from transformers import AutoModelForImageTextToText, AutoModelForSeq2SeqLM, T5Config

from backtracking.activations.format import Positions
from backtracking.extraction import engine
from backtracking.extraction.items import Item
from backtracking.extraction.planning import Request
from backtracking.models import loading
from backtracking.models.loading import LoadedModel
from lifeboat.stage.errors import UserError

pytestmark = pytest.mark.kind(7)

POINTER = (
    "version https://git-lfs.github.com/spec/v1\noid sha256:" + "a" * 64 + "\nsize 5368709120\n"
)
SHARDED = "model.safetensors.index.json"


def extract(model: LoadedModel, folder: Path) -> None:
    """Every token of two traces on both sides of a limit, checked against plain passes."""
    items = [Item(0, [5 + i % 30 for i in range(LIMIT - 1)], {}), Item(1, [7] * (LIMIT + 6), {})]
    layers = tuple(range(model.n_layers))
    request = Request(layers, Positions(None), "float32", 4, 99, 1)
    engine.extract(model, items, request, store=folder / "s", out=folder / "o", floor=1e-5)


def sharded(folder: Path, seed: int = 0) -> None:
    model = build("llama", seed)
    model.save_pretrained(folder, max_shard_size="20KB")
    assert (folder / SHARDED).is_file()


# Row 14: wrapper classes.

_VISION: dict[str, Any] = {
    "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
    "image_size": 28, "patch_size": 14,
}  # fmt: skip
_QWEN_VISION: dict[str, Any] = {
    "depth": 1, "hidden_size": 16, "intermediate_size": 32, "num_heads": 2, "out_hidden_size": 16,
}  # fmt: skip
_HEADS: dict[str, Any] = {**_BASE, "head_dim": 4}
_MROPE: dict[str, Any] = {"rope_type": "default", "mrope_section": [1, 1, 0], "rope_theta": 1e4}


def wrapper(name: str) -> Any:
    configs: dict[str, Callable[[], Any]] = {
        "mistral3": lambda: transformers.Mistral3Config(
            text_config=transformers.MistralConfig(**_HEADS),
            vision_config=transformers.PixtralVisionConfig(**_VISION),
        ),
        "qwen2.5-vl": lambda: transformers.Qwen2_5_VLConfig(
            text_config={**_BASE, "rope_parameters": _MROPE},
            vision_config={**_QWEN_VISION, "fullatt_block_indexes": [0]},
        ),
        "qwen3-vl": lambda: transformers.Qwen3VLConfig(
            text_config={**_HEADS, "rope_parameters": _MROPE},
            vision_config={**_QWEN_VISION, "deepstack_visual_indexes": [0]},
        ),
        "gemma3": lambda: transformers.Gemma3Config(
            text_config=transformers.Gemma3TextConfig(**_HEADS, sliding_window=8),
            vision_config={**_VISION, "model_type": "siglip_vision_model"},
        ),
        "llava": lambda: transformers.LlavaConfig(
            text_config=transformers.LlamaConfig(**_HEADS),
            vision_config=transformers.CLIPVisionConfig(**_VISION),
        ),
        "internvl": lambda: transformers.InternVLConfig(
            text_config=transformers.Qwen2Config(**_BASE), vision_config=dict(_VISION)
        ),
        "aya-vision": lambda: transformers.AyaVisionConfig(
            text_config=transformers.Cohere2Config(**_HEADS),
            vision_config=transformers.SiglipVisionConfig(**_VISION),
        ),
    }
    return configs[name]()


@pytest.mark.parametrize(
    "name",
    [
        "mistral3",
        "qwen2.5-vl",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("qwen3-vl", "gemma3", "llava", "internvl", "aya-vision")
        ),
    ],
)
def test_a_wrapper_class_is_opened_by_its_text_model(name: str, tmp_path: Path) -> None:
    AutoModelForImageTextToText.from_config(wrapper(name)).save_pretrained(tmp_path / "m")
    model = loading.load(tmp_path / "m")
    assert (model.n_layers, model.d_model) == (3, 16)
    extract(model, tmp_path)


def test_what_transformers_has_no_decoder_for_is_refused_by_name(tmp_path: Path) -> None:
    config = T5Config(vocab_size=40, d_model=16, d_ff=32, num_layers=1, num_heads=2, d_kv=8)
    AutoModelForSeq2SeqLM.from_config(config).save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"a T5ForConditionalGeneration \(t5\).*text model of this"):
        loading.load(tmp_path)


# Rows 13 and 14: the tokenizer.


@pytest.mark.parametrize("left", ["tekken.json", None])
def test_ids_are_extracted_without_a_tokenizer(left: str | None, tmp_path: Path) -> None:
    build("mistral").save_pretrained(tmp_path / "m")
    if left:
        (tmp_path / "m" / left).write_text("{}")
    extract(loading.load(tmp_path / "m"), tmp_path)


@pytest.mark.parametrize("family", ["gemma3_text", "llama"])
def test_a_tokenizer_may_know_more_than_the_model_embeds(family: str, tmp_path: Path) -> None:
    build(family).save_pretrained(tmp_path / "m")
    tokenizer = build_tokenizer()
    tokenizer.add_tokens(["<image_soft_token>"])
    tokenizer.save_pretrained(tmp_path / "m")
    model = loading.load(tmp_path / "m")
    assert len(model.tokenizer) == 41
    extract(model, tmp_path)


def test_a_broken_tokenizer_does_not_matter_where_only_ids_are_used(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "m")
    (folder / "tokenizer.json").write_text("{}")
    loading.load(folder)


# Row 15: quantised.


@pytest.mark.parametrize(
    "settings",
    [
        {"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": False, "sym": True},
        {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True},
        {"quant_method": "bitsandbytes", "load_in_4bit": True},
        {"quant_method": "compressed-tensors", "format": "pack-quantized", "config_groups": {}},
        {"quant_method": "aqlm"},
        {"quant_method": "hqq"},
        {"quant_method": "quark"},
        {"quant_method": "of the future"},
    ],
    ids=lambda settings: settings["quant_method"],
)
def test_a_quantised_checkpoint_is_told_by_its_method(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    folder = save_model(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "quantization_config": settings}))
    method = settings["quant_method"]
    with pytest.raises(UserError, match=rf"could not be read.*quantised \({method}\): install"):
        loading.load(folder)


# Rows 31 and 32: which weights, and whether they are weights.


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_pointer_of_git_lfs_is_named(name: str, tmp_path: Path) -> None:
    folder = save_model(tmp_path)
    (folder / name).write_text(POINTER)
    with pytest.raises(
        UserError, match=rf"{name} is a pointer of git-lfs: the file of 5\.4 GB.*lf"
    ):
        loading.load(folder)


def test_a_pointer_in_place_of_a_shard_is_named(tmp_path: Path) -> None:
    sharded(tmp_path)
    next(iter(sorted(tmp_path.glob("model-*-of-*")))).write_text(POINTER)
    with pytest.raises(UserError, match=r"model-00001-of-\d+\.safetensors is a pointer of git-lfs"):
        loading.load(tmp_path)


def test_a_shard_that_the_index_names_and_is_not_there_is_named(tmp_path: Path) -> None:
    sharded(tmp_path)
    (last,) = sorted(tmp_path.glob("model-*-of-*"))[-1:]
    last.unlink()
    with pytest.raises(UserError, match=rf"1 are not there: {last.name}"):
        loading.load(tmp_path)


def test_an_older_single_file_beside_shards_is_refused(tmp_path: Path) -> None:
    build("llama", seed=1).save_pretrained(tmp_path)
    sharded(tmp_path)
    # save_pretrained puts the older file away; a copy of new shards into the folder does not.
    build("llama", seed=1).save_pretrained(tmp_path / "old")
    (tmp_path / "old" / "model.safetensors").rename(tmp_path / "model.safetensors")
    with pytest.raises(
        UserError, match=r"two sets of weights that differ: model\.safetensors, and"
    ):
        loading.load(tmp_path)


def test_a_single_file_beside_shards_of_the_same_weights_is_read(tmp_path: Path) -> None:
    sharded(tmp_path)
    build("llama").save_pretrained(tmp_path / "old")
    (tmp_path / "old" / "model.safetensors").rename(tmp_path / "model.safetensors")
    loading.load(tmp_path)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("consolidated.safetensors", "in Mistral's own format"),
        ("adapter_model.safetensors", "an adapter without its model"),
        ("model-Q4_K_M.gguf", "in the format of llama.cpp"),
        ("tf_model.h5", "in the format of Keras"),
        ("pytorch_model.bin", "as pickles only"),
        ("model.ckpt", "as pickles only"),
    ],
)
def test_what_stands_in_place_of_weights_is_named(name: str, told: str, tmp_path: Path) -> None:
    folder = save_model(tmp_path)
    (folder / "model.safetensors").rename(folder / name)
    with pytest.raises(UserError, match=rf"has no weights .*{told} \({name}\)"):
        loading.load(folder)


def test_an_index_that_is_none_is_told(tmp_path: Path) -> None:
    folder = save_model(tmp_path)
    (folder / SHARDED).write_text("[]")
    with pytest.raises(UserError, match="is no index of weights"):
        loading.load(folder)


def test_weights_of_half_width_are_read_as_asked_for(tmp_path: Path) -> None:
    build("llama").to(torch.bfloat16).save_pretrained(tmp_path)  # type: ignore[arg-type]
    assert loading.load(tmp_path).model.dtype == torch.float32
