"""A small study whose every number a figure shows was planted: two pairs, or any others."""

from collections.abc import Iterator, Mapping, Sequence

from synthetic_results import study_with

from backtracking.claims.literature.study import Study
from backtracking.figures.every import Found
from backtracking.records.decoded import Rank, Variant
from backtracking.records.intervals import Bar, Interval
from backtracking.records.measured import RANDOM
from backtracking.records.rows.arms import ArmKey, Forced
from backtracking.records.rows.choice import Magnitude
from backtracking.records.rows.components import Ablated, AblatedForced, Outcome, TopOutcome
from backtracking.records.rows.measures import EventMeasure, MarkerRank
from backtracking.records.rows.probe import Choice, Probed, ProbeSelection
from backtracking.records.rows.steering import Cell
from backtracking.records.rows.table import Row
from backtracking.records.rows.transitions import Compared, StateModel
from backtracking.records.sentences import Sentence, State
from backtracking.records.traces import Trace
from backtracking.statistics.bootstrap import Bootstrap

PAIRS = {"reasoning": "base", "shuffled": "base"}
BOOTSTRAP = Bootstrap(50, 0.95, 0)


def near(value: float, reach: float = 0.02) -> Interval:
    return Interval(value, value - reach, value + reach, 9)


def dose(pairs: Mapping[str, str]) -> Iterator[Row]:
    """Along the base's direction 0.412 at live decisions at dose 1; random ones at most 0.2."""
    studied, base = next(iter(pairs.items()))
    level = {studied: 0.6, base: 0.412, "action": 0.3} | {
        role: 0.1 for role in pairs if role != studied
    }
    yield Magnitude(studied, 3.0, 0.5)
    for kind in ("alive", "over"):
        yield forced(studied, "baseline", 0.0, kind, 0.1, "baseline")
        for name, value in level.items():
            for at in (-1.0, 0.5, 1.0):
                yield forced(studied, name, at, kind, value if at == 1 else 0.15, "matched")
        for number in range(3):
            yield forced(studied, f"random_{number}", 1.0, kind, 0.1 * number, RANDOM)


def forced(target: str, direction: str, at: float, kind: str, value: float, group: str) -> Forced:
    arm = ArmKey(target, direction, at, "decision", "add" if at else "none", group)
    return Forced(arm, kind, "P_back", near(value), near(value - 0.1), 9)


def transfer(pairs: Mapping[str, str]) -> Iterator[Row]:
    """The base's direction moves the model under study by 0.312, another's by -0.05."""
    studied, base = next(iter(pairs.items()))
    bar = {"random": Bar(9, 0.1, 0.02)}
    yield Cell(base, studied, "alive", 1.0, "set_projection", near(0.312), bar, 1.0, None, "holds")
    for role in [role for role in pairs if role != studied]:
        yield Cell(role, studied, "alive", 1.0, "add", near(-0.05), bar, 1.0, None, "no test")


def probe(pairs: Mapping[str, str], n_layers: int = 3) -> Iterator[Row]:
    """In layer 1 at the deciding token 0.87 on dev, 0.85 on test where words reach 0.7."""
    roles = list(dict.fromkeys([*pairs, *pairs.values()]))
    cells = [
        Choice(role, target, layer, offset, "together", 1.0, "inside",
               0.87 if (layer, offset) == (min(1, n_layers - 1), 0) else 0.6)
        for role in roles for target in ("backtracks", "over")
        for layer in range(n_layers) for offset in (-1, 0)
    ]  # fmt: skip
    best = [one for one in cells if one.dev_auroc == 0.87]
    yield ProbeSelection("dev", tuple(best), tuple(cells))
    for one in best:
        words = None if one.target == "over" else 0.7
        yield Probed(one, near(0.85), words, near(0.15), 0.9, None, None, 9)


