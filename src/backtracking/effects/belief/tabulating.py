"""All tables of what `belief` measured, by name."""

from collections.abc import Iterable, Mapping, Sequence

from backtracking.effects.belief.claim import claim_layer, judge_belief
from backtracking.effects.belief.tables import tabulate_betas, tabulate_ceilings, tabulate_null
from backtracking.effects.belief.trial import Trial
from backtracking.records.measured import Measured
from backtracking.records.pairs import MinimalPair
from backtracking.records.rows.belief import BeliefEvidence, Beta, Null, Patched, Selection
from backtracking.records.rows.table import Row
from backtracking.statistics.bootstrap import Bootstrap


def tabulate(
    selection: Selection,
    base_by_role: Mapping[str, str],
    measured: Iterable[Measured],
    pairs: Sequence[MinimalPair],
    bootstrap: Bootstrap,
) -> dict[str, Sequence[Row]]:
    """Ceilings, nulls, betas and the claims; where nothing was asked, claims that are untestable.

    Args:
        selection: of the stage.
        base_by_role: the models that are asked, in the order of the tables, and their bases.
        measured: what the stage measured, a model each.
        pairs: those that were asked.
        bootstrap: of every interval.
    """
    by_target = {one.target: one for one in measured}
    ceilings: list[Patched] = []
    null: list[Null] = []
    betas: list[Beta] = []
    evidence: list[BeliefEvidence] = []
    for role, base in base_by_role.items():
        layer = selection.layer
        if role in by_target:
            n_layers = selection.n_layers_by_role[role]
            trial = Trial.of(by_target[role], pairs, selection.doses, n_layers, selection.sign)
            layer = claim_layer(layer, n_layers, trial.layers)
            ceilings += tabulate_ceilings(trial, bootstrap)
            null += tabulate_null(trial)
            betas += tabulate_betas(trial, null, bootstrap)
        evidence += [
            judge_belief(betas, ceilings, direction, role, layer, selection.reason)
            for direction in (role, base)
        ]
    return {"ceilings": ceilings, "null": null, "betas": betas, "evidence": evidence}
