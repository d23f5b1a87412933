"""Numbers as people write them, and what is no number."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtracking.domains.grading.numbers import read_quantity, same_choice, same_number


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("18", 18), ("$18", 18), (r"\$18.00", 18), ("70,000", 70000), (r"70{,}000", 70000),
        (r"11,\! 111", 11111), (r"840\,840", 840840), ("840840", 840840), ("-3", -3), ("−3", -3),
        ("5.8", Fraction(29, 5)), (".5", Fraction(1, 2)), (r"\frac{1}{2}", Fraction(1, 2)),
        (r"-\dfrac{1} { 4027}", Fraction(-1, 4027)), (r"\frac12", Fraction(1, 2)),
        ("3/4", Fraction(3, 4)), (r"1\frac{1}{2}", Fraction(3, 2)), ("1 1/2", Fraction(3, 2)),
        ("18 dollars", 18), (r"5 \text{ cm}", 5), (r"90 \text{ square units}", 90), ("60%", 60),
        (r"60\%", 60), (r"30^\circ", 30), (r"5 \text{ cm}^2", 5), ("x = 3", 3), (r"\(7\)", 7),
        (r"\text{13}", 13), ("**73**", 73), ("€ 5", 5), ("12 miles per hour", 12),
    ],
)  # fmt: skip
def test_a_number_is_read_exactly(text: str, value: Fraction) -> None:
    found = read_quantity(text)
    assert found and found.value == value


@pytest.mark.parametrize(
    "text",
    [
        "", "3, 4", "3 and 4", "2 or 3", "4:30", "5 million", "2x", "5k", "x", "840 840", "1,2",
        "12,34", "3 + 4", r"\frac{1}{0}", r"\sqrt{2}", r"2\pi", "3e", "10^2", "1/2/3", "five",
        "3 to 4", r"\{3\}", "3; 4", "2 dozen", "3*4", "1, 200", "1, 2", "5 thousands", "3 squared",
        "5 halves", "4 less than 9",
    ],
)  # fmt: skip
def test_what_is_more_or_less_than_a_number_is_none(text: str) -> None:
    assert read_quantity(text) is None


def test_numbers_are_compared_exactly_and_units_never_guessed() -> None:
    assert same_number("0.5", r"\frac{1}{2}") and same_number("5%", "0.05")
    assert same_number("5 cm", "5") and same_number("5 m", "5 meters")
    assert same_number("0.333333333", "1/3") is False
    assert same_number("840", "840840") is False
    assert same_number("60%", "0.6") and same_number("5 percent", r"5\%")


@pytest.mark.parametrize(
    ("answer", "gold"),
    [
        ("10 m", "10 cm"), ("10 m", "10 mm"), ("5 m", "5 miles"), ("5 cm", r"5 \text{ cm}^2"),
        ("5 cents", r"\$5"), ("5 cents", "$5"), ("5 minutes", "5 meters"), (r"\$5", "€5"),
    ],
)  # fmt: skip
def test_numbers_of_other_units_are_not_compared(answer: str, gold: str) -> None:
    assert same_number(answer, gold) is same_number(gold, answer) is None


@pytest.mark.parametrize(
    ("answer", "gold"),
    [
        ("5 m", "5 meters"), ("5 square cm", r"5 \text{ cm}^2"), ("5 inches", "5 in"),
        ("30 degrees", r"30^\circ"), (r"\$18", "18 dollars"), ("$18 per h", "18 dollars per hour"),
        ("$5$", "5 cents"),
    ],
)  # fmt: skip
def test_a_unit_has_several_spellings(answer: str, gold: str) -> None:
    assert same_number(answer, gold) is same_number(gold, answer) is True


@given(st.integers(-(10**9), 10**9), st.sampled_from(["{}", "${:,}", r"\boxed{{{}}}"]))
def test_every_integer_is_itself(number: int, form: str) -> None:
    text = form.format(number)
    found = read_quantity(text.replace(r"\boxed", r"\text"))
    assert found and found.value == number


@pytest.mark.parametrize("text", ["D", "(D)", "D.", r"\text{D}", r"\text{(D)}", "D) Paris", "*D*"])
def test_a_choice_is_its_letter(text: str) -> None:
    assert same_choice(text, "D") is True and same_choice(text, "B") is False


@pytest.mark.parametrize(
    "text", ["Dogs", "A dog", "none", "AB", "3", "A or B", "A) or B)", "(A), (B)", "A. and D."]
)
def test_a_word_is_no_choice(text: str) -> None:
    assert same_choice(text, "D") is None
