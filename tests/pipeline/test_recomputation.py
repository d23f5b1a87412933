"""Numbers of the tiny study, recomputed from its models and traces by code that shares none."""

import ast
import json
import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from recomputation import chains, directions, holding, learning, probing, steering
from recomputation.comparing import Compared
from recomputation.resampling import bootstrap
from recomputation.study import Study
from transformers import LlamaForCausalLM

FOLDER = Path(chains.__file__).parent
USED = {"numpy", "recomputation", "ruamel", "safetensors", "scipy", "sklearn", "torch"}
STANDARD = {
    "collections", "dataclasses", "functools", "itertools", "json", "math", "pathlib", "sys",
    "typing",
}  # fmt: skip


@pytest.fixture(scope="module")
def study(project: Path) -> Study:
    return Study(project)


def require_agreement(found: Iterable[Compared], n: int) -> None:
    every = list(found)
    assert len(every) >= n
    assert [one.line for one in every if not one.agrees] == []


def imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module).partition(".")[0])
    return found


def test_the_recomputation_imports_nothing_of_the_study() -> None:
    files = sorted(FOLDER.glob("*.py"))
    assert len(files) > 5
    assert {name for path in files for name in imported(path)} <= USED | STANDARD
    assert imported(Path(__file__)).isdisjoint({"backtracking", "lifeboat"})


def test_numbers_agree_within_the_tolerance_or_where_both_are_undefined() -> None:
    assert Compared("an end", 0.1, 0.14, 0.05).agrees
    assert not Compared("an end", 0.1, 0.16, 0.05).agrees
    assert not Compared("an end", 0.1, math.nan, 0.05).agrees
    assert not Compared("an end", None, 0.1, 0.05).agrees
    assert Compared("an end", None, math.nan, 0.05).agrees


def test_what_is_allowed_covers_most_bootstraps_and_no_interval_of_rows() -> None:
    rng = np.random.default_rng(0)
    problems = [str(number) for number in range(30) for _ in range(5)]
    values = np.repeat(rng.normal(size=30), 5)
    statistics = {"n_resamples": 1000, "level": 0.95}
    ends = bootstrap(values, problems, statistics)
    by_problem = values[::5]
    means = rng.choice(by_problem, (1000, 30)).mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    assert abs(low - ends.low) <= ends.reach_low and abs(high - ends.high) <= ends.reach_high
    by_row = bootstrap(values, [str(number) for number in range(150)], statistics)
    assert by_row.low - ends.low > ends.reach_low and ends.high - by_row.high > ends.reach_high


@pytest.mark.slow
def test_the_forward_pass_is_that_of_transformers(study: Study) -> None:
    for role in study.params["models"]["roles"]:
        model = LlamaForCausalLM.from_pretrained(study.folder(role), dtype=torch.float32)
        ids = study.traces[-1].ids
        with torch.inference_mode():
            expected = model(torch.tensor([ids])).logits[0]
        found = study.model(role).read(ids)
        torch.testing.assert_close(found.logits.float(), expected, atol=1e-4, rtol=0)
        again = study.model(role).behind(found, 0, 5, found.resid[0][None, 5:])[0]
        torch.testing.assert_close(again, found.logits[5:], atol=1e-10, rtol=0)


@pytest.mark.slow
def test_the_parser_finds_the_sentences_and_decisions_that_were_labelled(study: Study) -> None:
    def labelled(name: str) -> list[dict]:
        lines = (study.root / f"data/processed/labels/{name}.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    assert [
        (trace.name, one.start, one.end, one.state)
        for trace in study.traces
        for one in trace.sentences
    ] == [
        (one["trace_id"], one["start"], one["end"], one["label_by"]["exact"])
        for one in labelled("sentences")
    ]
    assert [
        (study.traces[one.trace].name, one.position, one.kind, one.total, one.action)
        for one in study.decisions
    ] == [
        (one["trace_id"], one["position"], *(one["truth"][key] for key in ("kind", "value")))
        + (one["action"],)
        for one in labelled("decisions")
    ]


@pytest.mark.slow
def test_the_primary_effect_its_interval_and_the_bound_of_its_null(study: Study) -> None:
    require_agreement(steering.primary(study), 5)


@pytest.mark.slow
def test_backtracking_is_told_from_a_word_that_is_taken_back(study: Study) -> None:
    require_agreement(steering.baseline(study), 2)


@pytest.mark.slow
def test_a_corrected_cosine(study: Study) -> None:
    require_agreement(directions.cosine(study), 2)


@pytest.mark.slow
def test_the_paired_difference_of_a_probe(study: Study) -> None:
    require_agreement(probing.difference(study), 6)


@pytest.mark.slow
def test_a_belief_coefficient_where_the_patch_writes_the_marker(study: Study) -> None:
    require_agreement(holding.coefficient(study), 5)


@pytest.mark.slow
def test_nll_of_two_chains(study: Study) -> None:
    require_agreement(chains.chains(study), 2)


@pytest.mark.slow
def test_nll_of_a_hidden_markov_model(study: Study) -> None:
    require_agreement(learning.hidden(study), 1)
