"""The stability study (arXiv 2604.02113): do events found by keywords come back?"""

from backtracking.claims.literature.rows import answer, untestable
from backtracking.claims.literature.study import Study
from backtracking.records.intervals import above
from backtracking.records.rows.claims import Claim, Finding, Published, Question
from backtracking.records.rows.directions import FormCosine
from backtracking.records.rows.measures import EventMeasure
from backtracking.records.rows.table import first

STUDY = "stability, arXiv 2604.02113"

UNSTABLE = Question(
    claim="stability_unstable",
    study=STUDY,
    statement="Most events that a keyword finds do not come back from the same prefix.",
    contrast="share of keyword events less than half of whose continuations backtrack",
    threshold="the interval is above 0.5",
    kind="built_in",
    published=Published(0.93, f"{STUDY}: 93 % of 541 keyword events"),
)

HELPS = Question(
    claim="stability_helps",
    study=STUDY,
    statement="Weighting events by stability gives a better direction.",
    contrast="cosine to the matched direction: weighted by stability - unweighted",
    threshold="the interval is above 0",
    kind="emergent",
    published=Published(None, STUDY),
)


def claims(study: Study) -> list[Claim]:
    """Rows of the study's claims; a control pair's model goes on from the same prefixes."""
    return [
        answer(study, UNSTABLE, unstable),
        answer(study, HELPS, helps),
    ]


def unstable(study: Study, role: str) -> Finding:
    """The share of keyword events that do not come back."""
    row = first(study.rows(EventMeasure), role=role, measure="keyword_not_reproduced")
    if row is None:
        return untestable("events were not regenerated")
    return Finding.beside(above(row.share.low, 0.5), row.share, 0.5)


def helps(study: Study, role: str) -> Finding:
    """How much nearer to the matched direction the weighted one is."""
    row = first(
        study.rows(FormCosine),
        role=role,
        layer=study.layer,
        form="stable",
        other_form="matched",
        window=study.window,
    )
    if row is None or row.nearer is None:
        return untestable("there is no direction by event: events were not regenerated")
    return Finding.beside(above(row.nearer.low, 0.0), row.nearer, 0.0)
