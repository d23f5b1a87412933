"""Traces and sentences of files: read lazily, refused where they do not fit."""

from pathlib import Path
from typing import Any

import pytest

from backtracking.extraction.items import TraceFile
from backtracking.records.traces import TokenSpan
from lifeboat.stage import artifacts
from lifeboat.stage.errors import UserError


def sentence(name: str, index: int, start: int, end: int, text: str = "") -> dict:
    return {"trace_id": name, "index": index, "start": start, "end": end, "text": text}


def trace(name: str, n_tokens: int) -> dict:
    return {"trace_id": name, "prompt_ids": [1], "token_ids": list(range(n_tokens - 1))}


def read(tmp_path: Path, traces: list[Any], sentences: list[Any] | None = None) -> TraceFile:
    artifacts.write_jsonl(tmp_path / "traces.jsonl", traces)
    if sentences is None:
        return TraceFile(tmp_path / "traces.jsonl")
    artifacts.write_jsonl(tmp_path / "sentences.jsonl", sentences)
    return TraceFile(tmp_path / "traces.jsonl", tmp_path / "sentences.jsonl")


def test_traces_are_numbered_and_have_their_prompt_first(tmp_path: Path) -> None:
    found = read(tmp_path, [trace("a", 3), {"token_ids": [7, 8]}, trace("c", 2)])
    assert [(item.trace, item.ids) for item in found] == [(0, [1, 0, 1]), (1, [7, 8]), (2, [1, 0])]
    assert [item.trace for item in found[1:]] == [1, 2]
    assert (found[-1].ids, len(found)) == ([1, 0], 3)
    with pytest.raises(IndexError):
        found[3]


def test_a_span_that_is_named_twice_counts_once(tmp_path: Path) -> None:
    sentences = [sentence("b", 0, 1, 3, "one"), sentence("b", 0, 1, 3, "other")]
    first, second = read(tmp_path, [trace("a", 5), trace("b", 5)], sentences)
    assert (first.spans, second.spans) == ({}, {0: TokenSpan(1, 3)})


@pytest.mark.parametrize(
    ("sentences", "message"),
    [
        ([], "no sentence"),
        ([sentence("b", 0, 1, 3)], "line 1: 'b': there is no such trace"),
        ([sentence("a", 0, 1, 6)], "found tokens 1 to 6 of 5"),
        ([sentence("a", 0, 3, 3)], "found tokens 3 to 3 of 5"),
        ([sentence("a", 0, 1, 3), sentence("a", 0, 1, 4)], "different spans, 1 to 3 and 1 to 4"),
        ([sentence("a", 0, 1, 3), sentence("a", 1, 2, 4)], "1 to 3 and 2 to 4 overlap"),
        ([sentence("a", 2**31, 1, 3)], "expected an index from 0 to 2147483647, found 2147483648"),
        ([sentence("a", -1, 1, 3)], "expected an index from 0"),
        ([sentence("a", 0, 2**40, 2**41)], "expected a range within the trace"),
        ([{"trace_id": "a", "index": 0, "start": "1", "end": 2}], "key `start`: expected int"),
    ],
)
def test_sentences_that_do_not_fit_the_traces_are_refused(
    tmp_path: Path, sentences: list[dict], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        read(tmp_path, [trace("a", 5)], sentences)


@pytest.mark.parametrize(
    ("traces", "message"),
    [
        ([trace("a", 5), trace("a", 6)], "one trace_id, 'a'"),
        ([trace("a", 5), {"trace_id": "b"}], "line 2: expected token ids in `token_ids`"),
        ([{"token_ids": [1, True]}], "line 1: expected token ids"),
        ([{"token_ids": [1], "prompt_ids": "text"}], "expected token ids in `prompt_ids`"),
    ],
)
def test_traces_without_token_ids_are_refused(
    tmp_path: Path, traces: list[dict], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        read(tmp_path, traces)


def test_a_broken_line_and_a_missing_file_are_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.jsonl"
    path.write_text('{"token_ids": [1]}\n[1]\n')
    with pytest.raises(UserError, match=r"broken\.jsonl, line 2: expected a JSON object"):
        TraceFile(path)
    with pytest.raises(UserError, match=r"none\.jsonl does not exist"):
        TraceFile(tmp_path / "none.jsonl")


@pytest.mark.parametrize("name", ["traces.jsonl", "sentences.jsonl"])
@pytest.mark.parametrize("letter", [b"\xe9", b"\xff\xfe", b"\x00"])
def test_a_letter_that_is_not_utf_8_is_told_with_its_line(
    name: str, letter: bytes, tmp_path: Path
) -> None:
    read(tmp_path, [trace("a", 5)], [sentence("a", 0, 1, 3, "one")])
    data = (tmp_path / name).read_bytes().replace(b'"a"', b'"' + letter + b'"')
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError, match="line 1") as told:
        TraceFile(tmp_path / "traces.jsonl", tmp_path / "sentences.jsonl")
    assert "dvc" not in str(told.value)
