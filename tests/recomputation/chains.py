"""NLL of chains of labels on test problems, from counts of our own."""

from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np
from recomputation.comparing import Compared
from recomputation.parsing import STATES
from recomputation.study import Study
from scipy.optimize import minimize_scalar

END = len(STATES)

Steps = list[tuple[tuple[int, ...], int]]
"""What came before, the labels so far, and what followed."""


def steps(study: Study, split: str) -> Steps:
    """Every sentence whose successor is known; the one that a length limit cut is left out."""
    found = []
    for trace in study.traces:
        if trace.split != split:
            continue
        codes = [STATES.index(one.state) for one in trace.whole_sentences]
        after = codes[1:] + ([] if trace.is_cut else [END])
        found += [(tuple(codes[: n + 1]), one) for n, one in enumerate(after)]
    return found


class Chain:
    """Smoothed counts: each order falls back on the one below, the lowest on half a count each."""

    def __init__(self, train: Steps, strengths: list[float]) -> None:
        self.strengths = strengths
        self.counts = [
            Counter((before(past, order), after) for past, after in train)
            for order in range(len(strengths) + 1)
        ]
        self.totals = [
            Counter(before(past, order) for past, _ in train) for order in range(len(strengths) + 1)
        ]

    def p(self, past: tuple[int, ...], after: int, order: int | None = None) -> float:
        """P(what follows | the labels so far)."""
        order = len(self.strengths) if order is None else order
        context = before(past, order)
        count, total = self.counts[order][context, after], self.totals[order][context]
        if order == 0:
            return (count + 0.5) / (total + 0.5 * (END + 1))
        strength = self.strengths[order - 1]
        return (count + strength * self.p(past, after, order - 1)) / (total + strength)

    def loss(self, chosen: Steps) -> float:
        """-log p of all that followed, in nats."""
        return -float(sum(n * np.log(self.p(*one)) for one, n in Counter(chosen).items()))


def before(past: tuple[int, ...], order: int) -> tuple[int, ...]:
    """The last labels, with -1 before the start."""
    return (*[-1] * order, *past)[len(past) :] if order else ()


def strength_of(loss: Callable[[float], float]) -> float:
    """Of smoothing, in counts: the least loss on dev under a log-normal prior around one count."""

    def penalised(log_strength: float) -> float:
        return loss(float(np.exp(log_strength))) + log_strength**2 / 18

    near = min(np.arange(-15.0, 16.0), key=penalised)
    found = minimize_scalar(penalised, bounds=(near - 1, near + 1), method="bounded")
    return float(np.exp(found.x))


def chains(study: Study) -> Iterator[Compared]:
    """Chains of order 1 and 2: NLL a sentence on test problems, and their difference."""
    train, dev, test = (steps(study, split) for split in ("train", "dev", "test"))
    printed = {one["class"]: one for one in study.table("transitions/models")}
    strengths: list[float] = []
    for order in (1, 2):
        shorter = strengths
        strengths = [*shorter, strength_of(lambda a: Chain(train, [*shorter, a]).loss(dev))]  # noqa: B023
        nll = Chain(train, strengths).loss(test) / len(test)
        # Four decimals are printed; the strength is found to some five digits.
        value = printed[f"markov_{order}"]["nll"]["value"]
        yield Compared(f"NLL, chain of order {order}", value, nll, 1e-4)
