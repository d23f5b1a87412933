"""Questions with right answers, read from files of every format and graded without a guess."""

import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pyarrow
import pytest
import real_tokenizers
from bpe import train
from project import ROOT, write_tiny_params
from pyarrow import parquet
from tokenizers import Tokenizer

from backtracking.domains.domain import Domain, ProblemPlan
from backtracking.domains.registry import open_domain
from backtracking.domains.sets import questions
from backtracking.domains.sets.questions import Questions
from backtracking.models.tokens import token_ids
from backtracking.records.traces import Trace
from backtracking.runtime import params
from lifeboat.stage import artifacts
from lifeboat.stage.errors import UserError

PLAN = ProblemPlan(40, 0, (0.5, 0.2, 0.3), 1)
GSM8K = [
    {"question": f"Eggs cost {n}. Two cost?", "answer": f"<<2*{n}={2 * n}>>\n#### {2 * n}"}
    for n in range(40)
]
MATH = [
    {"problem": f"Divide {n} by 7.", "solution": "x", "answer": rf"\frac{{{n}}}{{7}}", "level": 3}
    for n in range(40)
]


def lines(rows: list[dict]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


WRITE: dict[str, Callable[[Path, list[dict]], Any]] = {
    "test.jsonl": lambda path, rows: path.write_text(lines(rows)),
    "test.jsonl.gz": lambda path, rows: path.write_bytes(gzip.compress(lines(rows).encode())),
    "test.json": lambda path, rows: path.write_text(json.dumps(rows)),
    "test.parquet": lambda path, rows: parquet.write_table(pyarrow.Table.from_pylist(rows), path),
}


def opened(root: Path, rows: list[dict], file: str = "test.jsonl", **section: Any) -> Domain:
    (root / "set").mkdir(exist_ok=True)
    WRITE[file](root / "set" / file, rows)
    data = {"source": "set", "files": [file]} | section.pop("data", {})
    overlay = {"domain": {"name": "questions"}, "questions": {"data": data, **section}}
    write_tiny_params(root / "params.yaml", overlay)
    return open_domain(root / "params.yaml")


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train([row["question"] + r" The answer is \boxed{18}." for row in GSM8K] * 5, 300)


@pytest.mark.parametrize("file", WRITE)
def test_every_format_gives_the_same_problems(file: str, tmp_path: Path) -> None:
    problems = opened(tmp_path, GSM8K, file).problems(PLAN)
    assert problems == opened(tmp_path, GSM8K).problems(PLAN)
    assert {one.split for one in problems} == {"train", "dev", "test"} and len(problems) == 40
    answers = {one.prompt: one.answer for one in problems}
    assert answers["Eggs cost 9. Two cost?"] == "18"


def outcome(domain: Domain, answer: str, text: str, tokenizer: Tokenizer) -> str:
    (problem,) = (one for one in domain.problems(PLAN) if one.answer == answer)
    ids = token_ids(text, tokenizer)
    trace = Trace("p/0", problem.problem_id, problem.split, 0, [1], ids, text, "stop", {})
    assert domain.read(trace, problem, tokenizer).sentences
    return domain.grade(trace, problem, tokenizer).outcome


def test_numbers_are_graded_exactly(tmp_path: Path, tokenizer: Tokenizer) -> None:
    domain = opened(tmp_path, GSM8K)
    texts = {r"It is \boxed{18}.": "right", r"\boxed{18} or \boxed{20}": "unparsable", "No.": None}
    for text, expected in texts.items():
        assert outcome(domain, "18", text, tokenizer) == (expected or "unparsable")
    assert outcome(domain, "18", r"\boxed{17}", tokenizer) == "wrong"


def test_mathematics_and_choices_are_compared_as_such(tmp_path: Path, tokenizer: Tokenizer) -> None:
    pytest.importorskip("math_verify")
    domain = opened(tmp_path, MATH, question="problem", compare="mathematics")
    assert outcome(domain, r"\frac{3}{7}", r"\boxed{3/7}", tokenizer) == "right"
    assert outcome(domain, r"\frac{3}{7}", r"\boxed{-3/7}", tokenizer) == "wrong"
    rows = [{"question": f"{n}?", "answer": "D" if n == 3 else "A"} for n in range(40)]
    domain = opened(tmp_path, rows, compare="choice")
    assert outcome(domain, "D", r"\boxed{\text{(D)}}", tokenizer) == "right"


def test_a_file_is_known_by_its_hash(tmp_path: Path) -> None:
    opened(tmp_path, GSM8K)
    right = artifacts.sha256_file(tmp_path / "set" / "test.jsonl")
    assert opened(tmp_path, GSM8K, data={"sha256": [right]}).problems(PLAN)
    with pytest.raises(UserError, match=f"expected the SHA-256 0, found {right}"):
        opened(tmp_path, GSM8K, data={"sha256": ["0"]}).problems(PLAN)


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ({"question": "problem"}, r"Row 1 .* column `problem`, found None"),
        ({"data": {"source": "owner/name"}}, "needs a commit"),
        ({"data": {"source": "owner/name", "revision": "main"}}, "found 'main'"),
        ({"data": {"files": ["no.jsonl"]}}, "no.jsonl does not exist"),
        ({"data": {"files": []}}, "names none"),
        ({"compare": "guess"}, "compare"),
    ],
)
def test_what_cannot_be_read_is_told(section: dict, told: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=told):
        opened(tmp_path, GSM8K, **section).problems(PLAN)


