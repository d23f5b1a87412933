"""The domain `mute`: any JSON Lines; nothing is known, and that is a value and no exception."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pyarrow
import pytest
import real_tokenizers
from bpe import train
from pyarrow import parquet
from tokenizers import Tokenizer

from backtracking.domains import alignment
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


def lines_of(rows: list[dict]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


WRITE: dict[str, Callable[[Path, list[dict]], Any]] = {
    "traces.jsonl": lambda path, rows: path.write_bytes(lines_of(rows)),
    "traces.jsonl.gz": lambda path, rows: path.write_bytes(gzip.compress(lines_of(rows))),
    "traces.parquet": lambda path, rows: parquet.write_table(pyarrow.Table.from_pylist(rows), path),
}


def write(folder: Path, rows: list[dict], file: str = "traces.jsonl", template: str = "") -> Path:
    WRITE[file](folder / file, rows)
    params = folder / "params.yaml"
    around = f"  template: {json.dumps(template)}\n" if template else ""
    params.write_text(f"domain:\n  name: mute\n  file: {file}\n{around}")
    return params


def opened(
    folder: Path, rows: list[dict], file: str = "traces.jsonl", template: str = ""
) -> Domain:
    found = open_domain(write(folder, rows, file, template))
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


FORMATS: dict[str, tuple[dict[str, Any], str]] = {
    "our own lines": ({"prompt": "Add 3 and 30.", "text": TEXT}, TEXT),
    "text": ({"trace_id": "a", "problem": "Add 3 and 30.", "text": TEXT, "cue": {"x": 1}}, TEXT),
    "a prompt": (
        {"trace_id": "a", "problem": "Add.", "prompt": "Add 3 and 30.", "text": "So."}, "So.",
    ),
    "thinking apart": (
        {"trace_id": "a", "problem": "Add 3 and 30.", "text": None, "thinking": "Hm.",
         "response": "42."},
        "<think>\nHm.\n</think>\n\n42.",
    ),
    "sentences": (
        {"trace_id": "a", "problem": "Add 3 and 30.", "annotator": {"kind": "human", "name": "D"},
         "sentences": [{"index": n, "text": one, "labels": ["plan"]}
                       for n, one in enumerate(("Hmm, so what?", "Try 7."))]},
        "Hmm, so what? Try 7.",
    ),
}  # fmt: skip
"""A row of each format, and what was written; each was asked the same."""


@pytest.mark.parametrize("file", WRITE)
@pytest.mark.parametrize("name", FORMATS)
def test_every_format_in_every_kind_of_file_gives_its_trace(
    name: str, file: str, tmp_path: Path, tokenizer: Tokenizer
) -> None:
    row, written = FORMATS[name]
    named = "trace_id" in row
    rows = [
        row | {"problem_id": f"p{n}"} | ({"trace_id": f"t{n}"} if named else {}) for n in range(40)
    ]
    found = opened(tmp_path, rows, file)
    problems = found.problems(PLAN)
    assert {one.problem_id for one in problems} == {f"p{n}" for n in range(40)}
    (trace,) = found.given(problems[7], tokenizer)
    assert tokenizer.decode(trace.prompt_ids) == "Add 3 and 30."
    assert trace.text == written
    if named:
        assert trace.sampling["trace_id"] == "t7"
        assert trace.finish_reason == "length"  # nobody says that it ended


def test_traces_of_one_problem_are_one_problem_each_with_its_own_prompt(
    tmp_path: Path, tokenizer: Tokenizer
) -> None:
    rows = [
        {"trace_id": f"{n}-{cue}", "problem_id": f"{n}", "problem": f"Add {n}."}
        | {"prompt": f"{cue} Add {n}.", "text": TEXT, "finish_reason": "stop"}
        for n in range(20)
        for cue in ("First,", "Try 7.")
    ]
    rows += [{"trace_id": "of another set", "problem_id": "3", "problem": "Add 7.", "text": TEXT}]
    found = opened(tmp_path, rows)
    problems = {one.problem_id: one for one in found.problems(PLAN)}
    assert len(problems) == 21 and "3" not in problems and "4" in problems
    two = found.given(problems["4"], tokenizer)
    assert [one.trace_id for one in two] == ["4/0", "4/1"]
    assert [tokenizer.decode(one.prompt_ids) for one in two] == ["First, Add 4.", "Try 7. Add 4."]
    assert {one.finish_reason for one in two} == {"stop"}


def test_ids_that_come_with_a_trace_are_its_ids(tmp_path: Path, tokenizer: Tokenizer) -> None:
    ours = {
        "problem_id": "p", "split": "dev", "sample": 0, "prompt_ids": [5, 6], "token_ids": [7, 8],
        "text": tokenizer.decode([7, 8]), "finish_reason": "stop", "sampling": {"seed": 1},
    }  # fmt: skip
    rows = [ours | {"trace_id": f"{n}/0", "problem_id": str(n)} for n in range(40)]
    found = opened(tmp_path, rows)
    (trace,) = found.given(found.problems(PLAN)[0], tokenizer)
    assert (trace.prompt_ids, trace.token_ids) == ([5, 6], [7, 8])
    assert not trace.sampling["alignment"]["is_tokenized"]


@pytest.mark.parametrize(
    ("template", "prompt", "written"),
    [
        ("", "Add 3.", "<think>\nHm.\n</think>\n\n42."),
        ("First, {question} So", "First, Add 3. So", "<think>\nHm.\n</think>\n\n42."),
        ("{question}<think>\n", "Add 3.<think>\n", "Hm.\n</think>\n\n42."),
        ("{question}<think>", "Add 3.<think>", "\nHm.\n</think>\n\n42."),
    ],
)
def test_a_problem_without_a_prompt_is_asked_in_the_template_of_the_study(
    template: str, prompt: str, written: str, tmp_path: Path, tokenizer: Tokenizer
) -> None:
    rows = [
        {"trace_id": f"{n}", "problem_id": f"{n}", "problem": "Add 3.", "thinking": "Hm."}
        | {"response": "42."}
        for n in range(40)
    ]
    found = opened(tmp_path, rows, template=template)
    (problem, *_) = found.problems(PLAN)
    (trace,) = found.given(problem, tokenizer)
    assert tokenizer.decode(trace.prompt_ids) == prompt
    assert tokenizer.decode(found.prompt(problem, tokenizer)) == prompt
    assert trace.text == written


WHOLE = {"trace_id": "first", "problem": "y"}
BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "no prompt": ({"problem": None}, "it has neither `prompt` nor `problem`"),
    "no name": ({"trace_id": None}, "trace_id"),
    "a name twice": ({"trace_id": "first"}, "`first` comes twice"),
    "a text that is none": ({"text": 3}, "key `text`: expected str"),
    "ids that are none": ({"token_ids": [7, "8"]}, "key `token_ids[1]`: expected int"),
}


@pytest.mark.parametrize("file", WRITE)
@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_trace_is_told_with_file_line_and_key(
    name: str, file: str, tmp_path: Path
) -> None:
    row, told = BROKEN[name]
    if file == "traces.parquet" and "ids" in name:
        row = {"token_ids": ["7", "8"]}  # all of a column are of one type
        told = told.replace("[1]", "[0]")
    column = {key: None for key in row if key not in WHOLE}
    with pytest.raises(UserError) as error:
        open_domain(write(tmp_path, [column | WHOLE, WHOLE | {"trace_id": "second"} | row], file))
    assert f"{file}, line 2" in str(error.value) and told in str(error.value)


@pytest.mark.parametrize("file", WRITE)
def test_a_file_that_is_cut_is_told(file: str, tmp_path: Path) -> None:
    params = write(tmp_path, ROWS, file)
    path = tmp_path / file
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UserError, match=rf"{file}"):
        open_domain(params)


ALIGNED: dict[str, tuple[dict[str, Any], tuple[int, ...], int | None]] = {
    "a text": ({"text": TEXT}, (1, 1, 0, 0, 0, 0), None),
    "with an end within": ({"text": f"{TEXT}</s>{TEXT}"}, (1, 1, 0, 0, 0, 1), None),
    "and its ids": ({"text": "So, Wait", "spelled": "So, Wait</s>"}, (0, 0, 1, 1, 0, 0), None),
    "and ids with an end within": (
        {"text": "So, Wait", "spelled": "So, </s>Wait"}, (0, 0, 1, 1, 0, 1), None,
    ),
    "and other ids": ({"text": "So, Wait", "spelled": "So, what</s>"}, (0, 0, 1, 0, 0, 0), 4),
    "ids alone": ({"spelled": "So, Wait"}, (0, 0, 0, 0, 1, 0), None),
}  # fmt: skip
"""A trace, the counts of the report, and where its ids give back another text."""


@pytest.mark.parametrize("name", ALIGNED)
def test_a_text_is_compared_with_what_its_ids_decode_to(
    name: str, tmp_path: Path, tokenizer: Tokenizer
) -> None:
    row, counts, differs_at = ALIGNED[name]
    row = row.copy()
    if "spelled" in row:
        row["token_ids"] = tokenizer.encode(row.pop("spelled"), add_special_tokens=False).ids
    splits = ("train", "dev", "test")
    found = opened(tmp_path, [{"prompt": "Add", "problem_id": s, "split": s} | row for s in splits])
    (trace,) = found.given(found.problems(PLAN)[0], tokenizer)
    report = alignment.report([trace])
    assert report is not None and alignment.report([]) is None
    assert (
        report.n_tokenized, report.n_tokenized_whole, report.n_paired, report.n_paired_whole,
        report.n_ids_only, report.n_with_special,
    ) == counts  # fmt: skip
    assert [one.differs_at for one in report.different] == [differs_at] * (differs_at is not None)
    assert (f"from character {differs_at}" in report.told) == (differs_at is not None)
    assert ("special tokens" in report.told) == (report.n_with_special > 0)


def test_the_real_traces_are_read_and_come_back_whole(shared_traces: Path, tmp_path: Path) -> None:
    tokenizer = real_tokenizers.smollm2()
    n_by_file = {
        "r1_qwen_1.5b_gsm8k": (25, 25),
        "reasoning_gym_math": (30, 60),
        "reasoningflow_human": (20, 20),
        "thought_branches_mmlu": (61, 61),
    }
    for name, (n_problems, n_traces) in n_by_file.items():
        file = shared_traces / f"{name}.jsonl.gz"
        (tmp_path / "params.yaml").write_text(f"domain:\n  name: mute\n  file: {file}\n")
        found = open_domain(tmp_path / "params.yaml")
        problems = found.problems(ProblemPlan(100, 0, (0.4, 0.3, 0.3), 1))
        report = alignment.report([t for one in problems for t in found.given(one, tokenizer)])
        assert report is not None and (len(problems), report.n_tokenized) == (n_problems, n_traces)
        assert report.n_tokenized_whole == n_traces and report.n_with_special == 0
