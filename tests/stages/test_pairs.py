"""Further pairs: what each is, and that a model from elsewhere has none."""

from pathlib import Path

import pytest
from project import write_tiny_params
from ruamel.yaml import YAML

from backtracking.stages import pairs, weights


def set_params(root: Path, n_pairs: int, source: str = "organism") -> None:
    """Tiny parameters with so many pairs, trained for a few steps."""
    write_tiny_params(root / "params.yaml")
    yaml = YAML()
    values = yaml.load((root / "params.yaml").read_text())
    values["pairs"]["n_pairs"] = n_pairs
    values["weights"]["base"] |= {"steps": 4, "source": source}
    values["weights"]["reasoning"] |= {"steps": 3}
    with (root / "params.yaml").open("w") as file:
        yaml.dump(values, file)


def model(root: Path, name: str) -> bytes:
    return (root / "models" / name / "model.safetensors").read_bytes()


def test_a_further_pair_is_what_the_study_would_have_trained_from_its_seeds(tmp_path: Path) -> None:
    root, other = tmp_path / "study", tmp_path / "other"
    set_params(root, 3)
    pairs.main(["--root", str(root)])
    set_params(other, 1)
    text = (other / "params.yaml").read_text()
    (other / "params.yaml").write_text(
        text.replace("seed: 11\n", "seed: 211\n").replace("seed: 12\n", "seed: 212\n")
    )
    for role in ("base", "reasoning"):
        weights.main(["--root", str(other), role])
        assert model(root, f"pairs/3/{role}") == model(other, role)
        assert model(root, f"pairs/2/{role}") != model(other, role)


def test_a_pair_that_is_not_trained_here_has_no_further_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    set_params(tmp_path, 2, source="some/model")
    with pytest.raises(SystemExit):
        pairs.main(["--root", str(tmp_path)])
    error = capsys.readouterr().err
    assert "`weights.base.source` is some/model" in error
    assert "Set `pairs.n_pairs: 1`." in error


def test_a_pair_that_fails_fails_the_stage_and_publishes_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    set_params(tmp_path, 2)
    text = (tmp_path / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text.replace("p_wait_for:", "p_weight_for:"))
    with pytest.raises(SystemExit) as ended:
        pairs.main(["--root", str(tmp_path)])
    assert ended.value.code == 1
    error = capfd.readouterr().err
    assert "unknown key `p_weight_for`" in error
    assert "Training a further pair failed" in error
    assert not (tmp_path / "models" / "pairs").exists()


def test_fewer_than_one_pair_is_refused() -> None:
    with pytest.raises(ValueError, match="n_pairs"):
        pairs.Params(0, 100, 2, 1)
