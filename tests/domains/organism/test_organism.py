"""The organism behind the protocol says what its own parser says, sentence by sentence."""

from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from random import Random

import numpy as np
import pytest
from tiny_study import ORGANISM, write_study
from written import Written

from backtracking import PROJECT_ROOT
from backtracking.domains.domain import Domain, ProblemPlan, Reading
from backtracking.domains.lexicon import spell
from backtracking.domains.organism.grammar import BACKTRACKING_OPENERS
from backtracking.domains.organism.organism import Organism
from backtracking.domains.organism.policy import BasePolicy, Policy
from backtracking.domains.organism.posteriors import DEAD, posteriors_of
from backtracking.domains.organism.states import Reading as SentenceRead
from backtracking.domains.organism.states import Replay, is_solved, words_of
from backtracking.domains.organism.tokenizer import build_tokenizer
from backtracking.domains.organism.world import World, read_prompt
from backtracking.domains.registry import open_domain
from backtracking.labels.deciding import decisions_of
from backtracking.records.columns import Sentences
from backtracking.records.decisions import Classes, Decisions
from backtracking.records.sentences import EXACT
from backtracking.records.traces import Problem, Trace
from lifeboat.stage.errors import UserError

IDS = build_tokenizer().get_vocab()
WORD_BY_ID = {token: word for word, token in IDS.items()}
TOKENIZER = build_tokenizer().backend_tokenizer
ACTIONS = {"turns": "backtracks", "idles": "idles", "goes on": "carries_on", None: ""}


@dataclass(frozen=True)
class Study:
    """Traces as the policy writes them, cut short, and with words exchanged, and what is read."""

    traces: list[Trace]
    problems: list[Problem]
    readings: list[Reading]

    @property
    def sentences(self) -> Sentences:
        records = [one for reading in self.readings for one in reading.sentences]
        return Sentences.gather(records, self.traces, ORGANISM.kinds, EXACT)

    @property
    def decisions(self) -> Decisions:
        both = zip(self.traces, self.readings, strict=True)
        records = [d for trace, one in both for d in decisions_of(trace, one.sentences, EXACT)]
        return Decisions.gather(records, self.traces, ORGANISM.kinds)

    @property
    def replays(self) -> list[list[SentenceRead]]:
        """The same traces read by the world's own parser."""
        both = zip(self.traces, self.problems, strict=True)
        return [
            Replay(*read_prompt(problem.prompt)).read(words_of(trace, TOKENIZER))
            for trace, problem in both
        ]


@pytest.fixture(scope="module")
def study() -> Study:
    written, random = write_study(24), Random(0)
    traces = []
    for number, trace in enumerate(written.traces):
        ids = list(trace.token_ids)
        if number % 3 == 1:
            ids = ids[: random.randrange(1, len(ids))]
        if number % 3 == 2:
            for _ in range(4):
                ids[random.randrange(len(ids) - 1)] = random.choice(ids[:-1])
        reason = "length" if number % 3 == 1 else "stop"
        traces.append(replace(trace, token_ids=ids, finish_reason=reason))
    readings = [
        ORGANISM.read(trace, problem, TOKENIZER, with_laws=True)
        for trace, problem in zip(traces, written.problems, strict=True)
    ]
    return Study(traces, written.problems, readings)


def as_domain(organism: Organism) -> Domain:
    return organism


def test_the_organism_is_a_domain() -> None:
    assert as_domain(ORGANISM).name == "organism"
    assert [kind.name for kind in ORGANISM.kinds if kind.visible and kind.standing == "dead"] == [
        *DEAD
    ]


def test_sentences_are_those_of_the_worlds_parser(study: Study) -> None:
    found = study.sentences
    read = [(trace, one) for trace, its in enumerate(study.replays) for one in its]
    first = [len(trace.prompt_ids) for trace in study.traces]
    assert found.trace.tolist() == [trace for trace, _ in read]
    assert found.start.tolist() == [first[trace] + one.start for trace, one in read]
    assert found.end.tolist() == [first[trace] + one.end for trace, one in read]
    assert found.state.tolist() == [one.state for _, one in read]
    assert found.form.tolist() == [one.form and one.form.name for _, one in read]
    assert found.kind.tolist() == [one.kind for _, one in read]
    assert [ACTIONS[one] for one in found.action] == [one.action or "" for _, one in read]
    assert found.value.tolist() == [one.true_total for _, one in read]
    decides = [one.form is not None and one.form.name == "compare" for _, one in read]
    assert found.decides.tolist() == decides
    assert "unparsed" in found.state.tolist()


