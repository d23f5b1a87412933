"""Ward: fine-tuning repurposes a direction that the base has already (arXiv 2507.12638)."""

from dataclasses import replace

from backtracking.claims.literature.rows import answer, untestable
from backtracking.claims.literature.study import Study
from backtracking.records.intervals import Verdict, above
from backtracking.records.measured import BESIDE
from backtracking.records.rows.arms import ArmKey, Compared
from backtracking.records.rows.claims import Claim, Finding, Published, Question
from backtracking.records.rows.directions import PairCosine
from backtracking.records.rows.measures import MarkerRank
from backtracking.records.rows.table import first

BROKEN = "the model is broken there: too little probability is on words that may stand"
"""Why an arm is no test."""

STUDY = "Ward, arXiv 2507.12638"

ALIKE = Question(
    claim="ward_alike",
    study=STUDY,
    statement="Base and fine-tuned model have the same direction before backtracking.",
    contrast="noise-corrected cosine of the two directions of Ward's form at the steered layer",
    threshold="the interval is above 0 and, in the pair under study, above that of every control",
    kind="emergent",
    published=Published(0.74, f"{STUDY}; 0.794 in a replication"),
)

TRANSFERS = Question(
    claim="ward_transfers",
    study=STUDY,
    statement="The base's direction makes the fine-tuned model backtrack.",
    contrast="change of P(backtrack | {live}) along the base's direction of Ward's form, dose 1",
    threshold="off 0 and beyond 95 % of random directions of the same norm",
    kind="emergent",
    published=Published(
        0.36,
        f"{STUDY}: keywords per word, 0.7 % unsteered, 36 % at magnitude 12",
        comparable=False,
    ),
)

NOT_WAIT = Question(
    claim="ward_not_the_word",
    study=STUDY,
    statement='The base\'s direction does not decode to the marker "{marker}".',
    contrast="place of the marker among all tokens along the base's direction, 1 = highest",
    threshold="not higher than along 95 % of random directions",
    kind="emergent",
    published=Published(None, f"{STUDY}, qualitatively"),
)


def claims(study: Study) -> list[Claim]:
    """Rows of Ward's claims."""
    return [
        answer(study, ALIKE, alike),
        answer(study, TRANSFERS, transfers),
        answer(study, NOT_WAIT, not_the_word),
    ]


def alike(study: Study, role: str) -> Finding:
    """The cosine of a pair; for the pair under study it has to exceed the controls' too."""
    found = {
        row.pair: row.likeness
        for row in study.rows(PairCosine)
        if (row.form, row.layer) == ("ward", study.layer)
    }
    own = found.get(study.pair(role))
    if own is None:
        return untestable("no direction of Ward's form at this layer")
    parts: dict[str, Verdict] = {"above_0": above(own.low, 0.0)}
    for control in study.controls if role not in study.controls else ():
        other = found.get(study.pair(control))
        parts[f"beyond_{control}"] = above(own.low, other.high if other else None)
    ends = {"low": own.low, "high": own.high, "n": own.n}
    return Finding.of(parts, estimate=own.cosine, null=own.null_high, **ends)


def transfers(study: Study, role: str) -> Finding:
    """The base's direction of Ward's form in a pair's model."""
    return along_form(study, f"{study.base_by_role[role]}.ward", role, study.live, 1.0)


def not_the_word(study: Study, role: str) -> Finding:
    """Where the marker stands along the base's direction, read by the pair's model."""
    place = {"role": study.base_by_role[role], "form": "ward", "layer": study.layer}
    read = {"unembedding": role, "final_norm": True, "variant": "whole"}
    rows = [one for one in study.rows(MarkerRank) if one.rank.marker == study.marker]
    row = first(rows, **place, **read)
    if row is None:
        return untestable("the direction was not read")
    percentile = row.rank.percentile
    return Finding(
        "holds" if percentile <= row.random95 else "fails",
        percentile,
        null=row.random95,
        p=row.p,
        why=f"rank {row.rank.rank:g} of the vocabulary",
        direction=f"{row.role}.ward",
        target=role,
    )


def along_form(study: Study, direction: str, target: str, kind: str, dose: float) -> Finding:
    """A direction of another form in a model, from the table of arms.

    No other form stands in for it: where that one was not run, nothing is known.
    """
    arm = ArmKey(target, direction, dose, "decision")
    rows = [one for one in study.rows(Compared) if one.forced.arm == arm]
    row = next((one for one in rows if one.forced.kind == kind), None)
    named = {"direction": direction, "target": target}
    if row is None or row.verdict is None:
        return replace(untestable("this form was not run there"), **named)
    why = "" if row.forced.test == "" else BROKEN
    bars = {name: bar for name, bar in row.by_null.items() if name not in BESIDE}
    return Finding.beside(
        row.verdict,
        row.forced.effect,
        (max if dose > 0 else min)((bar.bound for bar in bars.values()), default=None),
        p=max((bar.p for bar in bars.values()), default=None),
        nulls=row.by_null,
        legal=row.forced.legal,
        why=why,
        **named,
    )
