"""The dose at which an added direction acts as much as the patch does: log-odds of the marker.

That log-odds is read at the deciding token, where both edit sets are the same edit. So there is one
dose for a direction and layer, whatever the edit set.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from backtracking.belief.readouts import Words, log_odds
from backtracking.models.loading import LoadedModel
from backtracking.models.prefixes import (
    Edit,
    Pasts,
    no_edit,
    read_donor,
    read_prefix,
    run_tails,
)
from backtracking.records.pairs import MinimalPair
from backtracking.records.places import Place
from backtracking.records.rows.belief import Dose
from backtracking.records.sentences import Kind

Curve = Callable[[Float[np.ndarray, "n k"]], Float[np.ndarray, "n k"]]
"""Mean change of log-odds(marker) for k doses of each of n directions."""


TOLERANCE = 0.05
"""How far below the target a change may be, relatively, and still count as matched."""


@dataclass(frozen=True)
class Candidate:
    """A vector at a layer; its norm means nothing, its sign says where more of it is.

    Attributes:
        name: whose direction it is.
        layer: layer of `resid_post`.
        vector: the direction.
        place: where it was estimated; None for what is none of the study's directions.
    """

    name: str
    layer: int
    vector: Float[Tensor, " d_model"]
    place: Place | None = None

    @property
    def unit(self) -> Float[Tensor, " d_model"]:
        """The vector over its norm, in float32; zeros where the estimator found no direction."""
        vector = self.vector.double()
        return (vector / vector.norm().clamp_min(torch.finfo(torch.float64).tiny)).float()


@dataclass(frozen=True)
class Match:
    """The doses of n directions, their changes, and whether these are the ones wanted."""

    dose: Float[np.ndarray, " n"]
    change: Float[np.ndarray, " n"]
    reached: Bool[np.ndarray, " n"]


def match(
    curve: Curve,
    target: Float[np.ndarray, " n"],
    grid: Float[np.ndarray, "n k"],
    n_rounds: int,
) -> Match:
    """The smallest dose of each direction whose change is the target.

    The first interval of the grid in which the curve comes to the target is narrowed `n_rounds`
    times. A direction that stays below it on the whole grid gets the dose of its largest change,
    which is narrowed alike; it counts as reached from 95 % of the target on. Where the target is
    not above 0 there is nothing to match, and the dose is 0.

    Args:
        curve: evaluates doses.
        target: change wanted of each direction.
        grid: doses to try, ascending and above 0, for each direction.
        n_rounds: refinements.
    """
    none = np.zeros((len(target), 1))
    doses = np.concatenate([none, grid], axis=1)
    values = np.concatenate([none, curve(grid)], axis=1)
    for _ in range(n_rounds):
        new = _between(doses, values, target)
        doses, values = (
            np.concatenate(both, axis=1) for both in ((doses, new), (values, curve(new)))
        )
        order = doses.argsort(axis=1, kind="stable")
        doses, values = (np.take_along_axis(one, order, axis=1) for one in (doses, values))
    rows, crossing, crosses = np.arange(len(target)), *_first_crossing(values, target)
    ends = np.stack([np.maximum(crossing - 1, 0), crossing])
    nearer = np.abs(values[rows, ends] - target).argmin(axis=0)
    at = np.where(crosses, ends[nearer, rows], values.argmax(axis=1))
    wanted = target > 0
    dose, change = (np.where(wanted, one[rows, at], 0.0) for one in (doses, values))
    return Match(dose, change, wanted & (change >= (1 - TOLERANCE) * target))


def _first_crossing(
    values: Float[np.ndarray, "n k"], target: Float[np.ndarray, " n"]
) -> tuple[Int[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    """The first column at or above the target, and whether there is one."""
    above = values >= target[:, None]
    return above.argmax(axis=1), above.max(axis=1)


def _between(
    doses: Float[np.ndarray, "n k"],
    values: Float[np.ndarray, "n k"],
    target: Float[np.ndarray, " n"],
) -> Float[np.ndarray, "n 2"]:
    """Two doses to try next: by secant and half-way in the crossing, or beside the largest."""
    rows, last = np.arange(len(target)), doses.shape[1] - 1
    at, crosses = _first_crossing(values, target)
    low, high = np.maximum(at - 1, 0), at
    rise = values[rows, high] - values[rows, low]
    share = np.clip((target - values[rows, low]) / np.where(rise > 0, rise, 1), 0.02, 0.98)
    width = doses[rows, high] - doses[rows, low]
    inside = doses[rows, low, None] + np.stack([share, np.full(len(rows), 0.5)], 1) * width[:, None]
    top = values.argmax(axis=1)
    beside = np.stack([np.maximum(top - 1, 0), np.minimum(top + 1, last)], axis=1)
    around = (doses[rows, top, None] + doses[rows[:, None], beside]) / 2
    return np.where(crosses[:, None], inside, around)


def orientation(pairs: Sequence[MinimalPair], kinds: Sequence[Kind]) -> int:
    """1 where the donors are the dead ends, -1 where the points are: what leads towards donors.

    Raises:
        ValueError: where some pairs go the one way and some the other, or one goes neither.
    """
    is_dead = {kind.name: kind.standing == "dead" for kind in kinds}
    with_donor = [one for one in pairs if one.donor_kind is not None]
    ways = {(is_dead[one.kind], is_dead[str(one.donor_kind)]) for one in with_donor}
    # A hidden dead end cannot be told from a live point, so the donor alone says what is told.
    signs = {1 if donor else -1 for _, donor in ways}
    if len(signs) > 1 or (False, False) in ways:
        found = sorted({(one.kind, one.donor_kind) for one in with_donor}, key=str)
        raise ValueError(f"Expected donors that are all dead ends, or all of dead ends: {found}.")
    return signs.pop() if signs else 1


class Marker:
    """Log-odds of the marker at the deciding token of some pairs, under any edit of it.

    Args:
        loaded: the model.
        pairs: decision points with donors.
        words: see `Words`.
        sign: see `orientation`; changes are counted towards the donors.
        rows_per_batch: edits in one call of the model.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        pairs: Sequence[MinimalPair],
        words: Words,
        sign: int,
        rows_per_batch: int,
    ) -> None:
        self.loaded, self.words, self.sign = loaded, words, sign
        self.rows_per_batch = rows_per_batch
        self.pasts = Pasts(loaded, [pair.clean_ids for pair in pairs])
        self.stops = [pair.clean_ids[-1] for pair in pairs]
        self.donors: list[dict[int, Tensor]] = []
        norms = []
        for number, pair in enumerate(pairs):
            donor = read_prefix(loaded, pair.donor_ids)
            self.donors.append(read_donor(loaded, donor, pair.donor_ids[-1:])[1])
            own = read_donor(loaded, self.pasts[number], pair.clean_ids[-1:])[1]
            norms.append([float(one.norm()) for one in own.values()])
        self.baseline = self.read([no_edit(loaded)])[0]
        self.mean_residual_norm = np.mean(norms, axis=0)

    def read(self, rows: Sequence[Edit]) -> Float[np.ndarray, " rows"]:
        """Mean log-odds over the pairs under every edit, times the sign."""
        total = np.zeros(len(rows))
        for number, (stop, donor) in enumerate(zip(self.stops, self.donors, strict=True)):
            past = self.pasts[number]
            log_p = run_tails(self.loaded, past, [stop], rows, self.rows_per_batch, donor)
            total += log_odds(log_p[:, 0], self.words.marker)
        return self.sign * total / len(self.stops)

    def patch_changes(self) -> Float[np.ndarray, " layers"]:
        """What the patch changes at each layer: the target of every dose."""
        rows = [Edit("patch", layer, None) for layer in range(self.loaded.n_layers)]
        return self.read(rows) - self.baseline

    def curve(self, candidates: Sequence[Candidate]) -> Curve:
        """Changes by dose of these directions."""
        units = [self.sign * one.unit for one in candidates]

        def changes(doses: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n k"]:
            rows = [
                Edit("add", one.layer, torch.tensor(dose, dtype=torch.float32) * unit)
                for one, unit, of_one in zip(candidates, units, doses, strict=True)
                for dose in of_one.tolist()
            ]
            return self.read(rows).reshape(doses.shape) - self.baseline

        return changes


def match_doses(
    loaded: LoadedModel,
    pairs: Sequence[MinimalPair],
    words: Words,
    sign: int,
    candidates: Sequence[Candidate],
    multiples: Sequence[float],
    n_rounds: int,
    rows_per_batch: int,
) -> list[Dose]:
    """The dose of every direction, found on pairs of dev.

    Args:
        loaded, pairs, words, sign, rows_per_batch: see `Marker`.
        candidates: what is added.
        multiples: the grid, in mean norms of the residual stream at the layer; its last is the
            bound.
        n_rounds: refinements.
    """
    marker = Marker(loaded, pairs, words, sign, rows_per_batch)
    layers = [one.layer for one in candidates]
    scale, target = marker.mean_residual_norm[layers], marker.patch_changes()[layers]
    grid = np.outer(scale, np.array(multiples))
    found = match(marker.curve(candidates), target, grid, n_rounds)
    return [
        Dose(
            norm=float(found.dose[n]),
            reached=bool(found.reached[n]),
            change=float(found.change[n]),
            target=float(target[n]),
            mean_residual_norms=float(found.dose[n] / scale[n]),
        )
        for n in range(len(candidates))
    ]