def test_decisions_are_the_sentences_that_decide(study: Study) -> None:
    found, sentences = study.decisions, study.sentences[study.sentences.decides]
    assert len(found) == len(sentences) > 50
    for name in ("trace", "problem_number", "split", "start", "end", "kind", "value", "action"):
        assert getattr(found, name).tolist() == getattr(sentences, name).tolist()
    assert np.array_equal(found.position, sentences.end - 1)
    assert set(found.action) == {"turns", "idles", "goes on", None}
    assert len(found.open()) == (sentences.kind != "solved").sum() < len(found)


def test_classes_and_strata_are_those_of_the_contrast(study: Study) -> None:
    classes = Classes("kind", ("over",), ("alive",), ("value",))
    train = study.decisions[study.decisions.split == "train"]
    both = train[np.isin(train.kind, ("over", "alive"))]
    chosen = study.decisions.of(split="train", classes=classes)
    assert np.array_equal(chosen.start, both.start)
    assert np.array_equal(chosen.is_positive(classes), both.kind == "over")
    edges = np.quantile(both.value, np.linspace(0, 1, 7)[1:-1])
    expected = np.searchsorted(edges, both.value, side="right")
    assert np.array_equal(chosen.strata(classes.strata, 6), expected)
    dev = study.decisions.of(split="dev")
    expected = np.searchsorted(edges, dev.value, side="right")
    assert np.array_equal(dev.strata(("value",), 6, like=chosen), expected)


def test_posteriors_are_those_of_the_policy_at_positions_of_the_trace(study: Study) -> None:
    rows = zip(study.traces, study.problems, study.readings, study.replays, strict=True)
    for trace, problem, reading, replay in rows:
        expected = posteriors_of(words_of(trace, TOKENIZER), *read_prompt(problem.prompt))
        found, first = reading.posteriors, len(trace.prompt_ids)
        assert found is not None and found.first == first
        assert np.array_equal(found.p_kind, expected.p_kind, equal_nan=True)
        for name in ("start", "end", "pending", "known"):
            assert np.array_equal(getattr(found, name) - first, getattr(expected, name))
        p_dead = [np.nan if p is None else p for one in replay for p in one.p_dead]
        assert np.array_equal(found.p(DEAD), p_dead, equal_nan=True)


def test_without_laws_a_trace_is_read_all_the_same(study: Study) -> None:
    for trace, problem, reading in zip(study.traces, study.problems, study.readings, strict=True):
        assert ORGANISM.read(trace, problem, TOKENIZER) == Reading(reading.sentences)


def test_what_is_valid_is_what_the_worlds_parser_finds(study: Study) -> None:
    rows = zip(study.traces, study.problems, study.readings, study.replays, strict=True)
    for trace, problem, reading, replay in rows:
        truths = [one.truth for one in reading.sentences if one.truth]
        checked = [one for one in replay if one.check != "none"]
        assert [truth.valid for truth in truths if truth.check] == [one.valid for one in checked]
        sums = [one for one in replay if one.form and one.form.name == "total"]
        written = [truth.written for truth in truths if truth.written is not None]
        assert written == [one.written_total for one in sums]
        grade = ORGANISM.grade(trace, problem, TOKENIZER)
        assert (grade.outcome == "right") == is_solved(replay)
        assert grade.outcome != "wrong" or trace.finish_reason == "stop"


def test_a_trace_that_is_cut_is_unfinished_and_one_that_ends_in_nothing_unparsable(
    study: Study,
) -> None:
    grades = {
        ORGANISM.grade(trace, problem, TOKENIZER).outcome
        for trace, problem in zip(study.traces, study.problems, strict=True)
    }
    assert {"right", "unfinished"} <= grades


