"""The donors as a benchmark: any direction is scored on beta, collateral and necessity."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from backtracking.belief.doses import Direction
from backtracking.belief.measure import ACTION_ARM, Measured, Plan, measure
from backtracking.belief.necessity import Null, project
from backtracking.belief.readouts import questions
from backtracking.belief.tables import READOUTS, named, tabulate_betas
from backtracking.belief.tails import SPANS
from backtracking.domains.organism.decisions import decision_rule
from backtracking.domains.organism.donors import LIVE, Item
from backtracking.models.forced import Arm, Prefix, teacher_force
from backtracking.models.loading import LoadedModel
from backtracking.statistics.bootstrap import Bootstrap


@dataclass(frozen=True)
class Benchmark:
    """What directions are scored on.

    Attributes:
        loaded: the model.
        role: its role.
        items: live points with donors of dev and test, and test points that are over.
    """

    loaded: LoadedModel
    role: str
    items: Sequence[Item]

    @property
    def id_by_word(self) -> dict[str, int]:
        """The vocabulary."""
        return self.loaded.tokenizer.get_vocab()

    def live(self, split: str) -> list[Item]:
        """Live points of a split."""
        return [item for item in self.items if item.split == split and item.kind in LIVE]

    @property
    def over(self) -> list[Item]:
        """Test points that are over."""
        return [item for item in self.items if item.kind == "over"]


@dataclass(frozen=True)
class Scored:
    """Scores, and what they rest on.

    Attributes:
        rows: one row per direction, layer and edit set.
        measured: readouts of the arms.
        betas: `tabulate_betas` of them.
        necessity: rows of `necessity.project`.
        null: random directions' effects there.
    """

    rows: list[dict[str, Any]]
    measured: Measured
    betas: list[dict[str, Any]]
    necessity: list[dict[str, Any]]
    null: Null


def score(
    plan: Plan,
    bootstrap: Bootstrap,
    benchmark: Benchmark,
    directions: Sequence[Direction],
    *,
    reference: str | None = None,
    null: Null | None = None,
) -> Scored:
    """All scores of directions, `action` of the same layers being among them.

    Args:
        plan: sizes.
        bootstrap: resamples and level.
        benchmark: see `Benchmark`.
        directions: what is scored.
        reference: direction whose norm random ones are added with; None for none.
        null: effects of projecting random directions out, if known already.
    """
    loaded, words = benchmark.loaded, questions(benchmark.id_by_word)
    measured = measure(
        plan, loaded, benchmark.role, benchmark.live("dev"), benchmark.live("test"),
        directions, words, reference,
    )  # fmt: skip
    betas = tabulate_betas(measured, bootstrap)
    necessity, null = project(
        plan, loaded, benchmark.role, benchmark.over, directions, words, bootstrap, null
    )
    elsewhere = collateral(plan, benchmark, measured, directions, bootstrap)
    return Scored(join(measured, betas, necessity, elsewhere), measured, betas, necessity, null)


def collateral(
    plan: Plan,
    benchmark: Benchmark,
    measured: Measured,
    directions: Sequence[Direction],
    bootstrap: Bootstrap,
) -> dict[tuple[str, int], dict[str, float | None]]:
    """Agreement and KL at positions that decide nothing, by direction and layer.

    Each direction is added at its dose at the full stop of every comparison of the longest prefix
    of each test trace. `agreement` is the share of most likely tokens that stay.
    """
    prefixes, problems = _prefixes(benchmark)
    marked = questions(benchmark.id_by_word).openers
    found: dict[tuple[str, int], dict[str, float | None]] = {}
    for layer in sorted({one.layer for one in directions}):
        here = [one for one in directions if one.layer == layer and _norm(measured, one) > 0]
        arms = [Arm(_norm(measured, one) * one.unit, "decision") for one in here]
        if not arms:
            continue
        forced = teacher_force(benchmark.loaded, layer, prefixes, arms, marked, plan.rows_per_batch)
        agreement = bootstrap.intervals(forced.agreement.T, problems)
        for number, one in enumerate(here):
            kl = float(np.nanmean(forced.kl[number]))
            found[one.name, layer] = named("agreement", agreement[number]) | {"kl": kl}
    return found


_BETA = (
    "beta_value", "beta_low", "beta_high", "minus_action_low", "null", "flipped", "verdict",
    "reason",
)  # fmt: skip
_ELSEWHERE = ("agreement_value", "agreement_low", "agreement_high", "kl")
_NECESSITY = (
    "change_value", "change_low", "change_high", "null", "falls", "report_kept_value",
    "report_kept_low", "report_stays",
)  # fmt: skip


def join(
    measured: Measured,
    betas: Sequence[Mapping[str, Any]],
    necessity: Sequence[Mapping[str, Any]],
    elsewhere: Mapping[tuple[str, int], Mapping[str, float | None]],
) -> list[dict[str, Any]]:
    """One row per direction, layer and edit set with all its scores."""
    beta = {(r["direction"], r["layer"], r["span"], r["readout"]): r for r in betas}
    without = {(r["direction"], r["layer"], r["span"]): r for r in necessity}
    rows = []
    for (name, layer), dose in measured.doses.items():
        there = elsewhere.get((name, layer), {})
        for span in SPANS:
            key = (name, layer, span)
            rows.append(
                {"direction": name, "layer": layer, "span": span}
                | {"dose": dose.norm, "reached": dose.reached}
                | {"dose_mean_residual_norms": dose.mean_residual_norms}
                | {"wait_share": beta[*key, READOUTS[0]]["wait_share"]}
                | {f"{one}_{part}": beta[*key, one][part] for one in READOUTS for part in _BETA}
                | {part: there.get(part) for part in _ELSEWHERE}
                | {f"without_{part}": without[key][part] for part in _NECESSITY}
            )
    return rows


def _norm(measured: Measured, direction: Direction) -> float:
    return measured.doses[direction.name, direction.layer].norm


def _prefixes(benchmark: Benchmark) -> tuple[list[Prefix], list[str]]:
    """The longest prefix of each test trace with its decisions, and its problem."""
    longest: dict[str, Item] = {}
    for item in (*benchmark.live("test"), *benchmark.over):
        known = longest.get(item.trace_id)
        if known is None or len(item.clean_ids) > len(known.clean_ids):
            longest[item.trace_id] = item
    decides = decision_rule(benchmark.id_by_word)
    prefixes = []
    for item in longest.values():
        ids = item.clean_ids
        at = [end - 1 for end in range(item.n_prompt + 1, len(ids) + 1) if decides(ids[:end])]
        prefixes.append(Prefix(ids, item.n_prompt, at))
    return prefixes, [item.problem_id for item in longest.values()]


def with_action(directions: Sequence[Direction], action: Direction) -> list[Direction]:
    """The directions, with `action` at every layer that they name."""
    layers = sorted({one.layer for one in directions})
    return [*directions, *(Direction(ACTION_ARM, layer, action.vector) for layer in layers)]
