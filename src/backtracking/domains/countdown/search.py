"""Where a search in free text stands after each equation, by replaying it exactly.

A value that an equation reaches knows which of the given numbers made it. An operand is the value
of the equation just before, a number that is given, or an earlier value; no given number is used
twice. So an equation that does not refer to a value reached before begins a new attempt.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from backtracking.domains.countdown.expressions import Equation
from backtracking.domains.countdown.solver import Rule, kind_of

KEPT = 24
"""How many values stay in mind."""


@dataclass(frozen=True)
class Reached:
    """A value that a search has reached.

    Attributes:
        value: as it was written.
        used: the given numbers that made it, sorted.
        is_sound: whether no equation on the way to it is wrong.
    """

    value: Fraction
    used: tuple[int, ...]
    is_sound: bool


@dataclass(frozen=True)
class Point:
    """Where the search stands after an equation.

    Attributes:
        kind: `miss`, `hit`, `open_alive`, `open_doomed`, `error` where the result is wrong or rests
            on a wrong one, `other` where the operands are no numbers of the search.
        reached: the value; None for `other`.
        left: the given numbers that are left, sorted.
    """

    kind: str
    reached: Reached | None
    left: tuple[int, ...]


OTHER = Point("other", None, ())


@dataclass
class Search:
    """A search for a target, replayed equation by equation.

    Attributes:
        numbers: that are given.
        target: to reach.
        rule: what a solution may be.
    """

    numbers: tuple[int, ...]
    target: int
    rule: Rule
    _reached: list[Reached] = field(default_factory=list)

    def after(self, equations: Sequence[Equation], *, is_fresh: bool = False) -> Point:
        """Where the search stands after the equations of a sentence.

        Args:
            equations: of the sentence, in order.
            is_fresh: whether it says that it starts again, so that a number that is given is not
                taken for the value just before.
        """
        point = OTHER
        for number, equation in enumerate(equations):
            point = self._after(equation, is_fresh=is_fresh and number == 0)
        return point

    def begin_again(self) -> None:
        """Forgets what was reached."""
        self._reached = []

    def recall(self, value: int) -> None:
        """Goes back to a value that was reached before, if it was: it counts as the last one."""
        known = [one for one in self._reached if one.value == value][:1]
        self._reached = [*known, *(one for one in self._reached if one not in known)]

    def _after(self, equation: Equation, *, is_fresh: bool) -> Point:
        operands = equation.expression.numbers
        parts = self._parts_of(operands, is_fresh=is_fresh)
        if parts is None or not equation.expression.operations:
            return OTHER
        is_sound = equation.holds and all(one.is_sound for one in parts)
        used = tuple(sorted(number for one in parts for number in one.used))
        left = tuple(sorted((Counter(self.numbers) - Counter(used)).elements()))
        reached = Reached(equation.stated, used, is_sound)
        self._reached = [reached, *(one for one in self._reached if one != reached)][:KEPT]
        if not is_sound:
            return Point("error", reached, left)
        value = reached.value
        whole = int(value) if value.denominator == 1 else value
        return Point(kind_of(whole, left, self.target, self.rule), reached, left)

    def _parts_of(self, operands: Sequence[Fraction], *, is_fresh: bool) -> list[Reached] | None:
        """What each operand is; None where they cannot all be numbers of the search."""
        if not operands:
            return []
        for one in self._candidates(operands[0], is_fresh=is_fresh):
            rest = self._without(one.used)._parts_of(operands[1:], is_fresh=is_fresh)
            if rest is not None:
                return [one, *rest]
        return None

    def _candidates(self, operand: Fraction, *, is_fresh: bool) -> list[Reached]:
        """Values and given numbers that an operand may be, the likeliest first."""
        known = [one for one in self._reached if one.value == operand]
        given = [Reached(operand, (int(operand),), True)] if operand in self.numbers else []
        last = known[:1] if known and known[0] is self._reached[0] and not is_fresh else []
        return [*last, *given, *known[len(last) :]]

    def _without(self, used: Sequence[int]) -> "Search":
        """The search with fewer numbers to use."""
        left = Counter(self.numbers)
        left.subtract(used)
        able = [one for one in self._reached if not Counter(one.used) - left]
        return Search(tuple((+left).elements()), self.target, self.rule, able)
