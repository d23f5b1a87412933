"""The stage on untrained models: a planted word is read out, in every model that is paired."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch
from tiny_study import D_MODEL, N_LAYERS, make_models, write_study

from backtracking.directions.vectors import random_directions
from backtracking.effects.decoding import judge_ranks
from backtracking.models.loading import LoadedModel, final_norm_gain, unembedding
from backtracking.records.directions import Direction, Directions
from backtracking.records.places import Place
from backtracking.records.tokens import Tokens
from backtracking.stages.lens import Params, Result, run

PARAMS = Params(n_null=199, n_tokens=5, seed=3, n_threads=1, device="cpu")
ROLES = ("base", "reasoning", "shuffled")
PAIRS = {"reasoning": "base", "shuffled": "base"}
PLANTED = Place("reasoning", "matched", (0, 0), 1)
FORMS = {"matched": (0, 0), "ward": (-13, -8), "venhoff": (-1, 10)}


@pytest.fixture(scope="module")
def tokens() -> Tokens:
    return write_study(3).labelled.tokens


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, LoadedModel]:
    return make_models(tmp_path_factory.mktemp("models"), ROLES, scale=8.0)


@pytest.fixture(scope="module")
def directions(models: Mapping[str, LoadedModel], tokens: Tokens) -> Directions:
    """Random directions, but for the planted one and `action`, which are the marker's own row."""
    generator = torch.Generator().manual_seed(1)
    found = {
        Place(role, form, window, layer): random_directions(1, D_MODEL, generator)[0].float()
        for role in ROLES
        for layer in range(N_LAYERS)
        for form, window in FORMS.items()
    }
    assert tokens.marker is not None
    for role, loaded in models.items():
        row = unembedding(loaded)[tokens.marker.ids[0]] / final_norm_gain(loaded)
        found[Place(role, "action")] = row.detach().clone()
    found[PLANTED] = found[Place("reasoning", "action")]
    return Directions(tuple(Direction(place, vector) for place, vector in found.items()))


@pytest.fixture(scope="module")
def result(models: Mapping[str, LoadedModel], tokens: Tokens, directions: Directions) -> Result:
    return run(PARAMS, models, PAIRS, [one.ids for one in tokens.openers], directions)


def test_every_direction_is_read_through_its_model_and_those_it_is_paired_with(
    result: Result, directions: Directions, tokens: Tokens
) -> None:
    readers: dict[str, set[str]] = {}
    for one in result.decoded:
        readers.setdefault(one.place.role, set()).add(one.unembedding)
    assert readers == {
        "base": set(ROLES), "reasoning": {"reasoning", "base"}, "shuffled": {"shuffled", "base"},
    }  # fmt: skip
    n_read = sum(len(readers[place.role]) for place in directions.places)
    assert len(result.decoded) == 3 * n_read
    assert {len(one.ranks) for one in result.decoded} == {len(tokens.openers)}
    assert len(result.random) == 2 * len(ROLES) * len(tokens.openers)


def test_the_planted_word_is_told_and_random_directions_are_not(
    result: Result, tokens: Tokens
) -> None:
    assert tokens.marker is not None
    rows = judge_ranks(result.decoded, result.random, PLANTED, PAIRS, tokens.marker.name, 7)
    verdicts = {(row.claim, row.finding.pair): row.finding.verdict for row in rows}
    assert len(verdicts) == len(rows) == 8
    planted = ("does_not_decode_to_marker", "reasoning -> reasoning")
    assert verdicts.pop(planted) == "fails"
    assert list(verdicts.values()).count("holds") >= 6
    (read,) = (
        one
        for one in result.decoded
        if (one.place, one.unembedding, one.variant) == (PLANTED, "reasoning", "whole")
        and one.final_norm
    )
    assert read.highest[0] == tokens.marker.name and len(read.lowest) == 5


def test_a_study_without_words_reads_extreme_tokens_alone(
    models: Mapping[str, LoadedModel], directions: Directions
) -> None:
    found = run(PARAMS, models, PAIRS, [], directions)
    assert found.random == [] and all(one.ranks == () for one in found.decoded)
    assert {one.variant for one in found.decoded} == {"whole"}


def test_sizes_below_one_are_refused() -> None:
    with pytest.raises(ValueError, match="1 or more"):
        replace(PARAMS, n_null=0)
