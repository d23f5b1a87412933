"""Control pairs trained side by side are those that would be trained one by one."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from project import ROOT, write_tiny_params

from backtracking.domains.organism.policy import BasePolicy, Policy
from backtracking.domains.organism.recipes import RECIPES, recipe_of
from backtracking.domains.organism.world import World
from backtracking.runtime.workspace import Roles, Workspace
from backtracking.stages import controls, weights

ROLES = ("shuffled", "nostatement-base", "nostatement", "scratch")


def write_params(root: Path) -> None:
    """Tiny parameters, with two models at once."""
    write_tiny_params(root / "params.yaml")
    text = (root / "params.yaml").read_text()
    assert "n_at_once: 1  " in text
    (root / "params.yaml").write_text(text.replace("n_at_once: 1  ", "n_at_once: 2  ", 1))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with its base trained, and its control pairs."""
    root = tmp_path_factory.mktemp("controls")
    write_params(root)
    weights.main(["--root", str(root), "base"])
    controls.main(["--root", str(root)])
    return root


def weights_of(root: Path) -> dict[str, bytes]:
    """The bytes of every control model."""
    return {role: (root / "models" / role / "model.safetensors").read_bytes() for role in ROLES}


def test_side_by_side_they_are_what_they_are_in_turn(root: Path, tmp_path: Path) -> None:
    write_tiny_params(tmp_path / "params.yaml")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "base").symlink_to(root / "models" / "base")
    controls.main(["--root", str(tmp_path)])
    assert weights_of(tmp_path) == weights_of(root)


def test_no_checkpoint_is_left(root: Path) -> None:
    assert not list((root / ".cache" / "store" / "checkpoints").glob("*"))


def test_what_one_starts_from_is_trained_first(root: Path) -> None:
    order = controls._in_order(Workspace(root), ROLES)
    assert order.index("nostatement-base") < order.index("nostatement")


def test_ended_in_the_middle_it_goes_on_to_the_same_bytes(root: Path, tmp_path: Path) -> None:
    write_params(tmp_path)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "base").symlink_to(root / "models" / "base")
    command = [sys.executable, "-m", "backtracking.stages.controls", "--root", str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)
    store = tmp_path / ".cache" / "store" / "checkpoints"
    deadline = time.monotonic() + 120
    while not list(store.glob("*.safetensors")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 75, said
    controls.main(["--root", str(tmp_path)])
    assert weights_of(tmp_path) == weights_of(root)


def test_the_base_without_statements_never_reads_over_or_under() -> None:
    from random import Random

    world = World((4,), 5, 12, 1, 0.2, 0.05)
    corpora = {
        role: recipe_of(role).corpus(BasePolicy(p_check=1.0) if recipe_of(role).walks else Policy())
        for role in RECIPES
    }
    said: dict[str, set[str]] = {role: set() for role in RECIPES}
    for seed in range(200):
        numbers, target = world.draw(Random(seed))
        for role, corpus in corpora.items():
            for sentence in corpus(numbers, target, Random(seed)):
                said[role].update(sentence)
    assert {"over", "under"} <= said["base"]
    assert not {"over", "under", "equal", "Check"} & said["nostatement-base"]
    assert "Check" in said["nostatement"]


def test_every_pair_names_its_base_once_and_before_what_is_paired_with_it() -> None:
    roles = Roles({"shuffled": "base", "nostatement": "nostatement-base", "scratch": "base"})
    assert roles.all == (
        "base", "reasoning", "shuffled", "nostatement-base", "nostatement", "scratch",
    )  # fmt: skip
    assert roles.bases == ("base", "nostatement-base")


def test_a_control_model_that_fails_fails_the_stage_with_its_reason(
    root: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_params(tmp_path)
    with pytest.raises(SystemExit) as ended:
        controls.main(["--root", str(tmp_path)])
    assert ended.value.code == 1
    assert "ended with code" in capfd.readouterr().err
