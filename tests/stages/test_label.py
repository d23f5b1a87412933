from dataclasses import replace

import pytest
from tiny_study import TinyStudy, write_study

from backtracking.records.sentences import EXACT
from backtracking.records.traces import Trace
from backtracking.stages.label import Params, Result, run

CUT = 120


@pytest.fixture(scope="module")
def study() -> TinyStudy:
    """Traces of the policy, long ones cut."""
    return write_study(60, longest=CUT)


def label(study: TinyStudy, traces: list[Trace], primary: str = EXACT) -> Result:
    """The stage's result on other traces of a study's problems."""
    asked = Params(primary, "backtracking", 0)
    return run(asked, study.domain, traces, [], study.problems, study.tokenizer)


def test_sentences_cover_every_token_and_have_the_labels_of_both(study: TinyStudy) -> None:
    result = study.labelled
    assert result.metrics.span_coverage == 1.0
    assert any(trace.finish_reason == "length" for trace in study.traces)
    for trace in study.traces:
        own = [one for one in result.sentences if one.trace_id == trace.trace_id]
        n_words = len(trace.token_ids) - (trace.finish_reason != "length")
        assert sum(one.end - one.start for one in own) == n_words
        assert own[0].start == len(trace.prompt_ids)
        assert all(set(one.label_by) == {"exact", "rules"} for one in own)


def test_text_of_a_sentence_is_what_its_own_tokens_decode_to(study: TinyStudy) -> None:
    ids_by_trace = {trace.trace_id: trace.ids for trace in study.traces}
    for sentence in study.labelled.sentences[:500]:
        ids = ids_by_trace[sentence.trace_id][sentence.start : sentence.end]
        assert sentence.text == study.tokenizer.decode(ids)


@pytest.mark.slow
def test_the_world_makes_the_labellers_disagree_within_bounds() -> None:
    found = write_study(150).labelled.metrics.agreement
    assert found.kappa is not None and 0.5 <= found.kappa <= 0.9
    assert found.kappa_positive is not None and 0.5 <= found.kappa_positive <= 0.9
    assert found.f1 is not None and 0 < found.f1 < 1


def test_an_empty_trace_is_kept_without_sentences(study: TinyStudy) -> None:
    first, second = study.traces[:2]
    empty = replace(first, token_ids=[2], finish_reason="empty")
    result = label(study, [empty, second])
    assert {one.trace_id for one in result.sentences} == {second.trace_id}
    assert result.posteriors and set(result.posteriors) == {first.trace_id, second.trace_id}


def test_a_sentence_of_no_known_form_is_counted_and_kept(study: TinyStudy) -> None:
    by_word = study.tokenizer.get_vocab()
    words = [by_word[word] for word in ("Try", "Try", ".")]
    first = study.traces[0]
    metrics = label(study, [replace(first, token_ids=[*words, *first.token_ids])]).metrics
    assert metrics.n_unparsed == 1
    assert metrics.n_compared == metrics.n_sentences - 1


def test_the_learned_labeller_is_asked_where_it_is_primary(study: TinyStudy) -> None:
    exact, learned = (label(study, study.traces[:3], primary) for primary in ("exact", "learned"))
    assert all(set(one.label_by) == {"exact", "rules", "learned"} for one in learned.sentences)
    bare = [
        replace(one, label_by={name: one.label_by[name] for name in ("exact", "rules")})
        for one in learned.sentences
    ]
    assert bare == exact.sentences
    by_place = {(one.trace_id, one.index): one.label_by["learned"] for one in learned.sentences}
    assert all(one.state == by_place[one.trace_id, one.index] for one in learned.decisions)


def test_a_primary_labeller_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="primary 'judge' is none of exact, rules, learned"):
        Params("judge", "backtracking", 0)


def test_by_rules_states_and_actions_are_those_of_the_rules(study: TinyStudy) -> None:
    exact, rules = (label(study, study.traces, primary) for primary in ("exact", "rules"))
    assert rules.sentences == exact.sentences
    assert [one.position for one in rules.decisions] == [one.position for one in exact.decisions]
    by_place = {(one.trace_id, one.index): one for one in rules.sentences}
    for one in rules.decisions:
        assert one.state == by_place[one.trace_id, one.index].label_by["rules"]
        after = by_place.get((one.trace_id, one.index + 1))
        turns = after is not None and after.label_by["rules"] == "backtracking"
        assert one.action == (None if after is None else "turns" if turns else "goes on")
    # "Undo" is no marker of the rules: they err as keyword metrics do.
    both = list(zip(exact.decisions, rules.decisions, strict=True))
    assert {other.action for one, other in both if one.action == "turns"} == {"turns", "goes on"}


def test_pairs_come_of_greedy_traces_too_and_each_prefix_once(study: TinyStudy) -> None:
    asked = Params(EXACT, "backtracking", 0)
    both = run(
        asked, study.domain, study.traces[:20], study.traces[10:30], study.problems, study.tokenizer
    )
    assert both.pairs
    assert {one.trace_id for one in both.pairs} > {one.trace_id for one in study.traces[20:22]}
    prefixes = [tuple(one.clean_ids) for one in both.pairs]
    assert len(set(prefixes)) == len(prefixes)
    assert {one.trace_id for one in both.sentences} == {one.trace_id for one in study.traces[:20]}
