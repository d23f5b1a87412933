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
_UNIT = re.compile(
    r"(?P<gap>[ ~]*)(?:(?P<unit>%|°|[A-Za-z][A-Za-z .'/]*)(?:\^\{?(?P<power>[23])\}?)?)?[ .]*"
)
_NO_UNITS = frozenset(
    ("and", "or", "to", "hundred", "thousand", "million", "billion", "trillion", "dozen", "score")
    + ("half", "halve", "quarter", "third", "squared", "cubed", "factorial", "times", "plus")
    + ("minus", "over", "mod", "less", "more", "than", "k", "e", "pi", "i")
)
"""Words that change a number, or make another one of it; also with an s."""
_SPELLINGS = (
    "% percent", "° degree", "$ dollar usd", "€ euro eur", "£ gbp", "¢ cent", "m meter metre",
    "cm centimeter centimetre", "mm millimeter millimetre", "km kilometer kilometre",
    "in inch inche", "ft foot feet", "yd yard", "mi mile", "g gram", "kg kilogram", "lb pound",
    "oz ounce", "l liter litre", "ml milliliter millilitre", "s sec second", "min minute",
    "h hr hour",
)  # fmt: skip
_UNIT_BY_SPELLING = {word: line.split()[0] for line in _SPELLINGS for word in line.split()}
_POWERS = {"2": "square ", "3": "cubic "}
_CURRENCY = re.compile(r"\\\$|[€£¥]|(?<![\\$])\$(?=\s*-?[\d.])(?!.*\$)")
_CHOICE = re.compile(r"\W*(?:\\text\s*\{\W*)?([A-Z])\s*([).:}].*|\W*)", re.DOTALL)
_ANOTHER = re.compile(r"(?:\bor\b|\band\b|[,/&])\W*[A-Z]\s*(?:[).:}]|$)")
_ALIKE = (
    (re.compile(r"\\(?:d|t|c)frac"), r"\\frac"),
    (re.compile(r"\{,\}|,\\!\s*(?=\d{3})|(?<=\d)\\,(?=\d{3})"), ","),
    (re.compile(r"\\(?:left|right|!)|\\?\$|[€£¥]|\\[()\[\]]|^[\s*]+|[\s*]+$"), ""),
    (re.compile(r"\^\s*\{?\s*(?:\\circ|\\degree)\s*\}?"), "°"),
    (re.compile(r"\\%"), "%"),
    (re.compile(r"\\(?:text|mathrm|textbf|mathbf|mbox|rm)\s*\{([^{}]*)\}"), r" \1 "),
    (re.compile(r"\\[,;: ]|\s+"), " "),
    (re.compile(r"[−–]"), "-"),
)


@dataclass(frozen=True)
class Quantity:
    """A number with its unit, in one spelling of those known; empty where it has none."""

    value: Fraction
    unit: str


def read_quantity(text: str) -> Quantity | None:
    """The number that a whole text is; None for anything else.

    Currencies, units, thousands separators, "x =" and LaTeX around it are no part of the number.
    "3, 4", "1, 200", "2 or 3", "3*4", "4:30", "5 million" and "2x" are no numbers.
    """
    currency = _CURRENCY.search(text)
    for pattern, alike in _ALIKE:
        text = pattern.sub(alike, text)
    text = re.sub(r"^[A-Za-z]\w?\s*=", "", text.strip()).strip()
    match = _FRACTION.match(text)
    unit = _UNIT.fullmatch(text, match.end()) if match else None
    if match is None or unit is None:
        return None
    words = re.split(r"[ .]+", (unit["unit"] or "").lower())
    is_variable = unit["unit"] and unit["unit"].strip(" .").isalpha() and not unit["gap"]
    if is_variable or _NO_UNITS & {it for word in words for it in (word, word.removesuffix("s"))}:
        return None
    value = _value(match)
    if value is None:
        return None
    named = " ".join(filter(None, map(_unit, words)))
    named = f"{_POWERS.get(unit['power'] or '', '')}{named}"
    if currency and not named.startswith(sign := currency[0].removeprefix("\\")):
        named = f"{sign} {named}".rstrip()
    return Quantity(value, named)


def _unit(word: str) -> str:
    """One spelling of a unit: "meters" is "m"."""
    known = _UNIT_BY_SPELLING
    bare = word.removesuffix("s") if len(word) > 2 else word
    return known.get(word) or known.get(bare) or bare


def same_number(answer: str, gold: str) -> bool | None:
    """Whether two texts are one number; None where one is none, or their units differ."""
    one, other = read_quantity(answer), read_quantity(gold)
    if one is None or other is None or _differ(one.unit, other.unit):
        return None
    return one.value == other.value or _share(one, other) or _share(other, one)


def same_choice(answer: str, gold: str) -> bool | None:
    """Whether two texts name one choice: "(D)", "D.", "\\text{D}"; None where one names none."""
    one, other = _choice(answer), _choice(gold)
    return None if one is None or other is None else one == other


def _choice(text: str) -> str | None:
    """The letter that a text gives; None for none, and for several ("A) or B")."""
    match = _CHOICE.fullmatch(text)
    return None if match is None or _ANOTHER.search(match[2]) else match[1]


def _differ(one: str, other: str) -> bool:
    """Whether both have units, and not the same: nothing is converted."""
    return bool(one and other and one != other)


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
