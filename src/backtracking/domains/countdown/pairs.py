"""Minimal pairs: the same tokens under another target, so that a point is of another kind.

The target is replaced wherever it is named, in the prompt as in the trace, in the ids and not in
the text. Where all numbers have to be used, a miss becomes a hit (the value is the new target);
where sums are sought, an open point becomes a miss (the new target lies below the value).

A pair is made only where all that was written before stays true: neither target is a number that is
given or was computed, earlier values lie on the same side of both, and the deciding sentence names
neither the target nor a comparison.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import accumulate
from random import Random

from tokenizers import Tokenizer

from backtracking.domains.countdown.expressions import find_equations
from backtracking.domains.countdown.solver import Rule, kind_of
from backtracking.labels.segmentation import token_texts
from backtracking.models.tokens import token_ids
from backtracking.records.pairs import FollowUp, MinimalPair
from backtracking.records.sentences import Sentence
from backtracking.records.traces import Trace

_COMPARES = re.compile(
    r"\b(?:less|more|greater|short|close|big|small|above|below|over|under|past|target|need\w*)\b",
    re.IGNORECASE,
)
CLAIM = "claim"


class Mentions:
    """Where a trace names whole numbers, as token ranges.

    Args:
        ids: of the trace, prompt first.
        tokenizer: of the ids.
    """

    def __init__(self, ids: Sequence[int], tokenizer: Tokenizer) -> None:
        self.ids, self._tokenizer = list(ids), tokenizer
        texts = token_texts(ids, lambda some: tokenizer.decode(some, skip_special_tokens=False))
        self._texts, self._ends = texts, list(accumulate(map(len, texts)))
        self._text = "".join(texts)

    def replaced(self, target: int, other: int, end: int) -> list[int] | None:
        """The first ids with another number wherever a number stands; None where they don't align.

        Args:
            target: the number.
            other: the one in its place, of as many tokens everywhere.
            end: how many ids.
        """
        ids = self.ids[:end]
        for match in re.finditer(rf"(?<![\d.,]){target}(?!\d|[.,]\d)", self._text):
            first = next(at for at, stop in enumerate(self._ends) if stop > match.start())
            last = next(at for at, stop in enumerate(self._ends) if stop >= match.end())
            if first >= end:
                break
            new = self._spelled("".join(self._texts[first : last + 1]), target, other)
            if new is None or self._spelled_ids(first, last) != self.ids[first : last + 1]:
                return None
            if len(new) != last + 1 - first:
                return None
            ids[first : last + 1] = new
        return ids

    def _spelled(self, piece: str, target: int, other: int) -> list[int] | None:
        """Ids of tokens that hold the number alone, a space before it, with the other number."""
        if piece.strip() != str(target):
            return None
        return token_ids(piece.replace(str(target), str(other)), self._tokenizer)

    def _spelled_ids(self, first: int, last: int) -> list[int]:
        return token_ids("".join(self._texts[first : last + 1]), self._tokenizer)


def find_pairs(
    trace: Trace,
    sentences: Sequence[Sentence],
    numbers: tuple[int, ...],
    targets: tuple[int, int],
    rule: Rule,
    tokenizer: Tokenizer,
    random: Random,
) -> Iterator[MinimalPair]:
    """Minimal pairs at the decisions of a trace, up to its first error; misses may have no donor.

    Args:
        trace: the trace.
        sentences: of it, read.
        numbers: that are given.
        targets: the lowest and the highest that a donor may have.
        rule: what a solution may be.
        tokenizer: of the ids.
        random: draws the donors' targets.
    """
    mentions = Mentions(trace.ids, tokenizer)
    named: set[int] = set(numbers)
    values: list[float] = []
    for one in sentences:
        truth = one.truth
        if truth is None or truth.valid is False or truth.kind == "error":
            return
        equations = find_equations(one.text)
        if not equations or truth.value is None or truth.target is None or truth.kind == "other":
            named |= {int(n) for equation in equations for n in equation.expression.numbers}
            continue
        target, value = int(truth.target), truth.value
        named |= {int(n) for equation in equations for n in equation.expression.numbers}
        if one.decides and target not in named and not _is_told(one.text, target):
            left = tuple(map(int, (truth.search_state or "").split()[1:]))
            able = _targets(truth.kind or "", value, left, target, targets, rule)
            before = [*values, float(equations[-1].expression.numbers[0])]
            legal = [t for t in able if t not in named and _is_same(before, target, t)]
            random.shuffle(legal)
            donors = ((t, mentions.replaced(target, t, one.end)) for t in legal[:12])
            donor = next(((t, ids) for t, ids in donors if ids is not None), None)
            if donor or truth.kind == "miss":
                yield _pair(trace, one, donor, rule, tokenizer)
        values.append(value)
        named.add(int(value))


def _targets(
    kind: str,
    value: float,
    left: tuple[int, ...],
    target: int,
    targets: tuple[int, int],
    rule: Rule,
) -> list[int]:
    """Targets under which a point is a hit instead of a miss, or a miss instead of open."""
    if rule.use_all:
        is_able = kind == "miss" and value.is_integer() and targets[0] <= value <= targets[1]
        return [int(value)] if is_able else []
    if kind not in ("open_alive", "open_doomed"):
        return []
    lower = range(targets[0], min(target, int(value)))
    return [t for t in lower if kind_of(int(value), left, t, rule) == "miss"]


def _is_same(values: Sequence[float], target: int, other: int) -> bool:
    """Whether earlier values lie on the same side of both targets, and none is the other."""
    return all((one > target) == (one > other) and one != other for one in values)


def _is_told(text: str, target: int) -> bool:
    named = re.search(rf"(?<!\d){target}(?!\d)", text)
    return bool(named or _COMPARES.search(text))


def _pair(
    trace: Trace,
    one: Sentence,
    donor: tuple[int, list[int]] | None,
    rule: Rule,
    tokenizer: Tokenizer,
) -> MinimalPair:
    clean = trace.ids[: one.end]
    ids = donor[1] if donor else []
    changed = [at for at, (a, b) in enumerate(zip(clean, ids, strict=False)) if a != b]
    assert one.truth is not None and one.truth.value is not None
    told = donor is not None and not rule.use_all
    return MinimalPair(
        pair_id=f"{trace.trace_id}@{one.end - 1}",
        trace_id=trace.trace_id,
        problem_id=trace.problem_id,
        split=trace.split,
        kind=str(one.truth.kind),
        donor_kind=None if donor is None else "hit" if rule.use_all else "miss",
        n_prompt=len(trace.prompt_ids),
        clean_ids=clean,
        donor_ids=ids,
        changed=changed,
        follow_ups=[_claim(int(one.truth.value), tokenizer)] if told else [],
    )


def _claim(value: int, tokenizer: Tokenizer) -> FollowUp:
    """ "Wait, 39 is more" against "Wait, 39 is less", where the writer says either."""
    said = token_ids(f" Wait, {value} is", tokenizer)
    more, less = (token_ids(f" {word}", tokenizer)[0] for word in ("more", "less"))
    return FollowUp(CLAIM, said, said, len(said) - 1, [more], [less])
