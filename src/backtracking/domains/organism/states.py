"""What is exactly true of every sentence and token of a trace, whoever wrote it.

A trace is read back with the grammar and replayed. Each sentence is judged *given its context*, as
written so far; each position in the search also carries what is true of it from the numbers alone
(`solver`), so that a wrong total is an error of the writer and never of the truth.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from tokenizers import Tokenizer

from backtracking.domains.organism.grammar import (
    BACKTRACKING_OPENERS,
    Form,
    parse_sentence,
    split_sentences,
)
from backtracking.domains.organism.policy import Policy, compare
from backtracking.domains.organism.solver import decision_kind
from backtracking.labels.states import UNPARSED
from backtracking.records.sentences import State
from backtracking.records.traces import Trace


@dataclass
class Node:
    """A position in the search, as written and as it truly is, after a number was put on it."""

    number: int
    total: int
    left: list[int]
    true_total: int
    true_left: list[int]

    def tried(self, number: int, base: int) -> "Node":
        """The child after `number` is put on `base`; it is no longer left here either."""
        for left in (self.left, self.true_left):
            if number in left:
                left.remove(number)
        return Node(
            number, base + number, list(self.left), self.true_total + number, list(self.true_left)
        )


@dataclass(frozen=True)
class Reading:
    """One sentence of a trace with its truth.

    Attributes:
        start, end: half-open range of words in the trace.
        form: the parsed sentence, or None.
        check: what of it could be wrong (sum, left, number, parent, comparison, report, claim).
        valid: whether it is right given what the trace says before it.
        kind: true kind of the position in the search after the sentence.
        true_total, written_total: partial sum as it is, and as the trace has it.
        depth, parent: how many numbers are on the path, and the true sum without the last.
        action: after a comparison, what the trace then did: `backtracks`, `idles`, `carries_on`;
            None elsewhere and where the trace ends first.
        p_dead: for each word, P(the pending decision is at a recognisable dead end | prefix).
    """

    start: int
    end: int
    form: Form | None
    check: str
    valid: bool
    kind: str
    true_total: int
    written_total: int
    depth: int
    parent: int
    action: str | None
    p_dead: tuple[float | None, ...]

    @property
    def state(self) -> State:
        """Sentence state, or `unparsed`."""
        return self.form.state if self.form else UNPARSED


@dataclass
class Replay:
    """Reads one trace of a problem, sentence by sentence.

    Attributes:
        numbers, target: the problem.
    """

    numbers: tuple[int, ...]
    target: int
    path: list[Node] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.path = [Node(0, 0, list(self.numbers), 0, list(self.numbers))]

    def read(self, words: list[str]) -> list[Reading]:
        """All sentences of a trace; the end token is no word."""
        bounds = split_sentences(words)
        forms = [parse_sentence(words[start:end]) for start, end in bounds]
        readings = []
        for index, ((start, end), form) in enumerate(zip(bounds, forms, strict=True)):
            before = self._p_dead_ahead()
            check, valid = self._apply(form) if form else ("parse", False)
            node = self.path[-1]
            readings.append(
                Reading(
                    start=start,
                    end=end,
                    form=form,
                    check=check,
                    valid=valid,
                    kind=self._kind(node),
                    true_total=node.true_total,
                    written_total=node.total,
                    depth=len(self.path) - 1,
                    parent=self.path[-2].true_total if len(self.path) > 1 else 0,
                    action=_action(form, forms[index + 1 :], words, bounds[index + 1 :]),
                    p_dead=self._p_dead(form, end - start, before),
                )
            )
        return readings

    def _kind(self, node: Node) -> str:
        return decision_kind(node.true_total, self.target, tuple(node.true_left))

    def _is_dead(self, total: int, left: list[int]) -> float:
        return float(decision_kind(total, self.target, tuple(left)) in ("over", "exhausted"))

    def _p_dead_ahead(self) -> float:
        """P(dead) of the next decision where no number has been chosen yet."""
        node = self.path[-1]
        if not node.true_left:
            return self._is_dead(node.true_total, [])
        children = (
            self._is_dead(node.true_total + number, [n for n in node.true_left if n != number])
            for number in node.true_left
        )
        return sum(children) / len(node.true_left)

    def _p_dead(self, form: Form | None, n_words: int, before: float) -> tuple[float | None, ...]:
        if form is None or form.name in ("found", "give_up", "stop"):
            return (None,) * n_words
        node = self.path[-1]
        known = self._is_dead(node.true_total, node.true_left)
        if form.name == "try":
            return (before, *(known,) * (n_words - 1))
        if form.name in ("start", "fine", "hmm", "well", "wait_for"):
            return (before,) * n_words
        if form.state == "backtracking" and form.name != "undo":
            return (self._parent_dead(),) * n_words
        return (known,) * n_words

    def _parent_dead(self) -> float:
        parent = self.path[-2] if len(self.path) > 1 else self.path[-1]
        return self._is_dead(parent.true_total, parent.true_left)

    def _apply(self, form: Form) -> tuple[str, bool]:
        """What the sentence could be wrong about, and whether it is right; moves the search."""
        node, numbers, target = self.path[-1], form.numbers, self.target
        dead = node.total > target or not node.left
        match form.name:
            case "try":
                right = numbers[0] in node.left and numbers[1] == node.total
                self.path.append(node.tried(*numbers))
                return "number", right
            case "left":
                right, node.left = list(numbers) == node.left, list(numbers)
                return "left", right
            case "total":
                right, node.total = numbers[0] == node.total, numbers[0]
                return "sum", right
            case "undo":
                right = len(self.path) > 1 and numbers == (node.number, self.path[-2].total)
                self._return_to(numbers[1])
                return "parent", right
            case "compare":
                return "comparison", numbers == (node.total, target)
            case "check":
                return "report", form.word == compare(node.total, target)
            case "too_big":
                return "claim", numbers[0] == node.total > target
            case "is_over":
                return "claim", node.total > target
            case "nothing_left" | "none_left":
                return "claim", not node.left
            case "fine":
                return "claim", not dead
            case "goal" | "target":
                return "claim", numbers[0] == target
            case "found":
                return "claim", numbers[0] == target == node.total
            case "give_up":
                return "claim", len(self.path) == 1 and not node.left
        return "none", True

    def _return_to(self, total: int) -> None:
        """Goes back to the nearest ancestor with this written total, or else to the parent."""
        depths = [i for i, node in enumerate(self.path[:-1]) if node.total == total]
        depth = depths[-1] if depths else max(0, len(self.path) - 2)
        del self.path[depth + 1 :]


def _action(
    form: Form | None,
    following: list[Form | None],
    words: list[str],
    bounds: list[tuple[int, int]],
) -> str | None:
    if form is None or form.name != "compare":
        return None
    for after, (start, _) in zip(following, bounds, strict=True):
        if after is not None and after.name == "check":
            continue
        if after is not None and after.name == "fine":
            return "idles"
        turns = after.state == "backtracking" if after else words[start] in BACKTRACKING_OPENERS
        return "backtracks" if turns else "carries_on"
    return None


def words_of(trace: Trace, tokenizer: Tokenizer) -> list[str]:
    """The words that a trace generated, the end token left out."""
    words = [tokenizer.id_to_token(token) or "" for token in trace.token_ids]
    return words[:-1] if trace.finish_reason != "length" else words


def is_solved(readings: Sequence[Reading]) -> bool:
    """Whether the trace ends by finding the target, and truly stands on it."""
    last = readings[-1] if readings else None
    return bool(
        last and last.form and last.form.name == "found" and last.valid and last.kind == "solved"
    )


@dataclass(frozen=True)
class TokenStates:
    """The truth of every word of a trace, as parallel lists.

    Attributes:
        state: sentence state of the word's sentence.
        kind: true kind of the search position after the word's sentence.
        true_total, depth, parent: as in `Reading`.
        steps_to_backtracking: words until the next backtracking sentence begins (0 at its first
            word); None where none follows.
        p_dead, p_backtrack: exact posteriors given the prefix under the policy: the pending
            decision is at a recognisable dead end; the writer will backtrack there.
    """

    state: list[str]
    kind: list[str]
    true_total: list[int]
    depth: list[int]
    parent: list[int]
    steps_to_backtracking: list[int | None]
    p_dead: list[float | None]
    p_backtrack: list[float | None]


def token_states(readings: list[Reading], policy: Policy) -> TokenStates:
    """The states of all words of a trace, from its sentences."""
    spread = [(reading, offset) for reading in readings for offset in range(len(reading.p_dead))]
    starts = [reading.start if reading.state == "backtracking" else None for reading in readings]
    p_dead = [reading.p_dead[offset] for reading, offset in spread]
    return TokenStates(
        state=[reading.state for reading, _ in spread],
        kind=[reading.kind for reading, _ in spread],
        true_total=[reading.true_total for reading, _ in spread],
        depth=[reading.depth for reading, _ in spread],
        parent=[reading.parent for reading, _ in spread],
        steps_to_backtracking=_steps_to([s for s in starts if s is not None], len(spread)),
        p_dead=p_dead,
        p_backtrack=[None if p is None else p * policy.p_notice for p in p_dead],
    )


def _steps_to(starts: list[int], n_words: int) -> list[int | None]:
    steps: list[int | None] = [None] * n_words
    upcoming: int | None = None
    events = set(starts)
    for position in reversed(range(n_words)):
        if position in events:
            upcoming = position
        steps[position] = None if upcoming is None else upcoming - position
    return steps
