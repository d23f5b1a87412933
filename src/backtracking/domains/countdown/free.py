"""Searches in free natural text, read: the kind of every sentence's end, from its equations."""

import re

from tokenizers import Tokenizer

from backtracking.domains.countdown.expressions import find_equations
from backtracking.domains.countdown.search import Point, Search
from backtracking.domains.countdown.solver import Rule
from backtracking.domains.prose import read_prose
from backtracking.records.sentences import Sentence, Truth
from backtracking.records.traces import Trace

_FRESH = re.compile(r"\b(?:start|begin|instead|alternatively|another)", re.IGNORECASE)
_ANEW = re.compile(
    r"\b(?:(?:start|begin)\w*\s+(?:over|again|anew|afresh)|from scratch"
    r"|back to the (?:start|begin))",
    re.IGNORECASE,
)
_BACK = re.compile(r"\b(?:back|return)(?:ing)? to (\d+)", re.IGNORECASE)


def read_free(
    trace: Trace, numbers: tuple[int, ...], target: int, rule: Rule, tokenizer: Tokenizer
) -> list[Sentence]:
    """The sentences of a trace; each decides but the first, and those of or after the answer."""
    search, is_fresh = Search(numbers, target, rule), False

    def truth_of(text: str) -> Truth:
        nonlocal is_fresh
        is_fresh = is_fresh or bool(_FRESH.search(text))
        if _ANEW.search(text):
            search.begin_again()
        for back in _BACK.finditer(text):
            search.recall(int(back[1]))
        equations = find_equations(text)
        point = search.after(equations, is_fresh=is_fresh)
        is_fresh = is_fresh and not equations
        return _truth(point, target, all(one.holds for one in equations) if equations else None)

    return read_prose(trace, tokenizer, truth_of)


def _truth(point: Point, target: int, valid: bool | None) -> Truth:
    reached = point.reached
    state = None if reached is None else " ".join(map(str, (reached.value, *point.left)))
    return Truth(
        form=None if reached is None else "equation",
        kind=point.kind,
        value=None if reached is None else float(reached.value),
        target=float(target),
        valid=valid,
        check=None if valid is None else "sum",
        search_state=state,
        history=None if reached is None else " ".join(map(str, reached.used)),
    )
