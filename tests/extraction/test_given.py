"""Traces and labels as they come: gzip, texts without ids, what `backtracking label` writes."""

import gzip
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from backtracking import cli
from backtracking.activations.reader import ActivationStore
from backtracking.extraction import given
from backtracking.extraction.items import TraceFile
from backtracking.models.tokens import token_ids
from lifeboat.stage.errors import UserError

FIRST = "Numbers 5 2 1. Target 9. Compare 10 with 9. Wait, 10 is too big."
TEXTS = (FIRST, "Try 1 on 10. Left 6.")


@pytest.fixture
def folder(model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "model").symlink_to(model_folder)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def tokenizer(model_folder: Path) -> Tokenizer:
    return Tokenizer.from_file(str(model_folder / "tokenizer.json"))


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    data = "".join(f"{json.dumps(row)}\n" for row in rows).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def ready(traces: Path, sentences: Path | None = None) -> given.Given:
    return given.ready(traces, sentences, "model", None, Path("out"))


def run(*arguments: str) -> int:
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as ended:
        patch.setattr(sys, "argv", ["backtracking", *arguments])
        cli.main()
    return int(ended.value.code or 0)


def test_ids_in_gzip_are_those_of_the_plain_file(folder: Path) -> None:
    rows = [{"trace_id": "a", "prompt_ids": [3], "token_ids": [5, 6]}, {"token_ids": [7]}]
    plain = ready(write(folder / "traces.jsonl", rows))
    assert (plain.traces, plain.said) == (folder / "traces.jsonl", ())
    packed = ready(write(folder / "traces.jsonl.gz", rows))
    assert packed.said == ()
    assert list(TraceFile(packed.traces)) == list(TraceFile(plain.traces))


@pytest.mark.parametrize("name", ["traces.jsonl", "traces.jsonl.gz"])
def test_texts_are_tokenised_by_the_model_s_own_tokenizer(
    name: str, folder: Path, tokenizer: Tokenizer
) -> None:
    rows = [
        {"trace_id": "a", "prompt": TEXTS[1], "text": FIRST},
        {"trace_id": "b", "text": TEXTS[1]},
        {"trace_id": "c", "text": "Try quixotry."},
    ]
    found = ready(write(folder / name, rows))
    first, second, _ = TraceFile(found.traces)
    assert first.ids == tokenizer.encode(TEXTS[1]).ids + token_ids(FIRST, tokenizer)
    assert second.ids == tokenizer.encode(TEXTS[1]).ids
    whole, alone = found.said
    assert "3 texts tokenized here, of which 2 come back whole; the first other is c" in whole
    assert "2 of them have no `prompt`" in alone


def test_labels_become_the_tokens_of_their_characters(
    folder: Path, tokenizer: Tokenizer, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"trace_id": f"t{n}", "prompt": "9", "text": text} for n, text in enumerate(TEXTS)]
    write(folder / "traces.jsonl.gz", rows)
    assert run("label", "traces.jsonl.gz", "--labeller", "rules", "--out", "labels.jsonl") == 0
    shared = ("--model", "model", "--traces", "traces.jsonl.gz", "--sentences", "labels.jsonl")
    assert run("extract", *shared, "--out", "out", "--window=0:0", "--layers", "1") == 0
    assert "6 labelled sentences" in capsys.readouterr().out
    found = ready(folder / "traces.jsonl.gz", folder / "labels.jsonl")
    said = [
        tokenizer.decode(item.ids[span.start : span.end])
        for item in TraceFile(found.traces, found.sentences)
        for span in item.spans.values()
    ]
    labels = [json.loads(line) for line in (folder / "labels.jsonl").read_text().splitlines()]
    texts = [TEXTS[int(one["trace_id"][1])][one["start"] : one["end"]] for one in labels]
    assert said == [text.strip() for text in texts]
    assert len(ActivationStore(folder / "out").rows) == len(labels)
    assert run("store", "check", "out", *shared) == 0


def test_labels_fit_ids_that_came_only_where_they_are_those_of_the_text(
    folder: Path, tokenizer: Tokenizer
) -> None:
    ids = token_ids(FIRST, tokenizer)
    label = {"trace_id": "a", "start": 0, "end": 14, "state": "deduction"}
    labels = write(folder / "labels.jsonl", [label])
    row = {"trace_id": "a", "text": FIRST, "prompt_ids": [3], "token_ids": [*ids, 1]}
    found = ready(write(folder / "traces.jsonl", [row]), labels)
    (item,) = TraceFile(found.traces, found.sentences)
    span = item.spans[0]
    assert tokenizer.decode(item.ids[span.start : span.end]) == "Numbers 5 2 1."
    with pytest.raises(UserError, match="which is not what this tokenizer makes"):
        ready(write(folder / "traces.jsonl", [{**row, "token_ids": ids[1:]}]), labels)


@pytest.mark.parametrize(
    ("rows", "labels", "message"),
    [
        ([{"trace_id": "a"}], [], "`a` has neither token ids nor a text"),
        ([{"text": "Left 6."}, {"text": 3}], [], "line 2, key `text`: expected str"),
        (
            [{"trace_id": "a", "text": "Left 6."}],
            [{"trace_id": "a", "start": 0, "end": 99, "state": "deduction"}],
            "no trace `a` has characters up to 99",
        ),
    ],
)
def test_what_is_neither_ids_nor_text_is_refused(
    folder: Path, rows: list[dict], labels: list[dict], message: str
) -> None:
    sentences = write(folder / "labels.jsonl", labels) if labels else None
    with pytest.raises(UserError, match=message):
        ready(write(folder / "traces.jsonl", rows), sentences)
