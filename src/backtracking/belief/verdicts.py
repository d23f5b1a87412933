"""Belief, action, mixed or untestable: what the changes of a readout say, by fixed rules.

beta = change of a readout under an arm / its change under the patch, a ratio of means, with an
interval by problem. The rules are those of the docstrings here, and no others.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from backtracking.records.intervals import Interval
from backtracking.records.rows.belief import Ceiling, Judged
from backtracking.statistics.bootstrap import Bootstrap

BELIEF, ACTION = 0.5, 0.2
"""Above the first lies the whole interval of a belief's beta, below the second an action's."""

CEILING = 0.5
"""The patch has to change the readout by this share of the natural difference, at the least."""


def hindrance(ceiling: Ceiling) -> str:
    """Why nothing can be tested here; empty where it can."""
    if not _positive(ceiling.natural):
        return "the readout does not tell the donor from the clean prefix"
    if not _positive(ceiling.patch):
        return "the patch does not move the readout"
    assert ceiling.patch.value is not None and ceiling.natural.value is not None
    if ceiling.patch.value < CEILING * ceiling.natural.value:
        return "the patch moves the readout by less than half of the natural difference"
    if not _positive(ceiling.wait):
        return "the patch does not raise the marker, so no arm has a dose"
    return ""


def judge(
    ceiling: Ceiling, beta: Interval, minus_action: Interval, reached: bool
) -> tuple[Judged, str]:
    """The verdict on a direction at a layer, for an edit set and a readout, and why.

    *Untestable* where the ceiling is, where the direction does not reach the patch's effect on
    the marker, or where all hangs on `action` and that does not reach it; never *action* for want
    of a test. *Belief*: the interval of beta lies above 0.5, and that of beta minus beta(action)
    above 0. *Action*: the interval of beta lies below 0.2. Otherwise *mixed*.

    Args:
        ceiling: what the patch does.
        beta: of the direction.
        minus_action: beta minus that of `action`, paired; undefined where `action` has no dose.
        reached: whether the direction's dose matches the patch.
    """
    if reason := hindrance(ceiling):
        return "untestable", reason
    if not reached:
        return "untestable", "the direction never raises the marker as much as the patch does"
    if beta.low is None or beta.high is None:
        return "untestable", "beta has no interval"
    if beta.high < ACTION:
        return "action", ""
    if beta.low > BELIEF:
        if minus_action.low is None:
            return "untestable", "`action` never raises the marker as much as the patch does"
        if minus_action.low > 0:
            return "belief", ""
    return "mixed", ""


def betas(
    changes: Mapping[str, Float[np.ndarray, " items"]],
    patch: Float[np.ndarray, " items"],
    problems: Sequence[str],
    bootstrap: Bootstrap,
    against: str = "action",
) -> dict[str, tuple[Interval, Interval]]:
    """beta of every arm, and beta minus that of the arm `against`, with paired intervals.

    Args:
        changes: change of the readout at every item, by arm.
        patch: its change under the patch.
        problems: the problem of each item.
        bootstrap: resamples and level.
        against: the arm that is subtracted; where it is not among them, all differences are
            undefined.
    """
    names = list(changes)
    columns = np.stack([patch, *changes.values()], axis=1)

    def ratios(means: np.ndarray) -> np.ndarray:
        ceiling = np.where(means[:, :1] > 0, means[:, :1], np.nan)
        beta = means[:, 1:] / ceiling
        other = beta[:, [names.index(against)]] if against in names else np.nan
        return np.concatenate([beta, beta - other], axis=1)

    found = bootstrap.intervals(columns, problems, ratios)
    return dict(zip(names, zip(found[: len(names)], found[len(names) :], strict=True), strict=True))


def _positive(interval: Interval) -> bool:
    return interval.low is not None and interval.low > 0
