"""Laws of the splitter on any text: all is covered once, comes back whole, and nothing fails."""

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import bpe
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from backtracking import PROJECT_ROOT
from backtracking.labels.blocks import LONGEST, blocks_of, is_inside
from backtracking.labels.segmentation import segments, split, token_texts
from backtracking.records.imported import read_traces
from backtracking.records.spans import TextSpan

PIECES = (
    "Wait, that is wrong. ", "So 3.5 + 4 = 7.5! ", "\\[\nx = 3.\n", "\\]", "\\( a. b ", "\\)", "$$",
    "\\begin{align}\n1. \\\\[2pt] 2.\n", "\\end{align}", "```python\nx = 1.  # no. yes\n", "```",
    "| a. | b! |\n", "|---|---|\n", "1. First. ", "- item\n", "* **bold.** ", "\n\n", "\r\n", "\t",
    "你好。", "？", "é́", "🤔", "👩‍👩‍👧 ", "\ufffd", "\u2028", "\x00", "e.g. ", "U.S. ", "...", "…",
    "<think>", "</think>", '"Really?" he said. ', "$5.00 and $x. y$ ", "\\boxed{7}", "\ud7ff", " ",
)  # fmt: skip
WRITTEN = st.lists(st.sampled_from(PIECES) | st.text(max_size=8), max_size=25).map("".join)
NASTY = {
    "stops": ". ",
    "full stops": ".",
    "opened and never closed": "\\[ ",
    "environments": "\\begin{a}",
    "dollars": "$$",
    "fences": "```\n",
    "tables": "|a|b|\n",
    "lists": "1. ",
    "new lines": "\n",
    "tags": "</a",
    "closers": ".)))",
    "abbreviations": "e.g. ",
    "wide": "。",
    "prose": "Wait, x is 3. So we go on? ",
}


@cache
def tokenizer() -> Tokenizer:
    return bpe.train(["Wait, that is wrong. The answer is what we try.\n\n"], 300)


def _first_byte(character: str) -> int:
    return tokenizer().encode(character).ids[0]


@settings(max_examples=300, deadline=None)
@given(WRITTEN)
def test_the_sentences_of_a_text_partition_it(text: str) -> None:
    spans = split(text)
    assert "".join(text[span.start : span.end] for span in spans) == text
    assert all(span.start < span.end for span in spans)
    assert [span.start for span in spans] == [0, *(span.end for span in spans[:-1])][: len(spans)]


@settings(max_examples=150, deadline=None)
@given(WRITTEN, st.integers(0, 9), st.integers(0, 6))
def test_spans_of_ids_and_of_characters_are_the_same_sentences(
    text: str, start: int, n_cut: int
) -> None:
    """Cut anywhere, within a character too: the ids are covered once, and decode to the text."""
    decode = tokenizer().decode
    ids = tokenizer().encode(text).ids
    ids = ids[: max(0, len(ids) - n_cut)]
    found = segments(ids, decode, start)
    whole = decode(ids)
    positions = [n for one in found for n in range(one.tokens.start, one.tokens.end)]
    assert positions == list(range(start, start + len(ids)))
    assert "".join(whole[one.characters.start : one.characters.end] for one in found) == whole
    starts = [one.characters.start for one in found]
    assert starts == [0, *(one.characters.end for one in found[:-1])][: len(found)]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(0, 299) | st.sampled_from("🤔é\ufffd").map(_first_byte), max_size=60))
def test_any_ids_come_back_whole_bytes_that_are_no_text_too(ids: list[int]) -> None:
    decode = tokenizer().decode
    pieces = token_texts(ids, decode)
    assert len(pieces) == len(ids) and "".join(pieces) == decode(ids)


@settings(max_examples=150, deadline=None)
@given(WRITTEN)
def test_blocks_are_apart_in_order_and_within_the_text(text: str) -> None:
    blocks = blocks_of(text)
    assert all(0 <= one.start < one.end <= len(text) for one in blocks)
    assert all(a.end <= b.start for a, b in zip(blocks, blocks[1:], strict=False))


TIMED = """
import json, sys, time
from tokenizers import Tokenizer
from backtracking.labels.segmentation import segments, split
tokenizer = Tokenizer.from_str(sys.argv[1])
units = json.loads(sys.argv[2])
took = {}
for name, unit in units.items():
    text = unit * (100_000 // len(unit))
    began = time.process_time()
    split(text)
    took[name] = time.process_time() - began
ids = tokenizer.encode(units["prose"] * 4000).ids
began = time.process_time()
segments(ids, tokenizer.decode, 0)
took["ids"] = time.process_time() - began
ids = tokenizer.encode("\\ufffd" * 33_333).ids
began = time.process_time()
segments(ids, tokenizer.decode, 0)
took["no text"] = time.process_time() - began
print(json.dumps(took))
"""


