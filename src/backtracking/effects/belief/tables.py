"""The tables of the experiment: ceilings, nulls, betas with their verdicts."""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
from jaxtyping import Float

from backtracking.effects.belief.trial import Trial
from backtracking.effects.belief.verdicts import Doing, judge, standing
from backtracking.records.intervals import Interval
from backtracking.records.measured import ACTION, RANDOM, Where
from backtracking.records.rows.belief import DIRECTION, Beta, Ceiling, Null, Patched, Score
from backtracking.records.rows.table import first
from backtracking.statistics.bootstrap import Bootstrap
from backtracking.statistics.corrected import or_none
from backtracking.statistics.nulls import random_bound, random_direction_p

READOUTS = ("b", "c")
"""Readouts of which there is a beta: the report, and the claim."""

EDIT_SET: Mapping[Where, str] = {"decision": "E1", "onwards": "E2"}
"""Names of the edit sets in tables."""


def tabulate_ceilings(trial: Trial, bootstrap: Bootstrap) -> list[Patched]:
    """One row per layer, edit set and readout: natural differences, the patch's share, standing."""
    return [
        patched_at(trial, layer, span, readout, bootstrap)
        for layer in trial.layers
        for span in EDIT_SET
        for readout in READOUTS
    ]


def patched_at(
    trial: Trial, layer: int, span: Where, readout: str, bootstrap: Bootstrap
) -> Patched:
    """What the patch does there."""
    pairs = [trial.natural(readout), trial.natural("a")]
    pairs += [trial.patched(one, layer, span) for one in (readout, "a")]
    found = bootstrap.intervals(np.stack(pairs, axis=1), trial.problems, _natural_and_shares)
    ceiling = Ceiling(*found)
    stands, reason = standing(ceiling, trial.n_layers - 1 - layer)
    place = trial.role, layer, EDIT_SET[span], readout
    return Patched(*place, ceiling, stands, reason, len(trial.problems))


def tabulate_null(trial: Trial) -> list[Null]:
    """One row per layer, edit set and readout where random directions were run."""
    return [
        Null(trial.role, layer, EDIT_SET[span], readout, *_null_at(trial, layer, span, readout))
        for layer in trial.layers
        for span in EDIT_SET
        if trial.at(RANDOM, layer, span)
        for readout in READOUTS
        if trial.tells(readout)
    ]


def tabulate_betas(trial: Trial, null: Sequence[Null], bootstrap: Bootstrap) -> list[Beta]:
    """One row per direction, layer, edit set and readout, against the null of its own place.

    Args:
        trial: readouts under every arm.
        null: what random directions do, of this trial or of another on the same pairs.
        bootstrap: resamples and level.
    """
    return [
        row
        for layer in trial.layers
        for span in EDIT_SET
        for readout in READOUTS
        for row in _betas_at(trial, layer, span, readout, null, bootstrap)
    ]


def _betas_at(
    trial: Trial,
    layer: int,
    span: Where,
    readout: str,
    null: Sequence[Null],
    bootstrap: Bootstrap,
) -> list[Beta]:
    patched = patched_at(trial, layer, span, readout, bootstrap)
    edits = EDIT_SET[span]
    random = first(null, role=trial.role, layer=layer, span=edits, readout=readout)
    measured = _measured_at(trial, layer, span, readout, bootstrap)
    undefined = Interval(None, None, None, len(set(trial.problems)))
    rows = []
    for name, dose in ((name, dose) for (name, at), dose in trial.doses.items() if at == layer):
        share, beta, minus_action, flipped = measured.get(name, (undefined,) * 4)
        if patched.standing != "read":
            beta = minus_action = undefined
        marker, fluent = _at_the_edit(trial, name, layer, span)
        chance = share, beta, minus_action, *_against(random, share), flipped, _flipped(random)
        verdict = judge(patched, Doing(*chance, dose.reached, fluent))
        place = trial.role, name, layer, edits, readout
        amount = dose.mean_residual_norms, dose.reached
        rows.append(Beta(*place, *amount, marker, fluent, Score(*chance, *verdict)))
    return rows


def _measured_at(
    trial: Trial, layer: int, span: Where, readout: str, bootstrap: Bootstrap
) -> dict[str, tuple[Interval, Interval, Interval, Interval]]:
    """Share, beta, beta minus that of `action` and flipped answers of every direction with a dose.

    `action` counts only where its own dose matches the patch.
    """
    arms = trial.at(DIRECTION, layer, span)
    if not arms:
        return {}
    names = [arm.name for arm in arms]
    action = trial.doses.get((ACTION, layer))
    against = names.index(ACTION) if action and action.reached else None
    changes = [trial.change(readout, arm) for arm in arms]
    base = [trial.natural(readout), trial.patched(readout, layer, span)]
    found = bootstrap.intervals(
        np.stack([*base, *changes], axis=1), trial.problems, partial(ratios, against=against)
    )
    flips = np.stack([trial.flips(readout, arm) for arm in arms], axis=1)
    flipped = bootstrap.intervals(flips, trial.problems)
    n = len(names)
    parts = zip(found[:n], found[n : 2 * n], found[2 * n :], flipped, strict=True)
    return dict(zip(names, parts, strict=True))


def ratios(
    means: Float[np.ndarray, "n columns"], against: int | None
) -> Float[np.ndarray, "n quantities"]:
    """Of every arm the change over the natural one, then over the patch's, then minus one arm's.

    Args:
        means: natural difference, change under the patch, change under each arm.
        against: the arm whose beta is subtracted; without it all differences are undefined.
    """
    natural, patch = (_above_zero(means[:, [column]]) for column in (0, 1))
    beta = means[:, 2:] / patch
    other = np.nan if against is None else beta[:, [against]]
    return np.concatenate([means[:, 2:] / natural, beta, beta - other], axis=1)


def _natural_and_shares(means: np.ndarray) -> np.ndarray:
    """Natural differences of readout and marker, then what the patch does of each."""
    return np.concatenate([means[:, :2], means[:, 2:] / _above_zero(means[:, :2])], axis=1)


def _above_zero(means: np.ndarray) -> np.ndarray:
    return np.where(means > 0, means, np.nan)


def _null_at(
    trial: Trial, layer: int, span: Where, readout: str
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Shares of the natural difference, and flipped answers, one a random direction."""
    arms = trial.at(RANDOM, layer, span)
    natural = np.nanmean(trial.natural(readout))
    shares = tuple(float(np.nanmean(trial.change(readout, arm)) / natural) for arm in arms)
    return shares, tuple(float(np.nanmean(trial.flips(readout, arm))) for arm in arms)


def _against(random: Null | None, share: Interval) -> tuple[float | None, float | None]:
    """What 95 % of random shares stay below, and p of this one among them."""
    if random is None:
        return None, None
    shares = np.array(random.shares)
    p = None if share.value is None else random_direction_p(share.value, shares)
    return float(random_bound(shares)), p


def _flipped(random: Null | None) -> float | None:
    return None if random is None else float(random_bound(np.array(random.flipped)))


def _at_the_edit(
    trial: Trial, name: str, layer: int, span: Where
) -> tuple[float | None, float | None]:
    """How well the marker is matched on test, and what is left of the model's own words."""
    arm = trial.find(name, layer, span)
    if arm is None:
        return None, None
    patched = trial.patched("a", layer, span).mean()
    marker = or_none(trial.change("a", arm).mean() / patched) if patched else None
    return marker, or_none(trial.fluent(arm))
