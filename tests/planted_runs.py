"""Runs of a model as `steer` writes them, with probabilities that are planted."""

from collections.abc import Mapping, Sequence

import numpy as np

from backtracking.effects.seen import Cases, Seen, cases_of, see
from backtracking.records.decisions import Classes, Decisions
from backtracking.records.intervals import Interval
from backtracking.records.measured import (
    COSINE,
    MATCHED,
    RANDOM,
    Arm,
    Array,
    Measured,
    baseline,
)
from backtracking.records.places import Place
from backtracking.records.sentences import Decision, Kind, Truth
from backtracking.records.traces import Trace

KINDS = (
    Kind("over", "dead", True),
    Kind("exhausted", "dead", True),
    Kind("doomed", "dead", False),
    Kind("alive", "live", False),
    Kind("solved", "solved", True),
)
CLASSES = Classes("kind", ("over",), ("alive",), ("value",))
ACTIONS = Classes("action", ("turns",), ("goes on",), ("position",))
ELSEWHERE = ("agreement", "kl", "p_sentence_end", "p_mid_sentence")


def arm(role: str, dose: float, where: str = "decision") -> Arm:
    """A role's matched direction."""
    return Arm(role, MATCHED, dose, where, place=Place(role, "matched", (0, 0), 1), layer=1)  # type: ignore[arg-type]


def randoms(n: int, doses: Sequence[float] = (1.0, -1.0)) -> list[Arm]:
    """Random directions at decisions."""
    return [Arm(f"random_{k}", RANDOM, dose, layer=1) for k in range(n) for dose in doses]


def decisions_of(
    kinds: Sequence[str | None], problems: Sequence[str], actions: Sequence[str] | None = None
) -> Decisions:
    """Decisions of these kinds, one trace a problem, in the order given."""
    names = sorted(set(problems))
    traces = [Trace(f"{name}/0", name, "test", 0, [1], [2], "", "stop", {}) for name in names]
    records = [
        Decision(
            f"{problem}/0", problem, "test", number, number, number, "deduction",
            actions[number] if actions else None,  # type: ignore[arg-type]
            Truth(kind=kind) if kind else None,
        )
        for number, (kind, problem) in enumerate(zip(kinds, problems, strict=True))
    ]  # fmt: skip
    return Decisions.gather(records, traces, KINDS if any(kinds) else ())


def plant(
    arms: Sequence[Arm],
    p: np.ndarray,
    decisions: Decisions,
    elsewhere: Mapping[str, np.ndarray] | None = None,
    *,
    target: str = "reasoning",
    run: str = "test",
    cosine: float = 0.5,
    more: Mapping[str, np.ndarray] | None = None,
) -> Seen:
    """A run with P(an opener) by arm and decision; elsewhere nothing changes if it is not told.

    Args:
        arms, p, decisions: the run.
        elsewhere: arrays by prefix, by name.
        target, run, cosine: as they are written.
        more: further arrays by decision, by name: `p_back`, `p_legal`.
    """
    prefixes = tuple(dict.fromkeys(decisions.trace_id.tolist()))
    nothing = np.zeros((len(arms), len(prefixes)))
    arrays = {name: Array("prefixes", (elsewhere or {}).get(name, nothing)) for name in ELSEWHERE}
    by_decision = {"p_open": p} | dict(more or {})
    arrays |= {name: Array("decisions", one) for name, one in by_decision.items()}
    arrays[COSINE] = Array("arms", np.full(len(arms), cosine))
    measured = Measured(target, run, tuple(arms), arrays, tuple(decisions.ids), prefixes)
    return see(measured, decisions)


N_RANDOM, N_PROBLEMS = 39, 20
RATES = {"over": 0.6, "exhausted": 0.5, "doomed": 0.1, "alive": 0.1}
ARMS = [baseline(), arm("base", 1.0), arm("base", -1.0), *randoms(N_RANDOM)]


def measured(raises: float, lowers: float, noise: float = 0.0, target: str = "reasoning") -> Seen:
    """Decisions of all kinds in every problem; problems differ much, effects not at all."""
    rng = np.random.default_rng(0)
    kinds = list(RATES) * N_PROBLEMS
    kind = np.array(kinds, dtype=object)
    numbers = np.repeat(np.arange(N_PROBLEMS), len(RATES))
    offset = rng.uniform(-0.08, 0.08, N_PROBLEMS)
    base = np.array([RATES[one] for one in kinds]) + offset[numbers]
    p = np.tile(base, (len(ARMS), 1))
    p[1] += raises * (kind == "alive")
    p[2] -= lowers * (kind == "over")
    p[3:] += rng.uniform(-0.02, 0.02, (2 * N_RANDOM, 1))
    p += noise * rng.standard_normal(p.shape)
    agreement = np.ones((len(ARMS), N_PROBLEMS))
    agreement[1] = 0.9
    kl = np.zeros_like(agreement)
    kl[1] = 0.25
    elsewhere = {"agreement": agreement, "kl": kl, "p_sentence_end": 0.1 + kl, "p_mid_sentence": kl}
    found = decisions_of(kinds, [f"p{number:02}" for number in numbers])
    return plant(ARMS, p, found, elsewhere, target=target)


def cases(seen: Seen) -> Cases:
    """The cases of a run of the organism's kinds."""
    return cases_of(seen.decisions, CLASSES)


def numbers(interval: Interval) -> tuple[float, float, float]:
    """Value, lower and upper end of an interval that has them all."""
    found = interval.value, interval.low, interval.high
    assert None not in found
    return found  # type: ignore[return-value]
