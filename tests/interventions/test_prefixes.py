"""Prefixes are whole traces with their open decisions, in one order."""

import pytest
from tiny_study import TinyStudy, write_study

from backtracking.interventions.prefixes import prefixes_of, prompts_of


@pytest.fixture(scope="module")
def study() -> TinyStudy:
    return write_study(9, 2)


@pytest.mark.parametrize("n_samples", [None, 1])
def test_decisions_stand_in_the_order_of_the_prefixes(
    study: TinyStudy, n_samples: int | None
) -> None:
    prefixes, decisions = prefixes_of(
        study.traces, study.sentences, study.decisions, "test", n_samples
    )
    test = [t for t in study.traces if t.split == "test" and t.sample < (n_samples or 2)]
    decided = study.decisions.open().trace_id
    assert len(prefixes) == sum(trace.trace_id in decided for trace in test) > 2
    assert [at for prefix in prefixes for at in prefix.decisions] == decisions.position.tolist()
    by_id = {trace.trace_id: trace for trace in study.traces}
    for trace_id, prefix in zip(dict.fromkeys(decisions.trace_id), prefixes, strict=True):
        assert (prefix.ids, by_id[trace_id].split) == (by_id[trace_id].ids, "test")
        assert prefix.n_prompt == len(by_id[trace_id].prompt_ids)


def test_what_is_solved_decides_nothing_and_ends_a_sentence_like_any_other(
    study: TinyStudy,
) -> None:
    prefixes, decisions = prefixes_of(study.traces, study.sentences, study.decisions, "test")
    assert "solved" in study.decisions.kind and "solved" not in decisions.kind
    rows = dict.fromkeys(decisions.trace.tolist())
    for row, prefix in zip(rows, prefixes, strict=True):
        ends = (study.sentences.end[study.sentences.trace == row] - 1).tolist()
        assert sorted([*prefix.decisions, *prefix.sentence_ends]) == sorted(ends)


def test_prompts_are_those_that_were_read_one_a_problem(study: TinyStudy) -> None:
    found = prompts_of(study.traces, "test")
    problems = [problem.problem_id for problem in study.problems if problem.split == "test"]
    assert list(found) == problems
    for trace in study.traces:
        if trace.split == "test":
            assert found[trace.problem_id] == trace.prompt_ids
