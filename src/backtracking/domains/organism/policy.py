"""How traces are written: the stochastic search policy, its shuffled twin, and the base's walks.

The policy knows only what a reader of the trace knows: the written totals, the target and what is
left to try. Every probability in it is a parameter, so that what a model learnt can be compared
with what it was taught.
"""

from dataclasses import dataclass, field
from random import Random

Sentence = tuple[str, ...]


@dataclass(frozen=True)
class Policy:
    """Probabilities of the search policy.

    Attributes:
        p_notice: backtracking at a recognisable dead end (over, or exhausted).
        p_idle: "Well, fine." at any other decision point.
        p_check: "Check : over." between a comparison and the action, whatever the action.
        p_goal: "Goal 28." before a comparison.
        p_wait: "Wait" rather than "No" as the word that opens backtracking.
        p_hesitate: a hesitation when a dead end with numbers left is passed over.
        backtracking_dwell: law of the number of sentences of one backtracking (1, 2, 3).
        uncertainty_dwell: law of the number of sentences of one hesitation (1, 2, 3).
        p_shuffled: the shuffled twin's probability of backtracking at any decision point,
            whatever it sees.
    """

    p_notice: float = 0.6
    p_idle: float = 0.125
    p_check: float = 0.1
    p_goal: float = 0.25
    p_wait: float = 0.8
    p_hesitate: float = 0.5
    backtracking_dwell: tuple[float, float, float] = (0.15, 0.65, 0.2)
    uncertainty_dwell: tuple[float, float, float] = (0.25, 0.5, 0.25)
    p_shuffled: float = 0.34


@dataclass
class _Node:
    """A node of the search: the number that led to it, its total, what may still be tried."""

    number: int
    total: int
    left: list[int]


@dataclass
class Writer:
    """Writes one trace of the search, sentence by sentence.

    Attributes:
        numbers: the numbers of the problem, in the order of the prompt.
        target: the sum to reach.
        shuffled: whether the writer is the policy's shuffled twin, which backtracks at the same
            rate at every decision point instead of at dead ends.
    """

    numbers: tuple[int, ...]
    target: int
    policy: Policy
    random: Random
    shuffled: bool = False
    sentences: list[Sentence] = field(default_factory=list)

    def write(self, max_steps: int = 60) -> list[Sentence]:
        """The sentences after the prompt; the search is cut after `max_steps` decisions."""
        self._say("Start at 0")
        path = [_Node(0, 0, list(self.numbers))]
        self._try(path)
        for _ in range(max_steps):
            if path[-1].total == self.target:
                self._say(f"Found {self.target}")
                break
            if not self._decide(path):
                self._say("Give up")
                break
        return self.sentences

    def _say(self, words: str) -> None:
        self.sentences.append((*words.split(), "."))

    def _decide(self, path: list[_Node]) -> bool:
        """Acts at one decision point; False where the search has come to its end."""
        node, draw, policy = path[-1], self.random.random(), self.policy
        dead = node.total > self.target or not node.left
        if self.shuffled:
            backtracks, idles = draw < policy.p_shuffled, draw > 1 - policy.p_idle
        else:
            backtracks, idles = dead and draw < policy.p_notice, not dead and draw < policy.p_idle
        if backtracks and len(path) > 1:
            self._backtrack(path)
        elif node.left:
            if idles:
                self._hesitate("Well , fine")
            elif dead and not self.shuffled and self.random.random() < policy.p_hesitate:
                self._hesitate(self._hum())
            self._try(path)
        elif len(path) == 1:
            return False
        else:
            self._hesitate(self._hum())
            self._compare(node)
        return True

    def _try(self, path: list[_Node]) -> None:
        node = path[-1]
        number = self.random.choice(node.left)
        node.left.remove(number)
        child = _Node(number, node.total + number, list(node.left))
        path.append(child)
        self._say(f"Try {number} on {node.total}")
        self._say(f"Left {_words(child.left)}")
        self._say(f"Total {child.total}")
        self._compare(child)

    def _backtrack(self, path: list[_Node]) -> None:
        node = path.pop()
        dwell = self._draw_dwell(self.policy.backtracking_dwell)
        if dwell > 1:
            self._say(self._opener(node))
        if dwell > 2:
            self._say("Dead end")
        self._say(f"Undo {node.number} on {path[-1].total}")
        self._say(f"Left {_words(path[-1].left)}")
        self._compare(path[-1])

    def _opener(self, node: _Node) -> str:
        waits = self.random.random() < self.policy.p_wait
        over = node.total > self.target
        if self.shuffled:
            over = self.random.random() < 0.5
        if over:
            return f"Wait , {node.total} is too big" if waits else "No , that is over"
        return "Wait , nothing left" if waits else "No , none left"

    def _hesitate(self, first: str) -> None:
        self._say(first)
        for _ in range(self._draw_dwell(self.policy.uncertainty_dwell) - 1):
            self._say(self._hum())

    def _hum(self) -> str:
        return self.random.choice(("Hmm", "Well"))

    def _compare(self, node: _Node) -> None:
        if self.random.random() < self.policy.p_goal:
            self._say(f"Goal {self.target}")
        self._say(f"Compare {node.total} with {self.target}")
        if self.random.random() < self.policy.p_check:
            self._say(f"Check : {compare(node.total, self.target)}")

    def _draw_dwell(self, law: tuple[float, ...]) -> int:
        return self.random.choices(range(1, len(law) + 1), law)[0]


@dataclass(frozen=True)
class BasePolicy:
    """Probabilities of the base's corpus, which knows the world and never backtracks.

    Attributes:
        p_check: "Check : over." after a comparison.
        p_wait_for: "Wait for 7." after any sentence: the word in a use that is no backtracking.
        p_goal: as in `Policy`.
        p_stop: "Stop." right at the full stop of a comparison that is over: the walk ends there,
            without a word about it. 0 is a walk that goes on as if nothing were.
    """

    p_check: float = 0.5
    p_wait_for: float = 0.04
    p_goal: float = 0.25
    p_stop: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.p_stop <= 1:
            raise ValueError(f"p_stop {self.p_stop} must be a probability, from 0 to 1.")


def write_walk(
    numbers: tuple[int, ...], target: int, policy: BasePolicy, random: Random
) -> list[Sentence]:
    """One walk of the base's corpus: legal numbers at random until none is left, or it stops."""
    said = ["Start at 0"]
    left, total = list(numbers), 0
    while left and total != target:
        number = random.choice(left)
        left.remove(number)
        said += [f"Try {number} on {total}", f"Left {_words(left)}"]
        total += number
        said.append(f"Total {total}")
        if random.random() < policy.p_goal:
            said.append(f"Goal {target}")
        said.append(f"Compare {total} with {target}")
        if policy.p_stop and total > target and random.random() < policy.p_stop:
            break
        if random.random() < policy.p_check:
            said.append(f"Check : {compare(total, target)}")
    said.append(f"Found {target}" if total == target else "Stop")
    sentences: list[Sentence] = []
    for words in said:
        sentences.append((*words.split(), "."))
        if random.random() < policy.p_wait_for:
            sentences.append(("Wait", "for", str(random.randint(1, 12)), "."))
    return sentences


def write_prompt(numbers: tuple[int, ...], target: int) -> list[Sentence]:
    """The problem as the model reads it."""
    return [("Numbers", *map(str, numbers), "."), ("Target", str(target), ".")]


def compare(total: int, target: int) -> str:
    """The word for where a total stands: over, under or equal."""
    return "over" if total > target else "under" if total < target else "equal"


def _words(numbers: list[int]) -> str:
    return " ".join(map(str, numbers)) or "none"
