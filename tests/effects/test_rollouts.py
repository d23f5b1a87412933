"""Free runs: what is planted in the text is measured, beside a baseline paired by problem."""

from random import Random

import numpy as np
import pytest
from tiny_study import WORLD

from backtracking import PROJECT_ROOT
from backtracking.domains.organism.organism import Organism
from backtracking.domains.organism.policy import BasePolicy, Policy, Writer
from backtracking.domains.organism.tokenizer import build_tokenizer
from backtracking.domains.organism.world import make_problem, read_prompt
from backtracking.effects.rollouts import (
    Written,
    measures,
    observe,
    opens_backtracking,
    repeated_share,
    tabulate_free,
)
from backtracking.labels.rules import keyword_rate
from backtracking.records.measured import Arm
from backtracking.records.rollouts import Rollouts
from backtracking.records.rows.arms import ArmKey, Free
from backtracking.records.sentences import EXACT, State
from backtracking.records.traces import Problem, Trace
from backtracking.runtime import params
from backtracking.statistics.bootstrap import Bootstrap

BOOTSTRAP = Bootstrap(50, 0.95, 0)
POLICY = params.load(Policy, "policy", PROJECT_ROOT / "params.yaml")
ORGANISM = Organism(WORLD, POLICY, BasePolicy())
TOKENIZER = build_tokenizer().backend_tokenizer
RANDOM = Random(0)
PROBLEMS = [make_problem((7, 8, 9, 12, 3), 28, "study", "test")]
PROBLEMS += [make_problem(*WORLD.draw(RANDOM), "study", "test") for _ in range(40)]
OVER = (
    "Start at 0 . Try 12 on 0 . Left 7 8 9 3 . Total 12 . Compare 12 with 28 . "
    "Try 9 on 12 . Left 7 8 3 . Total 21 . Compare 21 with 28 . "
    "Try 8 on 21 . Left 7 3 . Total 29 . Compare 29 with 28 . "
)


def trace(text: str, reason: str, problem: Problem) -> Trace:
    """A text as a model may have written it."""
    ids = [TOKENIZER.get_vocab()[word] for word in text.split()]
    prompt = TOKENIZER.encode(problem.prompt).ids
    plain = TOKENIZER.decode(ids, skip_special_tokens=True)
    return Trace(
        f"{problem.problem_id}/0", problem.problem_id, "test", 0, prompt, ids, plain, reason, {}
    )


def read(one: Trace, nll: np.ndarray | None = None) -> Written:
    """What the domain reads of it."""
    problem = next(p for p in PROBLEMS if p.problem_id == one.problem_id)
    sentences = ORGANISM.read(one, problem, TOKENIZER).sentences
    states: list[State] = [sentence.label_by[EXACT] for sentence in sentences]
    grade = ORGANISM.grade(one, problem, TOKENIZER)
    return Written(one, sentences, states, grade, keyword_rate(one.text), nll)


def rollouts(texts: list[tuple[str, str]], *, arm: Arm | None = None, nll: bool = True) -> Rollouts:
    """What one arm wrote, one text a problem."""
    traces = tuple(trace(*one, problem) for one, problem in zip(texts, PROBLEMS, strict=False))
    scored = tuple(np.full(len(one.token_ids), 0.5) for one in traces) if nll else None
    arms = () if arm is None else (arm,)
    return Rollouts("reasoning", "x", "matched", arms, traces, scored)


def read_all(one: Rollouts) -> list[Written]:
    nll = one.nll or (None,) * len(one.traces)
    return [read(written, values) for written, values in zip(one.traces, nll, strict=True)]


def tabulated(*several: Rollouts) -> list[dict[str, Free]]:
    """The rows of each arm, by measure."""
    rows = tabulate_free([(one, read_all(one)) for one in several], ORGANISM.kinds, BOOTSTRAP)
    names = list(dict.fromkeys(row.arm.direction for row in rows))
    return [{row.measure: row for row in rows if row.arm.direction == name} for name in names]


