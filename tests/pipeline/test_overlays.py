"""An overlay for rented GPUs, whole at tiny size: real tokenizers and blocks, random weights."""

from pathlib import Path
from typing import Any

import overlay_models
import pytest
from overlay_models import SHAPES
from project import ROOT
from tokenizers import Tokenizer
from whole_study import AFTER, BEFORE, N_PROBLEMS, SMALL, run

from backtracking.domains.registry import open_domain
from backtracking.models import loading
from backtracking.records import reader
from backtracking.records.pairs import MinimalPair
from backtracking.records.places import CONTROLS
from backtracking.records.traces import Problem, Trace
from backtracking.runtime import params, profile
from backtracking.runtime.workspace import Roles, Workspace
from lifeboat.stage import artifacts

pytestmark = pytest.mark.slow


def write_params(root: Path, name: str, dtype: str) -> None:
    """params.yaml under the tiny overlay, then this one, then what makes that small again."""
    text = (ROOT / "params.yaml").read_text()
    given = {role: {"source": f"given/{role}"} for role in SHAPES[name].configs}
    precise = {"parity_floor": 3e-2 if dtype == "bfloat16" else 1e-4, "dtype": dtype}
    small = SMALL | {
        "weights": given,
        "extract": SMALL["extract"] | precise,
        "traces": SMALL["traces"] | {"dtype": dtype},
        "loading": {"dtype": dtype},
    }
    for overlay in (
        params.read(ROOT / "configs" / "tiny.yaml"),
        params.read(ROOT / "configs" / f"{name}.yaml"),
        small,
    ):
        text, _ = profile.merged(text, overlay, "an overlay")
    (root / "params.yaml").write_text(text)


def think(root: Path) -> list[Trace]:
    """Written searches in the place of what random weights wrote."""
    workspace = Workspace(root)
    domain = open_domain(workspace.params)
    tokenizer = Tokenizer.from_file(str(workspace.model("reasoning") / "tokenizer.json"))
    problems = reader.read_lines(Problem, workspace.problems / "problems.jsonl")
    section = params.read(workspace.params)["countdown"]
    traces = overlay_models.write_traces(
        problems,
        section["template"],
        section["end"],
        lambda problem: domain.prompt(problem, tokenizer),
        tokenizer,
        1,
    )
    reader.write_lines(workspace.traces / "traces.jsonl", traces)
    return traces


@pytest.fixture
def _once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of roles and stages that have the same tokenizer the first reads it: it takes two seconds."""
    found: dict[str, Any] = {}
    read = loading._read_tokenizer

    def read_once(folder: Path) -> Any:
        digest = artifacts.sha256_file(folder / "tokenizer.json")
        if digest not in found:
            found[digest] = read(folder)
        return found[digest]

    monkeypatch.setattr(loading, "_read_tokenizer", read_once)


@pytest.mark.usefixtures("_once")
@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        # A minute or two each. r1-distill-qwen-14b has the blocks of the first, and more of them.
        ("r1-distill-qwen-1.5b", "float32"),
        ("r1-distill-llama-8b", "bfloat16"),
        ("qwen3-8b", "float32"),
    ],
)
def test_an_overlay_runs_whole(name: str, dtype: str, tmp_path: Path) -> None:
    (tmp_path / "data" / "raw").mkdir(parents=True)
    (tmp_path / "data" / "raw" / ".gitkeep").touch()
    overlay_models.save_models(tmp_path / "given", SHAPES[name])
    write_params(tmp_path, name, dtype)
    run(tmp_path, *BEFORE[:3])
    sampled = reader.read_lines(Trace, Workspace(tmp_path).traces / "traces.jsonl")
    assert len(sampled) == N_PROBLEMS and all(one.token_ids for one in sampled)
    think(tmp_path)
    run(tmp_path, *BEFORE[3:], *AFTER)
    pairs = reader.read_lines(MinimalPair, Workspace(tmp_path).labels / "pairs.jsonl")
    assert any(one.donor_kind for one in pairs)
    claims = artifacts.read_json(tmp_path / "results" / "claims.json")
    assert claims and all(row["why"] for row in claims if row["verdict"] == "untestable")
    steered = {row["target"] for row in claims if row["claim"] == "causal"}
    assert steered == set(params.load(Roles, "models", tmp_path / "params.yaml").base_by_role)
    (primary,) = (row["parts"] for row in claims if row["claim"] == "primary")
    compared = {part.split(".")[0] for part in primary if part.startswith("beyond_direction_")}
    assert compared == {f"beyond_direction_{form}" for form in CONTROLS}
    assert "beyond_base_alien-base" in primary
    (prompting,) = (row for row in claims if row["claim"] == "prompting")
    assert prompting["must_hold"] and prompting["n"] > 0
