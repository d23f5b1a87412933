"""Stages as runs of W&B, offline, read back from the files that `wandb sync` would send."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from project import environment
from tracked import Tracked, read_runs

from backtracking import PROJECT_ROOT, cli
from backtracking.records.choices import Choice, write_choices
from backtracking.records.directions import Direction, write_directions
from backtracking.records.places import Place
from backtracking.report import recorded
from lifeboat.stage.errors import UserError

SVG = '<svg xmlns="http://www.w3.org/2000/svg"></svg>'
LOCK = """\
schema: '2.0'
stages:
  weights@base:
    deps: [{path: data/raw, hash: md5, md5: d0.dir}]
    params: {params.yaml: {weights.base: {steps: 3, api_key: hunter2hunter2}}}
    outs: [{path: models/base, hash: md5, md5: m0.dir}]
  directions:
    params: {params.yaml: {directions: {seed: 41}}}
    outs: [{path: results/directions, hash: md5, md5: f1.dir}]
  summary:
    outs:
    - {path: results/tables/dose.csv, md5: c2}
    - {path: results/metrics.json, md5: c3}
    - {path: figures/dose.svg, md5: c4}
    - {path: results/gone.json, md5: c5}
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a lock, what its stages wrote, and runs that were told twice."""
    root = tmp_path_factory.mktemp("recorded")
    files = {
        "dvc.lock": LOCK,
        "models/base/training.csv": "step,loss\n1,4.5\n2,3.5\n",
        "models/base/config.json": '{"d_model": 64}',
        "results/directions/rows.json": json.dumps([{"a": {"value": 0.5}, "b": [{"x": 1}]}]),
        "results/directions/texts.jsonl": '{"text": "hostile words"}\n' * 3,
        "results/directions/large.json": json.dumps({"x" * recorded.LARGEST: 1}),
        "results/tables/dose.csv": "dose,own\n-1,0.1\n1,0.75\n",
        "results/metrics.json": '{"effect": 0.1829, "holds": true, "how": "words"}',
        "figures/dose.svg": SVG,
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    places = [Place(role, "matched", (0, 0), layer) for role in ("base", "own") for layer in (1, 2)]
    vectors = [Direction(place, torch.arange(4.0)) for place in places]
    write_directions(root / "results/directions", vectors)
    for command in (["init", "-q"], ["add", "-f", "dvc.lock"], ["commit", "-qm", "study"]):
        subprocess.run(["git", *command], cwd=root, env=environment(), check=True)
    write_choices(root / "results/steer", Choice("own", "base", 2, (0, 0), 1.0), ())
    said = [track(root), track(root, "--direction")]
    assert "3 stages: weights@base, directions, summary." in said[0]
    command = re.findall(r"`wandb sync (.*)` sends them", said[0])
    sent = subprocess.run(
        [sys.executable, "-m", "wandb", "sync", "--dry-run", *command],
        capture_output=True, text=True, check=True, cwd=root, env=environment(),
    )  # fmt: skip
    assert command == [str(root / "wandb" / "wandb")] and "Would sync 4 run(s)" in sent.stderr
    assert "0 stages: all were told before." in said[1] and "direction-layer-2 is" in said[1]
    return root


def track(root: Path, *options: str) -> str:
    """What the verb says, in a process of its own."""
    command = [sys.executable, "-c", "from backtracking.cli import main; main()"]
    done = subprocess.run(
        [*command, "--root", str(root), "track", *options],
        env=environment(
            PYTHONPATH=str(PROJECT_ROOT / "src"), WANDB_MODE="offline", HOME=str(root / "home")
        ),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.fixture(scope="module")
def runs(root: Path) -> dict[str, Tracked]:
    return read_runs(root / "wandb")


def test_every_stage_is_a_run_of_its_parameters_with_the_hashes_of_dvc_and_git(
    root: Path, runs: dict[str, Tracked]
) -> None:
    assert set(runs) == {"weights@base", "directions", "summary", "direction-layer-2"}
    run = runs["weights@base"]
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True
    )
    assert run.job_type == "weights" and run.config["params"]["weights.base"]["steps"] == 3
    assert run.config["dvc"] == {"deps": {"data/raw": "d0.dir"}, "outs": {"models/base": "m0.dir"}}
    assert run.config["git"] == {"commit": head.stdout.strip(), "is_changed": False}


def test_curves_numbers_tables_and_figures_are_told(runs: dict[str, Tracked]) -> None:
    assert [step["loss"] for step in runs["weights@base"].history] == [4.5, 3.5]
    told = runs["summary"].summary
    assert told["effect"] == 0.1829 and told["holds"] in (True, 1)
    assert told["results/tables/dose.csv/nrows"] == 2
    assert told["figures/dose.svg/_type"] == "html-file"
    assert runs["directions"].summary["results/directions/rows.json/ncols"] == 2
    assert runs["directions"].summary["n_rows/results/directions/texts.jsonl"] == 3


def test_the_direction_is_an_artifact_that_says_where_it_comes_from(
    runs: dict[str, Tracked],
) -> None:
    metadata = runs["direction-layer-2"].artifacts["direction", "direction-layer-2"]
    assert metadata["dvc"]["outs"] == {"results/directions": "f1.dir"}
    assert metadata["params"] == {"directions": {"seed": 41}}
    assert len(metadata["git"]["commit"]) == 40


def test_no_text_no_weights_and_no_secret_leave(root: Path, runs: dict[str, Tracked]) -> None:
    assert runs["weights@base"].config["params"]["weights.base"]["api_key"] == "[redacted]"
    written = [path for path in (root / "wandb").rglob("*") if path.is_file()]
    for hidden in (b"hostile words", b"hunter2hunter2", b"x" * 1000, b"d_model"):
        assert not any(hidden in path.read_bytes() for path in written)


def test_without_tracking_it_says_how_to_begin(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    assert recorded.log_stages(root) == []
    with pytest.raises(SystemExit):
        cli.main(["--root", str(root), "track"])
    assert "Give WANDB_API_KEY in .env, or WANDB_MODE=offline" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["stages: 3", "a: [", "stages: {a: {outs: [{md5: x}]}}"])
def test_a_broken_lock_is_told(text: str, tmp_path: Path) -> None:
    assert recorded.read_lock(tmp_path) == []
    (tmp_path / "dvc.lock").write_text(text)
    with pytest.raises(UserError, match="is no lock of DVC"):
        recorded.read_lock(tmp_path)