def test_traces_of_the_policy_are_solved_valid_and_act_at_its_rates() -> None:
    random, texts = Random(1), []
    for problem in PROBLEMS:
        sentences = Writer(*read_prompt(problem.prompt), POLICY, random).write()
        words = " ".join(word for sentence in sentences for word in sentence)
        texts.append((f"{words} </s>", "stop"))
    (found,) = tabulated(rollouts(texts))
    assert list(found) == list(measures(ORGANISM.kinds))
    assert found["solve_rate"].level.value == found["conditional_validity"].level.value == 1
    assert found["empty_rate"].level.value == found["truncated_rate"].level.value == 0
    assert found["n_tokens"].level.value == sum(len(t.split()) for t, _ in texts) / len(texts)
    for kind, rate in (("over", 0.6), ("exhausted", 0.6), ("doomed", 0.0), ("alive", 0.0)):
        assert found[f"p_turn_{kind}"].level.value == pytest.approx(rate, abs=0.15)
    assert found["solve_rate"].level.n == len(PROBLEMS)


def test_one_trace_is_counted_sentence_by_sentence() -> None:
    text = OVER + "Wait , 28 is too big . Undo 8 on 21 . </s>"
    (found,) = tabulated(rollouts([(text, "stop")]))
    assert found["p_turn_over"].level.value == 1 and found["p_turn_alive"].level.value == 0
    assert found["solve_rate"].level.value == 0
    assert found["backtracking_rate"].level.value == pytest.approx(2 / 15)
    assert found["conditional_validity"].level.value == pytest.approx(13 / 14)
    assert found["state_deduction"].level.value == pytest.approx(6 / 15)
    for state in ("uncertainty-estimation", "unparsed"):
        assert found[f"state_{state}"].level.value == 0
    rates = ["backtracking_rate", *(name for name in found if name.startswith("state_"))]
    assert sum(found[name].level.value or 0 for name in rates) == pytest.approx(1)
    assert found["nll"].level.value == 0.5 and found["repeated_rate"].level.value == 0
    assert "p_turn_doomed" not in found and "p_turn_exhausted" not in found


def test_empty_and_truncated_runs_are_counted_and_not_scored_as_0() -> None:
    texts = [(OVER + "Wait ,", "length"), ("</s>", "empty"), ("Wait Wait Wait </s>", "stop")]
    (found,) = tabulated(rollouts(texts))
    for name in ("empty_rate", "truncated_rate"):
        assert found[name].level.value == pytest.approx(1 / 3)
    assert found["solve_rate"].level.value == 0 and found["solve_rate"].level.n == 3
    assert found["keyword_rate"].level.n == 1
    assert found["p_turn_over"].level.n == 1


def test_where_no_answer_is_known_nothing_is_solved_or_not() -> None:
    one = read(trace(OVER + "</s>", "stop", PROBLEMS[0]))
    found = observe([Written(one.trace, one.sentences, one.states, None, None)], ())
    assert "solve_rate" not in found and "p_turn_over" not in found and "nll" not in found
    assert found["n_tokens"].values == [float(len(one.trace.token_ids))]


def test_effects_are_differences_to_the_first_arm_paired_by_problem() -> None:
    stays, turns = (
        [(f"{OVER}{end} </s>", "stop")] * 2 for end in ("Hmm .", "Wait , 28 is too big .")
    )
    arm = Arm("base", "matched", 1.0, layer=1)
    first, second = tabulated(rollouts(stays, nll=False), rollouts(turns, arm=arm, nll=False))
    assert {row.effect.value for row in first.values()} == {0.0}
    assert second["backtracking_rate"].effect.value == pytest.approx(1 / 14)
    assert second["state_uncertainty-estimation"].effect.value == pytest.approx(-1 / 14)
    for name, row in second.items():
        change = (row.level.value or 0) - (first[name].level.value or 0)
        assert row.effect.value == pytest.approx(change)
        assert row.arm == ArmKey("reasoning", "base", 1.0, "decision")
    assert "nll" not in first


def test_the_first_tokens_of_backtracking_sentences_are_marked() -> None:
    text = OVER + "Wait , 28 is too big . Undo 8 on 21 . </s>"
    written = read(trace(text, "stop", PROBLEMS[0]))
    marked = opens_backtracking(written)
    words = text.split()
    assert [words[at] for at in marked.nonzero()[0]] == ["Wait", "Undo"]
    assert len(marked) == len(words)


def test_repeated_stretches_are_counted_from_their_second_time() -> None:
    assert repeated_share(list(range(20)), 4) == 0
    assert repeated_share([1, 2, 3, 4] * 5, 4) == pytest.approx(1 - 4 / 17)
    assert repeated_share([1, 2, 3], 4) is None
