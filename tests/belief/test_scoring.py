"""`backtracking bench-directions` on good and on broken files, over a tiny study of its own."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from belief_helpers import (
    D_MODEL,
    DOMAIN,
    N_LAYERS,
    TOKENS,
    make_pairs,
    save_world_model,
)
from project import write_tiny_params

from backtracking import cli
from backtracking.belief.doses import Candidate
from backtracking.belief.measure import Subject, measure, with_action
from backtracking.belief.plan import Points
from backtracking.belief.scoring import Section
from backtracking.effects.belief.tabulating import tabulate
from backtracking.models import loading
from backtracking.records import reader
from backtracking.records.directions import Direction, write_directions
from backtracking.records.pairs import MinimalPair, write_pairs
from backtracking.records.places import Place
from backtracking.records.rows.belief import Selection
from backtracking.records.sentences import write_kinds
from backtracking.records.tokens import write_tokens
from backtracking.report.tables import flatten
from backtracking.runtime import params
from backtracking.runtime.workspace import Workspace
from backtracking.statistics.bootstrap import Bootstrap
from lifeboat.stage.errors import UserError

SHIPPED = torch.randn(D_MODEL, generator=torch.Generator().manual_seed(1))


def choose_pairs() -> list[MinimalPair]:
    """Ten points with donors of dev and of test."""
    with_donor = [
        [pair for pair in make_pairs(12, split) if pair.donor_ids] for split in ("dev", "test")
    ]
    return [pair for pairs in with_donor for pair in pairs[:10]]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with the outs that the verb reads."""
    root = tmp_path_factory.mktemp("study")
    workspace, outs = Workspace(root), root / "results" / "belief"
    judged = root / "results" / "effects"
    write_tiny_params(workspace.params)
    save_world_model(workspace.model("reasoning"), seed=2)
    loaded = loading.load(workspace.model("reasoning"))
    vector = torch.randn(D_MODEL, generator=torch.Generator().manual_seed(2))
    action = Direction(Place("reasoning", "action"), vector)
    write_directions(workspace.results("directions"), [action])
    write_kinds(workspace.labels / "kinds.json", DOMAIN.kinds)
    write_tokens(workspace.labels / "tokens.json", TOKENS)
    points = Points(choose_pairs(), DOMAIN.kinds, TOKENS)
    write_pairs(outs / "pairs.jsonl", points.pairs)
    shipped = [Candidate("shipped", layer, SHIPPED) for layer in range(N_LAYERS)]
    subject = Subject("reasoning", loaded, with_action(shipped, action), "shipped")
    section = params.load(Section, "belief", workspace.params)
    (asked,) = measure(section, [subject], points, do)
    n_layers = {"reasoning": N_LAYERS}
    selection = Selection(1, "0:0", "dev", {}, tuple(asked.doses), n_layers, points.sign, "")
    reader.write_json(outs / "selection.json", selection)
    bootstrap = params.load(Bootstrap, "statistics", workspace.params)
    pair = {"reasoning": "base"}
    for name, rows in tabulate(selection, pair, [asked.measured], points.pairs, bootstrap).items():
        reader.write_json(judged / "belief" / f"{name}.json", rows)
    return root


def do(jobs: Sequence[Callable[[], Any]]) -> list[Any]:
    return [job() for job in jobs]


def save(path: Path, **vectors: torch.Tensor) -> Path:
    named = {name.replace("__", "."): vector.clone() for name, vector in vectors.items()}
    safetensors.torch.save_file(named, path)
    return path


