import json
import shutil
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from backtracking import PROJECT_ROOT
from backtracking.models.sizes import Model, hub_cache, models
from lifeboat.stage.errors import UserError

CONFIG = {
    "num_hidden_layers": 28,
    "hidden_size": 1536,
    "intermediate_size": 8960,
    "vocab_size": 151936,
    "num_attention_heads": 12,
    "num_key_value_heads": 2,
    "tie_word_embeddings": False,
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    shutil.copyfile(PROJECT_ROOT / "params.yaml", tmp_path / "params.yaml")
    return tmp_path


def take(root: Path, source: str, revision: str = "null") -> None:
    """Makes the reasoning model one from elsewhere."""
    before, rest = (root / "params.yaml").read_text().split("  reasoning:\n    source: train", 1)
    rest = rest.replace("revision: null", f"revision: {revision}", 1)
    (root / "params.yaml").write_text(f"{before}  reasoning:\n    source: {source}{rest}")


def write_model(folder: Path, config: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    if tensors:
        save_file(tensors, folder / "model.safetensors")


def reasoning(root: Path) -> Model:
    (model,) = (model for model in models(root) if model.role == "reasoning")
    return model


def test_every_role_of_the_default_study_is_small_and_trained_here(root: Path) -> None:
    found = models(root)
    assert [model.role for model in found][:2] == ["base", "reasoning"]
    assert len(found) == 7
    assert all(model.is_trained_here and model.is_here for model in found)
    assert all(10_000 < (model.n_parameters or 0) < 1_000_000 for model in found)


def test_a_role_with_the_weights_of_another_is_as_large_and_fetched_with_it(root: Path) -> None:
    take(root, "some/model", "0123")
    by_role = {model.role: model for model in models(root)}
    assert by_role["alien"].source == by_role["reasoning"].source == "some/model"
    assert not by_role["alien"].is_here
    assert by_role["alien-base"].is_here


def test_a_folder_is_counted_tensor_by_tensor(root: Path) -> None:
    tensors = {"a": torch.zeros(3, 5), "b": torch.zeros(7, dtype=torch.bfloat16)}
    write_model(root / "weights here", CONFIG, tensors)
    take(root, "weights here")
    model = reasoning(root)
    assert (model.n_layers, model.d_model, model.n_parameters) == (28, 1536, 22)
    assert model.is_here


def test_a_cached_hub_model_is_found_at_its_revision(root: Path) -> None:
    take(root, "some/model", "abc123")
    cached = hub_cache(root) / "models--some--model" / "snapshots"
    write_model(cached / "other", CONFIG, {})
    assert reasoning(root) == Model("reasoning", "some/model", revision="abc123")
    write_model(cached / "abc123", CONFIG, {})
    model = reasoning(root)
    assert not model.is_here
    # DeepSeek-R1-Distill-Qwen-1.5B has this configuration and 1.78 billion parameters.
    assert model.n_parameters == pytest.approx(1.777e9, rel=0.01)


def test_the_caches_of_the_environment_are_the_ones_that_are_looked_into(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert hub_cache(root) == root / ".cache" / "huggingface" / "hub"
    monkeypatch.setenv("HF_HOME", "/somewhere")
    assert hub_cache(root) == Path("/somewhere/hub")
    monkeypatch.setenv("HF_HUB_CACHE", "/elsewhere")
    assert hub_cache(root) == Path("/elsewhere")


@pytest.mark.parametrize(
    "data",
    [b"", b"\x01", struct.pack("<Q", 2**62) + b"{}", struct.pack("<Q", 2) + b"[]", b"\0" * 99],
)
def test_files_that_are_no_weights_are_counted_as_none(root: Path, data: bytes) -> None:
    write_model(root / "odd", {"num_hidden_layers": "many", "hidden_size": True}, {})
    (root / "odd" / "model.safetensors").write_bytes(data)
    take(root, "odd")
    model = reasoning(root)
    assert (model.n_layers, model.d_model, model.n_parameters) == (None, None, None)


def test_a_parameter_file_without_models_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("seed: 1\n")
    with pytest.raises(UserError, match="`models` is missing"):
        models(tmp_path)
