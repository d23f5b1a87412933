"""Which model's direction steers which model: a matrix whose empty cells say why they are empty."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from backtracking.effects.rates import Label, Measured, effect_of
from backtracking.interventions.questions import shift_of
from backtracking.interventions.runs import Inputs
from backtracking.statistics.bootstrap import Bootstrap
from backtracking.statistics.effect import Effect

NO_TEST = "no test"

CLAIMED = (("alive", 1.0), ("over", -1.0))
"""Kinds of decision, and the dose that is claimed to move P(backtrack) there."""


def transfer_matrix(
    inputs: Inputs,
    measured: Mapping[str, Measured],
    reports: Sequence[dict[str, Any]],
    bootstrap: Bootstrap,
) -> list[dict[str, Any]]:
    """A cell for each source and target, at live decisions (dose 1) and at `over` (dose -1).

    A base never backtracks, so that no effect in it is no evidence: its cells need a positive
    control, the same dose shifting its own report of over and under beyond random directions.
    Where that fails, the verdict is `no test`.

    Args:
        inputs: the pairs.
        measured: forced runs by target.
        reports: rows of `reports.report`, of every base at both kinds.
        bootstrap: resamples and level.
    """
    rows = []
    for target, runs in measured.items():
        is_base = inputs.is_base(target)
        for source in inputs.sources(target):
            for kind, dose in CLAIMED:
                if not (runs.kind == kind).any():
                    continue
                effect = effect_of(runs, Label(source, dose, "decision"), kind, bootstrap)
                control = shift_of(reports, target, source, kind) if is_base else None
                rows.append(
                    {"source": source, "target": target, "kind": kind, "dose": dose}
                    | cell(effect, control, needs_control=is_base)
                )
    return rows


def cell(effect: Effect, control: Effect | None, *, needs_control: bool) -> dict[str, Any]:
    """The effect against random directions, its positive control, and the verdict."""
    passed = control is not None and control.exceeds_random() == "holds"
    return {
        **asdict(effect.interval),
        "random_bound": effect.bound,
        "p": effect.p,
        "control": None if control is None else _control(control),
        "verdict": NO_TEST if needs_control and not passed else effect.exceeds_random(),
    }


def _control(control: Effect) -> dict[str, Any]:
    return {
        **asdict(control.interval),
        "random_bound": control.bound,
        "p": control.p,
        "verdict": control.exceeds_random(),
    }