def run(root: Path, *arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--root", str(root), "bench-directions", *arguments])
    return int(ended.value.code or 0)


def test_a_shipped_direction_scores_in_a_file_as_it_does_in_the_stage(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever its norm; the other direction at another layer does not disturb it."""
    file = save(tmp_path / "v.safetensors", mine__2=100 * SHIPPED, other=SHIPPED.flip(0))
    assert run(study, str(file), "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] and answer["command"] == "bench-directions"
    keys = [
        (row["direction"], row["layer"], row["span"], row["readout"]) for row in answer["scores"]
    ]
    places = [(1, span, readout) for span in ("E1", "E2") for readout in ("b", "c")]
    assert sorted(keys) == sorted(
        [*(("other", *place) for place in places), *(("mine", 2, *place[1:]) for place in places)]
    )
    shipped = {
        (row["layer"], row["span"], row["readout"]): flatten(row)
        for row in answer["baselines"]
        if row["direction"] == "shipped"
    }
    for row in answer["scores"]:
        if row["direction"] == "mine":
            for key, value in flatten(row).items():
                expected = shipped[2, row["span"], row["readout"]][key]
                if isinstance(value, float):
                    assert value == pytest.approx(expected, rel=1e-3, abs=1e-4), key
                elif key != "direction":
                    assert value == expected, key
    assert {row["layer"] for row in answer["baselines"]} == {1, 2}
    assert "action" in {row["direction"] for row in answer["baselines"]}


def test_a_file_is_held_against_the_random_directions_of_the_stage(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """At every layer that anything can read, and at the last one against none."""
    file = save(tmp_path / "v.safetensors", a__0=SHIPPED, b__1=SHIPPED, c__2=SHIPPED)
    assert run(study, str(file), "--json") == 0
    rows = json.loads(capsys.readouterr().out)["scores"]
    dosed = [row for row in rows if row["dose"] > 0]
    assert dosed
    for row in dosed:
        has_null = [row[key] is not None for key in ("null", "p", "flipped_null")]
        assert has_null == [row["layer"] < N_LAYERS - 1] * 3
        if row["layer"] == N_LAYERS - 1:
            assert row["verdict"] == "untestable"


def test_the_table_names_every_direction_and_the_baselines_beside(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = save(tmp_path / "v.safetensors", mine__0=SHIPPED, mine__2=SHIPPED, plain=SHIPPED)
    assert run(study, str(file), "--layer", "2") == 0
    out = capsys.readouterr().out
    counts = [out.count(f"\n{name} ") for name in ("mine", "plain", "shipped", "action")]
    assert counts == [4, 4, 4, 4]
    assert "verdict" in out and "untestable" in out


BROKEN = {
    "shape": ({"v__1": torch.ones(D_MODEL + 1)}, [], r"`v.1`.*shape \[16\].*found.*\[17\]"),
    "matrix": ({"v__1": torch.ones(2, D_MODEL)}, [], r"found float32 of shape \[2, 16\]"),
    "integers": ({"v__1": torch.ones(D_MODEL, dtype=torch.int64)}, [], "found int64"),
    "nan": ({"v__1": torch.full((D_MODEL,), torch.nan)}, [], "NaN or infinity in 16 of 16"),
    "zeros": ({"v__1": torch.zeros(D_MODEL)}, [], "`v.1` is all zeros"),
    "layer": ({"v__7": SHIPPED}, [], "names layer 7, and the model has layers 0 to 2"),
    "asked": ({"v__1": SHIPPED}, ["--layer", "9"], "--layer 9: the model has layers 0 to 2"),
    "missing": ({"v__1": SHIPPED}, ["--layer", "2"], "holds no vector at layer 2"),
    "reserved": ({"action__1": SHIPPED}, [], "one of the experiment's own arms"),
    "twice": ({"v": SHIPPED, "v__1": SHIPPED}, [], "stands twice for layer 1"),
    "empty": ({}, [], "holds no vector"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_file_that_cannot_be_scored_is_one_paragraph_and_exit_one(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    vectors, options, message = BROKEN[case]
    assert run(study, str(save(tmp_path / "v.safetensors", **vectors)), *options) == 1
    error = capsys.readouterr().err
    told = [line for line in error.splitlines() if line.startswith("error: ")]
    assert len(told) == 1 and "Traceback" not in error
    pytest.raises(UserError, _fail, told[0]).match(message)


def _fail(message: str) -> None:
    raise UserError(message)


def test_what_is_no_safetensors_file_is_said_to_be_none(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "v.pt"
    torch.save({"v.1": SHIPPED}, path)
    assert run(study, str(path)) == 1
    assert "is no safetensors file" in capsys.readouterr().err
    assert run(study, str(tmp_path / "none"), "--json") == 1
    answer = json.loads(capsys.readouterr().out)
    assert not answer["ok"] and "is no file" in answer["items"][0]["fact"]


def test_without_the_stage_s_outs_the_cure_is_named(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_tiny_params(tmp_path / "params.yaml")
    assert run(tmp_path, str(save(tmp_path / "v.safetensors", v=SHIPPED))) == 1
    assert "dvc --wait-for-lock repro" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["a", "b"], ["a", "--layer", "two"], ["a", "--loud"]])
def test_wrong_use_is_two(study: Path, arguments: list[str]) -> None:
    assert run(study, *arguments) == 2


def test_a_study_without_pairs_says_that_nothing_can_be_scored(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copied = tmp_path / "mute"
    shutil.copytree(study, copied)
    write_pairs(copied / "results" / "belief" / "pairs.jsonl", [])
    assert run(copied, str(save(tmp_path / "v.safetensors", v=SHIPPED))) == 1
    assert "there are no minimal pairs of dev and test" in capsys.readouterr().err
