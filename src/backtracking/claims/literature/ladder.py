"""This study's further claims: belief, decoding, and what activations add to the text."""

from dataclasses import replace

from backtracking.claims.literature.own import STUDY
from backtracking.claims.literature.rows import answer, in_words, untestable
from backtracking.claims.literature.study import Study
from backtracking.records.intervals import above
from backtracking.records.rows.belief import BeliefEvidence
from backtracking.records.rows.claims import Claim, Finding, Markerless, Published, Question
from backtracking.records.rows.probe import Probed, Within
from backtracking.records.rows.table import first
from backtracking.records.rows.transitions import Rung

NONE = Published(None, "none")

BELIEF = Question(
    claim="belief",
    study=STUDY,
    statement="The model's direction is a belief: it makes the model report a dead end.",
    contrast="change of the log-odds of the report's answers, dead end against going on, over the "
    "donor's own difference, at the patch's change of log-odds({marker})",
    threshold="report and claim read the state; beta above 0.5 and above that of `action`, by "
    "their intervals; share and flipped answers beyond 95 % of random directions",
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
    cells = study.rows(Probed)
    cell = next((one for one in cells if one.choice.role == role and one.choice.target == target),
                None)  # fmt: skip
    if cell is None:
        return untestable("no probe was fitted")
    if cell.auroc.value is None:
        return untestable("the probe has no test decisions of both classes")
    told = [_place(cell), _beside_the_kind(study, cell), _edge(cell)]
    why = " ".join(one for one in told if one)
    return Finding.beside(above(cell.difference.low, 0.0), cell.difference, 0.0, why=why)


def _place(cell: Probed) -> str:
    """Where the probe reads, and how well it tells its target."""
    choice, limit = cell.choice, cell.ceiling
    ceiling = "" if limit is None else f", of {limit:.3f} that anyone can have who reads the prefix"
    return (
        f"The probe of layer {choice.layer} at offset {choice.offset} has AUROC "
        f"{in_words(cell.auroc)}{ceiling}; the best baseline, {choice.baseline}, has "
        f"{cell.baseline_auroc:.3f}."
    )


def _beside_the_kind(study: Study, cell: Probed) -> str:
    """What a probe of the action knows beyond the kind of the decision."""
    kind, beyond = cell.kind_auroc, cell.beyond_kind
    if kind is None or beyond is None or kind.value is None:
        return ""
    rows = [one for one in study.rows(Within) if one.role == cell.choice.role]
    within = ", ".join(
        f"{in_words(one.auroc)} among {one.kind} ({one.n_turns} of {one.n_rows} turn)"
        for one in rows
        if one.auroc.value is not None
    )
    more = "more" if (beyond.low or 0.0) > 0 else "no more"
    return (
        f"The true kind alone has {in_words(kind)}, so the probe knows {more} than the kind of the "
        f"decision, by {in_words(beyond)}; within a kind it has {within}."
    )


def _edge(cell: Probed) -> str:
    """That a choice may have been better beyond its grid, where it may."""
    edge = cell.choice.edge
    return f"Its penalty is the {edge} of the grid." if edge in ("smallest", "largest") else ""


def ahead(study: Study, role: str) -> Finding:
    """What a model's activation adds to the tokens at a sentence's first one."""
    rung = first(study.rows(Rung), model=f"tokens_{role}")
    if rung is None:
        return untestable("this model's activations are not on the ladder")
    gain = -rung.score.difference
    base = first(study.rows(Rung), model=f"tokens_{study.base_by_role.get(role)}")
    beside = (
        "" if base is None else f" Its base's activations add {in_words(-base.score.difference)}."
    )
    edge = f" The penalty is the {rung.edge} of the grid." if rung.edge != "inside" else ""
    why = (
        f"A regression on tokens and activations has {in_words(rung.score.nll)} nats.{beside}{edge}"
    )
    return Finding.beside(above(gain.low, 0.0), gain, 0.0, why=why)
