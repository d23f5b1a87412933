"""What is observed of rollouts: one value per rollout, token, sentence or decision."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
from jaxtyping import Bool, Float

from backtracking.effects.seen import key_of
from backtracking.records.grades import Grade
from backtracking.records.intervals import Interval
from backtracking.records.measured import baseline
from backtracking.records.rollouts import Rollouts
from backtracking.records.rows.arms import ArmKey, Free
from backtracking.records.sentences import Kind, Sentence, State
from backtracking.records.traces import Trace
from backtracking.statistics.bootstrap import Bootstrap

NGRAM = 8
"""Length of a repeated stretch: longer than a sentence that recurs by right."""

STATES: tuple[State, ...] = get_args(State)


@dataclass(frozen=True)
class Written:
    """One rollout, read.

    Attributes:
        trace: as it was written.
        sentences: of it.
        states: of each, by the primary labeller.
        grade: what it is worth; None where no answer is known.
        keyword_rate: the literature's metric of it; None where it is degenerate.
        nll: of every written token under the unchanged model; None where it was not asked.
    """

    trace: Trace
    sentences: Sequence[Sentence]
    states: Sequence[State]
    grade: Grade | None
    keyword_rate: float | None
    nll: Float[np.ndarray, " _"] | None = None


@dataclass(frozen=True)
class Observed:
    """What one measure is the mean of, with the problem of each value."""

    values: list[float]
    problem_ids: list[str]


def measures(kinds: Sequence[Kind]) -> tuple[str, ...]:
    """Names of all measures, in the order of tables.

    All are means over rollouts, tokens, sentences or decisions; intervals are by problem. `nll` is
    -log p of a token under the model without steering, in nats, the first tokens of backtracking
    sentences left out (perplexity is its exponential); `repeated_rate` is the share of n-grams that
    stood there before, and `state_<name>` the share of the sentences in every state but
    `backtracking_rate`'s own.
    """
    return (
        "solve_rate", "conditional_validity", "empty_rate", "truncated_rate", "backtracking_rate",
        "keyword_rate", "n_tokens",
        *(f"p_turn_{kind.name}" for kind in kinds if kind.standing != "solved"),
        "nll", "repeated_rate",
        *(f"state_{state}" for state in STATES if state != "backtracking"),
    )  # fmt: skip


def observe(written: Sequence[Written], kinds: Sequence[Kind]) -> dict[str, Observed]:
    """The observations behind `measures`, without measures that have none."""
    found = {name: Observed([], []) for name in measures(kinds)}
    for one in written:
        observed = {**_of_trace(one), **_of_sentences(one, kinds)}
        if one.nll is not None:
            observed["nll"] = one.nll[~opens_backtracking(one)].tolist()
        for name, values in observed.items():
            found[name].values.extend(values)
            found[name].problem_ids.extend([one.trace.problem_id] * len(values))
    return {name: one for name, one in found.items() if one.values}


def tabulate_free(
    runs: Sequence[tuple[Rollouts, Sequence[Written]]], kinds: Sequence[Kind], bootstrap: Bootstrap
) -> list[Free]:
    """One row per arm and measure: its mean, and its paired difference to the baseline.

    Args:
        runs: of one model, the baseline first, each with what the domain reads of it.
        kinds: the domain's.
        bootstrap: resamples and level.
    """
    seen = [observe(written, kinds) for _, written in runs]
    rows = []
    for (one, _), observed in zip(runs, seen, strict=True):
        key = key_of(one.target, one.arms[0] if one.arms else baseline())
        rows += _measure(key, observed, seen[0], bootstrap)
    return rows


def opens_backtracking(written: Written) -> Bool[np.ndarray, " n_tokens"]:
    """Which tokens of a rollout are the first of a backtracking sentence.

    Steering is to write them where the model would not, so they are no sign of incoherence.
    """
    mask = np.zeros(len(written.trace.token_ids), dtype=bool)
    n_prompt = len(written.trace.prompt_ids)
    both = zip(written.sentences, written.states, strict=True)
    mask[[one.start - n_prompt for one, state in both if state == "backtracking"]] = True
    return mask


def repeated_share(token_ids: Sequence[int], n: int = NGRAM) -> float | None:
    """Share of a text's n-grams that stood in it before; None where it is too short to have one."""
    grams = [tuple(token_ids[i : i + n]) for i in range(len(token_ids) - n + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else None


def _of_trace(one: Written) -> dict[str, list[float]]:
    reason = one.trace.finish_reason
    seen = {
        "empty_rate": [float(reason == "empty")],
        "truncated_rate": [float(reason == "length")],
        "n_tokens": [float(len(one.trace.token_ids))],
    }
    if one.grade is not None:
        seen["solve_rate"] = [float(one.grade.outcome == "right")]
    if one.keyword_rate is not None:
        seen["keyword_rate"] = [one.keyword_rate]
    repeated = repeated_share(one.trace.token_ids)
    if repeated is not None:
        seen["repeated_rate"] = [repeated]
    return seen


def _of_sentences(one: Written, kinds: Sequence[Kind]) -> dict[str, list[float]]:
    seen = {
        "backtracking_rate" if name == "backtracking" else f"state_{name}": [
            float(state == name) for state in one.states
        ]
        for name in STATES
    }
    truths = [sentence.truth for sentence in one.sentences if sentence.truth is not None]
    seen["conditional_validity"] = [float(its.valid) for its in truths if its.valid is not None]
    decided = [its for its in truths if its.action is not None]
    for kind in kinds:
        if kind.standing != "solved":
            seen[f"p_turn_{kind.name}"] = [
                float(its.action == "turns") for its in decided if its.kind == kind.name
            ]
    return seen


def _measure(
    key: ArmKey, arm: Mapping[str, Observed], first: Mapping[str, Observed], bootstrap: Bootstrap
) -> list[Free]:
    effects = _effects(arm, first, list(arm), bootstrap)
    levels = [bootstrap.intervals(np.array(one.values), one.problem_ids)[0] for one in arm.values()]
    return [Free(key, *told) for told in zip(arm, levels, effects, strict=True)]


def _effects(
    arm: Mapping[str, Observed],
    first: Mapping[str, Observed],
    names: Sequence[str],
    bootstrap: Bootstrap,
) -> list[Interval]:
    """Difference of every measure to the baseline, from its sum and count in each problem."""
    everything = [one for seen in (arm, first) for one in seen.values()]
    problems = sorted({problem for one in everything for problem in one.problem_ids})
    number = {problem: row for row, problem in enumerate(problems)}
    totals = np.zeros((len(problems), 2, 2, len(names)))
    for side, seen in enumerate((arm, first)):
        for column, name in enumerate(names):
            one = seen.get(name, Observed([], []))
            rows = np.array([number[problem] for problem in one.problem_ids], dtype=np.int64)
            totals[:, side, 0, column] = np.bincount(rows, one.values, len(problems))
            totals[:, side, 1, column] = np.bincount(rows, minlength=len(problems))

    def differences(means: np.ndarray) -> np.ndarray:
        sums, counts = means.reshape(len(means), 2, 2, len(names)).swapaxes(0, 2)
        ratios = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
        return ratios[0] - ratios[1]

    return bootstrap.intervals(totals.reshape(len(problems), 4 * len(names)), problems, differences)
