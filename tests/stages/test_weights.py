from pathlib import Path

import pytest
from project import write_tiny_params
from ruamel.yaml import YAML
from tiny_models import save_model

from backtracking.models.training import Schedule
from backtracking.stages import weights


def set_params(root: Path, **values: object) -> None:
    """Tiny parameters with other values for the base."""
    write_tiny_params(root / "params.yaml")
    yaml = YAML()
    text = yaml.load((root / "params.yaml").read_text())
    text["weights"]["base"].update(values)
    with (root / "params.yaml").open("w") as file:
        yaml.dump(text, file)


def test_a_model_from_elsewhere_comes_with_its_very_bytes(tmp_path: Path) -> None:
    source = save_model(tmp_path / "source")
    (source / "optimizer.pt").write_bytes(b"not wanted")
    root = tmp_path / "project"
    set_params(root, source=str(source))
    weights.main(["--root", str(root), "base"])
    fetched = {path.name: path.read_bytes() for path in (root / "models" / "base").iterdir()}
    assert fetched["model.safetensors"] == (source / "model.safetensors").read_bytes()
    assert "tokenizer.json" in fetched
    assert "optimizer.pt" not in fetched


def test_a_hub_model_without_a_pinned_revision_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    set_params(tmp_path, source="somebody/model")
    with pytest.raises(SystemExit) as ended:
        weights.main(["--root", str(tmp_path), "base"])
    assert ended.value.code == 1
    assert "somebody/model has no `revision`. Pin the commit" in capsys.readouterr().err


def test_a_folder_without_weights_is_refused_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = save_model(tmp_path / "source")
    (source / "model.safetensors").unlink()
    set_params(tmp_path / "project", source=str(source))
    with pytest.raises(SystemExit):
        weights.main(["--root", str(tmp_path / "project"), "base"])
    assert "has no weights (*.safetensors)" in capsys.readouterr().err
    assert not (tmp_path / "project" / "models" / "base").exists()


def test_an_unknown_role_is_refused_with_the_valid_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    set_params(tmp_path)
    with pytest.raises(SystemExit):
        weights.main(["--root", str(tmp_path), "shufled"])
    error = capsys.readouterr().err
    assert "`weights.shufled` is missing" in error
    assert "Did you mean `shuffled`?" in error


def test_the_learning_rate_warms_up_stays_and_falls_to_zero() -> None:
    schedule = Schedule(100, 1024, 0.02, 0.03, 0, 50)
    assert schedule.factor(0) == pytest.approx(0.05)
    assert schedule.factor(30) == 1.0
    assert schedule.factor(75) == pytest.approx(0.5)
    assert schedule.factor(99) == pytest.approx(0.02)
