"""The stability study (arXiv 2604.02113): do events found by keywords come back?

It writes on ten times from the prefix of each event, and calls it stable where eight or more
continuations show it again. So that is what it is held against, however often ours were written on.
"""

from collections.abc import Sequence
from dataclasses import replace

from backtracking.claims.literature.rows import answer, complete, in_words, untestable
from backtracking.claims.literature.study import Study
from backtracking.records.intervals import Verdict, above
from backtracking.records.rows.claims import Claim, Finding, Published, Question
from backtracking.records.rows.directions import FormCosine
from backtracking.records.rows.measures import EventMeasure
from backtracking.records.rows.real_traces import OneMoreDraw, Stability
from backtracking.records.rows.table import first

STUDY = "stability, arXiv 2604.02113"

PUBLISHED = Published(0.933, f"{STUDY}: of 541 keyword events, fewer than 8 of 10 draws")

UNSTABLE = Question(
    claim="stability_unstable",
    study=STUDY,
    statement="Most events that a keyword finds do not come back from the same prefix.",
    contrast="share of keyword events that fewer than 8 of 10 continuations repeat",
    threshold="the interval is above 0.5",
    kind="built_in",
    published=PUBLISHED,
)

REAL = Question(
    claim="stability_real",
    study=STUDY,
    statement='Most sentences of real models that begin with "Wait" do not come back.',
    contrast='share of sentences with "Wait" that fewer than 8 of 10 continuations repeat',
    threshold="the interval is above 0.5, and that of one more draw from each prefix too",
    kind="emergent",
    # Another model, temperature and list of words, and paragraphs in place of sentences.
    published=replace(PUBLISHED, comparable=False),
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
    row = first(study.rows(EventMeasure), role=role, measure="keyword_unstable")
    if row is None:
        return untestable("events were not regenerated")
    return Finding.beside(above(row.share.low, 0.5), row.share, 0.5)


def real(rows: Sequence[Stability], draws: Sequence[OneMoreDraw]) -> Claim | None:
    """What traces of real models say; None where they were not measured.

    What stands in the traces is not quite one more draw from its prefix. So a share of the standing
    sentences that is above the bound is no test, unless that of one more draw is above it as well.
    """
    row = first(rows, begins="wait", place="any")
    if row is None:
        return None
    verdict, why = above(row.of_ten.low, 0.5), ""
    if verdict == "holds":
        verdict, why = _redrawn(first(draws, place="any"))
    return complete(REAL, Finding.beside(verdict, row.of_ten, 0.5, why=why), {})


def _redrawn(row: OneMoreDraw | None) -> tuple[Verdict, str]:
    """What one more draw from each prefix says, where the standing sentences are above 0.5."""
    if row is None:
        return "untestable", "whether the sentences are draws from their prefixes was not measured"
    if above(row.of_ten.low, 0.5) == "holds":
        return "holds", ""
    return "no test", (
        "the continuations are not quite the model's own, and the share of one more draw from each "
        f"prefix, {in_words(row.of_ten)}, is not above 0.5"
    )


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
