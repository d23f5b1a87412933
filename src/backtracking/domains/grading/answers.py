"""What a text gives as its answer, and what that is worth beside the right one.

Only what is set apart as an answer is one: `\\boxed{...}`, `<answer>...</answer>`, `#### ...` as
the last line, or failing these "the answer is ...". The last of them counts, and one that breaks
off is none, whatever stands before it: an earlier box does not rescue an unfinished trace.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from backtracking.records.grades import Grade, Outcome

Same = Callable[[str, str], bool | None]
"""Whether an answer is the right one; None where one of the two cannot be read."""

THINK, THOUGHT = "<think>", "</think>"

_BOX = re.compile(r"\\(?:boxed|fbox)\s*(?=\{)")
_TAGGED = re.compile(r"<answer>(.*?)(</answer>|\Z)", re.DOTALL)
_HASHED = re.compile(r"^####[ \t]*(.+?)\s*\Z", re.MULTILINE)
_DENIED = re.compile(r"(?:n['’]t|\bnot|\bnever)\b[^.!?\n]*\Z")
_PHRASE = re.compile(r"\banswer(?:\s+is)?\s*(?::|(?<=is))\s*(.+?)\s*(?:\.?\s*$|\.\s)", re.I | re.M)
_BETWEEN_BOXES = re.compile(r"[\s$,;.\\()\[\]]*(?:and|or)?[\s$,;\\()\[\]]*")


@dataclass(frozen=True)
class _Found:
    """An answer in a text: where it begins and ends, and what it is; None where it breaks off."""

    start: int
    end: int
    answer: str | None


def grade_text(
    text: str,
    gold: str,
    same: Same,
    *,
    finish_reason: str = "stop",
    begun: bool = False,
    ids: tuple[str, str] = ("", ""),
) -> Grade:
    """The grade of a text.

    Args:
        text: what was written.
        gold: the right answer.
        same: how the two are compared.
        finish_reason: of the trace; `length` where it was cut.
        begun: whether the prompt had opened the thinking.
        ids: of trace and problem.
    """
    outcome, answer, why = _judge(text, gold, same, finish_reason, begun)
    return Grade(*ids, outcome, answer, why)


def response_of(text: str, *, begun: bool = False) -> str | None:
    """What comes after the thinking; all of it where there is none; None where it never ends."""
    if THOUGHT in text:
        return text.rpartition(THOUGHT)[2]
    return None if begun or THINK in text else text


def find_answer(response: str) -> str | None:
    """What a response gives as its answer; boxes in a row are one answer, "1, 2"."""
    marked = [*_boxes(response), *_tagged(response)]
    marked += [_Found(m.start(), m.end(), m[1].strip()) for m in _HASHED.finditer(response)]
    if marked:
        return max(marked, key=lambda one: (one.start, one.end)).answer
    phrases = [
        match[1].strip(" *")
        for match in _PHRASE.finditer(response)
        if not _DENIED.search(response[: match.start()])
    ]
    return phrases[-1] if phrases else None


def _judge(
    text: str, gold: str, same: Same, finish_reason: str, begun: bool
) -> tuple[Outcome, str | None, str]:
    if finish_reason == "length":
        return "unfinished", None, "it was cut"
    response = response_of(text, begun=begun)
    if response is None:
        return "unfinished", None, "its thinking never ends"
    answer = find_answer(response)
    if not answer:
        return "unparsable", None, "it gives no answer, or one that breaks off"
    verdict = same(answer, gold)
    if verdict is None:
        return "unparsable", answer, "its answer cannot be compared"
    said = "its answer is the right one" if verdict else "its answer is another one"
    return "right" if verdict else "wrong", answer, said


def _boxes(text: str) -> list[_Found]:
    """All boxes; those with nothing but "and" or a comma between them are one, each answer once."""
    found: list[_Found] = []
    for match in _BOX.finditer(text):
        end = _closing(text, match.end())
        content = None if end is None else text[match.end() + 1 : end].strip()
        one = _Found(match.start(), len(text) if end is None else end + 1, content)
        last = found[-1] if found else None
        if last and last.answer and content and _is_row(text, last.end, one.start):
            given = last.answer.split(", ")
            both = last.answer if content in given else f"{last.answer}, {content}"
            found[-1] = _Found(last.start, one.end, both)
        else:
            found.append(one)
    return found


def _is_row(text: str, end: int, start: int) -> bool:
    between = text[end:start]
    is_short = end <= start < end + 16 and "\n\n" not in between
    return is_short and bool(_BETWEEN_BOXES.fullmatch(between))


def _closing(text: str, opening: int) -> int | None:
    """Where the brace at `opening` closes; None where it does not."""
    depth = 0
    for match in re.compile(r"\\.|[{}]", re.DOTALL).finditer(text, opening):
        depth += {"{": 1, "}": -1}.get(match[0], 0)
        if not depth and match[0] == "}":
            return match.start()
    return None


def _tagged(text: str) -> list[_Found]:
    """Answers in tags, one that holds a box left to the box; without its end it breaks off."""
    return [
        _Found(match.start(), match.end(), match[1].strip() if match[2] else None)
        for match in _TAGGED.finditer(text)
        if not _BOX.search(match[1])
    ]
