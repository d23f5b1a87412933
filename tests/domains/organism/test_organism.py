"""The organism behind the protocol says what today's stages say, sentence by sentence."""

from dataclasses import asdict
from pathlib import Path
from random import Random

import numpy as np
import pytest
from domain_study import ORGANISM, Study, write_study

from backtracking import PROJECT_ROOT
from backtracking.domains.domain import Domain, ProblemPlan
from backtracking.domains.lexicon import spell
from backtracking.domains.organism.corpus import draw_chunk
from backtracking.domains.organism.decisions import decision_rule
from backtracking.domains.organism.donors import collect
from backtracking.domains.organism.donors import spread as spread_items
from backtracking.domains.organism.grammar import BACKTRACKING_OPENERS
from backtracking.domains.organism.organism import Organism
from backtracking.domains.organism.policy import BasePolicy, Policy
from backtracking.domains.organism.posteriors import DEAD, read_decisions
from backtracking.domains.organism.recipes import OrganismRecipe
from backtracking.domains.organism.solver import KINDS
from backtracking.domains.organism.states import Replay, is_solved, words_of
from backtracking.domains.organism.tokenizer import build_tokenizer
from backtracking.domains.organism.world import World, read_prompt
from backtracking.domains.registry import open_domain
from backtracking.models.rows import CHUNK
from backtracking.records.decisions import Classes
from backtracking.records.pairs import distinct, spread
from lifeboat.stage.errors import UserError

IDS = build_tokenizer().get_vocab()
WORD_BY_ID = {token: word for word, token in IDS.items()}
TOKENIZER = build_tokenizer().backend_tokenizer
ACTIONS = {"turns": "backtracks", "idles": "idles", "goes on": "carries_on", None: ""}


@pytest.fixture(scope="module")
def study() -> Study:
    return write_study(24)


def as_domain(organism: Organism) -> Domain:
    return organism


def test_the_organism_is_a_domain() -> None:
    assert as_domain(ORGANISM).name == "organism"
    assert [kind.name for kind in ORGANISM.kinds if kind.visible and kind.standing == "dead"] == [
        *DEAD
    ]


def test_columns_are_what_a_replay_of_the_words_says(study: Study) -> None:
    found, row = study.sentences, 0
    for trace, problem in zip(study.traces, study.problems, strict=True):
        words, first = words_of(trace, study.tokenizer), len(trace.prompt_ids)
        for one in Replay(*read_prompt(problem.prompt)).read(words):
            form = one.form.name if one.form else None
            assert (found.start[row], found.end[row]) == (first + one.start, first + one.end)
            assert (found.state[row], found.form[row]) == (one.state, form)
            assert (found.kind[row], found.value[row]) == (one.kind or None, one.true_total)
            assert ACTIONS[found.action[row]] == (one.action or "")
            assert found.decides[row] == (form == "compare")
            row += 1
    assert row == len(found) and "unparsed" in found.state.tolist()


def test_decisions_are_the_sentences_that_decide(study: Study) -> None:
    found, sentences = study.decisions, study.sentences[study.sentences.decides]
    assert len(found) == len(sentences) > 50
    for name in ("trace", "problem_number", "split", "start", "end", "kind", "value", "action"):
        assert getattr(found, name).tolist() == getattr(sentences, name).tolist(), name
    assert np.array_equal(found.position, sentences.end - 1)
    assert set(found.action) == {"turns", "idles", "goes on", None}
    assert 0 < len(found.open()) == (found.kind != "solved").sum() < len(found)


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
    for trace, reading in zip(study.traces, study.readings, strict=True):
        problem = next(one for one in study.problems if one.problem_id == trace.problem_id)
        words = words_of(trace, study.tokenizer)
        expected = read_decisions(words, *read_prompt(problem.prompt))
        found, first = reading.posteriors, len(trace.prompt_ids)
        assert found is not None and found.first == first
        assert np.array_equal(found.p_kind, expected.p_kind, equal_nan=True)
        for name in ("start", "end", "pending", "known"):
            assert np.array_equal(getattr(found, name) - first, getattr(expected, name))
        p_dead = expected.p_kind[:, [KINDS.index(kind) for kind in DEAD]].sum(axis=1)
        assert np.array_equal(found.p(DEAD), p_dead, equal_nan=True)


def test_what_is_valid_is_what_a_replay_says(study: Study) -> None:
    problem_by_id = {problem.problem_id: problem for problem in study.problems}
    for trace, reading in zip(study.traces, study.readings, strict=True):
        problem = problem_by_id[trace.problem_id]
        words = words_of(trace, study.tokenizer)
        readings = Replay(*read_prompt(problem.prompt)).read(words)
        truths = [one.truth for one in reading.sentences if one.truth]
        checked = [bool(one.valid) for one in readings if one.check]
        assert [truth.valid for truth in truths if truth.check] == checked
        grade = ORGANISM.grade(trace, problem, study.tokenizer)
        assert (grade.outcome == "right") == is_solved(readings)
        assert grade.outcome != "wrong" or trace.finish_reason == "stop"


def test_a_trace_that_is_cut_is_unfinished_and_one_that_ends_in_nothing_unparsable(
    study: Study,
) -> None:
    grades = {
        ORGANISM.grade(trace, problem, study.tokenizer).outcome
        for trace, problem in zip(study.traces, study.problems, strict=True)
    }
    assert {"right", "unfinished"} <= grades


def test_the_pattern_is_the_decision_rule_on_random_ids() -> None:
    (pattern,) = ORGANISM.pattern(TOKENIZER)
    rule, random = decision_rule(IDS), Random(0)
    few = [IDS[word] for word in ("Compare", "with", ".", "12", "Goal")]
    hits = 0
    for _ in range(40_000):
        ids = [random.choice(few) for _ in range(random.randrange(8))]
        assert pattern.matches(ids) == rule(ids)
        hits += rule(ids)
    assert hits > 50
    assert pattern.matches([few[0], 3, few[1], 3, few[2]])


