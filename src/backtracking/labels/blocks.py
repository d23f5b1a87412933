"""Parts of a text in which no sentence ends: formulas, code and tables.

Every text is read once from left to right, so that one that opens a thousand formulas and closes
none takes no longer than another.
"""

import re
from bisect import bisect_right
from collections.abc import Sequence

from backtracking.records.spans import TextSpan

LONGEST = 4000
"""Characters of the longest block; what is opened and not closed within them is no block."""

_DELIMITER = re.compile(
    r"(?<!\\)\\[\[\]()]|\$\$|(?<!\\)\\(?:begin|end)\{(\w{1,30}\*?)\}|^[ \t]*(?:```|~~~)", re.M
)
_TABLE = re.compile(r"(?:^[ \t]*\|.*(?:\n|\Z)){2,}", re.M)
_CLOSER_BY_OPENER = {"\\[": "\\]", "\\(": "\\)", "$$": "$$", "```": "```", "~~~": "~~~"}


def blocks_of(text: str) -> list[TextSpan]:
    """Formulas (display and `\\(...\\)`), environments, fenced code and tables, apart and in order.

    A block that is opened within another is part of that one. `$...$` is no block: it may be money.
    """
    found = _closed(text)
    found += [TextSpan(*match.span()) for match in _TABLE.finditer(text)]
    merged: list[TextSpan] = []
    for span in sorted(found):
        if merged and span.start < merged[-1].end:
            merged[-1] = TextSpan(merged[-1].start, max(merged[-1].end, span.end))
        else:
            merged.append(span)
    return merged


def is_inside(place: int, blocks: Sequence[TextSpan]) -> bool:
    """Whether an offset lies in a block, with characters of it on both sides."""
    number = bisect_right(blocks, place, key=lambda span: span.start) - 1
    return number >= 0 and blocks[number].start < place < blocks[number].end


def _closed(text: str) -> list[TextSpan]:
    found: list[TextSpan] = []
    opened, closer = 0, ""
    for match in _DELIMITER.finditer(text):
        mark = match[0].strip()
        if closer and mark == closer and match.end() - opened <= LONGEST:
            found.append(TextSpan(opened, match.end()))
            closer = ""
        elif not closer or match.end() - opened > LONGEST or _anew(mark, closer):
            opened, closer = match.start(), _closer_of(mark)
    return found


def _anew(mark: str, closer: str) -> bool:
    """Whether a formula begins that cannot stand in the open one, which then never closes."""
    return mark in ("\\[", "\\(") and _closer_of(mark) == closer


def _closer_of(opener: str) -> str:
    """What closes a block; empty for a mark that opens none."""
    if opener.startswith("\\begin"):
        return opener.replace("begin", "end", 1)
    return _CLOSER_BY_OPENER.get(opener, "")
