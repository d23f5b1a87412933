"""Sentences come out as ranges of the generated ids, wherever and however often a text stands."""

from functools import cache
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, pre_tokenizers, trainers
from tokenizers.models import BPE

from backtracking.domains.organism.tokenizer import build_tokenizer
from backtracking.labels.segmentation import coverage, segment, sentence_starts, token_texts
from backtracking.records.traces import TokenSpan

NATURAL = (
    'So 3.5 + 3.5 = 7. Wait, that is too big... but fine. Try e.g. 4 🤔! He said "No." Then 5.\n\n'
    "1. First, étudier 你好。\n2. Wait, that is too big. Is it?\n</think>\n\nThe answer is 7"
)


@cache
def byte_tokenizer() -> Tokenizer:
    """Byte-level BPE with few merges: emoji and accents take several tokens each."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, initial_alphabet=alphabet, special_tokens=["</s>"], show_progress=False
    )
    tokenizer.train_from_iterator(
        ["Wait, that is too big. The answer is what we try.\n\n"], trainer
    )
    return tokenizer


def end_token(tokenizer: Tokenizer) -> int:
    token = tokenizer.token_to_id("</s>")
    assert token is not None
    return token


def split_text(text: str) -> list[str]:
    return [text[a:b].strip() for a, b in pairwise([*sentence_starts(text), len(text)])]


def test_every_sentence_of_a_natural_text_is_found() -> None:
    assert split_text(NATURAL) == [
        "So 3.5 + 3.5 = 7.",
        "Wait, that is too big... but fine.",
        "Try e.g. 4 🤔!",
        'He said "No."',
        "Then 5.",
        "1. First, étudier 你好。",
        "2. Wait, that is too big.",
        "Is it?\n</think>",
        "The answer is 7",
    ]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("A is 3.5. B is 4.", ["A is 3.5.", "B is 4."]),
        ("Take e.g. 4, i.e. Four vs. five. Done.", ["Take e.g. 4, i.e. Four vs. five.", "Done."]),
        ("In the U.S. it rains. Yes.", ["In the U.S. it rains.", "Yes."]),
        ("Apples, pears, etc. Then we stop.", ["Apples, pears, etc.", "Then we stop."]),
        ("Hmm... Wait.", ["Hmm...", "Wait."]),
        ("Hmm… that is odd.", ["Hmm… that is odd."]),
        ('"Really?" he said. "No!"', ['"Really?" he said.', '"No!"']),
        ("x = 7. wait, no", ["x = 7.", "wait, no"]),
        ("\\[\nx = 3.\n\\]\nSo 3", ["\\[\nx = 3.\n\\]", "So 3"]),
        ("What?! No!!", ["What?!", "No!!"]),
        ("  \n ", []),
    ],
)
def test_full_stops_inside_a_sentence_do_not_end_it(text: str, sentences: list[str]) -> None:
    assert split_text(text) == sentences


def test_spans_of_byte_level_tokens_decode_to_the_sentences() -> None:
    tokenizer = byte_tokenizer()
    ids = tokenizer.encode(NATURAL).ids
    assert any("\ufffd" in tokenizer.decode([token]) for token in ids)
    spans = segment(ids, tokenizer.decode, start=10)
    texts = [tokenizer.decode(ids[span.start - 10 : span.end - 10]).strip() for span in spans]
    assert texts == split_text(NATURAL)


def test_a_repeated_sentence_is_found_at_its_own_place() -> None:
    tokenizer = byte_tokenizer()
    once = tokenizer.encode("Wait, that is too big. ").ids
    spans = segment(once * 3, tokenizer.decode, start=0)
    assert spans == [TokenSpan(i * len(once), (i + 1) * len(once)) for i in range(3)]


def test_the_organism_has_one_sentence_for_every_full_stop() -> None:
    tokenizer: Tokenizer = build_tokenizer().backend_tokenizer
    text = "Compare 19 with 28. Wait, 19 is too big. Check : over. Undo 9 on 19. Well, fine"
    encoding = tokenizer.encode(text, add_special_tokens=False)
    ids, words = encoding.ids, encoding.tokens
    spans = segment([*ids, end_token(tokenizer)], tokenizer.decode, start=7)
    stops = [7 + index + 1 for index, word in enumerate(words) if word == "."]
    assert [span.end for span in spans] == [*stops, 7 + len(ids)]
    assert [span.start for span in spans] == [7, *stops]


def test_special_tokens_at_the_end_and_empty_traces_have_no_sentence() -> None:
    tokenizer = byte_tokenizer()
    end = end_token(tokenizer)
    ids = tokenizer.encode("No. Yes").ids
    assert segment([*ids, end, end], tokenizer.decode, 3)[-1].end == 3 + len(ids)
    assert segment([end], tokenizer.decode, 3) == segment([], tokenizer.decode, 3) == []


@settings(max_examples=100, deadline=None)
@given(
    st.text(alphabet="aW. ,\n!?…\"'3é🤔。)e\ufffd", max_size=40),
    st.integers(0, 9),
    st.integers(0, 8),
)
def test_spans_partition_the_tokens_of_any_text_cut_anywhere(
    text: str, start: int, n_cut: int
) -> None:
    tokenizer = byte_tokenizer()
    ids = tokenizer.encode(text).ids
    ids = ids[: max(0, len(ids) - n_cut)]
    spans = segment(ids, tokenizer.decode, start)
    covered = [position for span in spans for position in range(span.start, span.end)]
    assert covered == list(range(start, start + len(ids)))
    assert coverage(spans, len(ids)) == 1.0
    assert "".join(token_texts(ids, tokenizer.decode)) == tokenizer.decode(ids)


def test_a_decoder_that_joins_full_stops_still_gives_every_token_its_text() -> None:
    words = ["So", "it", "is", ".", "Wait", ",", "no", "."]

    def decode(ids: list[int]) -> str:
        return " ".join(words[i] for i in ids).replace(" .", ".").replace(" ,", ",")

    assert "".join(token_texts(range(8), lambda ids: decode(list(ids)))) == "So it is. Wait, no."
    assert segment(range(8), lambda ids: decode(list(ids)), 0) == [TokenSpan(0, 4), TokenSpan(4, 8)]


def test_coverage_is_the_share_of_tokens_in_a_sentence() -> None:
    assert coverage([TokenSpan(5, 7), TokenSpan(7, 8)], 4) == 0.75
    assert coverage([], 4) == 0.0
    assert coverage([], 0) == 1.0
    with pytest.raises(ValueError, match="at most 2 tokens in the spans, found 3"):
        coverage([TokenSpan(0, 3)], 2)
