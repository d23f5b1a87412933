"""Prefixes are whole traces with their open decisions, in one order."""

import pytest
from tiny_study import TinyStudy, write_study

from backtracking.interventions.plan import behind, read_pairs, read_split, swapped
from backtracking.interventions.prefixes import prefixes_of, prompts_of
from backtracking.records.decisions import Classes


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


def test_behind_another_prompt_stand_the_same_text_and_decisions(study: TinyStudy) -> None:
    classes = Classes("kind", ("over",), ("alive",), ("value",))
    of_study = study.traces, study.sentences, study.decisions, classes
    read, decisions = read_split(*of_study, "test", 1)
    problems = [trace_id.rpartition("/")[0] for trace_id in read.trace_ids]
    asked = {one: [7] * (3 + row) for row, one in enumerate(problems) if row != 1}
    found = behind(read, problems, asked)
    assert len(found.prefixes) == len(read.prefixes) - 1 > 1
    chosen = decisions.problem != problems[1]
    assert list(found.decisions) == decisions[chosen].ids
    assert list(found.claimed) == [
        one for one, its in zip(read.claimed, chosen, strict=True) if its
    ]
    others = (one for row, one in enumerate(read.prefixes) if row != 1)
    for one, old, prompt in zip(found.prefixes, others, asked.values(), strict=True):
        assert one.ids == [*prompt, *old.ids[old.n_prompt :]] and one.n_prompt == len(prompt)
        for now, then in ((one.decisions, old.decisions), (one.sentence_ends, old.sentence_ends)):
            assert [one.ids[at] for at in now] == [old.ids[at] for at in then]
            assert [at - one.n_prompt for at in now] == [at - old.n_prompt for at in then]
    assert not behind(read, problems, {}).prefixes


def test_of_pairs_either_is_read_with_the_other_as_its_donor(study: TinyStudy) -> None:
    classes = Classes("kind", ("over",), ("alive",), ("value",))
    pairs = study.labelled.pairs or []
    read = read_pairs(study.traces, study.decisions, classes, pairs)
    back = swapped(read)
    assert back.decisions == read.decisions and len(read.decisions) > 2
    assert set(read.claimed) == {1} and set(back.claimed) == {-1}
    by_id = {one.pair_id: one for one in pairs}
    for name, one, other in zip(read.decisions, read.prefixes, back.prefixes, strict=True):
        pair = by_id[name]
        assert (one.ids, one.donor_ids) == (pair.clean_ids, pair.donor_ids)
        assert (other.ids, other.donor_ids) == (pair.donor_ids, pair.clean_ids)
        assert other.decisions == one.decisions == [len(pair.clean_ids) - 1]
        assert (pair.kind, pair.donor_kind) == ("alive", "over")
