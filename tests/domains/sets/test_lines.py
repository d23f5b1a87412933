"""The domain `mute`: any JSON Lines; nothing is known, and that is a value and no exception."""

import json
from pathlib import Path
from random import Random

import pytest
from bpe import train
from tokenizers import Tokenizer

from backtracking.domains.domain import Domain, ProblemPlan
from backtracking.domains.lexicon import spell
from backtracking.domains.organism.tokenizer import build_tokenizer
from backtracking.domains.registry import open_domain
from backtracking.domains.sets.lines import Lines
from backtracking.labels.deciding import decisions_of
from backtracking.records.columns import Sentences
from backtracking.records.decisions import Decisions
from lifeboat.stage.errors import UserError

TEXT = (
    "Okay, I need to add these. First, 12 + 30 = 42.\n\nWait, that is wrong. It is 3.5 times "
    "that! Hmm, so what? Alternatively, try 7. The answer is 42."
)
PLAN = ProblemPlan(40, 0, (0.5, 0.2, 0.3), 1)
ROWS = [{"prompt": f"Add {n} and 30.", "text": TEXT} for n in range(40)]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train([TEXT, *(str(row["prompt"]) for row in ROWS)] * 5, 400)


def write(folder: Path, rows: list[dict]) -> Path:
    (folder / "traces.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    params = folder / "params.yaml"
    params.write_text("domain:\n  name: mute\n  file: traces.jsonl\n")
    return params


def opened(folder: Path, rows: list[dict]) -> Domain:
    found = open_domain(write(folder, rows))
    assert isinstance(found, Lines)
    return found


def test_problems_are_the_lines_split_by_hash(tmp_path: Path) -> None:
    found = opened(tmp_path, ROWS)
    problems = found.problems(PLAN)
    assert len(problems) == 40 and {one.split for one in problems} == {"train", "dev", "test"}
    assert problems == opened(tmp_path, ROWS).problems(PLAN)
    fewer = found.problems(ProblemPlan(30, 0, (0.5, 0.2, 0.3), 1))
    assert len(fewer) == 30 and {*map(repr, fewer)} < {*map(repr, problems)}
    with pytest.raises(UserError, match="none of the split"):
        opened(tmp_path, ROWS[:1]).problems(PLAN)


def test_a_line_may_say_name_split_and_ids(tmp_path: Path, tokenizer: Tokenizer) -> None:
    rows = [
        {"problem_id": split, "split": split, "prompt_ids": [5, 6], "token_ids": [7, 8]}
        for split in ("train", "dev", "test")
    ]
    found = opened(tmp_path, [*rows, rows[0] | {"token_ids": [9], "finish_reason": "length"}])
    problems = found.problems(PLAN)
    assert [one.problem_id for one in problems] == ["train", "dev", "test"]
    first, second = found.given(problems[0], tokenizer)
    assert (first.ids, second.ids) == ([5, 6, 7, 8], [5, 6, 9])
    assert (first.trace_id, second.trace_id) == ("train/0", "train/1")
    assert found.grade(second, problems[0], tokenizer).outcome == "unfinished"
    assert len(found.given(problems[1], tokenizer)) == 1


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"text": "x"}, "neither `prompt` nor `prompt_ids`"),
        ({"prompt": "x", "token_ids": []}, "must not be empty"),
        ({"prompt": "x", "answer": "3"}, "answer too many"),
        ({"prompt": "x", "split": "all"}, "key `split`: expected one of"),
        ({"prompt_ids": [1, "2"]}, "key `prompt_ids[1]`: expected int"),
    ],
)  # fmt: skip
def test_a_broken_line_is_told(tmp_path: Path, row: dict, told: str) -> None:
    with pytest.raises(UserError) as error:
        open_domain(write(tmp_path, [{"prompt": "y"}, row]))
    assert "line 2" in str(error.value) and told in str(error.value)


def test_sentences_are_found_and_labelled(tmp_path: Path, tokenizer: Tokenizer) -> None:
    found = opened(tmp_path, ROWS)
    problem = found.problems(PLAN)[0]
    (trace,) = found.given(problem, tokenizer)
    reading = found.read(trace, problem, tokenizer)
    texts = [one.text for one in reading.sentences]
    assert "".join(texts) == trace.text == TEXT
    assert [one.label_by["rules"] for one in reading.sentences] == [
        "initializing", "initializing", "backtracking", "deduction", "uncertainty-estimation",
        "backtracking", "final-answer",
    ]  # fmt: skip
    assert [one.decides for one in reading.sentences] == [False, *[True] * 5, False]
    assert reading.posteriors is None and reading.laws is None
    assert all(one.truth is None for one in reading.sentences)
    decided = decisions_of(trace, reading.sentences, "rules")
    assert [one.action for one in decided] == ["turns", "goes on", "goes on", "turns", "goes on"]
    assert [trace.ids[one.position] for one in decided] == [
        trace.ids[one.end - 1] for one in reading.sentences if one.decides
    ]
    columns = Decisions.gather(decided, [trace], found.kinds)
    assert columns.kinds() == () and len(columns.open()) == 5
    assert len(Sentences.gather(reading.sentences, [trace], (), "rules")) == 7


def test_what_is_not_known_is_empty_or_none(tmp_path: Path, tokenizer: Tokenizer) -> None:
    found = opened(tmp_path, ROWS)
    problem = found.problems(PLAN)[0]
    (trace,) = found.given(problem, tokenizer)
    reading = found.read(trace, problem, tokenizer)
    assert list(found.pairs(trace, problem, reading, tokenizer, Random(0))) == []
    assert found.recipe("reasoning") is None and found.turning(tokenizer) is None
    assert found.kinds == () and dict(found.taught_rates) == {}
    grade = found.grade(trace, problem, tokenizer)
    assert (grade.outcome, grade.answer, grade.why) == ("unparsable", None, "no answer is known")


def test_the_pattern_fires_where_a_sentence_ends(tmp_path: Path, tokenizer: Tokenizer) -> None:
    found = opened(tmp_path, ROWS)
    problem = found.problems(PLAN)[0]
    (trace,) = found.given(problem, tokenizer)
    (pattern,) = found.pattern(tokenizer)
    first = len(trace.prompt_ids)
    fires = {at for at in range(first, len(trace.ids)) if pattern.matches(trace.ids[: at + 1])}
    decided = decisions_of(trace, found.read(trace, problem, tokenizer).sentences, "rules")
    assert {one.position for one in decided} <= fires
    assert len(fires) < len(trace.token_ids) / 2


def test_words_are_those_that_the_vocabulary_has(tmp_path: Path, tokenizer: Tokenizer) -> None:
    lexicon = opened(tmp_path, ROWS).lexicon
    tokens = spell(lexicon, tokenizer)
    assert tokens.marker and "Wait" in tokens.marker.spelled
    assert [one.ids.name for one in tokens.openers][:2] == ["wait", "hmm"]
    assert tokens.questions == () and tokens.turning is None and tokens.asides is None
    of_the_world = spell(lexicon, build_tokenizer().backend_tokenizer)
    assert [one.ids.spelled for one in of_the_world.openers] == [("Wait",), ("Hmm",), ("No",)]
    assert of_the_world.alternative is None and of_the_world.end_ids == (2,)


def test_a_problem_of_another_file_is_told(tmp_path: Path, tokenizer: Tokenizer) -> None:
    problem = opened(tmp_path, ROWS).problems(PLAN)[0]
    other = opened(tmp_path, [{"prompt": "y"}])
    with pytest.raises(UserError, match=r"has no problem .*repro problems"):
        other.prompt(problem, tokenizer)
