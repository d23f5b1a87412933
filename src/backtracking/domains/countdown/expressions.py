r"""Equations in free text, read exactly: `13 + 17 = 30`, `(25 - 5) \times 3 = 60`.

What is read is `a op b (op c ...) = r` in digits, with `=` or "equals", in plain text or LaTeX,
`\frac` and implied products included. Anything else in it (a letter, a power, "about") makes it no
equation of numbers, and nothing of it is read. Words ("13 plus 17 is 30") are not read.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

_TOKEN = re.compile(
    r"""(?P<gap>[^\S\n]+|\\[,;:!\ ]|\\?\$|\\[()\[\]]|&)
    |(?P<number>[1-9]\d{0,2}(?:(?:,|\{,\})\d{3})+(?!\d)|(?:[1-9]\d*|0(?!\d))(?:\.\d+)?)
    |(?P<fraction>\\[dtc]?frac)
    |(?P<times>\*(?!\*)(?<!\*\*)|[×·⋅∗]|\\times|\\cdot|\\ast|(?<=\d\ )x(?=\ [\d(]))
    |(?P<over>/|÷|\\div(?![a-z]))
    |(?P<plus>\+) |(?P<minus>[-−–])
    |(?P<equals>=|(?<![a-z])equals(?![a-z]))
    |(?P<open>\\left\s*[(\[]|[(\[]) |(?P<close>\\right\s*[)\]]|[)\]])
    |(?P<begin>\{) |(?P<end>\})
    |(?P<other>.|\n)""",
    re.VERBOSE,
)
_GLUED_BEFORE = re.compile(
    r"""(?:[\w^}\\.!|%√∛]|\d:|\b(?:divided\ by|times|plus|minus|over|ln|log|sin|cos|tan|sqrt)\s*
    |\\(?:sqrt|sin|cos|tan|log|ln|pi|theta|alpha|beta)\s*)\Z""",
    re.VERBOSE,
)
_GLUED_AFTER = re.compile(
    r"""[A-Za-z_^%°|²³√∛]|\.\d|\\(?![)\]\s,.;!\\]|text|quad|end)
    |\s*(?:\\?[bp]?mod\b|\^|\\?(?:cos|sin|tan|log|ln|sqrt)\b|(?![aI]\b)[A-Za-z]\b(?!['’]))
    |[,;]?\s*(?:with\s+)?(?:a\s+)?(?:r\d|remainder)""",
    re.VERBOSE,
)
_SIGN_AFTER = re.compile(r"(?:\A|[\n,:;(\[=]|\\[(\[])\s*\Z")
_DASH_AFTER = re.compile(r"\s*(?:[A-Za-z]['’]?[a-z]|I\b|\Z|\n)")
_OPERATORS = {"plus": "+", "minus": "-", "times": "*", "over": "/"}


class _Token(NamedTuple):
    kind: str
    text: str
    start: int
    end: int


@dataclass(frozen=True)
class Expression:
    """One side of an equation.

    Attributes:
        value: exactly.
        numbers: as they stand in it, from left to right.
        operations: likewise, of `+-*/`; empty where it is a number alone.
    """

    value: Fraction
    numbers: tuple[Fraction, ...]
    operations: str


@dataclass(frozen=True)
class Equation:
    """An equation of a text.

    Attributes:
        start, end: characters of the text, half open.
        expression: its left side.
        stated: the result as written.
    """

    start: int
    end: int
    expression: Expression
    stated: Fraction

    @property
    def holds(self) -> bool:
        """Whether the result is right."""
        return self.expression.value == self.stated


def find_equations(text: str) -> list[Equation]:
    """All equations of a text, in order.

    `13 + 17 = 30 + 9 = 39` is two of them, as people write on; `2 * 3 = 3 + 3 = 6` is one.
    """
    return [one for run in _runs(text) for one in _read(run, text)]


def read_expression(text: str) -> Expression | None:
    """The expression that a whole text is, `= r` behind it allowed where that is right."""
    tokens = [one for one in _tokens(text) if one.kind != "gap"]
    sides = _sides(tokens)
    parsed = [_parsed(side) for side in sides]
    known = [one for one in parsed if one is not None]
    if not known or len(known) < len(parsed) or len({one.value for one in known}) > 1:
        return None
    return known[0]


def _tokens(text: str) -> list[_Token]:
    matches = _TOKEN.finditer(text)
    return [_Token(m.lastgroup or "other", m[0], m.start(), m.end()) for m in matches]


def _runs(text: str) -> Iterator[list[_Token]]:
    """Stretches of the text that hold nothing but numbers, signs and brackets, and an `=`."""
    run: list[_Token] = []
    for token in [*_tokens(text), _Token("other", "", len(text), len(text))]:
        if token.kind == "other":
            for part in _without_outer_brackets(run):
                if any(one.kind == "equals" for one in part):
                    yield part
            run = []
        elif token.kind != "gap":
            run.append(token)


def _without_outer_brackets(run: Sequence[_Token]) -> Iterator[list[_Token]]:
    """Parts of a run between brackets that match nothing, or hold a whole equation."""
    opened: list[int] = []
    breaks = set(range(len(run)))
    equals = [at for at, one in enumerate(run) if one.kind == "equals"]
    for at, token in enumerate(run):
        if token.kind not in ("open", "close", "begin", "end"):
            breaks.discard(at)
        elif token.kind in ("open", "begin"):
            opened.append(at)
        elif opened:
            first = opened.pop()
            if not any(first < one < at for one in equals):
                breaks -= {first, at}
    part: list[_Token] = []
    for at, token in enumerate(run):
        if at in breaks:
            yield part
            part = []
        else:
            part.append(token)
    yield part


def _read(run: list[_Token], text: str) -> Iterator[Equation]:
    run = _trimmed(run, text)
    if not run or _is_glued(run, text):
        return
    sides = _sides(run)
    parsed = [_parsed(side) for side in sides]
    known = [one for one in parsed if one is not None]
    if len(known) < 2 or len(known) < len(parsed):
        return
    last = known[-1]
    if not known[0].operations or not _is_number(last):
        return
    spans = [(side[0].start, side[-1].end) for side in sides]
    if _runs_on(known):
        for (one, after), (start, _), (_, end) in zip(
            pairwise(known), spans, spans[1:], strict=False
        ):
            yield Equation(start, end, one, after.numbers[0])
    elif not _is_rounded(sides[-1], known[0].value):
        yield Equation(spans[0][0], spans[-1][1], known[0], last.value)


def _trimmed(run: list[_Token], text: str) -> list[_Token]:
    """Without an `=` of what is not read, the dash of a list, or one that ends a clause."""
    while run and run[0].kind == "equals":
        run = run[1:]
    while run and run[-1].kind == "equals":
        run = run[:-1]
    if len(run) > 1 and run[0].kind == "minus" and run[1].start > run[0].end:
        line = text[: run[0].start].rpartition("\n")[2]
        run = run if line.strip() else run[1:]
    if run and run[-1].kind == "minus" and _DASH_AFTER.match(text, run[-1].end):
        run = run[:-1]
    return run


def _is_glued(run: Sequence[_Token], text: str) -> bool:
    """Whether something that is not read belongs to it: "2x", "|x| - 3", "7 mod 3", "3 r 1"."""
    before = text[max(0, run[0].start - 16) : run[0].start]
    if run[0].kind == "minus" and not _SIGN_AFTER.search(before):
        return True
    return bool(_GLUED_BEFORE.search(before) or _GLUED_AFTER.match(text, run[-1].end))


def _sides(tokens: Sequence[_Token]) -> list[list[_Token]]:
    sides: list[list[_Token]] = [[]]
    for token in tokens:
        if token.kind == "equals":
            sides.append([])
        else:
            sides[-1].append(token)
    return sides


def _runs_on(sides: Sequence[Expression]) -> bool:
    """Whether sides are not one value, and each begins with the value of the one before."""
    if len({one.value for one in sides}) == 1 or len(sides) < 3:
        return False
    return all(after.numbers[0] == one.value for one, after in pairwise(sides))


def _is_number(side: Expression) -> bool:
    return not side.operations or (side.operations == "/" and len(side.numbers) == 2)


def _is_rounded(side: Sequence[_Token], value: Fraction) -> bool:
    """Whether a result with decimals is the value but for a percent: `1 / 3 = 0.333`."""
    last = side[-1].text
    if "." not in last:
        return False
    off = abs(Fraction(last.replace(",", "")) - abs(value))
    return 0 < off <= abs(value) / 100


def _parsed(side: Sequence[_Token]) -> Expression | None:
    try:
        return _Parser(list(side)).whole()
    except (_NoExpression, ZeroDivisionError):
        return None


class _NoExpression(Exception):
    pass


@dataclass
class _Parser:
    """Recursive descent over the tokens of one side."""

    tokens: list[_Token]
    at: int = 0

    def whole(self) -> Expression:
        found = self._sum()
        if self.at < len(self.tokens):
            raise _NoExpression
        return found

    def _sum(self) -> Expression:
        found = self._product()
        while self._next() in ("plus", "minus"):
            found = _joined(found, self._take(), self._product())
        return found

    def _product(self) -> Expression:
        found = self._factor()
        while self._next() in ("times", "over", "open"):
            operation = "times" if self._next() == "open" else self._take()
            found = _joined(found, operation, self._factor())
        return found

    def _factor(self) -> Expression:
        kind = self._take()
        if kind == "minus" and self._next() in ("number", "open"):
            inner = self._factor()
            numbers = (-inner.numbers[0],) if not inner.operations else inner.numbers
            return Expression(-inner.value, numbers, inner.operations)
        if kind == "number":
            text = self.tokens[self.at - 1].text
            value = Fraction(re.sub(r"[,{}]", "", text))
            return Expression(value, (value,), "")
        if kind == "open":
            return self._closed("close")
        if kind == "fraction" and self._take() == "begin":
            above = self._closed("end")
            if self._take() == "begin":
                return _joined(above, "over", self._closed("end"))
        raise _NoExpression

    def _closed(self, by: str) -> Expression:
        found = self._sum()
        if self._take() != by:
            raise _NoExpression
        return found

    def _next(self) -> str | None:
        return self.tokens[self.at].kind if self.at < len(self.tokens) else None

    def _take(self) -> str:
        kind = self._next()
        if kind is None:
            raise _NoExpression
        self.at += 1
        return kind


def _joined(one: Expression, operation: str, other: Expression) -> Expression:
    sign = _OPERATORS[operation]
    a, b = one.value, other.value
    value = a + b if sign == "+" else a - b if sign == "-" else a * b if sign == "*" else a / b
    return Expression(value, one.numbers + other.numbers, one.operations + sign + other.operations)
