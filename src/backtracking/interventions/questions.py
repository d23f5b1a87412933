"""Asking a model for its own report: does it hold that the total is over or under the target?

After a steered prefix "Check :" is appended, and the log-odds of `over` against `under` are read.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Shaped

from backtracking.interventions.runs import (
    Choice,
    Inputs,
    Plan,
    prefixes_of,
    random_units,
    unit_directions,
)
from backtracking.models.forced import Arm, Prefix, read_out
from backtracking.statistics.bootstrap import Bootstrap, Interval
from backtracking.statistics.effect import Effect


@dataclass(frozen=True)
class Asked:
    """Test decisions of one kind at which models are asked, and their problems."""

    prefixes: list[Prefix]
    problem: Shaped[np.ndarray, " prefixes"]


def asked_of(plan: Plan, inputs: Inputs, kind: str) -> Asked:
    """The first `n_reports` test decisions of a kind, each prefix cut after the decision."""
    _, _, decisions = prefixes_of(inputs, "test", plan.n_samples)
    chosen = decisions[np.flatnonzero(decisions.kind == kind)[: plan.n_reports]]
    prefixes = []
    for row, end in zip(chosen.trace.tolist(), chosen.end.tolist(), strict=True):
        trace = inputs.traces[row]
        prefixes.append(Prefix(trace.ids[:end], len(trace.prompt_ids), [end - 1]))
    return Asked(prefixes, chosen.problem)


def ask(
    inputs: Inputs, choice: Choice, target: str, asked: Asked, arms: Sequence[Arm]
) -> Float[np.ndarray, "prefixes arms"]:
    """Log-odds of `over` against `under` under every arm."""
    loaded = inputs.model_by_role[target]
    ids = loaded.tokenizer.get_vocab()
    suffix = [ids["Check"], ids[":"]]
    return read_out(loaded, choice.layer, asked.prefixes, suffix, arms, ids["over"], ids["under"]).T


def report(
    plan: Plan,
    bootstrap: Bootstrap,
    inputs: Inputs,
    choice: Choice,
    target: str,
    *,
    kind: str = "alive",
    dose: float = 1.0,
) -> list[dict[str, Any]]:
    """Positive control: does the same dose at a decision shift "Check :" towards over?

    Args:
        plan: how many decisions are asked at.
        bootstrap: resamples and level.
        inputs: models, traces and directions.
        choice: where the vectors are added.
        target: role of the model.
        kind: kind of the decisions.
        dose: of every direction.
    """
    asked, d_model = asked_of(plan, inputs, kind), inputs.model_by_role[target].d_model
    units = unit_directions(inputs, choice, target) | random_units(plan, d_model)
    vectors = [torch.zeros(d_model), *(dose * choice.norm * v for v in units.values())]
    log_odds = ask(inputs, choice, target, asked, [Arm(v, "decision") for v in vectors])
    shifts = bootstrap.intervals(log_odds - log_odds[:, :1], list(asked.problem))
    return [
        {"target": target, "direction": name, "dose": dose, "kind": kind} | asdict(shift)
        for name, shift in zip(("baseline", *units), shifts, strict=True)
    ]


def shift_of(
    rows: Sequence[dict[str, Any]], target: str, direction: str, kind: str
) -> Effect | None:
    """A direction's shift of a model's report against random directions; None if never asked."""
    here = [row for row in rows if (row["target"], row["kind"]) == (target, kind)]
    found = [row for row in here if row["direction"] == direction]
    if not found or found[0]["value"] is None:
        return None
    row = found[0]
    interval = Interval(row["value"], row["low"], row["high"], row["n"])
    random = tuple(row["value"] for row in here if row["direction"].startswith("random_"))
    return Effect(interval, random, 1 if row["dose"] > 0 else -1)
