"""This study's further claims: belief, decoding, and what activations add to the text."""

from dataclasses import replace

from backtracking.claims.literature.own import STUDY
from backtracking.claims.literature.rows import answer, untestable
from backtracking.claims.literature.study import Study
from backtracking.records.intervals import above
from backtracking.records.rows.belief import BeliefEvidence
from backtracking.records.rows.claims import Claim, Finding, Markerless, Published, Question
from backtracking.records.rows.probe import GridCell, ProbeSelection
from backtracking.records.rows.table import first
from backtracking.records.rows.transitions import Rung

NONE = Published(None, "none")

BELIEF = Question(
    claim="belief",
    study=STUDY,
    statement="The model's direction is a belief: it makes the model report a dead end.",
    contrast="change of the log-odds of the report's answers, dead end against going on, "
    "direction / patch from the donor, at equal change of log-odds({marker})",
    threshold="beta above 0.5, and above that of `action`, both by their intervals",
    kind="emergent",
    published=NONE,
)

BASE_BELIEF = Question(
    claim="base_belief",
    study=STUDY,
    statement="The base's direction is one as well.",
    contrast=BELIEF.contrast,
    threshold=BELIEF.threshold,
    kind="emergent",
    published=NONE,
)

WITHOUT_WORDS = Question(
    claim="steers_without_words",
    study=STUDY,
    statement="The model's direction steers by more than the markers' unembedding rows.",
    contrast="change of P(backtrack | {live}) along the direction without these rows, dose 1",
    threshold="off 0 and beyond 95 % of random directions, where the whole direction is",
    kind="emergent",
    published=NONE,
)

AHEAD = Question(
    claim="activation_beyond_tokens",
    study=STUDY,
    statement="Activations tell the next state beyond all tokens, a sentence ahead.",
    contrast="nats a sentence of the label after the current sentence, read at its first token: "
    "tokens - tokens and activation",
    threshold="above 0",
    kind="emergent",
    published=NONE,
)


def targets(study: Study) -> list[tuple[str, str | None, str]]:
    """What probes tell apart: short name, target in the tables (None where unknown), words."""
    dead = study.dead if study.kinds else None
    return [
        ("backtracks", "backtracks", "whether the model will backtrack"),
        (dead or "visible", dead, "a visible dead end from a live point"),
        (study.hidden or "hidden", study.hidden, "a hidden dead end from a live point"),
    ]


def decodable(study: Study, name: str, target: str | None, words: str) -> Question:
    """The claim that activations tell a target beyond all that is not activation."""
    return Question(
        claim=f"decodable_{name}",
        study=STUDY,
        statement=f"Activations tell {words} beyond position, words, labels and embeddings.",
        contrast="AUROC of the probe at the layer and offset that dev chose - that of the best "
        "baseline, on test problems",
        threshold="above 0",
        kind="built_in" if target == study.dead else "emergent",
        published=NONE,
    )


def claims(study: Study) -> list[Claim]:
    """Rows of the claims."""
    return [
        answer(study, BELIEF, lambda study, role: belief(study, role, role)),
        answer(
            study, BASE_BELIEF, lambda study, role: belief(study, study.base_by_role[role], role)
        ),
        answer(study, WITHOUT_WORDS, without_words),
        answer(study, AHEAD, ahead),
        *(
            answer(
                study,
                decodable(study, name, target, words),
                lambda study, role, target=target: decoded(study, role, target),
            )
            for name, target, words in targets(study)
        ),
    ]


def belief(study: Study, source: str, target: str) -> Finding:
    """The verdict of the stage `belief` at the steered layer."""
    found = (row.finding for row in study.rows(BeliefEvidence))
    mine = first(found, direction=source, target=target)
    return mine or replace(untestable("not measured"), direction=source, target=target)


def without_words(study: Study, role: str) -> Finding:
    """What the stage `lens` says of a model's own direction without the markers' rows."""
    found = (row.finding for row in study.rows(Markerless))
    mine = first(found, direction=role, target=role)
    return mine or replace(untestable("not measured"), direction=role, target=role)


def decoded(study: Study, role: str, target: str | None) -> Finding:
    """The probe of a model at the cell that dev chose, against its best baseline."""
    if target is None:
        return untestable("the domain knows no such kind of decision")
    selection = study.part(ProbeSelection)
    place = {"role": role, "anchor": "decision", "target": target}
    best = first(selection.best if selection else (), **place)
    if best is None:
        return untestable("no probe was fitted")
    where = {"layer": best.layer, "offset": best.offset}
    cell = first(study.rows(GridCell), pairs="all", **place, **where)
    if cell is None or cell.auroc is None:
        return untestable("the probe has no test decisions of both classes")
    why = f"AUROC {cell.auroc:.3f}, layer {cell.layer}, offset {cell.offset}"
    ends = (cell.difference, cell.difference_low, cell.difference_high)
    return Finding(above(cell.difference_low, 0.0), *ends, cell.n, null=0.0, why=why)


def ahead(study: Study, role: str) -> Finding:
    """What a model's activation adds to the tokens at a sentence's first one."""
    rung = first(study.rows(Rung), position="first", model=f"tokens_{role}")
    if rung is None:
        return untestable("this model's activations are not on the ladder")
    gain = -rung.score.difference
    return Finding.beside(above(gain.low, 0.0), gain, 0.0)
