"""Probes on test problems: AUROC, the difference to the best baseline, and to the ceiling."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import get_args

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from backtracking.activations.reader import ActivationStore
from backtracking.probing.asked import Asked, Excess, ask
from backtracking.probing.baselines import baseline_features, best_baselines, owner_of
from backtracking.probing.grid import activations
from backtracking.probing.points import Anchor, DecisionPoints
from backtracking.probing.probes import Probes, Series
from backtracking.records.rows.probe import Earliest, GridCell, Pairs
from backtracking.statistics.bands import Replicates, band, earliest
from backtracking.statistics.bootstrap import Bootstrap
from backtracking.statistics.corrected import or_none
from backtracking.statistics.jackknife import LOGIT

PAIRS: tuple[Pairs, ...] = get_args(Pairs)

Measured = tuple[list[GridCell], list[Excess]]
"""One row per cell and kind of pairs, and what each series has beyond its ceiling."""


@dataclass(frozen=True)
class Reference:
    """What the probes of one model, anchor and target are compared with.

    Attributes:
        names: the best baseline at each offset, chosen on dev.
        baseline: its AUROC, by pairs.
        posterior: AUROC of the exact posterior.
    """

    names: Sequence[str]
    baseline: Mapping[str, Replicates]
    posterior: Float[np.ndarray, " offsets"]


def measure_jobs(
    points: DecisionPoints,
    store_by_role: Mapping[str, ActivationStore],
    embedding_by_role: Mapping[str, Float[Tensor, "d_vocab d_model"]],
    p_writer: Float[np.ndarray, " n"],
    fitted: Mapping[Series, Probes],
    bootstrap: Bootstrap,
) -> list[Callable[[], Measured]]:
    """Jobs that measure all layers of a model at an anchor, for one target each.

    Args:
        points: all decisions.
        store_by_role, embedding_by_role: of each model.
        p_writer: as in `asked.ask`.
        fitted: probes and baselines.
        bootstrap: resamples.
    """
    asked = [
        (anchor, ask(points, anchor, task, p_writer, bootstrap))
        for anchor, task in product(points.anchors, points.tasks)
    ]
    return [
        partial(measure_role, points, store, role, *one, embedding_by_role[role], fitted)
        for one, (role, store) in product(asked, store_by_role.items())
    ]


def measure_role(
    points: DecisionPoints,
    store: ActivationStore,
    role: str,
    anchor: Anchor,
    asked: Asked,
    embedding: Float[Tensor, "d_vocab d_model"],
    fitted: Mapping[Series, Probes],
) -> Measured:
    """All layers of a model, beside what they are compared with."""
    reference = _refer(points, role, anchor, asked, embedding, fitted)
    rows: list[GridCell] = []
    excesses: list[Excess] = []
    for layer in store.layers:
        series = Series(role, anchor.name, asked.target, layer)
        scores = score_layer(points, store, anchor, asked.rows, layer, fitted[series])
        for pairs in PAIRS:
            rows += _tabulate(series, layer, anchor, asked, scores, reference, pairs)
        excesses.append(Excess(series, anchor.offsets, asked.excess(scores)))
    return rows, excesses


def _refer(
    points: DecisionPoints,
    role: str,
    anchor: Anchor,
    asked: Asked,
    embedding: Float[Tensor, "d_vocab d_model"],
    fitted: Mapping[Series, Probes],
) -> Reference:
    """The best baselines and the exact posterior, on the test decisions."""
    names = best_baselines(fitted, role, anchor.name, asked.target)
    scores = np.zeros((len(names), len(asked.rows)))
    for name in np.unique(names).tolist():
        series = Series(owner_of(role, name), anchor.name, asked.target, name)
        its = embedding if name == "embedding" else None
        features = baseline_features(points, anchor, name, asked.rows, its)
        chosen = names == name
        scores[chosen] = fitted[series].score(features.expand(len(names), -1, -1))[chosen]
    known = asked.used["all"] & np.isfinite(asked.posterior)
    return Reference(
        names.tolist(),
        {pairs: asked.aurocs(scores, asked.used[pairs]) for pairs in PAIRS},
        asked.aurocs(asked.posterior, known).value,
    )


def score_layer(
    points: DecisionPoints,
    store: ActivationStore,
    anchor: Anchor,
    rows: Int[np.ndarray, " rows"],
    layer: int,
    probes: Probes,
) -> Float[np.ndarray, "offsets rows"]:
    """Log-odds that the probes of a layer give the chosen decisions, at every offset."""
    return np.concatenate(
        [
            probes[chosen].score(values)
            for chosen, values, _ in activations(store, layer, points, anchor, rows)
        ]
    )


def _tabulate(
    series: Series,
    layer: int,
    anchor: Anchor,
    asked: Asked,
    scores: Float[np.ndarray, "offsets rows"],
    reference: Reference,
    pairs: Pairs,
) -> list[GridCell]:
    """Rows of one series; bands are simultaneous over its offsets."""
    used, level = asked.used[pairs], asked.level
    auroc, baseline = asked.aurocs(scores, used), reference.baseline[pairs]
    difference = auroc - baseline
    low, high = auroc.ends(level, LOGIT)
    difference_low, difference_high = difference.ends(level)
    together = band(difference, level)
    posterior = reference.posterior if pairs == "all" else np.full(len(used), np.nan)
    return [
        GridCell(
            role=series.role,
            anchor=series.anchor,
            target=series.target,
            pairs=pairs,
            layer=layer,
            offset=offset,
            auroc=or_none(auroc.value[number]),
            low=or_none(low[number]),
            high=or_none(high[number]),
            baseline=reference.names[number],
            baseline_auroc=or_none(baseline.value[number]),
            difference=or_none(difference.value[number]),
            difference_low=or_none(difference_low[number]),
            difference_high=or_none(difference_high[number]),
            band_low=or_none(together.low[number]),
            band_high=or_none(together.high[number]),
            posterior=or_none(posterior[number]),
            n_rows=int(used[number].sum()),
            n=int(auroc.n[number]),
        )
        for number, offset in enumerate(anchor.offsets.tolist())
    ]


def find_earliest(rows: Sequence[GridCell], last_by_anchor: Mapping[str, int]) -> list[Earliest]:
    """The first offset from which on the band is above 0, by model, anchor, target, pairs, layer.

    Offsets behind an anchor's last are the event itself and do not count.
    """
    groups: dict[tuple[str, str, str, Pairs, int], list[GridCell]] = {}
    for row in rows:
        if row.offset <= last_by_anchor[row.anchor]:
            group = (row.role, row.anchor, row.target, row.pairs, row.layer)
            groups.setdefault(group, []).append(row)
    found = []
    for group, cells in groups.items():
        low = np.array([np.nan if row.band_low is None else row.band_low for row in cells])
        offsets = np.array([row.offset for row in cells])
        found.append(Earliest(*group, earliest(low, offsets)))
    return found
