"""The stage on untrained models: a planted word is read out, in every model that is paired."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from untrained_study import D_MODEL, N_LAYERS, make_inputs

from backtracking.directions.estimator import random_directions
from backtracking.domains.organism.grammar import BACKTRACKING_OPENERS, MARKER
from backtracking.interventions.runs import Choice, Inputs
from backtracking.models.loading import final_norm_gain, unembedding
from backtracking.stages.lens import Params, Steered, run
from backtracking.statistics.bootstrap import Bootstrap

PARAMS = Params(n_null=199, n_tokens=5, rows_per_batch=16, seed=3, n_threads=1, device="cpu")
BOOTSTRAP = Bootstrap(50, 0.95, 0)
ROLES = ("base", "reasoning", "shuffled")
PAIRS = {"reasoning": "base", "shuffled": "base"}
RANDOM = tuple(0.001 * number for number in range(-19, 20))


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    """Random directions, but for `reasoning`'s, which is the marker's own row."""
    folder: Path = tmp_path_factory.mktemp("study")
    found = make_inputs(folder, ROLES, PAIRS)
    generator = torch.Generator().manual_seed(1)
    directions = {}
    for role, loaded in found.model_by_role.items():
        ids = loaded.tokenizer.get_vocab()
        row = (unembedding(loaded)[ids[MARKER]] / final_norm_gain(loaded)).detach().clone()
        for layer in range(N_LAYERS):
            for form, window in (("matched", "4:4"), ("ward", "-13:-8"), ("venhoff", "-1:10")):
                (vector,) = random_directions(1, D_MODEL, generator).float()
                directions[f"{role}.{form}.{window}.{layer}"] = vector
        directions[f"{role}.action"] = row
        if role == "reasoning":
            directions["reasoning.matched.4:4.1"] = row
    return replace(found, direction_by_name=directions)


@pytest.fixture(scope="module")
def result(inputs: Inputs) -> dict:
    steered = Steered(Choice(1, "4:4", 3.0), 1, dict.fromkeys(PAIRS, RANDOM))
    return run(PARAMS, BOOTSTRAP, inputs, steered)


def test_every_direction_is_read_through_its_model_and_those_it_is_paired_with(
    inputs: Inputs, result: dict
) -> None:
    readers: dict[str, set[str]] = {}
    for row in result["ranks"]:
        readers.setdefault(row["direction"].split(".")[0], set()).add(row["unembedding"])
    assert readers == {
        "base": set(ROLES), "reasoning": {"reasoning", "base"}, "shuffled": {"shuffled", "base"},
    }  # fmt: skip
    n_read = sum(len(readers[name.split(".")[0]]) for name in inputs.direction_by_name)
    assert len(result["tokens"]) == 3 * n_read
    assert len(result["ranks"]) == 3 * n_read * len(BACKTRACKING_OPENERS)


def test_the_planted_word_is_told_and_random_directions_are_not(result: dict) -> None:
    verdicts = {
        (row["pair"], row["contrast"].split()[-2]): row["verdict"]
        for row in result["evidence"]
        if row["claim"] in ("does_not_decode_to_marker", "ward_does_not_decode")
    }
    assert len(verdicts) == 8
    assert len({(row["claim"], row["pair"]) for row in result["evidence"]}) == 8 + 4
    assert verdicts["reasoning -> reasoning", "matched"] == "fails"
    others = [v for key, v in verdicts.items() if key != ("reasoning -> reasoning", "matched")]
    assert others.count("holds") >= 6
    (tokens,) = (
        row
        for row in result["tokens"]
        if (row["direction"], row["unembedding"]) == ("reasoning.matched.4:4.1", "reasoning")
        and (row["variant"], row["final_norm"]) == ("whole", True)
    )
    assert tokens["highest"][0] == MARKER and len(tokens["lowest"]) == 5


def test_every_pair_is_steered_along_both_directions_and_action_whole_and_projected(
    result: dict,
) -> None:
    named = {(row["target"], row["direction"]) for row in result["projected"]}
    assert named == {
        (target, name) for target, base in PAIRS.items() for name in (base, target, "action")
    }
    for row in result["projected"]:
        assert 0 <= row["cosine"] <= 1 + 1e-6
        assert row["n_random"] == len(RANDOM)
        difference = row["projected"]["value"] - row["original"]["value"]
        assert row["difference"]["value"] == pytest.approx(difference)
    directions = {row["direction"] for row in result["forced"]}
    assert {"baseline", "action", "action without markers"} <= directions


def test_sizes_below_one_are_refused() -> None:
    with pytest.raises(ValueError, match="1 or more"):
        replace(PARAMS, n_null=0)