def test_a_data_set_of_the_hub_is_fetched_at_its_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit, asked = "0" * 40, []

    def fetch(source: str, name: str, **known: str) -> str:
        asked.append((source, name, known["repo_type"], known["revision"]))
        return str(tmp_path / "set" / name)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fetch)
    local = opened(tmp_path, GSM8K)
    assert isinstance(local, Questions)
    data = replace(local.section.data, source="owner/name", revision=commit)
    domain = replace(local, section=replace(local.section, data=data))
    assert domain.problems(PLAN) and asked == [("owner/name", "test.jsonl", "dataset", commit)]


def test_what_a_data_set_of_the_hub_lacks_is_filled_in_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(tmp_path, GSM8K, data={"source": "owner/name"})
    file, path = tmp_path / "set" / "test.jsonl", tmp_path / "params.yaml"
    commit, asked = "0" * 40, []

    def ask(url: str) -> SimpleNamespace:
        asked.append(url)
        return SimpleNamespace(commit_hash=commit)

    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", ask)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *_, **known: str(file))
    found = questions.pin(path)
    assert found and (found.revision, found.sha256) == (commit, (artifacts.sha256_file(file),))
    assert [one.partition(".co/")[2] for one in asked] == [
        "datasets/owner/name/resolve/main/test.jsonl"
    ]
    assert open_domain(path).problems(PLAN)
    before = path.read_bytes()
    assert questions.pin(path) is None and path.read_bytes() == before and len(asked) == 1
    write_tiny_params(path)
    assert questions.pin(path) is None


def test_a_data_set_that_the_hub_does_not_show_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(url: str) -> None:
        raise OSError("no way there")

    opened(tmp_path, GSM8K, data={"source": "owner/name"})
    before = (tmp_path / "params.yaml").read_bytes()
    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", refuse)
    with pytest.raises(UserError, match="datasets/owner/name.*no way there"):
        questions.pin(tmp_path / "params.yaml")
    assert (tmp_path / "params.yaml").read_bytes() == before


OVERLAYS = {"gsm8k": (GSM8K, "18"), "math-500": (MATH, r"\frac{18}{7}")}


@pytest.mark.parametrize("name", OVERLAYS)
def test_an_overlay_of_questions_reads_rows_as_its_data_set_has_them(
    name: str, tmp_path: Path
) -> None:
    rows, answer = OVERLAYS[name]
    overlay = params.read(ROOT / "configs" / f"{name}.yaml")
    (file,) = overlay["questions"]["data"]["files"]
    path = tmp_path / "set" / file
    path.parent.mkdir(parents=True)
    WRITE[f"test{path.suffix}"](path, rows)
    local = {"questions": {"data": {"source": "set"}}}
    write_tiny_params(tmp_path / "params.yaml", overlay, local)
    domain, tokenizer = open_domain(tmp_path / "params.yaml"), real_tokenizers.deepseek()
    (problem,) = (one for one in domain.problems(PLAN) if one.answer == answer)
    ids = domain.prompt(problem, tokenizer)
    assert problem.prompt in tokenizer.decode(ids) and r"\boxed{}" in tokenizer.decode(ids)
    assert tokenizer.token_to_id(domain.lexicon.ends[0]) is not None
