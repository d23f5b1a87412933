"""Two tiny pairs, from their seeds to the count of the pairs in which each claim holds."""

from importlib import import_module
from pathlib import Path

import pytest
from project import write_tiny_params
from ruamel.yaml import YAML
from safetensors.torch import load_file

from backtracking.interventions.pairs import matched_directions
from backtracking.models import loading
from backtracking.records import traces
from backtracking.records.moments import read_moments
from backtracking.runtime.workspace import Workspace
from backtracking.stages import pairs, seeds
from lifeboat.stage import artifacts

pytestmark = pytest.mark.slow

STEPS = (
    "problems", "weights base", "weights reasoning", "weights shuffled", "pairs", "traces", "label",
    "extract base", "extract reasoning", "extract shuffled", "stability",
    "directions", "steer", "seeds",
)  # fmt: skip
CLAIMS = ("primary", "causal", "transfer")


def run(root: Path, *steps: str) -> None:
    """Mains of stages, in order."""
    for step in steps:
        stage, *role = step.split()
        import_module(f"backtracking.stages.{stage}").main(["--root", str(root), *role])


def set_pairs(root: Path, n_pairs: int) -> None:
    """Tiny parameters with so many pairs and one control pair."""
    write_tiny_params(root / "params.yaml")
    yaml = YAML()
    values = yaml.load((root / "params.yaml").read_text())
    values["pairs"]["n_pairs"] = n_pairs
    values["models"]["controls"] = {"shuffled": "base"}
    with (root / "params.yaml").open("w") as file:
        yaml.dump(values, file)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with two pairs."""
    root = tmp_path_factory.mktemp("seeds")
    set_pairs(root, 2)
    run(root, *STEPS)
    return root


def read(root: Path, name: str) -> list[dict]:
    return artifacts.read_json(root / "results" / "seeds" / f"{name}.json")


def test_every_pair_has_a_row_for_every_claim_and_the_counts_are_theirs(root: Path) -> None:
    claims, counts = read(root, "claims"), read(root, "counts")
    assert [(row["number"], row["claim"]) for row in claims] == [
        (number, claim) for number in (1, 2) for claim in CLAIMS
    ]
    assert [row["claim"] for row in counts] == list(CLAIMS)
    for count in counts:
        verdicts = [row["verdict"] for row in claims if row["claim"] == count["claim"]]
        assert count["n_pairs"] == len(verdicts) == 2
        assert count["n_holds"] == verdicts.count("holds")
        assert count["n_holds"] + count["n_fails"] + count["n_untestable"] == 2


def test_the_studys_own_pair_is_measured_as_the_stage_steer_measures_it(root: Path) -> None:
    evidence = artifacts.read_json(root / "results" / "steer" / "evidence.json")
    expected = {row["claim"]: row for row in evidence if row["pair"].endswith(" reasoning")}
    found = {row["claim"]: row for row in read(root, "claims") if row["number"] == 1}
    for claim in CLAIMS:
        for key in ("pair", "n", "contrast"):
            assert found[claim][key] == expected[claim][key]
        for key in ("estimate", "low", "high", "null"):
            assert found[claim][key] == pytest.approx(expected[claim][key], abs=1e-6)
    for claim in ("causal", "transfer"):
        assert found[claim]["parts"] == expected[claim]["parts"]
    chosen = artifacts.read_json(root / "results" / "steer" / "selection.json")
    own = read(root, "selection")[0]
    assert (own["layer"], own["window"]) == (chosen["layer"], chosen["window"])


def test_a_pair_has_to_beat_the_bases_of_the_other_pairs(root: Path) -> None:
    parts = {
        row["number"]: row["parts"] for row in read(root, "claims") if row["claim"] == "primary"
    }
    assert set(parts[1]) == {"beyond_random", "beyond_control_shuffled", "beyond_base_base-2"}
    assert set(parts[2]) == {"beyond_random", "beyond_control_shuffled", "beyond_base_base-1"}


def test_directions_estimated_in_memory_are_those_of_the_stage(root: Path) -> None:
    space = Workspace(root)
    written = traces.read(traces.Trace, space.traces / "traces.jsonl")
    sentences = traces.read(traces.Sentence, space.sentences / "sentences.jsonl")
    found = matched_directions(
        loading.load(space.model("reasoning")),
        written,
        read_moments(written, sentences),
        [(4, 4), (0, 4)],
        1,
    )
    expected = load_file(space.results("directions") / "directions.safetensors")
    assert len(found) == 4
    for name, vector in found.items():
        other = expected[f"reasoning.matched.{name}"]
        assert (vector - other).norm() < 1e-4 * other.norm()


def test_further_pairs_differ_from_the_studys_own_in_their_seeds(root: Path) -> None:
    further = root / "models" / "pairs"
    assert artifacts.read_json(further / "pairs.json") == [
        {"number": 2, "seeds": {"base": 111, "reasoning": 112}}
    ]
    for role in ("base", "reasoning"):
        own = load_file(root / "models" / role / "model.safetensors")
        other = load_file(further / "2" / role / "model.safetensors")
        assert own.keys() == other.keys()
        assert any((own[name] != other[name]).any() for name in own)
    assert not (root / ".cache" / "store" / "pairs" / "2").exists()


def test_with_one_pair_nothing_is_trained_and_the_claims_are_those_of_steer(
    root: Path, tmp_path: Path
) -> None:
    set_pairs(tmp_path, 1)
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "steer").symlink_to(root / "results" / "steer")
    pairs.main(["--root", str(tmp_path)])
    seeds.main(["--root", str(tmp_path)])
    assert [path.name for path in (tmp_path / "models" / "pairs").iterdir()] == ["pairs.json"]
    evidence = artifacts.read_json(root / "results" / "steer" / "evidence.json")
    claims = read(tmp_path, "claims")
    assert [row["claim"] for row in claims] == list(CLAIMS)
    for row in claims:
        assert row.pop("number") == 1
        assert row | {"must_fail": False} in evidence
    for row in read(tmp_path, "counts"):
        assert (row["n_pairs"], row["low"], row["high"]) == (1, None, None)