def test_where_the_pattern_fires_is_where_something_is_decided(study: Study) -> None:
    (pattern,) = ORGANISM.pattern(study.tokenizer)
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
    assert tokens.openers[0].taken_back_by == (IDS[","], IDS["fine"])
    assert not any(one.taken_back_by for one in tokens.openers[1:])
    report = tokens.question("report")
    assert report and report.suffix_ids == (IDS["Check"], IDS[":"])
    assert (report.yes.ids, report.no.ids) == ((IDS["over"],), (IDS["under"],))
    assert tokens.end_ids == (IDS["</s>"],)
    assert not any(one.ids.ambiguous for one in tokens.openers)
    single = {one.path[0]: one.state for one in tokens.openings if len(one.path) == 1}
    assert len(single) == 18 and single[IDS["Wait"]] == "backtracking"
    longer = {one.path: one.state for one in tokens.openings if len(one.path) > 1}
    assert longer == {
        (IDS["Wait"], IDS["for"]): "adding-knowledge",
        (IDS["Wait"], IDS[","], IDS["fine"]): "uncertainty-estimation",
    }


def test_pairs_are_the_items_of_the_donors(study: Study) -> None:
    items = collect(study.traces, IDS, 3)
    found = []
    for trace, problem, reading in zip(study.traces, study.problems, study.readings, strict=True):
        random = Random(f"3/{trace.trace_id}")
        found += ORGANISM.pairs(trace, problem, reading, study.tokenizer, random)
    pairs = distinct(found)
    assert len(pairs) == len(items) > 20
    for pair, item in zip(pairs, items, strict=True):
        same = {**asdict(item), "pair_id": item.item_id}
        for name in ("pair_id", "trace_id", "problem_id", "split", "kind", "n_prompt"):
            assert getattr(pair, name) == same[name]
        assert (pair.clean_ids, pair.donor_ids) == (item.clean_ids, item.donor_ids)
        assert pair.changed == item.changed
        assert (pair.donor_kind is None) == (item.donor_target is None)
        if not item.donor_ids:
            assert pair.follow_ups == []
            continue
        claim, parent, legal = (pair.follow_up(name) for name in ("claim", "parent", "legal"))
        assert claim and parent and legal
        for one in (claim, parent, legal):
            assert one.clean_ids == item.continuation_ids
            assert one.donor_ids == item.donor_continuation_ids
        assert claim.clean_ids[: claim.at + 1] == [IDS["Wait"], IDS[","]]
        assert (claim.right_ids, claim.wrong_ids) == ([item.claim_id], [IDS["fine"]])
        assert (parent.at, parent.right_ids) == (item.parent_at, [item.parent_id])
        assert (legal.at, legal.right_ids) == (len(item.continuation_ids) - 1, item.legal_ids)
    ids = [item.item_id for item in spread_items(items, 9)]
    assert [pair.pair_id for pair in spread(pairs, 9)] == ids


def test_problems_are_distinct_and_split_by_their_hash() -> None:
    found = ORGANISM.problems(ProblemPlan(20, 4, (0.5, 0.2, 0.3), 1))
    assert len({one.problem_id for one in found}) == 24
    assert [one.pool == "study" for one in found] == [True] * 20 + [False] * 4
    again = ORGANISM.problems(ProblemPlan(30, 4, (0.5, 0.2, 0.3), 1))
    split_by_id = {one.problem_id: one.split for one in again}
    assert all(split_by_id.get(one.problem_id, one.split) == one.split for one in found)
    prompt = build_tokenizer()(found[0].prompt).input_ids
    assert ORGANISM.prompt(found[0], TOKENIZER) == prompt
    assert ORGANISM.given(found[0], TOKENIZER) == []


def test_a_world_without_as_many_problems_is_told() -> None:
    small = Organism(World((3,), 4, 5, 1, 0.2, 0.0), Policy(), BasePolicy())
    with pytest.raises(UserError, match="`n_study` asks for 60 distinct problems"):
        small.problems(ProblemPlan(60, 1, (0.5, 0.2, 0.3), 1))


@pytest.mark.parametrize("role", ["base", "reasoning", "shuffled", "nostatement-base"])
def test_rows_are_the_chunks_of_the_corpus(role: str) -> None:
    recipe = ORGANISM.recipe(role)
    assert isinstance(recipe, OrganismRecipe)
    rows = recipe.rows(TOKENIZER, 11, 200)
    found = [next(rows) for _ in range(CHUNK + 3)]
    chunks = [
        row
        for chunk in (0, 1)
        for row in draw_chunk(ORGANISM.world, recipe.corpus(), IDS, 11, chunk, 200)
    ]
    assert found == chunks[: CHUNK + 3]
    assert recipe.tokenizer().get_vocab() == IDS


def params_file(folder: Path, name: str) -> Path:
    path = folder / "params.yaml"
    text = (PROJECT_ROOT / "params.yaml").read_text()
    path.write_text(text.replace("name: organism ", f"name: {name} ", 1))
    return path


def test_the_domain_of_a_study_is_opened_by_its_name(tmp_path: Path) -> None:
    found = open_domain(params_file(tmp_path, "organism"))
    assert isinstance(found, Organism) and found.policy == Policy()
    assert found.taught_rates == {"policy_act_rate_dead": 0.6, "policy_act_rate_live": 0.125}
    with pytest.raises(UserError, match=r"found `sudoku`. The domains are organism, mute"):
        open_domain(params_file(tmp_path, "sudoku"))