def test_a_hundred_thousand_characters_take_less_than_a_second() -> None:
    """In a process of its own: here every call also checks its types."""
    done = subprocess.run(
        [sys.executable, "-c", TIMED, tokenizer().to_str(), json.dumps(NASTY)],
        env={**os.environ, "PYTHONPATH": str(PROJECT_ROOT / "src")},
        check=True,
        capture_output=True,
        text=True,
    )
    took = json.loads(done.stdout)
    assert set(took) == {*NASTY, "ids", "no text"}
    assert max(took.values()) < 1, took


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("So\n\\[\na = 1.\nb = 2.\n\\]\nHence", ["So", "\\[\na = 1.\nb = 2.\n\\]", "Hence"]),
        ("We see $$\nx. y\n$$ and stop. Yes.", ["We see $$\nx. y\n$$ and stop.", "Yes."]),
        ("Here \\(a. b\\) holds. Yes.", ["Here \\(a. b\\) holds.", "Yes."]),
        (
            "\\begin{align}\na.\\\\[2pt]\nb.\n\\end{align}\nSo.",
            ["\\begin{align}\na.\\\\[2pt]\nb.\n\\end{align}", "So."],
        ),
        (
            "Run:\n```python\nx = 1.\n\ny = 2.\n```\nDone.",
            ["Run:", "```python\nx = 1.\n\ny = 2.\n```", "Done."],
        ),
        ("| a. | b |\n|---|---|\n| 1. | 2 |\nSo.", ["| a. | b |\n|---|---|\n| 1. | 2 |", "So."]),
        ("1. First.\n2. Second.\n- Third", ["1. First.", "2. Second.", "- Third"]),
        ("It costs $5. Then $7. Yes", ["It costs $5.", "Then $7.", "Yes"]),
        ("Open \\[ x. Never closed. Yes.", ["Open \\[ x.", "Never closed.", "Yes."]),
        ("Open \\[ x. Then \\[ y. z \\]. Yes.", ["Open \\[ x.", "Then \\[ y. z \\].", "Yes."]),
        ("Say \\[ \\text{a. \\(b. c\\)} \\]. Yes.", ["Say \\[ \\text{a. \\(b. c\\)} \\].", "Yes."]),
    ],
)
def test_no_sentence_ends_within_a_formula_code_or_a_table(text: str, sentences: list[str]) -> None:
    assert [text[span.start : span.end].strip() for span in split(text)] == sentences


def test_what_is_closed_too_late_is_no_block() -> None:
    assert blocks_of("\\[" + "x" * LONGEST + "\\]") == []
    assert blocks_of("\\[" + "x" * (LONGEST - 4) + "\\]") == [TextSpan(0, LONGEST)]


def test_a_place_at_the_edge_of_a_block_is_not_inside() -> None:
    blocks = [TextSpan(2, 5)]
    assert [is_inside(place, blocks) for place in (0, 2, 3, 4, 5, 9)] == [
        False, False, True, True, False, False,
    ]  # fmt: skip


@pytest.mark.slow
def test_on_real_traces_most_ends_are_where_their_annotators_have_them(shared_traces: Path) -> None:
    """Of the first annotator of each trace; sources split finer or coarser here and there."""
    for file in ("reasoningflow_human", "reasoningflow_aime", "thought_anchors_math"):
        n_theirs = n_found = 0
        for trace in read_traces(shared_traces / f"{file}.jsonl.gz"):
            text = trace.written
            ours = {span.start for span in split(text)}
            spans = [one.span for one in trace.annotations[0].sentences if one.span]
            theirs = {s.end - len(text[s.start : s.end].lstrip()) for s in spans}
            n_theirs += len(theirs)
            n_found += len(theirs & ours)
        assert n_found > 0.93 * n_theirs, (file, n_found, n_theirs)


def test_every_shared_trace_is_split_without_loss(shared_traces: Path) -> None:
    for file in ("misguided_attention", "thinkarm_human", "reasoning_gym_math"):
        for trace in read_traces(shared_traces / f"{file}.jsonl.gz"):
            text = trace.written
            assert "".join(text[span.start : span.end] for span in split(text)) == text
