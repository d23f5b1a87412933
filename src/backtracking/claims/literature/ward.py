"""Ward: fine-tuning repurposes a direction that the base has already (arXiv 2507.12638)."""

from dataclasses import replace

from backtracking.claims.literature.rows import answer, untestable
from backtracking.claims.literature.study import Study
from backtracking.records.intervals import Verdict, above
from backtracking.records.rows.arms import ArmKey, Compared
from backtracking.records.rows.claims import Claim, Finding, Published, Question
from backtracking.records.rows.directions import PairCosine
from backtracking.records.rows.measures import MarkerRank
from backtracking.records.rows.steering import Cell
from backtracking.records.rows.table import first

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

BASE_UNMOVED = Question(
    claim="ward_base_unmoved",
    study=STUDY,
    statement="The same direction does not make the base backtrack.",
    contrast="change of P(backtrack | {live}) in the base along its own matched direction, dose 1",
    threshold="not beyond random directions, while the same dose shifts the base's own report",
    kind="built_in",
    published=Published(None, f"{STUDY}, qualitatively"),
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
        answer(study, BASE_UNMOVED, base_unmoved),
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
    """The base's direction in a pair's model: of Ward's form, in control pairs matched."""
    if role not in study.controls:
        return along_form(study, f"{study.base_by_role[role]}.ward", study.live, 1.0)
    return cell(study, study.base_by_role[role], role, study.live)


def base_unmoved(study: Study, role: str) -> Finding:
    """The base's own direction in the base: it holds where the base stays as it is."""
    base = study.base_by_role[role]
    found = cell(study, base, base, study.live)
    if found.verdict == "untestable":
        return found
    return replace(found, verdict="fails" if found.verdict == "holds" else "holds")


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
    )


def along_form(study: Study, direction: str, kind: str, dose: float) -> Finding:
    """A direction of another form in the model under study, from the table of arms."""
    arm = ArmKey(study.studied, direction, dose, "decision")
    rows = [one for one in study.rows(Compared) if one.forced.arm == arm]
    row = next((one for one in rows if one.forced.kind == kind), None)
    if row is None or row.beyond_random is None:
        return untestable("the arm was not run")
    return Finding.beside(row.beyond_random, row.forced.effect, row.random_bound, p=row.random_p)


def cell(study: Study, source: str, target: str, kind: str) -> Finding:
    """A cell of the transfer matrix; `no test` is untestable."""
    row = first(study.rows(Cell), source=source, target=target, kind=kind)
    if row is None:
        return untestable(f"{source} -> {target} was not run")
    if row.verdict != "no test":
        return Finding.beside(row.verdict, row.effect, row.random_bound, p=row.p)
    why = "the same dose does not shift the base's own report: no positive control"
    return Finding.beside("untestable", row.effect, row.random_bound, p=row.p, why=why)
