"""The short version of the study on one of several pairs: its directions, and what they do.

Every pair reads the traces of the study's own reasoning model, as the control pairs do. Its
layer and window are chosen on dev problems as the study's own are; then its directions are added
at decisions at dose 1 and -1, teacher-forced, beside random directions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from backtracking.claims.verdicts import judge_causal, judge_primary
from backtracking.directions import estimator
from backtracking.effects.rates import BASELINE, Label, Measured, excess, steered
from backtracking.interventions.runs import (
    Choice,
    Inputs,
    Plan,
    choose,
    prefixes_of,
    random_units,
    score_on_dev,
)
from backtracking.models import hooks
from backtracking.models.forced import Arm, teacher_force
from backtracking.models.loading import LoadedModel
from backtracking.records.moments import Moments, is_decision, strata
from backtracking.records.traces import Trace
from backtracking.statistics.bootstrap import Bootstrap

POSITIVE, NEGATIVE = "over", "alive"
ROLES = ("base", "reasoning")
_TRACES_PER_BATCH = 16


@dataclass(frozen=True)
class Pair:
    """A base and its reasoning model, with their matched directions.

    Attributes:
        model_by_role: `base` and `reasoning`.
        direction_by_name: `<role>.matched.<window>.<layer>` of both.
    """

    model_by_role: Mapping[str, LoadedModel]
    direction_by_name: Mapping[str, Tensor]


def own_pair(study: Inputs) -> Pair:
    """The study's own pair, with the directions of the stage `directions`."""
    named = study.direction_by_name.items()
    return Pair(
        {role: study.model_by_role[role] for role in ROLES},
        {n: v for n, v in named if ".matched." in n and n.split(".")[0] in ROLES},
    )


def further_pair(
    model_by_role: Mapping[str, LoadedModel],
    traces: Sequence[Trace],
    moments: Moments,
    windows: Sequence[tuple[int, int]],
    n_strata: int,
) -> Pair:
    """A pair with directions that are estimated now, as the stage `directions` does.

    Args:
        model_by_role: `base` and `reasoning`.
        traces: what they read.
        moments: their sentences with exact labels.
        windows: first and last offset from a comparison's first token, both included.
        n_strata: strata of the running total, by quantile.
    """
    named = {
        f"{role}.matched.{place}": vector
        for role, loaded in model_by_role.items()
        for place, vector in matched_directions(loaded, traces, moments, windows, n_strata).items()
    }
    return Pair(model_by_role, named)


def matched_directions(
    loaded: LoadedModel,
    traces: Sequence[Trace],
    moments: Moments,
    windows: Sequence[tuple[int, int]],
    n_strata: int,
) -> dict[str, Float[Tensor, " d_model"]]:
    """A model's matched directions by `window.layer`, from train problems; nothing is stored.

    Arguments as in `further_pair`.
    """
    chosen = is_decision(moments) & (moments.split == "train")
    decisions = moments[chosen & np.isin(moments.kind, (POSITIVE, NEGATIVE))]
    edges = np.quantile(decisions.total, np.linspace(0, 1, n_strata + 1)[1:-1])
    found = {}
    for window, means in zip(
        windows, _window_means(loaded, traces, decisions, windows), strict=True
    ):
        whole = ~means[0].isnan().any(dim=1)
        kept = decisions[whole.numpy()]
        columns = (
            torch.from_numpy(kept.kind == POSITIVE),
            torch.from_numpy(strata(kept.total, edges)),
            torch.from_numpy(kept.problem_number),
        )
        for layer, rows in enumerate(means):
            estimate = estimator.estimate(estimator.matched(rows[whole], *columns))
            found[f"{window[0]}:{window[1]}.{layer}"] = estimate.direction.float()
    return found


@torch.inference_mode()
def _window_means(
    loaded: LoadedModel,
    traces: Sequence[Trace],
    decisions: Moments,
    windows: Sequence[tuple[int, int]],
) -> list[Float[Tensor, "n_layers decisions d_model"]]:
    """Mean of `resid_post` over each window of each decision; NaN where the trace is shorter."""
    shape = (loaded.n_layers, len(decisions), loaded.d_model)
    means = [torch.full(shape, torch.nan) for _ in windows]
    rows = sorted(set(decisions.trace.tolist()), key=lambda row: len(traces[row].ids))
    for first in range(0, len(rows), _TRACES_PER_BATCH):
        batch = rows[first : first + _TRACES_PER_BATCH]
        ids = [torch.tensor(traces[row].ids, device=loaded.device) for row in batch]
        padded = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True)  # seen by no real position
        with hooks.capture(loaded.blocks, range(loaded.n_layers)) as resid_post:
            loaded.model(input_ids=padded, use_cache=False)
        stacked = torch.stack([resid_post[layer] for layer in range(loaded.n_layers)]).cpu()
        for number, row in enumerate(batch):
            for decision in np.flatnonzero(decisions.trace == row):
                start = int(decisions.start[decision])
                for mean, (low, high) in zip(means, windows, strict=True):
                    if start + low >= 0 and start + high < len(ids[number]):
                        inside = stacked[:, number, start + low : start + high + 1]
                        mean[:, decision] = inside.float().mean(dim=1)
    return means


