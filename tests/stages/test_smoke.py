import json
from pathlib import Path

import pytest

from backtracking.models import hooks
from backtracking.runtime import params
from backtracking.runtime.workspace import Workspace
from backtracking.stages import smoke

PARAMS = smoke.Params(n_layers=2, d_model=16, n_tokens=8, seed=0, tolerance=1e-4)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "params.yaml").write_text(
        "smoke: {n_layers: 2, d_model: 16, n_tokens: 8, seed: 0, tolerance: 1.0e-4}\n"
    )
    return tmp_path


def test_the_projects_own_section_fits() -> None:
    params.load(smoke.Params, "smoke", Workspace().params)


def test_a_sound_machine_passes_and_says_plainly_where_it_looked(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    smoke.main(["--root", str(root)])
    assert "there is NO GPU that torch can use" in capsys.readouterr().out
    metrics = json.loads((root / "results" / "smoke" / "metrics.json").read_text())
    assert metrics == {
        "add_vector_adds": True,
        "devices_agree": True,
        "hook_reads_resid_post": True,
        "tolerance": 1e-4,
    }
    assert json.loads((root / "logs" / "smoke.json").read_text())["gpu"] is None


def test_the_metrics_are_the_same_bytes_twice(root: Path) -> None:
    smoke.main(["--root", str(root)])
    first = (root / "results" / "smoke" / "metrics.json").read_bytes()
    smoke.main(["--root", str(root)])
    assert (root / "results" / "smoke" / "metrics.json").read_bytes() == first


def test_a_device_that_computes_something_else_fails(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = hooks.add_vector
    monkeypatch.setattr(hooks, "add_vector", lambda blocks, layer, v: real(blocks, layer, 1.01 * v))
    with pytest.raises(SystemExit) as ended:
        smoke.main(["--root", str(root)])
    assert ended.value.code == 1
    assert "add_vector_adds failed (largest deviation 1.0e-02" in capsys.readouterr().err
    metrics = json.loads((root / "results" / "smoke" / "metrics.json").read_text())
    assert metrics["add_vector_adds"] is False
    assert metrics["hook_reads_resid_post"] is True


def test_a_second_device_is_held_to_the_first() -> None:
    deviations = smoke.run(PARAMS, ["cpu", "cpu:0"])
    assert set(deviations["devices_agree"]) == {"cpu:0 logits", "cpu:0 resid_post", "cpu:0 steered"}
    assert smoke.verdicts(PARAMS, deviations)["devices_agree"]
    deviations["devices_agree"]["cpu:0 logits"] = 2e-4
    assert not smoke.verdicts(PARAMS, deviations)["devices_agree"]


@pytest.mark.parametrize(
    ("change", "message"),
    [({"d_model": 12}, "multiple of 8"), ({"tolerance": 0.0}, "between 0 and 1")],
)
def test_a_size_that_makes_no_model_is_refused(change: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        smoke.Params(**{**vars(PARAMS), **change})  # type: ignore[arg-type]
