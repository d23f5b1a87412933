"""`backtracking extract` in an empty folder: no DVC, no params.yaml, nothing of the study."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from extraction_helpers import contents, write_traces

from backtracking import PROJECT_ROOT, cli
from backtracking.activations.reader import ActivationStore
from backtracking.extraction import standalone
from backtracking.extraction.items import Item
from lifeboat.stage.errors import UserError


@pytest.fixture
def folder(items: list[Item], model_folder: Path, tmp_path: Path) -> Path:
    (tmp_path / "model").symlink_to(model_folder)
    write_traces(items, tmp_path)
    return tmp_path


EXTRACT = ("extract", "--model", "model", "--traces", "traces.jsonl", "--out", "out")
WINDOWS = ("--sentences", "sentences.jsonl", "--window=-2:3")


def command(*options: str) -> list[str]:
    return [sys.executable, "-c", "from backtracking.cli import main; main()", *EXTRACT, *options]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(PROJECT_ROOT / "src"), "OMP_NUM_THREADS": "1"}


def extract(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*options), cwd=folder, env=environment(), capture_output=True, text=True,
        check=False,
    )  # fmt: skip


def test_it_writes_a_store_and_says_what_it_did(folder: Path, items: list[Item]) -> None:
    done = extract(folder, "--layers", "0,2", "--json")
    assert done.returncode == 0, done.stderr
    store = ActivationStore(folder / "out")
    store.verify()
    assert store.layers == (0, 2)
    assert len(store.rows) == sum(len(item.ids) for item in items)
    said = json.dumps(json.loads(done.stdout))
    assert f"{len(store.rows):,} rows" in said and "Self-check on" in said
    assert {path.name for path in folder.iterdir()} == {
        "model", "traces.jsonl", "sentences.jsonl", "out", ".out.store",
    }  # fmt: skip


@pytest.mark.slow
def test_later_runs_keep_the_portions_and_add_only_what_is_missing(folder: Path) -> None:
    assert extract(folder, *WINDOWS, "--unit-traces", "5", "--layers", "0").returncode == 0
    n_shards = len(list((folder / "out").glob("*.safetensors")))
    again = extract(folder, *WINDOWS, "--layers", "0")
    assert "0 computed now" in again.stdout
    assert len(list((folder / "out").glob("*.safetensors"))) == n_shards == 5
    more = extract(folder, *WINDOWS, "--layers", "0-1", "--means")
    assert more.returncode == 0, more.stderr
    assert ActivationStore(folder / "out").layers == (0, 1)


@pytest.mark.slow
def test_two_workers_give_the_bytes_of_one(folder: Path) -> None:
    portions = ("--unit-traces", "3", "--threads", "1")
    assert extract(folder, *WINDOWS, *portions).returncode == 0
    one = contents(folder / "out")
    (folder / "out").rename(folder / "alone")
    done = extract(folder, *WINDOWS, *portions, "--workers", "2", "--store", "other")
    assert done.returncode == 0, done.stderr
    assert contents(folder / "out") == one


@pytest.mark.slow
def test_asked_to_stop_it_ends_with_75_and_goes_on_later(folder: Path) -> None:
    options = (*WINDOWS, "--unit-traces", "1", "--threads", "1")
    process = subprocess.Popen(
        command(*options), cwd=folder, env=environment(), stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    store = folder / ".out.store"
    while not list(store.glob("[!.]*.json")):
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 75
    n_finished = len(list(store.glob("[!.]*.json")))
    assert n_finished and not (folder / "out").exists()
    done = extract(folder, *options)
    assert done.returncode == 0, done.stderr
    assert len(list(store.glob("[!.]*.json"))) > n_finished


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--layers", "0,x"), "is not a list of layers"),
        (("--layers", "0-9"), "Expected layers from 0 to 2"),
        (("--window=-2:3",), "no sentences were given"),
        (("--sentences", "sentences.jsonl", "--window=3"), "is not a window"),
        (("--sentences", "sentences.jsonl", "--window=3:1"), "ends before it begins"),
        (("--dtype", "int8"), "'int8' is not a dtype"),
        (("--hook", "resid_mid"), "resid_mid"),
        (("--sentences", "nowhere.jsonl"), "does not exist"),
    ],
)
def test_a_wrong_option_is_one_readable_paragraph(
    folder: Path,
    options: tuple[str, ...],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["backtracking", *EXTRACT, *options])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code not in (0, 75)
    said = capsys.readouterr().err
    assert message in " ".join(said.split())
    assert "Traceback" not in said
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    ("text", "layers"), [("all", (0, 1, 2, 3)), ("2", (2,)), ("3,0-1", (0, 1, 3))]
)
def test_layers_are_read_from_a_list(text: str, layers: tuple[int, ...]) -> None:
    assert standalone.parse_layers(text, 4) == layers
    with pytest.raises(UserError):
        standalone.parse_layers("one", 4)
