"""Loading: what is known of a model afterwards, and every way in which a folder can be wrong."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import (
    CONFIGS,
    D_MODEL,
    FAMILIES,
    N_LAYERS,
    build_model,
    build_tokenizer,
    save_model,
)
from transformers import BioGptConfig, BioGptForCausalLM

from backtracking.models import folders, loading, structure
from lifeboat.stage.errors import UserError


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_model(tmp_path / "model")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_loaded_model_knows_its_blocks_and_is_frozen(tmp_path: Path, family: str) -> None:
    loaded = loading.load(save_model(tmp_path, family))
    assert (loaded.n_layers, loaded.d_model) == (N_LAYERS, D_MODEL)
    assert loaded.device == torch.device("cpu")
    assert not loaded.model.training
    assert not any(parameter.requires_grad for parameter in loaded.model.parameters())


def test_names_of_known_architectures_are_those_of_transformer_lens(tmp_path: Path) -> None:
    known = set()
    for family in CONFIGS:
        model = build_model(family)
        if (architecture := type(model).__name__) in structure.NAMES:
            known.add(architecture)
            assert structure.ask_adapter(model, tmp_path) == structure.NAMES[architecture]
            assert structure.find_parts(model, tmp_path)[0] == tuple(model.model.layers)
    assert known == set(structure.NAMES)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_tokenizer_splits_as_its_file_says(tmp_path: Path, family: str) -> None:
    # For Qwen2, transformers takes a class that splits in its own way: [4], without an error.
    tokenizer = loading.load(save_model(tmp_path, family)).tokenizer
    assert tokenizer("w0 .").input_ids == [6, 4]
    assert tokenizer.eos_token_id == 2


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_are_the_unembedding_of_the_normed_stream(tmp_path: Path, family: str) -> None:
    loaded = loading.load(save_model(tmp_path, family))
    gain = torch.linspace(0.5, 2, D_MODEL)
    loaded.final_norm.load_state_dict({"weight": gain}, strict=False)
    torch.testing.assert_close(loading.final_norm_gain(loaded), gain)
    output = loaded.model(torch.tensor([[1, 5, 7]]), output_hidden_states=True)
    logits = output.hidden_states[-1] @ loading.unembedding(loaded).T
    torch.testing.assert_close(logits, output.logits)


def test_the_dtype_is_the_one_asked_for(folder: Path) -> None:
    assert loading.load(folder, dtype="bfloat16").model.dtype == torch.bfloat16


def test_auto_takes_the_cpu_without_a_gpu(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert loading.load(folder, device="auto").device.type == "cpu"


def test_hashes_tell_weights_from_tokenizer_and_ignore_the_rest(folder: Path) -> None:
    before = folders.model_sha256(folder), folders.tokenizer_sha256(folder)
    (folder / "README.md").write_text("a note")
    assert (folders.model_sha256(folder), folders.tokenizer_sha256(folder)) == before
    loaded = loading.load(folder)
    assert (loaded.model_sha256, loaded.tokenizer_sha256) == before
    build_model("llama", seed=1).save_pretrained(folder)
    assert folders.model_sha256(folder) != before[0]
    assert folders.tokenizer_sha256(folder) == before[1]
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"bos_token": "w0"}))
    assert folders.tokenizer_sha256(folder) != before[1]


@pytest.mark.parametrize("as_path", [Path, str])
def test_a_missing_folder_is_told(tmp_path: Path, as_path: type) -> None:
    with pytest.raises(UserError, match=r"model folder .*nowhere does not exist\. Make it with"):
        loading.load(as_path(tmp_path / "nowhere"))


def test_a_revision_of_a_folder_is_refused(folder: Path) -> None:
    with pytest.raises(UserError, match="is a folder, and revision 'v1' was asked for"):
        loading.load(folder, revision="v1")


def test_a_folder_without_config_is_told(folder: Path) -> None:
    (folder / "config.json").unlink()
    with pytest.raises(UserError, match=r"has no config\.json\. A model folder is what"):
        loading.load(folder)


def test_a_folder_without_weights_is_told(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"has no weights \(\*\.safetensors\)\. A model folder"):
        loading.load(folder)


def test_pickles_are_never_read(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"pickles only \(pytorch_model\.bin\).*Convert them"):
        loading.load(folder)


def test_a_folder_without_tokenizer_is_told_where_a_text_is_asked_for(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    loaded = loading.load(folder)
    with pytest.raises(UserError, match=r"has no tokenizer \(tokenizer\.json\)"):
        _ = loaded.tokenizer


def test_a_broken_tokenizer_is_told(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(UserError, match=r"The tokenizer in .* could not be read: "):
        _ = loading.load(folder).tokenizer


def test_truncated_weights_are_told(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"The model in .* could not be read: .*Fetch or make"):
        loading.load(folder)


def test_weights_that_would_be_random_are_refused(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.norm.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"lack 1 tensors.*model\.norm\.weight: they would be rand"):
        loading.load(folder)


def test_an_unsupported_architecture_is_refused_by_name(tmp_path: Path) -> None:
    config = BioGptConfig(
        vocab_size=40,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=16,
    )
    BioGptForCausalLM(config).save_pretrained(tmp_path)
    build_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(UserError, match="a BioGptForCausalLM, in which TransformerLens does not"):
        loading.load(tmp_path)


def test_blocks_that_are_not_the_reported_layers_are_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def misname(model, folder):
        return tuple(reversed(model.model.layers)), model.model.norm, D_MODEL

    monkeypatch.setattr(structure, "find_parts", misname)
    with pytest.raises(UserError, match="whose 3 blocks do not give the hidden states"):
        loading.load(folder)


def test_what_is_no_device_or_dtype_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="'gpu' is not a device. Use auto, cpu"):
        loading.load(folder, device="gpu")
    with pytest.raises(UserError, match="'float8' is not a dtype. Use one of float32"):
        loading.load(folder, dtype="float8")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=r"'cuda' was asked for, and torch .* finds no GPU\. Use"):
        loading.load(folder, device="cuda")


def test_a_copy_of_a_folder_is_the_same_model(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    assert folders.model_sha256(copy) == folders.model_sha256(folder)
    assert folders.tokenizer_sha256(copy) == folders.tokenizer_sha256(folder)
