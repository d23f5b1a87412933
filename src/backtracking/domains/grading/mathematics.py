"""Answers of MATH by `math-verify`, behind what our own exact numbers already tell.

The library compares numbers by rounding, and reads what it cannot parse as far as it can. So what
both sides read as an exact number is decided without it; words are compared as words; what it
cannot read whole is not compared, nor what it finds equal the other way round alone; and its yes is
checked exactly (1/2004! is not 1/2006!, and no decimal number is pi).
"""

import re
from typing import Any

import math_verify
from math_verify.errors import TimeoutException
from sympy import Basic, Expr, Float, Rational, simplify

from backtracking.domains.grading.numbers import read_quantity, same_number

_UNREAD = re.compile(
    r"\\[lc]?dots|\.\.\.|\d\s*:\s*\d|\\overline|\d\s*_|\d[eE][-+]?\d"
    r"|\A\W*\\text(?:bf)?\s*\{\s*\(?[A-Z]\)?[\s.:]*\}\s*[^\s$.]"
)
_UPRIGHT = re.compile(r"\\(?:mathrm|mathbf|operatorname)\s*\{\s*([A-Za-z])\s*\}")
_WORDS = r"""[\s(*"']*(?P<words>[A-Za-z][A-Za-z '\-]*?)[\s).*"']*"""
_IN_TEXT = re.compile(rf"[\s$(]*\\(?:text|mathrm|mbox)(?:bf|it|rm)?\s*\{{{_WORDS}\}}[\s$).]*")
_PLAIN = re.compile(rf"\$?{_WORDS}\$?")
_IN_BASE = re.compile(r"\s*([0-9]+)\s*_\s*\{?\s*(\d+)\s*\}?\s*")
_THOUSANDS = re.compile(r"(?<=\d)(?:,?\\[,!]|\{,\})\s*(?=\d{3})")
_BOX = (math_verify.LatexExtractionConfig(boxed_match_priority=0),)


def same_mathematics(answer: str, gold: str) -> bool | None:
    """Whether two answers are equal; None where that cannot be told."""
    if _squeezed(answer) == _squeezed(gold):
        return True
    if read_quantity(answer) and read_quantity(gold):
        return same_number(answer, gold)
    if _is_word(answer) or _is_word(gold):
        return _same_words(answer, gold)
    letters = _PLAIN.fullmatch(answer), _PLAIN.fullmatch(gold)
    if letters[0] and letters[1] and len(letters[0]["words"]) == len(letters[1]["words"]) == 1:
        return letters[0]["words"] == letters[1]["words"]
    based = _IN_BASE.fullmatch(answer), _IN_BASE.fullmatch(gold)
    if based[0] and based[1] and based[0][2] == based[1][2]:
        return based[0][1] == based[1][1]
    if _UNREAD.search(answer) or _UNREAD.search(gold):
        return None
    one, other = _parsed(answer), _parsed(gold)
    return None if one is None or other is None else _verified(one, other)


def _is_word(text: str) -> bool:
    """Whether a text is set as words, or has three letters in a row and nothing but letters."""
    plain = _PLAIN.fullmatch(text)
    return bool(_IN_TEXT.fullmatch(text) or plain and re.search(r"[A-Za-z]{3}", plain["words"]))


def _same_words(answer: str, gold: str) -> bool | None:
    """Whether two texts are the same words; None where one is none, or they may be products."""
    matches = [_IN_TEXT.fullmatch(one) or _PLAIN.fullmatch(one) for one in (answer, gold)]
    one, other = (match and " ".join(match["words"].split()) for match in matches)
    if one is None or other is None:
        return None
    if one == other or (len(one) > 1 and one.lower() == other.lower()):
        return True
    return None if sorted(one.lower()) == sorted(other.lower()) else False


def _parsed(text: str) -> list[Any] | None:
    """What the library reads; None where it is no more than a string."""
    text = _THOUSANDS.sub(",", _UPRIGHT.sub(r"\1", text))
    read = math_verify.parse(f"\\boxed{{{text}}}", extraction_config=_BOX)
    return read if read and not isinstance(read[0], str) else None


def _verified(answer: list[Any], gold: list[Any]) -> bool | None:
    try:
        if math_verify.verify(gold, answer, raise_on_error=True):
            return _is_exact(answer[0], gold[0])
        return None if math_verify.verify(answer, gold, raise_on_error=True) else False
    except (Exception, TimeoutException):  # whatever the library stumbles over, it can't tell
        return None


def _is_exact(one: Any, other: Any) -> bool:
    """Whether what was found equal is so without rounding, as far as it is numbers."""
    if not (isinstance(one, Basic) and isinstance(other, Basic)):
        return True
    is_rounded = one.has(Float) or other.has(Float)
    one, other = (_rational(it) for it in (one, other))
    if isinstance(one, Rational) and isinstance(other, Rational):
        return bool(one == other)
    if not is_rounded:
        return True
    both = isinstance(one, Expr) and isinstance(other, Expr)
    return bool(simplify(one - other) == 0 if both else one == other)


def _rational(value: Basic) -> Any:
    return value.xreplace({one: Rational(str(one)) for one in value.atoms(Float)}).doit()


def _squeezed(text: str) -> str:
    """Without what changes nothing; digits that stand apart stay apart."""
    text = re.sub(r"\\(?:left|right)(?![a-z])|\\!", "", text).replace("dfrac", "frac")
    return re.sub(r"(?<!\d)(?:\\[,; ]|\s)+|(?:\\[,; ]|\s)+(?!\d|\s|\\[,; ])", "", text)
