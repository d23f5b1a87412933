"""`backtracking store check`: what stores hold that were made before the rules."""

import dataclasses
import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from extraction.families import LIMIT, build
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from backtracking.activations.format import Positions
from backtracking.cli import app
from backtracking.extraction import engine, rechecking
from backtracking.extraction.items import Item
from backtracking.extraction.planning import Request
from backtracking.models import loading
from backtracking.models.lengths import Lengths
from backtracking.models.loading import LoadedModel
from lifeboat.stage import artifacts

pytestmark = pytest.mark.kind(6)

LENGTHS = (8, 9, LIMIT - 1, LIMIT + 2, 30, 12, 11, LIMIT)


class AsBefore(Lengths):
    """Lengths as they were seen before: all alike."""

    vary = False  # type: ignore[assignment]

    def __init__(self) -> None:
        self.made_for, self.remembered = 128, ()

    def holds(self, n: int) -> bool:
        return True

    def formula(self, n: int) -> str:
        return ""


def write(folder: Path, name: str, lengths: tuple[int, ...] = LENGTHS) -> list[Item]:
    build(name).save_pretrained(folder / "m")
    chosen = random.Random(2)
    items = [
        Item(n, [chosen.randrange(3, 39) for _ in range(k)], {}) for n, k in enumerate(lengths)
    ]
    artifacts.write_jsonl(folder / "t.jsonl", ({"token_ids": item.ids} for item in items))
    return items


def extract(model: LoadedModel, items: list[Item], folder: Path, floor: float = 1e-5) -> None:
    request = Request((0, 1, 2), Positions(None), "float32", 4, 60, 1)
    engine.extract(model, items, request, store=folder / "s", out=folder / "o", floor=floor)


def check(folder: Path, *more: str) -> tuple[int, dict[str, Any]]:
    asked = ["store", "check", str(folder / "o"), "--model", str(folder / "m"), "--json"]
    found = CliRunner().invoke(app, [*asked, "--traces", str(folder / "t.jsonl"), *more])
    return found.exit_code, json.loads(found.output[found.output.index("{\n") :])


def wrong_in(answer: dict[str, Any]) -> list[str]:
    return [item["fact"] for item in answer["items"] if item["verdict"] == "wrong"]


@pytest.mark.parametrize(
    "name",
    [
        "phi3-longrope",
        "llama-dynamic",
        pytest.param("llama-longrope", marks=pytest.mark.slow),
        pytest.param("phimoe", marks=pytest.mark.slow),
    ],
)
def test_a_store_made_before_is_told_by_trace_and_made_anew(name: str, tmp_path: Path) -> None:
    items = write(tmp_path, name)
    model = loading.load(tmp_path / "m")
    extract(dataclasses.replace(model, lengths=AsBefore()), items, tmp_path, floor=1e9)
    code, answer = check(tmp_path, "--floor", "1e-5")
    assert code == 1
    assert any("Trace 2 of 23 tokens differs by" in fact for fact in wrong_in(answer))
    extract(model, items, tmp_path)
    code, answer = check(tmp_path)
    assert (code, wrong_in(answer)) == (0, [])


@pytest.mark.parametrize("name", ["llama", "opt"])
def test_a_store_without_fault_is_told_to_be_so(name: str, tmp_path: Path) -> None:
    items = write(tmp_path, name)
    extract(loading.load(tmp_path / "m"), items, tmp_path)
    code, answer = check(tmp_path)
    assert (code, wrong_in(answer)) == (0, [])
    assert "traces were computed again" in answer["items"][-1]["fact"]


def altered(folder: Path, change: Any) -> None:
    """The first shard with another content and a manifest that agrees with it."""
    manifest = json.loads((folder / "o" / "manifest.json").read_text())
    unit = manifest["units"][0]
    path = folder / "o" / unit["file"]
    tensors = load_file(path)
    change(tensors)
    path.unlink()
    save_file(tensors, path)
    unit |= {"bytes": path.stat().st_size, "sha256": artifacts.sha256_file(path)}
    (folder / "o" / "manifest.json").write_text(json.dumps(manifest))


def infinite(tensors: dict[str, torch.Tensor]) -> None:
    tensors["resid_post.1"][30, 4] = torch.inf


def shifted(tensors: dict[str, torch.Tensor]) -> None:
    tensors["resid_post.2"] = tensors["resid_post.2"].roll(1, 0).contiguous()


@pytest.mark.parametrize(
    ("change", "told"),
    [(infinite, "layer 1: activations are not finite"), (shifted, "Trace 0 of 8 tokens differs")],
)
def test_what_a_manifest_cannot_tell_is_found(change: Any, told: str, tmp_path: Path) -> None:
    items = write(tmp_path, "llama")
    extract(loading.load(tmp_path / "m"), items, tmp_path)
    altered(tmp_path, change)
    code, answer = check(tmp_path)
    assert code == 1
    assert any(told in fact for fact in wrong_in(answer))


def test_other_traces_and_another_model_are_told(tmp_path: Path) -> None:
    items = write(tmp_path, "llama")
    extract(loading.load(tmp_path / "m"), items, tmp_path)
    (tmp_path / "t.jsonl").write_text(
        "".join(json.dumps({"token_ids": [5] * n}) + "\n" for n in (8, 9, 3))
    )
    code, answer = check(tmp_path)
    assert code == 1
    assert any("Trace 2 of 3 tokens is not stored as" in fact for fact in wrong_in(answer))
    build("llama", seed=1).save_pretrained(tmp_path / "m")
    asked = ["store", "check", str(tmp_path / "o"), "--model", str(tmp_path / "m")]
    found = CliRunner().invoke(app, [*asked, "--traces", str(tmp_path / "t.jsonl")])
    assert found.exit_code == 1
    assert "was made with another model" in found.output + str(found.stderr)


def test_rows_around_sentences_need_them(tmp_path: Path) -> None:
    items = write(tmp_path, "llama")
    extract(loading.load(tmp_path / "m"), items, tmp_path)
    made = json.loads((tmp_path / "o" / "manifest.json").read_text())
    made["positions"]["means"] = True
    (tmp_path / "o" / "manifest.json").write_text(json.dumps(made))
    with pytest.raises(rechecking.UserError, match="keeps rows around sentences"):
        rechecking.open_made(tmp_path / "o", str(tmp_path / "m"), tmp_path / "t.jsonl")
