"""Answers of MATH by `math-verify`, behind what our own exact numbers already tell.

The library compares numbers by rounding, and reads what it cannot parse as far as it can. So what
both sides read as an exact number is decided without it, what it cannot read whole is not compared,
and its yes on rational values is checked exactly (1/2004! is not 1/2006!).
"""

import re
from typing import Any

import math_verify
from math_verify.errors import TimeoutException
from sympy import Basic, Rational

from backtracking.domains.grading.numbers import read_quantity, same_number

_SHORTENED = re.compile(r"\\[lc]?dots|\.\.\.|\d\s*:\s*\d|\\overline")
_UPRIGHT = re.compile(r"\\(?:mathrm|mathbf|operatorname)\s*\{\s*([A-Za-z])\s*\}")
_WORDS = re.compile(r"\W*(?:\\text(?:bf)?\s*\{)?([A-Za-z][A-Za-z '\-]*)\}?\W*")
_THOUSANDS = re.compile(r"(?<=\d)(?:\\[,!]|\{,\})\s*(?=\d{3})")
_BOX = (math_verify.LatexExtractionConfig(boxed_match_priority=0),)


def same_mathematics(answer: str, gold: str) -> bool | None:
    """Whether two answers are equal; None where that cannot be told."""
    if _squeezed(answer) == _squeezed(gold):
        return True
    if read_quantity(answer) and read_quantity(gold):
        return same_number(answer, gold)
    words = _WORDS.fullmatch(answer), _WORDS.fullmatch(gold)
    if words[0] and words[1]:
        return words[0][1].strip().lower() == words[1][1].strip().lower()
    if _SHORTENED.search(answer) or _SHORTENED.search(gold):
        return None
    one, other = _parsed(answer), _parsed(gold)
    return None if one is None or other is None else _verified(one, other)


def _parsed(text: str) -> list[Any] | None:
    """What the library reads; None where it is no more than a string."""
    text = _THOUSANDS.sub(",", _UPRIGHT.sub(r"\1", text))
    read = math_verify.parse(f"\\boxed{{{text}}}", extraction_config=_BOX)
    return read if read and not isinstance(read[0], str) else None


def _verified(answer: list[Any], gold: list[Any]) -> bool | None:
    try:
        if not math_verify.verify(gold, answer, raise_on_error=True):
            return False
    except (Exception, TimeoutException):  # whatever the library stumbles over, it can't tell
        return None
    exact = [one.doit() if isinstance(one, Basic) else one for one in (answer[0], gold[0])]
    if all(isinstance(one, Rational) for one in exact):
        return bool(exact[0] == exact[1])
    return True


def _squeezed(text: str) -> str:
    return re.sub(r"\\(?:left|right|[,;! ])|\s", "", text).replace("dfrac", "frac")