def lens(pairs: Mapping[str, str], n_layers: int = 3) -> Iterator[Row]:
    """The marker stands at 0.97 in the last layer of the model under study, at 0.4 elsewhere."""
    variants: Sequence[Variant] = ("whole", "without_markers")
    for role in dict.fromkeys([*pairs, *pairs.values()]):
        for layer in range(n_layers):
            for variant in variants:
                is_top = layer == n_layers - 1 and role == next(iter(pairs)) and variant == "whole"
                rank = Rank("Wait", 1.0, 0.97 if is_top else 0.4, 0.0)
                yield MarkerRank(
                    role, "matched", "0:0", layer, None, None, role, True, variant, 1.0, rank,
                    0.95, 99, 0.01,
                )  # fmt: skip


def components(pairs: Mapping[str, str], n_layers: int = 2) -> Iterator[Row]:
    """Without the first component 0.02 of the sentences backtrack, and 0.3 is solved, not 0.7."""
    for role in pairs:
        for number in range(2 * n_layers):
            name = f"{('attention', 'mlp')[number % 2]}.{number // 2}"
            for place in ("decision", "other"):
                change = near(-0.1 * number if place == "decision" else 0.0)
                ablated = Ablated(role, name, "mean", place)
                yield AblatedForced(ablated, "over", 0.5, change, 0.01, 9, near(1.0))
        for measure, before, after in (
            ("solve_rate", 0.7, 0.3), ("backtracking_rate", 0.15, 0.02),
        ):  # fmt: skip
            change = near(after - before)
            outcome = Outcome(near(before), near(after), change, change, (near(-0.1),), (change,))
            yield TopOutcome(role, 1, measure, outcome)


def state_models(pairs: Mapping[str, str]) -> Iterator[Row]:
    """A chain of order 1 at 0.9 nats, activations of the model under study at 0.4."""
    yield StateModel("labels", "iid", Compared(near(1.6), near(0.7)), None, None)
    yield StateModel("labels", "markov_1", Compared(near(0.9), near(0.0)), None, None)
    for number, role in enumerate(pairs):
        score = Compared(near(0.4 + 0.1 * number), near(-0.5))
        yield StateModel(role, "hmm", score, 12, "inside")


def stability(pairs: Mapping[str, str]) -> Iterator[Row]:
    """0.63 of the continuations of the model under study backtrack again, 0.3 of the others'."""
    for role in pairs:
        share = near(0.63 if role == next(iter(pairs)) else 0.3)
        for event in ("backtracking", "keyword"):
            yield EventMeasure(role, f"{event}_stability", share)
            yield EventMeasure(role, f"{event}_stability_over", share)


def tables(pairs: Mapping[str, str] = PAIRS, n_layers: int = 3) -> Study:
    """All of them as the study that figures read."""
    rows = [
        *dose(pairs), *transfer(pairs), *probe(pairs, n_layers), *lens(pairs, n_layers),
        *components(pairs, n_layers), *state_models(pairs), *stability(pairs),
    ]  # fmt: skip
    return study_with(*rows, pairs=pairs)


def sentences(
    trace: str, *states: State, others: Sequence[State] = (), first: str = "exact"
) -> list[Sentence]:
    """Sentences of a trace, by one labeller or by two."""
    labels: list[dict[str, State]] = [{first: state} for state in states]
    for label_by, other in zip(labels, others, strict=False):
        label_by["rules"] = other
    return [
        Sentence(trace, at, at, at + 1, "s", False, label_by) for at, label_by in enumerate(labels)
    ]


def trace(name: str, problem: str, finish_reason: str = "stop") -> Trace:
    return Trace(name, problem, "test", 0, [1], [2], "s", finish_reason, {})


def found(pairs: Mapping[str, str] = PAIRS, n_layers: int = 3) -> Found:
    """Everything that figures show."""
    back: State = "backtracking"
    goes_on: State = "deduction"
    said: tuple[State, ...] = (goes_on, back, back, back, goes_on, "final-answer")
    ruled: tuple[State, ...] = (goes_on, back, goes_on, goes_on, goes_on, "final-answer")
    names = [f"p{number}" for number in range(8)]
    return Found(
        study=tables(pairs, n_layers),
        losses={role: [(20, 2.5), (40, 0.25)] for role in [*pairs.values(), *pairs]},
        traces=[trace(name, name) for name in names],
        sentences=[one for name in names for one in sentences(name, *said, others=ruled)],
        primary="exact",
        bootstrap=BOOTSTRAP,
    )
