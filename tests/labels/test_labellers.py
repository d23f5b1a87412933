"""Markers and weights: what they read, how they are chosen and fitted, and what is shipped."""

import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from backtracking.labels import choosing, fitting, learned, making, markers
from backtracking.labels.annotators import Annotator
from backtracking.labels.cues import CUES, cues_of, openings_of, tokens_of
from backtracking.labels.examples import ANCHORS, FLOWS, Example, read_examples
from backtracking.labels.learned import Learned, Weights, features_of
from backtracking.labels.markers import ANY, FIELD, MarkedRules, MarkerSet, family_of, is_marked
from backtracking.labels.passages import Passage, passage_of
from backtracking.labels.rules import label_by_rules, other_state
from backtracking.labels.schemes import is_held_back, state_of, tells_backtracking
from backtracking.labels.scoring import score
from backtracking.records.imported import (
    Annotation,
    Edge,
    ImportedTrace,
    LabelledSentence,
    read_traces,
)
from backtracking.records.spans import TextSpan
from backtracking.statistics.bootstrap import Bootstrap
from lifeboat.stage.errors import UserError

BOOTSTRAP = Bootstrap(200, 0.95, 0)
R1_0528 = "deepseek-ai/DeepSeek-R1-0528"


def passage(*texts: str, model: str | None = None) -> Passage:
    return Passage("t", model, texts, None)


def planted(seed: int, n: int = 40, source: str = FLOWS) -> list[Example]:
    """Traces in which a sentence backtracks exactly where it names another way."""
    draw = random.Random(seed)
    turns = ("Maybe another way.", "Think differently.", "Alternatively, use 3.")
    plain = (
        "Hmm.",
        "So 3 = 3.",
        "We add 4.",
        "Wait, recall 5.",
        "Let me see.",
        "Then x = 2.",
        "Hence 7.",
    )
    found = []
    for number in range(n):
        backtracks = tuple(draw.random() < 0.2 for _ in range(20))
        texts = tuple(draw.choice(turns if one else plain) for one in backtracks)
        found.append(Example(source, ANY, f"p{number}", texts, backtracks))
    return found


def test_words_are_read_in_any_case_and_numbers_are_one_token() -> None:
    assert tokens_of("Wait, 3.5 + \\frac{1}{2} isn’t") == [
        "wait", ",", "0", ".", "0", "+", "\\", "{", "0", "}", "{", "0", "}", "isn't",
    ]  # fmt: skip
    assert openings_of("But that, no", 2) == ["^but", "^but that"]
    assert openings_of("  ", 2) == []
    assert cues_of("Alternatively, PERHAPS I’m not sure?") >= {
        "another-way", "perhaps", "unsure", "question",
    }  # fmt: skip
    assert cues_of("") == frozenset()


def test_a_marker_is_all_of_its_parts_and_none_of_the_excluded() -> None:
    marked = [("another-way", "!verify"), ("^but that",)]
    assert is_marked("Another way is this.", marked)
    assert not is_marked("Another way to check it.", marked)
    assert is_marked("But that fails.", marked) and not is_marked("So but that", marked)


@pytest.mark.parametrize(
    ("model", "family"),
    [
        (R1_0528, "deepseek-r1"),
        ("deepseek-ai/DeepSeek-R1-Distill-Llama-8B", "deepseek-r1"),
        ("deepseek-ai/DeepSeek-R1-0528-Qwen3-8B", "deepseek-r1"),
        ("Qwen/QwQ-32B-Preview", "qwq"),
        ("Qwen/Qwen3-8B", "qwq"),
        ("openai/gpt-oss-120b", "gpt-oss"),
        ("Qwen2.5-3B-Instruct", ANY),
        (None, ANY),
    ],
)
def test_a_model_has_the_markers_of_its_family(model: str | None, family: str) -> None:
    assert family_of(model) == family


def test_the_fields_own_markers_are_a_family() -> None:
    texts = ("Wait, 3.", "Another way.", "So 4.")
    assert MarkedRules.load(FIELD).label(passage(*texts)) == list(map(label_by_rules, texts))
    with pytest.raises(UserError, match=r"'none' is no family.*'field', 'deepseek-r1'"):
        MarkedRules.load("none")


