"""Searches in free natural text, read: the kind of every sentence's end, from its equations."""

import re

from tokenizers import Tokenizer

from backtracking.domains.countdown.expressions import find_equations
from backtracking.domains.countdown.search import Point, Search
from backtracking.domains.countdown.solver import Rule
from backtracking.domains.grading.answers import THOUGHT
from backtracking.domains.prose import sentence_spans
from backtracking.labels.deciding import decide_in_prose
from backtracking.labels.rules import RULES, label_by_rules
from backtracking.records.sentences import Sentence, State, Truth
from backtracking.records.traces import Trace

AFTER = 5
"""Tokens that follow a decision at least."""

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
    search = Search(numbers, target, rule)
    spans = sentence_spans(trace, tokenizer)
    states: list[State] = [label_by_rules(text) for _, text in spans]
    is_fresh, is_thinking, found = False, True, []
    closing = tokenizer.token_to_id(THOUGHT)  # as a special token it is in no text
    closed = trace.token_ids.index(closing) if closing in trace.token_ids else len(trace.ids)
    rows = enumerate(zip(spans, states, decide_in_prose(states), strict=True))
    for index, ((span, text), state, may_decide) in rows:
        is_inside = span.end - len(trace.prompt_ids) <= closed
        is_thinking = is_thinking and is_inside and THOUGHT not in text
        is_followed = span.end + AFTER <= len(trace.ids)
        is_fresh = is_fresh or bool(_FRESH.search(text))
        if _ANEW.search(text):
            search.begin_again()
        for back in _BACK.finditer(text):
            search.recall(int(back[1]))
        equations = find_equations(text)
        point = search.after(equations, is_fresh=is_fresh)
        is_fresh = is_fresh and not equations
        valid = all(one.holds for one in equations) if equations else None
        found.append(
            Sentence(
                trace.trace_id,
                index,
                span.start,
                span.end,
                text,
                may_decide and is_thinking and is_followed,
                {RULES: state},
                _truth(point, target, valid),
            )
        )
    return found


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
