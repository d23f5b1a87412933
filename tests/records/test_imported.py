"""Traces of every format come out as one record; what is broken is named by file, line and key."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from backtracking.records.imported import Edge, read_traces
from backtracking.records.labelled import Label, read_labels, with_labels, write_labels
from backtracking.records.spans import TextSpan
from lifeboat.stage.errors import UserError

SENTENCE = {"index": 0, "start": 0, "end": 5, "text": "Wait.", "labels": ["planning", None]}
SEVERAL = {
    "trace_id": "a",
    "model": "m",
    "text": "Wait. No.",
    "unknown": [1],
    "annotations": [
        {"kind": "human", "name": "D", "sentences": [{**SENTENCE, "edges_in": [[-1, "plan"]]}]}
    ],
}
ONE = {
    "trace_id": "b",
    "text": "Wait. No.",
    "annotator": {"kind": "judge", "name": "J", "scheme": "tags"},
    "sentences": [{**SENTENCE, "match": "exact", "depends_on": [3]}],
}


def file_of(folder: Path, *rows: dict[str, Any], packed: bool = False) -> Path:
    text = "".join(json.dumps(row) + "\n" for row in rows)
    path = folder / ("traces.jsonl.gz" if packed else "traces.jsonl")
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    return path


@pytest.mark.parametrize("packed", [False, True])
def test_both_shapes_of_annotations_are_one_record(tmp_path: Path, packed: bool) -> None:
    several, one = read_traces(file_of(tmp_path, SEVERAL, ONE, packed=packed))
    assert several.model == "m" and one.model is None
    assert [(a.kind, a.name) for a in (*several.annotations, *one.annotations)] == [
        ("human", "D"),
        ("judge", "J"),
    ]
    sentence = several.annotations[0].sentences[0]
    assert sentence.edges_in == (Edge(-1, "plan"),) and sentence.labels == ("planning",)
    assert sentence.span == TextSpan(0, 5)


def test_a_byte_order_mark_is_no_part_of_a_trace(tmp_path: Path) -> None:
    path = tmp_path / "traces.jsonl"
    path.write_text(json.dumps({"trace_id": "a"}) + "\n", encoding="utf-8-sig")
    assert [one.trace_id for one in read_traces(path)] == ["a"]


def test_a_trace_of_ours_is_read_as_it_is(tmp_path: Path) -> None:
    ours = {
        "trace_id": "p/0", "problem_id": "p", "split": "dev", "sample": 0, "prompt_ids": [1],
        "token_ids": [2, 3], "text": "Wait.", "finish_reason": "stop", "sampling": {"seed": 1},
    }  # fmt: skip
    (trace,) = read_traces(file_of(tmp_path, ours))
    assert (trace.written, trace.token_ids, trace.annotations) == ("Wait.", [2, 3], ())


def test_what_was_written_comes_from_whatever_the_source_has(tmp_path: Path) -> None:
    apart = {"trace_id": "a", "text": None, "thinking": "T", "response": None}
    only = {**ONE, "text": None, "sentences": [{"index": 0, "text": "Hm.", "labels": []}] * 2}
    found = read_traces(file_of(tmp_path, apart, only, {"trace_id": "c"}))
    assert [one.written for one in found] == ["<think>\nT\n</think>\n\n", "Hm. Hm.", ""]
    assert found[1].annotations[0].sentences[0].span is None


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"text": "no name"}, "line 1: .*trace_id"),
        ({**ONE, "text": 3}, "line 1, key `text`: expected str"),
        ({**ONE, "sentences": [{**SENTENCE, "start": "x"}]}, r"key `sentences\[0\].start`"),
        ({**ONE, "sentences": [{**SENTENCE, "labels": "plan"}]}, r"`sentences\[0\].labels`"),
        ({**ONE, "annotator": "somebody"}, "its annotations cannot be read"),
        ({**SEVERAL, "annotations": [3]}, "its annotations cannot be read"),
    ],
)
def test_a_broken_trace_is_named(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_traces(file_of(tmp_path, row))


def test_a_file_that_is_none_and_a_trace_that_comes_twice_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        read_traces(tmp_path / "none.jsonl")
    resampled = {"trace_id": "a", "index": 0, "n": 1, "next_sentences": [["Wait.", 1]]}
    with pytest.raises(UserError, match=r"line 2: `a` comes twice, and nothing that was written"):
        read_traces(file_of(tmp_path, resampled, resampled))
    with pytest.raises(UserError, match=r"line 2: `b` comes twice"):
        read_traces(file_of(tmp_path, ONE, ONE))
    path = tmp_path / "broken.gz"
    path.write_bytes(gzip.compress(b"{}" * 99)[:-9])
    with pytest.raises(UserError, match="cannot be read"):
        read_traces(path)
    path.write_text("[1]\n")
    with pytest.raises(UserError, match=r"line 1: expected an object, found '\[1\]'"):
        read_traces(path)


def test_labels_of_a_file_are_annotations_in_front(tmp_path: Path) -> None:
    labels = [Label("a", 5, 9, "deduction", "me"), Label("a", 0, 5, "backtracking", "me")]
    write_labels(tmp_path / "labels.jsonl", labels)
    traces = read_traces(file_of(tmp_path, SEVERAL))
    (trace,) = with_labels(traces, read_labels(tmp_path / "labels.jsonl"))
    assert [one.name for one in trace.annotations] == ["me", "D"]
    assert [one.text for one in trace.annotations[0].sentences] == ["Wait.", " No."]
    for lost in (Label("z", 0, 1, "deduction"), Label("a", 0, 99, "deduction")):
        with pytest.raises(UserError, match="which no trace has"):
            with_labels(traces, [lost])


def test_a_label_without_a_stretch_of_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    path.write_text('{"trace_id": "a", "start": 3, "end": 3, "state": "deduction"}\n')
    with pytest.raises(UserError, match="characters 3 to 3 are no stretch"):
        read_labels(path)
    path.write_text('{"trace_id": "a", "start": 0, "end": 3, "state": "doubt"}\n')
    with pytest.raises(UserError, match="key `state`"):
        read_labels(path)
