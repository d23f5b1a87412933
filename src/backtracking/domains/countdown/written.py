"""Written searches, read back: what each sentence claims, and whether it is right there."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from tokenizers import Tokenizer

from backtracking.domains.countdown.language import OPENERS, STATE_BY_FORM, Said, understand
from backtracking.domains.countdown.solver import Rule, kind_of
from backtracking.domains.prose import sentence_spans
from backtracking.labels.states import UNPARSED
from backtracking.records.sentences import EXACT, Action, Sentence, Truth
from backtracking.records.traces import Trace

RULE = Rule("+", use_all=False)
"""The one kind of search that is written."""

TURNS = frozenset({"over", "short", "back", "restart"})
DECIDES = frozenset({"step", "again"})


@dataclass
class _Node:
    """A point of the search as the text has it: its numbers, and the total that it states."""

    used: tuple[int, ...]
    total: int


@dataclass
class Replay:
    """A written search, replayed.

    Attributes:
        numbers, target: of the problem.
    """

    numbers: tuple[int, ...]
    target: int
    _path: list[_Node] = field(default_factory=lambda: [_Node((), 0)])
    _moves: list[str] = field(default_factory=list)

    def hear(self, said: Said | None) -> Truth:
        """What is true after a sentence, and whether what it claims is right."""
        valid, check, written = None, None, None
        if said is not None:
            valid, check = self._check(said)
            written = float(said.numbers["r"]) if said.form in DECIDES else None
        node = self._path[-1]
        decides = said is not None and said.form in DECIDES
        return Truth(
            form=said.form if said else None,
            kind=self._kind(node),
            value=float(sum(node.used)),
            written=written,
            target=float(self.target),
            valid=valid,
            check=check,
            search_state=" ".join(map(str, (node.total, *self._left(node)))) if decides else None,
            history=" ".join(self._moves) if decides else None,
        )

    def _check(self, said: Said) -> tuple[bool | None, str | None]:
        """Whether a sentence is right, and what of it could be wrong; the search then goes on."""
        node, n = self._path[-1], said.numbers
        match said.form:
            case "start":
                return self._start(n["n"]), "start"
            case "step":
                return self._step(n["v"], n["n"], n["r"]), "sum"
            case "again":
                return (n["v"] + n["n"] == n["r"] == node.total), "sum"
            case "over":
                return (n["r"] == node.total > n["t"] == self.target), "claim"
            case "short":
                is_short = n["r"] == node.total < n["t"] == self.target
                return is_short and not self._left(node), "claim"
            case "back":
                return self._back(n["v"]), "return"
            case "restart":
                self._path = self._path[:1]
                self._moves.append("<0")
            case "found":
                return (n["t"] == self.target == sum(node.used) == node.total), "answer"
        return None, None

    def _start(self, number: int) -> bool:
        is_right = number in self.numbers and len(self._path) == 1
        used = (number,) if number in self.numbers else ()
        self._path = [self._path[0], _Node(used, number)]
        self._moves.append(str(number))
        return is_right

    def _step(self, before: int, number: int, total: int) -> bool:
        node = self._path[-1]
        is_able = number in self._left(node)
        self._path.append(_Node((*node.used, number) if is_able else node.used, total))
        self._moves.append(str(number))
        return is_able and before == node.total and before + number == total

    def _back(self, total: int) -> bool:
        above = [at for at, one in enumerate(self._path[:-1]) if one.total == total and at]
        if above:
            del self._path[above[-1] + 1 :]
        self._moves.append(f"<{total}")
        return bool(above)

    def _left(self, node: _Node) -> tuple[int, ...]:
        return tuple(sorted(n for n in self.numbers if n not in node.used))

    def _kind(self, node: _Node) -> str:
        if len(self._path) < 3:
            return "other"
        if node.total != sum(node.used):
            return "error"
        return kind_of(node.total, self._left(node), self.target, RULE)


def read_written(
    trace: Trace, numbers: tuple[int, ...], target: int, tokenizer: Tokenizer
) -> list[Sentence]:
    """The sentences of a written search with their exact labels and truths."""
    replay = Replay(numbers, target)
    spans = sentence_spans(trace, tokenizer)
    heard = [understand(text) for _, text in spans]
    found = []
    for index, ((span, text), said) in enumerate(zip(spans, heard, strict=True)):
        truth = replay.hear(said)
        decides = said is not None and said.form in DECIDES
        if decides:
            texts = [after for _, after in spans[index + 1 : index + 2]]
            truth = replace(truth, action=_action(texts, heard[index + 1 : index + 2]))
        state = STATE_BY_FORM[said.form] if said else UNPARSED
        found.append(
            Sentence(
                trace.trace_id, index, span.start, span.end, text, decides, {EXACT: state}, truth
            )
        )
    return found


def _action(texts: Sequence[str], after: Sequence[Said | None]) -> Action | None:
    """What the sentence after a decision does; a broken one is told by its first word."""
    if not texts:
        return None
    said = after[0]
    if said is None:
        return "turns" if texts[0].strip().startswith(OPENERS) else "goes on"
    return "turns" if said.form in TURNS else "idles" if said.form == "idle" else "goes on"
