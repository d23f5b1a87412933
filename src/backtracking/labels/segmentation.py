"""Sentences of a trace as ranges of the very ids that were generated, and of their characters.

Nothing is re-tokenised and no sentence is searched for in the text: each token's place in the text
follows from decoding the ids step by step, so a repeated "Wait, ..." keeps its own place.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from backtracking.labels.blocks import blocks_of, is_inside
from backtracking.records.spans import TextSpan
from backtracking.records.traces import TokenSpan

_INCOMPLETE = "\ufffd"
_END = re.compile(
    r"""(?P<stop>\.{2,}|…|[.!?]|(?P<wide>[。！？]))
        (?P<closers>["'”’)\]}*_`]*)
        (?:(?=\s+(?P<next>\S)|\s*\Z)|(?(wide)|(?!)))""",
    re.VERBOSE,
)
_LINE = re.compile(r"\n+")
_LIST_MARKER = re.compile(r"(?:\A|\n)[ *#]*\d+\Z")
_NEVER_LAST = re.compile(
    r"\b(?:e\.g|i\.e|vs|cf|mr|mrs|ms|dr|prof|figs?|eqs?|approx|resp|ph\.d)\Z", re.IGNORECASE
)
_SELDOM_LAST = re.compile(r"\b(?:etc|al|(?:[a-z]\.)+[a-z])\Z", re.IGNORECASE)
_LOOK_BACK = 40
_MOST_BYTES = 4  # of a character, and so the most tokens that make one
_WORDLESS = re.compile(r"(?:</?\w+>|[^\w.!?…。！？])*")


@dataclass(frozen=True)
class Segment:
    """One sentence of a trace.

    Attributes:
        tokens: its positions in `Trace.ids`.
        characters: where it stands in the decoded text of the generated ids.
    """

    tokens: TokenSpan
    characters: TextSpan


def segment(
    ids: Sequence[int], decode: Callable[[Sequence[int]], str], start: int
) -> list[TokenSpan]:
    """The sentences of a trace, in order, as half-open ranges of positions in `Trace.ids`.

    Arguments and rules are those of `segments`.
    """
    return [one.tokens for one in segments(ids, decode, start)]


def segments(
    ids: Sequence[int], decode: Callable[[Sequence[int]], str], start: int
) -> list[Segment]:
    """The sentences of a trace, in order.

    The spans partition `ids` without the special tokens at its end, and their characters the text
    that these decode to. A sentence ends after
    `.`, `!`, `?` or `…` with what closes it (quotes, brackets), where white space or the end
    follows, and at a new line; not in "3.5", "e.g.", "1." at the start of a line, within a formula,
    code or a table (`blocks.blocks_of`), nor at an
    ellipsis or a quotation that goes on in lower case. The last sentence needs no full stop. A
    token belongs to the sentence of its first visible character, one without any to the sentence
    before it; pieces without a word (`\\]`, `</think>`, `---`) are part of that sentence too.

    Args:
        ids: the generated token ids, without the prompt.
        decode: the tokenizer's decoding, which gives no text for special tokens.
        start: position of the first generated token, the length of the prompt.
    """
    end = len(ids)
    while end and not decode(ids[end - 1 : end]):
        end -= 1
    if not end:
        return []
    pieces = token_texts(ids[:end], decode)
    offsets = [0, *accumulate(map(len, pieces))]
    starts = sentence_starts("".join(pieces))
    firsts, sentence = [0], 0
    for index, (piece, offset) in enumerate(zip(pieces, offsets, strict=False)):
        visible = piece.lstrip()
        if visible:
            found = bisect_right(starts, offset + len(piece) - len(visible)) - 1
            if found > sentence:
                sentence = found
                firsts.append(index)
    return [
        Segment(TokenSpan(start + a, start + b), TextSpan(offsets[a], offsets[b]))
        for a, b in pairwise([*firsts, end])
    ]


def split(text: str) -> list[TextSpan]:
    """The sentences of a text without ids, by the rules of `segments`; they partition it."""
    if not text:
        return []
    bounds = [0, *sentence_starts(text)[1:], len(text)]
    return [TextSpan(a, b) for a, b in pairwise(bounds)]


def token_texts(ids: Sequence[int], decode: Callable[[Sequence[int]], str]) -> list[str]:
    """The text that each token adds; joined, they are the decoded text.

    Where several tokens make one character, the first has it and the others have no text. Each
    step decodes a few tokens only, so time grows with the length of the trace and not its square.
    """
    texts: list[str] = []
    begin, read, before = 0, 0, ""
    for index in range(len(ids)):
        end, after = index + 1, decode(ids[begin : index + 1])
        if after.endswith(_INCOMPLETE) and end < len(ids):
            end = _settled(ids[begin:end], decode, after, read - begin) + begin
            if end == read:
                continue
            after = decode(ids[begin:end])
        texts.append(after[_count_common(before, after) :])
        texts += [""] * (end - read - 1)
        begin, read = read, end
        before = decode(ids[begin:read])
    return texts


def is_wordless(text: str) -> bool:
    """Whether a text has no word, so that it is no sentence of its own but after none."""
    return _WORDLESS.fullmatch(text.strip()) is not None


def sentence_starts(text: str) -> list[int]:
    """Offsets of the first visible character of every sentence of a text."""
    ends = {match.end() for match in _END.finditer(text) if _ends_sentence(text, match)}
    ends |= {match.end() for match in _LINE.finditer(text)}
    blocks = blocks_of(text)
    ends = {end for end in ends if not is_inside(end, blocks)}
    starts: list[int] = []
    for begin, end in zip([0, *sorted(ends)], [*sorted(ends), len(text)], strict=True):
        sentence = text[begin:end]
        visible = sentence.lstrip()
        if visible and not (starts and _WORDLESS.fullmatch(visible)):
            starts.append(end - len(visible))
    return starts


def coverage(spans: Sequence[TokenSpan], n_tokens: int) -> float:
    """Share of tokens that lie in a sentence; 1 where there are no tokens to cover.

    Args:
        spans: spans that do not overlap.
        n_tokens: number of generated tokens, special tokens at the end apart.

    Raises:
        ValueError: where the spans hold more tokens than there are.
    """
    covered = sum(span.end - span.start for span in spans)
    if covered > n_tokens:
        raise ValueError(f"Expected at most {n_tokens} tokens in the spans, found {covered}.")
    return covered / n_tokens if n_tokens else 1.0


def _settled(
    ids: Sequence[int], decode: Callable[[Sequence[int]], str], text: str, read: int
) -> int:
    """How many of some ids have their text although what follows may change the last characters.

    Those that were read already, unless so many others wait that no one character is of them all:
    bytes that are no text, or the sign for them itself.
    """
    last = len(ids) - _MOST_BYTES + 1
    if last < read + _MOST_BYTES:
        return read
    ends = range(last, last - _MOST_BYTES, -1)
    return next((end for end in ends if text.startswith(decode(ids[:end]))), read)


def _count_common(first: str, second: str) -> int:
    pairs = zip(first, second, strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(first), len(second)))


def _ends_sentence(text: str, match: re.Match[str]) -> bool:
    goes_on = (match["next"] or "").islower()
    if match["stop"] == ".":
        return _full_stop_ends(text, match.start(), goes_on, bool(match["closers"]))
    if match["stop"] in "!?":
        return not (goes_on and match["closers"])
    return not goes_on


def _full_stop_ends(text: str, place: int, goes_on: bool, is_closed: bool) -> bool:
    """Looks back only where a letter or a digit stands before the full stop."""
    last = text[place - 1 : place]
    before = text[max(0, place - _LOOK_BACK) : place] if last.isalnum() else ""
    if last.isdigit() and _LIST_MARKER.search(before):
        return False
    if last.isalpha() and _NEVER_LAST.search(before):
        return False
    return not (goes_on and (is_closed or (last.isalpha() and _SELDOM_LAST.search(before))))