def test_the_pattern_is_the_full_stop_of_a_comparison_and_nothing_else(
    written: list[Written],
) -> None:
    (pattern,) = ORGANISM.pattern(TOKENIZER)
    for trace in written[:20]:
        ids = [IDS[word] for word in trace.words]
        found = [end for end in range(1, len(ids) + 1) if pattern.matches(ids[:end])]
        ends = list(accumulate(len(sentence) for sentence in trace.sentences))
        compares = zip(trace.sentences, ends, strict=True)
        assert found == [end for sentence, end in compares if sentence[0] == "Compare"]


def test_where_the_pattern_fires_is_where_something_is_decided(study: Study) -> None:
    (pattern,) = ORGANISM.pattern(TOKENIZER)
    for trace, reading in zip(study.traces, study.readings, strict=True):
        first = len(trace.prompt_ids)
        ends = range(first + 1, len(trace.ids) + 1)
        fires = {end for end in ends if pattern.matches(trace.ids[:end])}
        assert {one.end for one in reading.sentences if one.decides} <= fires


def test_words_are_exactly_the_ids_used_today() -> None:
    tokens = spell(ORGANISM.lexicon, TOKENIZER, ORGANISM.pattern(TOKENIZER))
    assert tokens.opener_ids == [IDS[word] for word in BACKTRACKING_OPENERS]
    assert [one.ids.name for one in tokens.openers] == [*BACKTRACKING_OPENERS]
    assert tokens.marker and tokens.marker.ids == (IDS["Wait"],)
    assert tokens.alternative and tokens.alternative.ids == (IDS["Try"],)
    assert tokens.asides and tokens.asides.ids == (IDS["Check"],)
    assert tokens.openers[0].taken_back_by == ((IDS["for"],),)
    assert tokens.legal and {IDS["Wait"], IDS["Try"], IDS["Stop"]} < {*tokens.legal.ids}
    assert IDS["Compare"] not in tokens.legal.ids
    assert not any(one.taken_back_by for one in tokens.openers[1:])
    report = tokens.question("report")
    assert report and report.suffix_ids == (IDS["Check"], IDS[":"])
    assert (report.yes.ids, report.no.ids) == ((IDS["over"],), (IDS["under"],))
    assert tokens.end_ids == (IDS["</s>"],)
    assert not any(one.ids.ambiguous for one in tokens.openers)
    single = {one.path[0]: one.state for one in tokens.openings if len(one.path) == 1}
    assert len(single) == 18 and single[IDS["Wait"]] == "backtracking"
    longer = {one.path: one.state for one in tokens.openings if len(one.path) > 1}
    assert longer == {(IDS["Wait"], IDS["for"]): "adding-knowledge"}


def test_a_prompt_is_read_as_transformers_reads_it_and_no_trace_comes_with_it() -> None:
    (problem, *_) = ORGANISM.problems(ProblemPlan(20, 4, (0.5, 0.2, 0.3), 1))
    assert ORGANISM.prompt(problem, TOKENIZER) == build_tokenizer()(problem.prompt).input_ids
    assert ORGANISM.given(problem, TOKENIZER) == []


def test_a_world_without_as_many_problems_is_told() -> None:
    small = Organism(World((3,), 4, 5, 1, 0.2, 0.0), Policy(), BasePolicy())
    with pytest.raises(UserError, match="`n_study` asks for 60 distinct problems"):
        small.problems(ProblemPlan(60, 1, (0.5, 0.2, 0.3), 1))


def params_file(folder: Path, name: str) -> Path:
    path = folder / "params.yaml"
    text = (PROJECT_ROOT / "params.yaml").read_text()
    path.write_text(text.replace("name: organism", f"name: {name}"))
    return path


def test_the_domain_of_a_study_is_opened_by_its_name(tmp_path: Path) -> None:
    found = open_domain(params_file(tmp_path, "organism"))
    assert isinstance(found, Organism) and found.policy == Policy()
    rates = {
        "turn_rate_dead": 0.6,
        "idle_rate_dead": 0,
        "turn_rate_live": 0,
        "idle_rate_live": 0.125,
    }
    assert found.taught_rates == {f"policy_{name}": rate for name, rate in rates.items()}
    with pytest.raises(UserError, match=r"found `sudoku`. The domains are organism, mute"):
        open_domain(params_file(tmp_path, "sudoku"))
