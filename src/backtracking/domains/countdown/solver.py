"""What is true of a search, from the numbers alone. Shares no code with what writes or reads it."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import combinations

Number = int | Fraction
Form = tuple[object, ...]


@dataclass(frozen=True)
class Rule:
    """What a solution may be.

    Attributes:
        operations: of `+-*`.
        use_all: whether each number has to be used, or may be left out; never twice.
    """

    operations: str
    use_all: bool

    def __post_init__(self) -> None:
        if not self.operations or set(self.operations) - set("+-*"):
            raise ValueError(f"operations are some of `+-*`, found `{self.operations}`.")


def kind_of(value: Number, left: tuple[int, ...], target: int, rule: Rule) -> str:
    """Kind of a point at which a search has reached a value, with numbers left.

    `hit`: the target, with no number left that has to be used. `miss`: nothing is left, or nothing
    that is left can bring the value back, as a reader sees (only sums, and above the target).
    `open_alive` and `open_doomed`: whether some of what is left completes it.
    """
    if value == target and not (left and rule.use_all):
        return "hit"
    if not left or (rule.operations == "+" and value > target):
        return "miss"
    return "open_alive" if can_complete(value, left, target, rule) else "open_doomed"


def can_complete(value: Number, left: tuple[int, ...], target: int, rule: Rule) -> bool:
    """Whether the value and numbers that are left make the target."""
    sizes = (len(left),) if rule.use_all else range(len(left) + 1)
    return any(
        target in reachable(tuple(sorted((value, *some))), rule.operations)
        for size in sizes
        for some in combinations(left, size)
    )


@lru_cache(maxsize=100_000)
def reachable(numbers: tuple[Number, ...], operations: str) -> frozenset[Number]:
    """All values that use each of the sorted numbers once."""
    if len(numbers) == 1:
        return frozenset(numbers)
    found: set[Number] = set()
    for one, other in _splits(numbers):
        others = reachable(other, operations)
        for a in reachable(one, operations):
            for sign in operations:
                if sign == "+":
                    found.update(a + b for b in others)
                elif sign == "*":
                    found.update(a * b for b in others)
                else:
                    found.update(a - b for b in others)
                    found.update(b - a for b in others)
    return frozenset(found)


def solutions(numbers: tuple[int, ...], target: int, rule: Rule) -> Iterator[Form]:
    """Different solutions, each once: order and brackets that change nothing make none.

    A solution is the tree of its sums (what is added, what is taken away) and products.
    """
    seen: set[Form] = set()
    sizes = (len(numbers),) if rule.use_all else range(2, len(numbers) + 1)
    for size in sizes:
        for some in combinations(sorted(numbers), size):
            if rule.operations == "+":  # all trees of a sum are one form
                forms = [_sum(some)] if sum(some) == target else []
            else:
                forms = _forms(some, target, rule.operations)
            for form in forms:
                if form not in seen:
                    seen.add(form)
                    yield form


def spelled(form: Form) -> str:
    """A solution as text."""
    if form[0] == "number":
        return str(form[1])
    if form[0] == "*":
        return " * ".join(_bracketed(one) for one in _parts(form[1]))
    added, taken = _parts(form[1]), _parts(form[2])
    first = " + ".join(spelled(one) for one in added)
    return first + "".join(f" - {_bracketed(one)}" for one in taken)


def _bracketed(form: Form) -> str:
    return f"({spelled(form)})" if form[0] == "+" else spelled(form)


def _forms(numbers: tuple[Number, ...], value: int, operations: str) -> Iterator[Form]:
    if len(numbers) == 1:
        if numbers[0] == value:
            yield ("number", value)
        return
    for one, other in _splits(numbers):
        others = reachable(other, operations)
        for a in reachable(one, operations):
            for b, sign, swap in _partners(int(a), value, operations):
                if b in others:
                    for x in _forms(one, int(a), operations):
                        for y in _forms(other, b, operations):
                            yield _joined(y, sign, x) if swap else _joined(x, sign, y)


def _partners(a: int, value: int, operations: str) -> Iterator[tuple[int, str, bool]]:
    """What makes the value of `a`: the other operand, the sign, and whether it comes first.

    None below 0 or of nothing: each solution has a form without them.
    """
    if a < 0:
        return
    if "+" in operations and value >= a:
        yield value - a, "+", False
    if "-" in operations:
        if a >= value:
            yield a - value, "-", False
        if a:
            yield a + value, "-", True
    if "*" in operations and a and value % a == 0:
        yield value // a, "*", False


def _splits(
    numbers: tuple[Number, ...],
) -> Iterator[tuple[tuple[Number, ...], tuple[Number, ...]]]:
    """All ways to part numbers in two; the first number is in the first part."""
    for mask in range(2 ** (len(numbers) - 1) - 1):
        chosen = [True, *(bool(mask >> bit & 1) for bit in range(len(numbers) - 1))]
        yield (
            tuple(n for n, one in zip(numbers, chosen, strict=True) if one),
            tuple(n for n, one in zip(numbers, chosen, strict=True) if not one),
        )


def _joined(one: Form, sign: str, other: Form) -> Form:
    if sign == "*":
        factors = [part for x in (one, other) for part in (_parts(x[1]) if x[0] == "*" else (x,))]
        return ("*", tuple(sorted(factors, key=repr)))
    (added, taken), (more, less) = _terms(one), _terms(other)
    if sign == "-":
        more, less = less, more
    return ("+", tuple(sorted(added + more, key=repr)), tuple(sorted(taken + less, key=repr)))


def _sum(numbers: tuple[int, ...]) -> Form:
    return ("+", tuple(("number", n) for n in numbers), ())


def _terms(form: Form) -> tuple[tuple[Form, ...], tuple[Form, ...]]:
    return (_parts(form[1]), _parts(form[2])) if form[0] == "+" else ((form,), ())


def _parts(value: object) -> tuple[Form, ...]:
    assert isinstance(value, tuple)
    return value
