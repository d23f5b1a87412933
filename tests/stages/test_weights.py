"""Models are trained by their recipes, taken up after a kill, or taken from elsewhere."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from project import ROOT, write_tiny_params
from safetensors.torch import load_file, save_file
from tiny_models import save_model
from tiny_study import PAIR, only_roles

from backtracking.models import loading
from backtracking.stages import weights
from lifeboat.stage.errors import UserError

QUICK = {"steps": 12, "tokens_per_step": 256, "checkpoint_every": 4}


def project(root: Path, **base: object) -> list[str]:
    """Tiny parameters of a base and a reasoning model, with other values for the base."""
    quick = {"weights": {"base": QUICK | base, "reasoning": QUICK}}
    write_tiny_params(root / "params.yaml", only_roles(PAIR), quick)
    return ["--root", str(root)]


def fails(arguments: list[str], role: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What a run says that has to fail."""
    with pytest.raises(SystemExit) as ended:
        weights.main([*arguments, role])
    assert ended.value.code == 1
    return capsys.readouterr().err


def model_in(root: Path, role: str) -> dict[str, bytes]:
    """The files of a model."""
    return {path.name: path.read_bytes() for path in (root / "models" / role).iterdir()}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with its pair trained, one after the other."""
    root = tmp_path_factory.mktemp("trained")
    for role in PAIR:
        arguments = project(root)
        text = (root / "params.yaml").read_text()
        assert "n_processes: 2, n_threads: 1, device: cpu" in text
        (root / "params.yaml").write_text(text.replace("n_processes: 2", "n_processes: 1"))
        weights.main([*arguments, role])
    return root


def test_the_pair_is_trained_one_from_the_other(trained: Path) -> None:
    base, reasoning = (model_in(trained, role) for role in PAIR)
    assert base["tokenizer.json"] == reasoning["tokenizer.json"]
    assert base["model.safetensors"] != reasoning["model.safetensors"]
    first_loss = {
        role: float(files["training.csv"].decode().splitlines()[1].split(",")[1])
        for role, files in (("base", base), ("reasoning", reasoning))
    }
    assert first_loss["reasoning"] < first_loss["base"]


def test_what_is_not_there_yet_is_trained_beside_it_to_the_bytes_that_it_has_alone(
    trained: Path, tmp_path: Path
) -> None:
    weights.main([*project(tmp_path), "base"])
    store = tmp_path / ".cache" / "store" / "models"
    found = sorted(path for role in PAIR for path in (store / role).iterdir())
    assert len(found) == 2 + 2  # a unit and the claims of each
    weights.main([*project(tmp_path), "reasoning"])
    assert sorted(path for role in PAIR for path in (store / role).iterdir()) == found
    for role in PAIR:
        assert model_in(tmp_path, role) == model_in(trained, role)


def test_trained_once_it_is_found_again_and_another_seed_is_another_model(
    trained: Path, tmp_path: Path
) -> None:
    shutil.copytree(trained, tmp_path / "copy")
    root = tmp_path / "copy"
    shutil.rmtree(root / "models" / "reasoning")
    stored = sorted((root / ".cache/store/models/reasoning").iterdir())
    weights.main([*project(root), "reasoning"])
    assert model_in(root, "reasoning") == model_in(trained, "reasoning")
    assert sorted((root / ".cache/store/models/reasoning").iterdir()) == stored
    weights.main([*project(root, seed=99), "base"])
    assert model_in(root, "base") != model_in(trained, "base")


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_ended_in_the_middle_it_goes_on_to_the_same_bytes(
    trained: Path, tmp_path: Path, how: signal.Signals
) -> None:
    arguments = project(tmp_path)
    command = [sys.executable, "-m", "backtracking.stages.weights", *arguments, "base"]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)
    store = tmp_path / ".cache" / "store" / "models" / "base"
    deadline = time.monotonic() + 120
    while not list(store.glob("[0-9a-f]*.4.*")) and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(how)
    _, said = process.communicate(timeout=120)
    assert process.returncode == (75 if how == signal.SIGTERM else -how), said
    assert not (tmp_path / "models" / "base").exists()
    weights.main([*arguments, "base"])
    assert model_in(tmp_path, "base") == model_in(trained, "base")
    assert not list(store.glob("[0-9a-f]*.4.*"))


def test_a_further_pair_follows_the_recipes_of_the_first(trained: Path, tmp_path: Path) -> None:
    further = {
        "base-2": {"starts_from": "data/raw/problems", "base": None, "repeats": "base"},
        "reasoning-2": {"starts_from": "models/base-2", "base": "base-2", "repeats": "reasoning"},
    }
    source = {"source": "train", "revision": None, "muon_lr": 0.02, "adam_lr": 0.03}
    write_tiny_params(
        tmp_path / "params.yaml",
        only_roles(PAIR),
        {
            "models": {"roles": further},
            "weights": {
                "base-2": QUICK | source | {"seed": 11},
                "reasoning-2": QUICK | source | {"seed": 112},
            },
        },
    )
    for role in further:
        weights.main(["--root", str(tmp_path), role])
    # The seed and the recipe are those of `base`, and so is the model.
    assert model_in(tmp_path, "base-2") == model_in(trained, "base")
    assert model_in(tmp_path, "reasoning-2") != model_in(trained, "reasoning")


def test_a_start_that_is_not_the_recipes_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = project(tmp_path)
    text = (tmp_path / "params.yaml").read_text()
    wrong = text.replace("{starts_from: models/base,", "{starts_from: data/raw/problems,")
    assert wrong != text
    (tmp_path / "params.yaml").write_text(wrong)
    said = fails(arguments, "reasoning", capsys)
    assert "`reasoning` starts from nothing, and its recipe starts from base." in said


def test_a_domain_that_trains_nothing_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = project(tmp_path)
    text = (tmp_path / "params.yaml").read_text()
    mute = text.replace("name: organism", "name: mute").replace(
        "file: data/raw/.gitkeep", "file: x"
    )
    (tmp_path / "params.yaml").write_text(mute)
    (tmp_path / "x").write_text('{"prompt": "a"}\n')
    assert "the domain trains no models" in fails(arguments, "base", capsys)


def test_a_model_from_elsewhere_comes_with_its_very_bytes(tmp_path: Path) -> None:
    source = save_model(tmp_path / "source")
    (source / "optimizer.pt").write_bytes(b"not wanted")
    for given in (str(source), "../source"):
        root = tmp_path / "project"
        weights.main([*project(root, source=given), "base"])
        fetched = model_in(root, "base")
        assert fetched["model.safetensors"] == (source / "model.safetensors").read_bytes()
        assert "tokenizer.json" in fetched
        assert "optimizer.pt" not in fetched


def test_a_hub_model_without_a_pinned_revision_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = fails(project(tmp_path, source="somebody/model"), "base", capsys)
    assert "somebody/model has no `revision`. Pin the commit" in said


def test_a_folder_without_weights_is_refused_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = save_model(tmp_path / "source")
    (source / "model.safetensors").unlink()
    said = fails(project(tmp_path / "project", source=str(source)), "base", capsys)
    assert "has no weights (*.safetensors)" in said
    assert not (tmp_path / "project" / "models" / "base").exists()


TUNED = {
    "source": "train", "optimizer": "adamw", "steps": 6, "tokens_per_step": 400, "lr": 1e-3,
    "warmup": 2, "max_norm": 1.0, "context": 64, "autocast": "bfloat16", "seed": 5,
    "checkpoint_every": 2,
}  # fmt: skip


def tuned_project(root: Path, base: Path, **changed: object) -> list[str]:
    """A base that is taken from a folder, and a reasoning model that is fine-tuned from it."""
    taken = {"source": str(base), "revision": None, "dtype": "float32"}
    weights = {"base": taken, "reasoning": TUNED | changed}
    write_tiny_params(root / "params.yaml", only_roles(PAIR), {"weights": weights})
    return ["--root", str(root)]


def test_a_model_is_fine_tuned_from_one_that_was_taken_and_found_again(
    trained: Path, tmp_path: Path
) -> None:
    arguments = tuned_project(tmp_path, trained / "models" / "base")
    for role in PAIR:
        weights.main([*arguments, role])
    base, reasoning = (model_in(tmp_path, role) for role in PAIR)
    assert base["model.safetensors"] == model_in(trained, "base")["model.safetensors"]
    assert base["tokenizer.json"] == reasoning["tokenizer.json"]
    assert len(reasoning["training.csv"].splitlines()) == 1 + 6
    shutil.rmtree(tmp_path / "models" / "reasoning")
    stored = sorted((tmp_path / ".cache/store/models/reasoning").iterdir())
    weights.main([*arguments, "reasoning"])
    assert model_in(tmp_path, "reasoning") == reasoning
    assert sorted((tmp_path / ".cache/store/models/reasoning").iterdir()) == stored


def test_a_start_that_lacks_a_tensor_is_refused_and_none_of_it_is_random(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = tuned_project(tmp_path, trained / "models" / "base")
    weights.main([*arguments, "base"])
    path = tmp_path / "models" / "base" / "model.safetensors"
    held = load_file(path)
    left_out = next(name for name in held if "layers.1" in name)
    save_file({k: v for k, v in held.items() if k != left_out}, path, {"format": "pt"})
    said = fails(arguments, "reasoning", capsys)
    assert "lack 1 tensors" in said and left_out in said


def test_what_was_kept_of_a_training_fills_the_model_but_for_its_tied_head(tmp_path: Path) -> None:
    model = loading.read(save_model(tmp_path / "tiny"), "float32")
    kept = dict(model.named_parameters())
    weights._fill(model, kept)
    name = next(iter(kept))
    for wrong in ({k: v for k, v in kept.items() if k != name}, kept | {"more": kept[name]}):
        with pytest.raises(UserError, match=r"does not fit a LlamaForCausalLM: 1 tensors are miss"):
            weights._fill(model, wrong)


def test_keys_of_the_other_kinds_of_sources_are_refused_by_name(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = trained / "models" / "base"
    arguments = tuned_project(tmp_path, base, muon_lr=0.1)
    said = fails(arguments, "reasoning", capsys)
    assert "section `weights.reasoning`: unknown key `muon_lr`" in said
    arguments = tuned_project(tmp_path, base, source="models/base")
    assert "`source` expects" in fails(arguments, "reasoning", capsys)
    arguments = tuned_project(tmp_path, base, optimizer="sgd")
    assert "`optimizer` expects" in fails(arguments, "reasoning", capsys)


@pytest.mark.slow
def test_fine_tuning_that_is_killed_goes_on_to_the_same_bytes(
    trained: Path, tmp_path: Path
) -> None:
    made = {}
    for name, how in (("whole", None), ("killed", signal.SIGKILL)):
        root = tmp_path / name
        arguments = tuned_project(root, trained / "models" / "base", steps=40)
        weights.main([*arguments, "base"])
        if how:
            command = [sys.executable, "-m", "backtracking.stages.weights", *arguments, "reasoning"]
            process = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT / "src")})
            store = root / ".cache" / "store" / "models" / "reasoning"
            deadline = time.monotonic() + 240
            while not list(store.glob("[0-9a-f]*.[0-9]*")) and time.monotonic() < deadline:
                time.sleep(0.002)
            process.send_signal(how)
            assert process.wait(timeout=120) == -how
        weights.main([*arguments, "reasoning"])
        made[name] = model_in(root, "reasoning")
    assert made["whole"] == made["killed"]


def test_an_unknown_role_is_refused_with_the_valid_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = fails(project(tmp_path), "shufled", capsys)
    assert "`weights.shufled` is missing" in said
    assert "Did you mean `shuffled`?" in said
