"""This study's own claims, in the same rows as those of others."""

from collections.abc import Sequence
from dataclasses import replace

from backtracking.claims.literature.rows import complete, untestable
from backtracking.claims.literature.study import Study
from backtracking.records.rows.claims import Claim, Evidence, Finding, Published, Question
from backtracking.records.rows.table import first

STUDY = "this study"

STATEMENTS = {
    "primary": "The base's direction steers the fine-tuned model, beyond random directions, other "
    "bases and every control pair.",
    "causal": "A model's own direction carries what it backtracks on.",
    "transfer": "The base's direction carries it as well.",
}
"""What the claims of the stage `steer` say."""

BESIDE = {"prompting": "An instruction to check every step makes the model backtrack more."}
"""What a study says beside them where it was measured."""

PUBLISHED = {
    "transfer": Published(
        0.36,
        "Ward, arXiv 2507.12638: keywords per word, 0.7 % unsteered, 36 % at magnitude 12",
        comparable=False,
    )
}


def claims(study: Study) -> list[Claim]:
    """The claims of `steer`, in every pair, with the control pairs' values beside the pair's."""
    evidence = study.rows(Evidence) or [unmeasured(study, name) for name in STATEMENTS]
    return [beside_controls(study, row, evidence) for row in evidence]


def unmeasured(study: Study, claim: str) -> Evidence:
    """The row of a claim in a study that could not steer."""
    source = study.studied if claim == "causal" else study.base
    nothing = replace(untestable("nothing was steered"), direction=source, target=study.studied)
    return Evidence(claim, "none", "none", "emergent", nothing)


def beside_controls(study: Study, row: Evidence, evidence: Sequence[Evidence]) -> Claim:
    """A row of `steer` with study, statement, published value and control pairs."""
    published = PUBLISHED.get(row.claim, Published(None, "none"))
    statement = (STATEMENTS | BESIDE)[row.claim]
    question = Question(
        row.claim, STUDY, statement, row.contrast, row.threshold, row.kind, published
    )
    by_control = {one: in_control(study, row.claim, one, evidence) for one in study.controls}
    return complete(
        question, row.finding, by_control, must_fail=row.must_fail, must_hold=row.must_hold
    )


def in_control(study: Study, claim: str, control: str, evidence: Sequence[Evidence]) -> Finding:
    """The same claim of a control pair; of the primary endpoint its effect, from `transfer`."""
    name = "transfer" if claim == "primary" else claim
    source = control if claim == "causal" else study.base_by_role[control]
    found = (row.finding for row in evidence if row.claim == name)
    mine = first(found, direction=source, target=control)
    return mine or replace(untestable("not steered"), direction=source, target=control)
