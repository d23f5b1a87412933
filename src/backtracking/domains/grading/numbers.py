"""Numbers as people write answers, read exactly: GSM8K, SVAMP, AIME."""

import re
from dataclasses import dataclass
from fractions import Fraction

_DIGITS = r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+"
_FRACTION = re.compile(
    rf"(?P<sign>[-+]?)\s*(?:(?P<whole>\d+)(?=\s*\\frac|\s+\d+\s*/)\s*)?"
    rf"(?:\\frac\s*(?:\{{\s*(?P<n1>-?\d+)\s*\}}|(?P<n2>\d))\s*(?:\{{\s*(?P<d1>-?\d+)\s*\}}|(?P<d2>\d))"
    rf"|(?P<n3>{_DIGITS})\s*/\s*(?P<d3>{_DIGITS})|(?P<decimal>{_DIGITS}))"
)
_UNIT = re.compile(r"(?P<gap>[ ~]*)(?:(?P<unit>%|°|[A-Za-z][A-Za-z .'/]*)(?:\^\{?[23]\}?)?)?[ .]*")
_MULTIPLIES = frozenset(
    ("and", "or", "to", "hundred", "thousand", "million", "billion", "trillion", "dozen")
    + ("half", "halves", "k", "e", "pi", "i")
)
_ALIKE = (
    (re.compile(r"\\(?:d|t|c)frac"), r"\\frac"),
    (re.compile(r"\\(?:left|right|!)|\\?\$|[€£¥*]|\\[()\[\]]"), ""),
    (re.compile(r"\{,\}|(?<=\d)\\,(?=\d{3})"), ","),
    (re.compile(r"\^\s*\{?\s*(?:\\circ|\\degree)\s*\}?"), "°"),
    (re.compile(r"\\%"), "%"),
    (re.compile(r"\\(?:text|mathrm|textbf|mathbf|mbox|rm)\s*\{([^{}]*)\}"), r" \1 "),
    (re.compile(r"\\[,;: ]|\s+"), " "),
    (re.compile(r"[−–]"), "-"),
    (re.compile(r"(?<=\d),\s+(?=\d{3}\b)"), ","),
)


@dataclass(frozen=True)
class Quantity:
    """A number with its unit, in lower case; empty where it has none."""

    value: Fraction
    unit: str


def read_quantity(text: str) -> Quantity | None:
    """The number that a whole text is; None for anything else.

    Currencies, units, thousands separators, "x =" and LaTeX around it are no part of the number.
    "3, 4", "2 or 3", "4:30", "5 million" and "2x" are no numbers.
    """
    for pattern, alike in _ALIKE:
        text = pattern.sub(alike, text)
    text = re.sub(r"^[A-Za-z]\w?\s*=", "", text.strip()).strip()
    match = _FRACTION.match(text)
    unit = _UNIT.fullmatch(text, match.end()) if match else None
    if match is None or unit is None:
        return None
    word = (unit["unit"] or "").strip(" .").lower()
    is_variable = word.isalpha() and not unit["gap"]
    if is_variable or _MULTIPLIES & set(word.split()):
        return None
    value = _value(match)
    return None if value is None else Quantity(value, word)


def same_number(answer: str, gold: str) -> bool | None:
    """Whether two texts are one number; None where one is none, or their units differ."""
    one, other = read_quantity(answer), read_quantity(gold)
    if one is None or other is None or _differ(one.unit, other.unit):
        return None
    return one.value == other.value or _share(one, other) or _share(other, one)


def same_choice(answer: str, gold: str) -> bool | None:
    """Whether two texts name one choice: "(D)", "D.", "\\text{D}"; None where one names none."""
    bare = re.compile(r"\W*(?:\\text\s*\{\W*)?([A-Z])\s*(?:[).:}].*|\W*)", re.DOTALL)
    one, other = bare.fullmatch(answer), bare.fullmatch(gold)
    return None if one is None or other is None else one[1] == other[1]


def _differ(one: str, other: str) -> bool:
    """Whether both have units that are not spellings of one another ("m", "meters")."""
    return bool(one and other and one[0] != other[0])


def _share(one: Quantity, other: Quantity) -> bool:
    """Whether the one is in percent what the other is as a share: 5 % and 0.05."""
    return one.unit == "%" and not other.unit and one.value / 100 == other.value


def _value(match: re.Match[str]) -> Fraction | None:
    def number(name: str) -> Fraction:
        return Fraction(match[name].replace(",", ""))

    above = next((name for name in ("n1", "n2", "n3") if match[name]), None)
    if above is None:
        value = number("decimal")
    else:
        below = number(next(name for name in ("d1", "d2", "d3") if match[name]))
        if not below:
            return None
        value = number(above) / below + (number("whole") if match["whole"] else 0)
    return -value if match["sign"] == "-" else value