def test_what_does_not_backtrack_has_the_state_of_the_other_rules() -> None:
    rules = MarkedRules((MarkerSet(ANY, (("another-way",),), 1, 1, 1.0),))
    assert rules.label(passage("Wait, 3.", "Another way.", "Hmm.", "We know x.")) == [
        "deduction", "backtracking", "uncertainty-estimation", "adding-knowledge",
    ]  # fmt: skip
    assert other_state("Wait, 3.") == "deduction" and label_by_rules("Wait, 3.") == "backtracking"


def test_planted_markers_are_found_and_no_other() -> None:
    (any_family,) = [one for one in choosing.choose(planted(0)) if one.family == ANY]
    assert any_family.f1 == 1 and len(any_family.markers) == 1
    assert "another-way" in any_family.markers[0][0]
    assert (any_family.n_sentences, any_family.n_backtracking > 100) == (800, True)


def test_a_family_without_examples_has_no_markers() -> None:
    by_family = {one.family: one for one in choosing.choose(planted(0))}
    assert by_family["qwq"] == MarkerSet("qwq", (), 0, 0, 0.0)


def test_planted_weights_are_found_on_other_traces() -> None:
    weights = fitting.fit([*planted(1), *planted(2, source=ANCHORS)])
    assert weights.cross_validated_f1 == 1
    assert weights.sources[FLOWS][0] == weights.sources[ANCHORS][0] == 800
    assert not any(name.startswith("~") for name in weights.weights)
    for example in planted(3):
        states = Learned(weights).label(passage(*example.texts))
        assert tuple(state == "backtracking" for state in states) == example.backtracks


def test_a_source_with_a_wider_tag_does_not_widen_the_labels() -> None:
    """Where `thought-anchors` alone tags hesitation, hesitation stays what it is."""
    wider = [
        replace(one, texts=tuple("Hmm." for _ in one.texts), backtracks=(True,) * 20)
        for one in planted(4, source=ANCHORS)
    ]
    states = Learned(fitting.fit([*planted(1), *wider])).label(passage("So 3 = 3.", "Hmm.", "So."))
    assert states[1] == "uncertainty-estimation"


def test_the_best_threshold_is_the_best() -> None:
    odds = np.array([3.0, 2.0, 1.0, 0.0, -1.0])
    true = np.array([True, False, True, False, False])
    assert fitting.best_threshold(odds, true) == (1.0, pytest.approx(0.8))


def test_place_length_and_signs_are_shares() -> None:
    first, last = features_of(["x = 3", "and " * 90])
    assert (first["place"], first["first"], first["last"], first["signs"]) == (0, 1, 0, 2 / 3)
    assert (last["place"], last["first"], last["last"], last["length"]) == (0.5, 0, 1, 1)
    assert features_of([]) == []


def test_what_is_shipped_is_data_and_labels_what_it_should() -> None:
    for file in (markers.FILE, learned.FILE):
        json.loads(file.read_text())
    told = passage(
        "Okay, so I need x.", "Alternatively, perhaps I can use symmetry.", "So x = 4.",
        "Wait, no, that is wrong.", "The answer is 4.",
    )  # fmt: skip
    for labeller in (MarkedRules.load(), Learned.load()):
        assert labeller.label(told) == [
            "initializing", "backtracking", "deduction", "backtracking", "final-answer",
        ], labeller.name  # fmt: skip
        assert labeller.label(passage()) == []
    parts = {part.lstrip("!") for one in MarkedRules.load().sets for m in one.markers for part in m}
    assert all(part in CUES or part.startswith("^") for part in parts)


def sentence(*labels: str, edges: tuple[str, ...] = ()) -> LabelledSentence:
    return LabelledSentence(0, "", labels, 0, 1, tuple(Edge(0, kind) for kind in edges))


def test_annotators_of_every_scheme_are_understood() -> None:
    assert (
        state_of(sentence("planning", edges=("plan:proceed", "plan:backtrack"))) == "backtracking"
    )
    assert state_of(sentence("reflection", edges=("reflect:negative",))) == "backtracking"
    assert state_of(sentence("conclusion", edges=("validate:attack",))) == "deduction"
    assert state_of(sentence("uncertainty_management")) == "backtracking"
    assert state_of(sentence("example-testing")) == "example-testing"
    assert state_of(sentence("Monitor")) is None and state_of(sentence()) is None
    assert not tells_backtracking(Annotation("human", "x", (sentence("Monitor"),)))
    assert not tells_backtracking(Annotation("human", "x", (sentence(),)))


