"""The claim that a direction is a belief: at one place, of both readouts, told in a sentence."""

from collections.abc import Sequence
from dataclasses import replace

from backtracking.effects.belief.tables import READOUTS
from backtracking.records.intervals import Interval, Verdict, all_of
from backtracking.records.rows.belief import BeliefEvidence, Beta, Judged, Patched
from backtracking.records.rows.claims import Finding
from backtracking.records.rows.table import first

SPAN = "E2"
"""The wider edit set: a belief has every chance there."""

NAMES = {"b": "the report", "c": "the claim that follows"}

HOLDS: dict[Judged, Verdict] = {"belief": "holds", "untestable": "untestable"}
"""What a verdict says to the claim; every other says that it fails."""


ACTION_ALONE: tuple[Judged, ...] = ("action", "not read by the report")
"""Verdicts by which what lies along a direction moves the next step and nothing that is asked."""


def claim_layer(chosen: int, n_layers: int, layers: Sequence[int]) -> int:
    """The layer that was chosen; for the last, above which nothing attends, the next lower one.

    Args:
        chosen: one of `layers`.
        n_layers: of the model.
        layers: those that are stored, and so have directions.
    """
    return max((one for one in layers if one <= min(chosen, n_layers - 2)), default=chosen)


def judge_belief(
    betas: Sequence[Beta],
    ceilings: Sequence[Patched],
    direction: str,
    role: str,
    layer: int,
    reason: str = "",
) -> BeliefEvidence:
    """The claim that a direction is a belief, as a row of claims.json.

    It fails where it does of either readout, and holds where the verdict on both is *belief*; a
    readout that the domain does not ask counts nowhere. The numbers are those of the report.

    Args:
        betas, ceilings: the tables of the model.
        direction: that is added.
        role: the model.
        layer: see `claim_layer`.
        reason: why nothing was measured; then there are no rows.
    """
    finding = Finding("untestable", n=0, why=reason)
    both = []
    for readout in READOUTS:
        where = {"role": role, "layer": layer, "span": SPAN, "readout": readout}
        row, place = first(betas, direction=direction, **where), first(ceilings, **where)
        if row and place and place.ceiling.natural.value is not None:
            both.append((row, place))
    if both:
        score = both[0][0].score
        verdict = all_of([HOLDS.get(row.score.verdict, "fails") for row, _ in both])
        why = f"{_where(both[0][1])}, " + "; ".join(tell(row, place) for row, place in both)
        if all(row.score.verdict in ACTION_ALONE for row, _ in both):
            why += ". So the direction is an action there, and no belief that anything reads later"
        finding = Finding.beside(verdict, score.share, score.null, p=score.p, why=why)
    return BeliefEvidence(
        claim="belief",
        contrast="change of log-odds(yes : no) of `report`, over the donor's own, at equal marker",
        threshold="report and claim read the state, beta > 0.5 and > beta(action) by their "
        "intervals; share and flipped answers beyond 95 % of random",
        kind="emergent",
        finding=replace(finding, direction=direction, target=role),
    )


def tell(row: Beta, place: Patched) -> str:
    """What was found of one readout, in words."""
    name, score = NAMES[row.readout], row.score
    if score.verdict == "untestable":
        return f"nothing can be said of {name}, since {score.reason}"
    if score.verdict == "not read by the report":
        return f"{name} does not read that state and moves by {percent(place.ceiling.patch)}"
    told = f"{name} moves by {percent(score.beta)} of what that state moves it"
    flips = f"{percent(score.flipped)} of its answers flip"
    return f"{told}, and {flips}: {score.verdict}" + (f", as {score.reason}" * bool(score.reason))


def _where(place: Patched) -> str:
    marker, at = place.ceiling.marker, f"at layer {place.layer}"
    if marker.value is None:
        return at
    moved = f"moves the marker by {percent(marker)} of its natural difference"
    return f"{at}, where the donor's state {moved}"


def percent(share: Interval) -> str:
    """A share with its interval, in per cent."""
    if share.value is None or share.low is None or share.high is None:
        return "an unknown share"
    value, low, high = (100 * one for one in (share.value, share.low, share.high))
    return f"{value:.1f} % ({low:.1f} to {high:.1f})"
