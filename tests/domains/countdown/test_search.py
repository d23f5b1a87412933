"""Where a search in free text stands after each equation."""

from backtracking.domains.countdown.expressions import find_equations
from backtracking.domains.countdown.search import Point, Search
from backtracking.domains.countdown.solver import Rule

ALL = Rule("+-*", use_all=True)


def after(search: Search, text: str, *, is_fresh: bool = False) -> Point:
    return search.after(find_equations(text), is_fresh=is_fresh)


def test_numbers_are_used_up_along_references() -> None:
    search = Search((25, 5, 3, 2), 62, ALL)
    assert after(search, "25 - 5 = 20").left == (2, 3)
    assert after(search, "20 * 3 = 60").left == (2,)
    assert after(search, "60 + 2 = 62").kind == "hit"


def test_a_sentence_without_a_reference_begins_a_new_attempt() -> None:
    search = Search((25, 5, 3, 2), 62, ALL)
    after(search, "25 - 5 = 20")
    assert after(search, "5 * 3 = 15").left == (2, 25)


def test_values_of_two_branches_come_together() -> None:
    search = Search((25, 5, 3, 2), 26, ALL)
    after(search, "25 - 5 = 20")
    after(search, "3 * 2 = 6")
    assert after(search, "20 + 6 = 26").kind == "hit"


def test_an_expression_of_all_numbers_is_a_hit_or_a_miss() -> None:
    search = Search((25, 5, 3, 2), 62, ALL)
    assert after(search, "(25 - 5) * 3 + 2 = 62").kind == "hit"
    assert after(search, "(25 - 5) * 3 - 2 = 58").kind == "miss"


def test_the_value_just_before_is_meant_before_a_number_that_is_given() -> None:
    search = Search((13, 4, 17, 9), 30, Rule("+", use_all=False))
    after(search, "13 + 4 = 17")
    assert after(search, "17 + 9 = 26").left == (17,)
    again = Search((13, 4, 17, 9), 30, Rule("+", use_all=False))
    after(again, "13 + 4 = 17")
    assert after(again, "17 + 9 = 26", is_fresh=True).left == (4, 13)


def test_going_back_makes_a_value_the_last_one() -> None:
    search = Search((13, 4, 17, 9), 30, Rule("+", use_all=False))
    after(search, "13 + 4 = 17")
    after(search, "17 + 17 = 34")
    search.recall(17)
    assert after(search, "17 + 9 = 26").left == (17,)


def test_an_error_is_an_error_and_so_is_what_rests_on_it() -> None:
    search = Search((25, 5, 3, 2), 62, ALL)
    assert after(search, "25 - 5 = 21").kind == "error"
    assert after(search, "21 * 3 = 63").kind == "error"
    assert after(search, "25 - 5 = 20").kind == "open_alive"


def test_numbers_that_are_not_given_or_used_twice_are_no_step() -> None:
    search = Search((25, 5, 3, 2), 62, ALL)
    assert after(search, "62 - 2 = 60").kind == "other"
    assert after(search, "5 * 5 = 25").kind == "other"
    assert after(search, "no equation").kind == "other"