def test_labels_of_other_sentences_are_brought_over_by_their_overlap() -> None:
    theirs = tuple(
        LabelledSentence(number, "", (state,), start, end)
        for number, (start, end, state) in enumerate(
            [(0, 10, "deduction"), (10, 14, "backtracking"), (14, 30, "initializing")]
        )
    )
    trace = ImportedTrace("t", annotations=(Annotation("human", "me", theirs),))
    spans = tuple(map(TextSpan, (0, 9, 13, 30), (9, 13, 30, 40)))
    read = Passage("t", None, ("",) * 4, spans)
    expected = ["deduction", "backtracking", "initializing", None]
    assert Annotator.of([trace], "me").label(read) == expected
    assert Annotator.of([trace], "human").label(replace(read, trace_id="other")) == [None] * 4
    assert Annotator.of([trace], "judge").by_trace == {}


def test_without_places_only_the_same_sentences_have_labels() -> None:
    theirs = tuple(LabelledSentence(n, text, ("deduction",)) for n, text in enumerate("ab"))
    trace = ImportedTrace("t", annotations=(Annotation("human", "me", theirs),))
    annotator = Annotator.of([trace], "me")
    assert annotator.label(passage("a", "b")) == ["deduction"] * 2
    assert annotator.label(passage("a", "c", "d")) == [None] * 3


def test_a_passage_has_as_many_spans_as_sentences() -> None:
    with pytest.raises(ValueError, match="2 sentences have 1 spans"):
        Passage("t", None, ("a", "b"), (TextSpan(0, 1),))


def test_the_bar_is_reached_on_human_labels_that_nothing_was_fitted_on(shared_traces: Path) -> None:
    """On traces that were read while the groups of words were written; the others are kept."""
    traces = [
        trace
        for trace in read_traces(shared_traces / "reasoningflow_human.jsonl.gz")
        if not is_held_back(trace.trace_id)
    ]
    found = {
        name: score(traces, labeller, "human", BOOTSTRAP)
        for name, labeller in (
            ("learned", Learned.load()),
            ("rules", MarkedRules.load()),
            ("field", MarkedRules.load(FIELD)),
            ("judge", Annotator.of(traces, "gemini-3-pro-preview")),
        )
    }
    f1 = {name: one.f1 or 0 for name, one in found.items()}
    assert (found["learned"].n, found["learned"].n_positive) == (772, 34)
    assert f1["learned"] >= 0.6 > 0.5 < f1["rules"]
    assert f1["field"] < 0.4 and f1["judge"] == pytest.approx(0.5)


def test_r1_0528_is_seen_to_backtrack_without_wait(shared_traces: Path) -> None:
    traces = [
        trace
        for trace in read_traces(shared_traces / "misguided_attention.jsonl.gz")
        if trace.model == R1_0528 and "wait" not in trace.written.lower()
    ]
    assert len(traces) >= 6
    for labeller in (MarkedRules.load(), Learned.load()):
        called = [list(labeller.label(passage_of(one))).count("backtracking") for one in traces]
        assert sum(called) >= 20 and sum(n > 0 for n in called) > 3, (labeller.name, called)


@pytest.mark.slow
def test_nothing_is_fitted_on_a_problem_that_a_human_labelled(shared_traces: Path) -> None:
    examples = read_examples(shared_traces)
    human = {
        trace.problem_id
        for file in ("reasoningflow_human", "reasoningflow_aime")
        for trace in read_traces(shared_traces / f"{file}.jsonl.gz")
        if any(one.kind == "human" for one in trace.annotations)
    }
    assert len(human) == 23
    assert not human & {one.problem_id for one in examples}
    assert {one.source for one in examples} == {FLOWS, ANCHORS}


def test_weights_that_differ_are_told(tmp_path: Path) -> None:
    weights = Weights(0.0, 1.0, {"wait": 1.0}, {FLOWS: (1, 1)}, 0.5)
    near = replace(weights, weights={"wait": 1.0005, "no": 0.0004})
    assert making.is_near(weights, near)
    assert not making.is_near(weights, replace(weights, threshold=1.1))
    assert not making.is_near(weights, replace(weights, sources={FLOWS: (2, 1)}))
