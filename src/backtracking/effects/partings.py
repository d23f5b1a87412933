"""What steering looks like: where a steered generation parts from the unsteered one, in words."""

from collections.abc import Mapping, Sequence
from itertools import takewhile

from backtracking.effects.rollouts import Written
from backtracking.effects.seen import key_of
from backtracking.records.measured import MATCHED
from backtracking.records.rollouts import Rollouts
from backtracking.records.rows.arms import Parting

N_PROBLEMS = 3
"""Problems that are shown of a direction."""

N_SENTENCES = 2
"""Sentences that are shown of either generation, from where they part."""


def tabulate_partings(
    runs: Sequence[tuple[Rollouts, Sequence[Written]]], prompt_by_problem: Mapping[str, str]
) -> list[Parting]:
    """One row per dose of a model's or its base's direction, of the same few problems.

    They are the first by name that every dose of the direction changes, so that nobody picked them.

    Args:
        runs: of one model, the baseline first, each with what the domain reads of it.
        prompt_by_problem: what each problem asks.
    """
    unsteered = _by_problem(runs[0][1]) if runs else {}
    arms = [(one.arms[0], _by_problem(written)) for one, written in runs[1:] if one.arms]
    arms = [(arm, written) for arm, written in arms if arm.group == MATCHED and arm.place]
    rows = []
    for direction in dict.fromkeys(arm.name for arm, _ in arms):
        its = [(arm, written) for arm, written in arms if arm.name == direction]
        changed = [name for name in sorted(unsteered) if _all_part(name, unsteered, its)]
        for name in changed[:N_PROBLEMS]:
            for arm, written in sorted(its, key=lambda one: one[0].dose):
                told = _parted(unsteered[name], written[name])
                key = key_of(runs[0][0].target, arm)
                rows.append(Parting(key, name, prompt_by_problem[name], *told))
    return rows


def _by_problem(written: Sequence[Written]) -> dict[str, list[str]]:
    """Sentences of the first generation of each problem."""
    found: dict[str, list[str]] = {}
    for one in written:
        found.setdefault(one.trace.problem_id, [its.text.strip() for its in one.sentences])
    return found


def _all_part(
    name: str,
    unsteered: Mapping[str, Sequence[str]],
    its: Sequence[tuple[object, Mapping[str, Sequence[str]]]],
) -> bool:
    return all(written.get(name, unsteered[name]) != unsteered[name] for _, written in its)


def _parted(unsteered: Sequence[str], steered: Sequence[str]) -> tuple[str, str, str]:
    """The last sentence of both, and what follows it in either."""
    both = zip(unsteered, steered, strict=False)
    n = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], both))
    without, along = (" ".join(one[n : n + N_SENTENCES]) for one in (unsteered, steered))
    return unsteered[n - 1] if n else "", without, along