def cast(study: Inputs, pairs: Mapping[int, Pair], number: int) -> Inputs:
    """The study's inputs with one of the pairs in the place of its own.

    The directions of the other pairs' bases, the study's own among them, are those of `base-1`,
    `base-2`, ...; the control pairs stay paired with the bases that they had.

    Args:
        study: with its own pair as `base` and `reasoning`.
        pairs: every pair, the study's own as number 1.
        number: the pair that is studied.
    """
    named = {name: v for name, v in study.direction_by_name.items() if ".matched." in name}
    named |= pairs[number].direction_by_name
    for other, pair in pairs.items():
        if other != number:
            named |= {
                f"base-{other}.{name.removeprefix('base.')}": vector
                for name, vector in pair.direction_by_name.items()
                if name.startswith("base.")
            }
    moved = {} if number == 1 else {"base": "base-1"}
    base_by_control = ((role, study.base_by_role[role]) for role in study.controls)
    controls = {role: moved.get(base, base) for role, base in base_by_control}
    return replace(
        study,
        model_by_role=dict(study.model_by_role) | dict(pairs[number].model_by_role),
        direction_by_name=named,
        base_by_role={"reasoning": "base"} | controls,
    )


def study_pair(
    plan: Plan, bootstrap: Bootstrap, inputs: Inputs
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What was chosen on dev, and the rows of the primary endpoint, causality and transfer.

    The primary endpoint has to beat every other base that there is, those of other pairs included.
    """
    grid = score_on_dev(plan, inputs)
    choice = choose(plan, grid)
    further = {name.split(".")[0] for name in inputs.direction_by_name if name.startswith("base-")}
    bases = sorted(further | set(inputs.other_bases))
    arms = ("base", "reasoning", *bases)
    reasoning = _force(plan, inputs, choice, "reasoning", arms, plan.n_random)
    own = (reasoning, Label("base", 1.0, "decision"))
    by_base = {
        base: excess(own, (reasoning, Label(base, 1.0, "decision")), "alive", bootstrap)
        for base in bases
    }
    by_control = {}
    for role in inputs.controls:
        base = inputs.base_by_role[role]
        control = (_force(plan, inputs, choice, role, [base], 0), Label(base, 1.0, "decision"))
        by_control[role] = excess(own, control, "alive", bootstrap)
    claims = [
        judge_primary(steered(reasoning, "base", bootstrap), by_control, by_base),
        judge_causal(steered(reasoning, "reasoning", bootstrap), "causal"),
        judge_causal(steered(reasoning, "base", bootstrap), "transfer"),
    ]
    return asdict(choice) | {"chosen_on": "dev", "grid": grid}, claims


def _force(
    plan: Plan, inputs: Inputs, choice: Choice, target: str, roles: Sequence[str], n_random: int
) -> Measured:
    """Directions of roles and random ones at decisions, dose 1 and -1, on the test problems."""
    loaded = inputs.model_by_role[target]
    prefixes, problems, decisions = prefixes_of(inputs, "test", plan.n_samples)
    place = f"matched.{choice.window}.{choice.layer}"
    named = {role: inputs.direction_by_name[f"{role}.{place}"] for role in roles}
    named |= dict(list(random_units(plan, loaded.d_model).items())[:n_random])
    labels = [Label(name, dose, "decision") for name in named for dose in (1.0, -1.0)]
    arms = [Arm(torch.zeros(loaded.d_model), "decision")]
    for label in labels:
        vector = named[label.direction]
        arms.append(Arm(label.dose * choice.norm * vector / vector.norm(), "decision"))
    forced = teacher_force(
        loaded, choice.layer, prefixes, arms, inputs.marked_ids(), plan.rows_per_batch
    )
    return Measured(
        target, [BASELINE, *labels], forced, decisions.kind, decisions.problem, problems
    )
