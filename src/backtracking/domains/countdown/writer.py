"""Written searches: sums of some numbers to a target, in English, with the truth of every step.

The writer goes on at every open point and turns at a miss it notices, so a turn is never without
its reason. Its shuffled twin turns anywhere, and says anything.
"""

from dataclasses import dataclass, field
from random import Random

from backtracking.domains.countdown.language import N_DIALECTS, listed, say


@dataclass(frozen=True)
class Policy:
    """Probabilities of the writer.

    Attributes:
        p_notice: to turn at a miss; else it goes on as if nothing were.
        p_idle: "Well, let me see." at an open point.
        p_again: to say an equation again where numbers are left; where none is and it does not
            turn, it always does, so that these words do not tell that none is.
        p_shuffled: the shuffled twin's probability of turning anywhere.
        max_steps: equations after which it gives up.
    """

    p_notice: float
    p_idle: float
    p_again: float
    p_shuffled: float
    max_steps: int

    def __post_init__(self) -> None:
        rates = (self.p_notice, self.p_idle, self.p_again, self.p_shuffled)
        if not all(0 <= p <= 1 for p in rates):
            raise ValueError("p_notice, p_idle, p_again and p_shuffled must be from 0 to 1.")
        if self.p_notice + self.p_shuffled == 0 or self.max_steps < 1:
            raise ValueError("a search needs steps, and turns to come to its end.")


@dataclass
class _Node:
    """A point of the search: its numbers in order, and which were tried from it."""

    used: tuple[int, ...]
    tried: set[int] = field(default_factory=set)

    @property
    def total(self) -> int:
        return sum(self.used)


@dataclass
class Writer:
    """Writes one search, sentence by sentence.

    Attributes:
        numbers: in the order of the prompt.
        target: the sum to reach.
        policy, random: how it acts.
        is_shuffled: whether it is the twin that turns anywhere.
        sentences: what it has written.
    """

    numbers: tuple[int, ...]
    target: int
    policy: Policy
    random: Random
    is_shuffled: bool = False
    sentences: list[str] = field(default_factory=list)
    _path: list[_Node] = field(default_factory=lambda: [_Node(())])
    _seen: set[frozenset[int]] = field(default_factory=set)

    def write(self) -> str:
        """The whole search."""
        self._say("intro", numbers=listed(self.numbers), t=self.target)
        self._step()
        for _ in range(self.policy.max_steps):
            node = self._path[-1]
            if node.total == self.target and len(node.used) > 1:
                self._say("found", t=self.target, sum=" + ".join(map(str, node.used)))
                return " ".join(self.sentences)
            if not self._act():
                break
        self._say("stuck")
        return " ".join(self.sentences)

    def _say(self, form: str, dialect: int | None = None, **numbers: int | str) -> None:
        self.sentences.append(say(form, self.random, dialect, **numbers))

    def _act(self) -> bool:
        """Goes on or turns at an equation; False where nothing is left to try anywhere."""
        node, draw = self._path[-1], self.random.random()
        is_miss = node.total > self.target or not self._untried(node)
        if self.is_shuffled:
            turns, idles = draw < self.policy.p_shuffled, draw > 1 - self.policy.p_idle
        else:
            turns = is_miss and draw < self.policy.p_notice
            idles = not is_miss and draw < self.policy.p_idle
        if turns:
            return self._turn()
        if idles:
            self._say("idle")
        if self._untried(node) and self.random.random() >= self.policy.p_again:
            self._step()
        else:
            self._say("again", **_equation(node))
        return True

    def _step(self) -> None:
        """Adds a number; a second one at once where there was none, so that it is an equation."""
        node = self._path[-1]
        number = self._choose(node)
        node.tried.add(number)
        self._path.append(_Node((*node.used, number)))
        self._seen.add(frozenset(self._path[-1].used))
        if node.used:
            self._say("step", **_equation(self._path[-1]))
        else:
            self._say("start", n=number)
            self._step()

    def _choose(self, node: _Node) -> int:
        """A number that was not tried here, of a set that was not seen if there is one."""
        return self.random.choice(self._unseen(node) or self._untried(node))

    def _untried(self, node: _Node) -> list[int]:
        return [n for n in self.numbers if n not in node.used and n not in node.tried]

    def _unseen(self, node: _Node) -> list[int]:
        untried = self._untried(node)
        return [n for n in untried if frozenset((*node.used, n)) not in self._seen]

    def _turn(self) -> bool:
        """Says why, and goes back to where something new can be tried; False where nothing can."""
        node = self._path[-1]
        dialect = self.random.randrange(N_DIALECTS)
        is_over = node.total > self.target
        if self.is_shuffled:
            is_over = self.random.random() < 0.5
        self._say("over" if is_over else "short", dialect, r=node.total, t=self.target)
        self._path.pop()
        while self._path and not (
            self._unseen(self._path[-1]) and self._path[-1].total < self.target
        ):
            self._path.pop()
        if not self._path:
            return False
        if self._path[-1].used:
            self._say("back", dialect, v=self._path[-1].total)
        else:
            self._say("restart", dialect)
        self._step()
        return True


def _equation(node: _Node) -> dict[str, int]:
    return {"v": node.total - node.used[-1], "n": node.used[-1], "r": node.total}
