"""What any domain of natural text does alike."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from random import Random
from typing import TYPE_CHECKING

from tokenizers import Tokenizer

from backtracking.domains.domain import ProblemPlan, Reading, Recipe
from backtracking.domains.grading.answers import THOUGHT
from backtracking.labels import segmentation
from backtracking.labels.deciding import decide_in_prose
from backtracking.labels.rules import RULES, label_by_rules
from backtracking.records.grades import Observation
from backtracking.records.pairs import MinimalPair
from backtracking.records.sentences import Kind, Sentence, State, Truth
from backtracking.records.tokens import Pattern, Turning
from backtracking.records.traces import SPLITS, Problem, TokenSpan, Trace
from lifeboat.stage.errors import UserError

if TYPE_CHECKING:
    from backtracking.models.loading import LoadedModel

_ENDS = (".", "!", "?", "…", "。", "！", "？")
_CLOSERS = "\"'”’)]}*_`"


class Prose:
    """A domain of natural text of which nothing is known but the words, in all that follows.

    No kinds, pairs, questions, posteriors or laws: what rests on these is untestable.
    """

    kinds: tuple[Kind, ...] = ()

    @property
    def taught_rates(self) -> Mapping[str, float]:
        """None is known."""
        return {}

    def given(self, problem: Problem, tokenizer: Tokenizer) -> list[Trace]:
        """None: a model writes the traces."""
        return []

    def read(
        self, trace: Trace, problem: Problem, tokenizer: Tokenizer, *, with_laws: bool = False
    ) -> Reading:
        """Sentences of the text, labelled by rules; nothing else is known."""
        return Reading(read_prose(trace, tokenizer))

    def pattern(self, tokenizer: Tokenizer) -> tuple[Pattern, ...]:
        """Tokens that end a sentence."""
        return (sentence_ends(tokenizer),)

    def turning(self, tokenizer: Tokenizer) -> Turning | None:
        """None: only words tell."""
        return None

    def pairs(
        self,
        trace: Trace,
        problem: Problem,
        reading: Reading,
        tokenizer: Tokenizer,
        random: Random,
    ) -> Iterator[MinimalPair]:
        """None can be made."""
        return iter(())

    def recipe(self, role: str) -> Recipe | None:
        """None: every model is taken from elsewhere."""
        return None

    def examine(
        self, base: "LoadedModel", n: int, random: Random
    ) -> Sequence[Callable[[], list[Observation]]]:
        """Nothing is asked."""
        return []


def sentence_spans(trace: Trace, tokenizer: Tokenizer) -> list[tuple[TokenSpan, str]]:
    """The sentences of a trace and their texts."""
    start = len(trace.prompt_ids)
    spans = segmentation.segment(trace.token_ids, tokenizer.decode, start)
    return [(span, tokenizer.decode(trace.ids[span.start : span.end])) for span in spans]


AFTER = 5
"""Tokens that follow a decision at least."""


def read_prose(
    trace: Trace, tokenizer: Tokenizer, truth_of: Callable[[str], Truth | None] = lambda _text: None
) -> list[Sentence]:
    """The sentences of a trace, labelled by rules; they decide in thinking, but for the last words.

    Args:
        trace: the trace.
        tokenizer: of its ids.
        truth_of: what is known after each sentence; asked in order.
    """
    spans = sentence_spans(trace, tokenizer)
    states: list[State] = [label_by_rules(text) for _, text in spans]
    closing = tokenizer.token_to_id(THOUGHT)  # as a special token it is in no text
    closed = trace.token_ids.index(closing) if closing in trace.token_ids else len(trace.ids)
    rows = enumerate(zip(spans, states, decide_in_prose(states), strict=True))
    is_thinking, found = True, []
    for index, ((span, text), state, may_decide) in rows:
        is_inside = span.end - len(trace.prompt_ids) <= closed
        is_thinking = is_thinking and is_inside and THOUGHT not in text
        decides = may_decide and is_thinking and span.end + AFTER <= len(trace.ids)
        at = trace.trace_id, index, span.start, span.end, text
        found.append(Sentence(*at, decides, {RULES: state}, truth_of(text)))
    return found


def chosen(
    names: Iterable[str],
    plan: ProblemPlan,
    source: object,
    split_by_name: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Splits of at most `n_study` problems by name, chosen and split by hash, in their order.

    Args:
        names: of all problems.
        plan: how many, in which shares.
        source: where they come from, for the message.
        split_by_name: of those that say it themselves.

    Raises:
        UserError: where a split is left empty.
    """
    names, own = list(names), split_by_name or {}
    kept = set(sorted(names, key=lambda name: _share(f"{plan.seed}/{name}"))[: plan.n_study])
    found = {name: own.get(name) or _split(name, plan) for name in names if name in kept}
    empty = [split for split in SPLITS if split not in found.values()]
    if empty:
        raise UserError(
            f"{source} has {len(found)} problems, and none of the split {' and '.join(empty)}.",
            "Give it more problems, or write a `split` on its lines.",
        )
    return found


def sentence_ends(tokenizer: Tokenizer) -> Pattern:
    """Tokens whose text ends a sentence; what comes next is not seen ("3." of "3.5")."""
    pieces = ((token, tokenizer.decode([token])) for token in tokenizer.get_vocab().values())
    return Pattern((frozenset(token for token, piece in pieces if _ends(piece)),))


def _ends(piece: str) -> bool:
    return "\n" in piece or piece.rstrip().rstrip(_CLOSERS).endswith(_ENDS)


def _share(text: str) -> float:
    """A number in [0, 1) that depends on a text alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) / 2**64


def _split(name: str, plan: ProblemPlan) -> str:
    draw = _share(name)
    for split, share in zip(SPLITS, plan.split_shares, strict=True):
        if draw < share:
            return split
        draw -= share
    return SPLITS[-1]
