"""What the changes of a readout say, by fixed rules.

First of a place, a layer with an edit set and a readout: does the readout *read* the state there?
The patch tells, since it puts in all that the donor's run holds there. Then of a direction, added
so that the marker moves as under the patch. All shares are of natural differences, the donor's own
run minus the clean one. The rules are those of the docstrings here, and no others.
"""

from dataclasses import dataclass

from backtracking.records.intervals import Interval
from backtracking.records.rows.belief import Ceiling, Judged, Patched, Shares, Standing

BELIEF, ACTION = 0.5, 0.2
"""Above the first lies the whole interval of a belief's beta, below the second an action's."""

READ = 0.5
"""A readout that reads a state takes this share of its natural difference from it, at the least:
with less, most of the readout stands on something else, and a direction is not to be held to it."""

ACTS = 0.5
"""Above it lies the interval of the marker's share where a state is said to drive the action: as
much as is asked of a readout that reads it."""

UNREAD, UNREAD_END = 0.05, 0.1
"""What does not move a readout: a share below the first, its interval within the second. A tenth of
what a readout that reads a state takes at the least, and a fifth with its uncertainty."""

FLUENT = 0.9
"""Of the next token's mass on what the model itself says there, this share has to be left: an arm
with less breaks the model, and shows nothing of its states."""


@dataclass(frozen=True)
class Doing(Shares):
    """What a direction does to a readout at its dose.

    Attributes:
        reached, fluent: as in `Beta`.
    """

    reached: bool
    fluent: float | None


def standing(ceiling: Ceiling, n_above: int) -> tuple[Standing, str]:
    """Whether the readout reads the state at a place, and why that is untestable.

    *Untestable* where no block stands above, so that nothing can attend to the edit; where readout
    or marker do not tell donor from clean; where the patch does not raise the marker, to which
    doses are matched. *Not read by the report*: the patch moves the readout by less than 5 % of its
    natural difference, its interval within 10 %, while it moves the marker by half of its own, by
    the interval. *Read*: the patch moves the readout, off 0, by half of its natural difference.
    Everything between is untestable.

    Args:
        ceiling: what the patch does.
        n_above: blocks above the layer.
    """
    if not n_above:
        return "untestable", "no block above the layer can attend to what is edited there"
    if not _positive(ceiling.natural):
        return "untestable", "the readout does not tell the donor from the clean prefix"
    if not _positive(ceiling.marker_natural):
        return "untestable", "the marker does not tell the donor from the clean prefix"
    if not _positive(ceiling.marker):
        return "untestable", "the patch does not raise the marker, so no arm has a dose"
    if _is_unread(ceiling.patch):
        if (ceiling.marker.low or 0) > ACTS:
            return "not read by the report", ""
        return "untestable", "the patch moves neither the readout nor the marker by much"
    if not _positive(ceiling.patch) or (ceiling.patch.value or 0) < READ:
        less = "the patch moves the readout by less than half of the natural difference"
        return "untestable", less
    return "read", ""


def judge(place: Patched, doing: Doing) -> tuple[Judged, str]:
    """The verdict on a direction at a place, and why.

    *Untestable* where the place is; where the direction never moves the marker as the patch does;
    where it breaks the model; where a place is not read and the direction moves the readout all the
    same; where a belief hangs on an `action` without a dose, or on a null that was not run. *Not
    read by the report* where the place is, and the direction moves nothing either. *Action*: the
    interval of beta lies below 0.2. *Belief*: that of beta lies above 0.5 and that of beta minus
    beta(action) above 0, and both the share and the flipped answers are beyond 95 % of random
    directions: log-odds of a sure model are brought towards 0 by any disturbance. Else *mixed*.
    """
    if place.standing == "untestable":
        return "untestable", place.reason
    if not doing.reached:
        return "untestable", "the direction never raises the marker as much as the patch does"
    if doing.fluent is None or doing.fluent < FLUENT:
        return "untestable", "at its dose the direction breaks the model"
    if place.standing == "not read by the report":
        if _is_unread(doing.share):
            return "not read by the report", ""
        return "untestable", "the direction moves the readout, which the donor's state does not"
    beta = doing.beta
    if beta.low is None or beta.high is None:
        return "untestable", "beta has no interval"
    if beta.high < ACTION:
        return "action", ""
    if beta.low <= BELIEF:
        return "mixed", "beta is not above one half"
    return _of_large(doing)


def _of_large(doing: Doing) -> tuple[Judged, str]:
    """The verdict on a direction whose beta is large."""
    if doing.minus_action.low is None:
        return "untestable", "`action` never raises the marker as much as the patch does"
    if doing.minus_action.low <= 0:
        return "mixed", "`action` moves the readout as much"
    if doing.null is None or doing.flipped_null is None:
        return "untestable", "no random directions were run there"
    if (doing.share.value or 0) <= doing.null:
        return "mixed", "random directions move the readout as much"
    if not _positive(doing.flipped) or (doing.flipped.value or 0) <= doing.flipped_null:
        return "mixed", "random directions flip as many answers"
    return "belief", ""


def _is_unread(share: Interval) -> bool:
    if share.value is None or share.low is None or share.high is None:
        return False
    return abs(share.value) < UNREAD and max(-share.low, share.high) < UNREAD_END


def _positive(interval: Interval) -> bool:
    return interval.low is not None and interval.low > 0
