"""This study's own claims, in the same rows as those of others."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from backtracking.claims.literature.rows import (
    Finding,
    Published,
    Row,
    agreement,
    find_row,
    missing,
    short,
    untestable,
)
from backtracking.claims.literature.study import Study

STUDY = "this study"

STATEMENTS = {
    "primary": "The base's direction steers the fine-tuned model, beyond random directions, other "
    "bases and every control pair.",
    "causal": "A model's own direction carries what it backtracks on.",
    "transfer": "The base's direction carries it as well.",
}
"""What the claims of the stage `steer` say."""

_NUMBERS = ("verdict", "estimate", "low", "high", "n", "null", "p", "parts")

PUBLISHED = {
    "transfer": Published(
        0.36,
        "Ward, arXiv 2507.12638: keywords per word, 0.7 % unsteered, 36 % at magnitude 12",
        comparable=False,
    )
}


def claims(study: Study) -> list[dict[str, Any]]:
    """The claims of `steer`, in every pair, with the control pairs' values beside the pair's."""
    evidence = study.rows("effects/steer/evidence") or [unmeasured(study, n) for n in STATEMENTS]
    return [complete(study, row, evidence) for row in evidence]


def unmeasured(study: Study, claim: str) -> Row:
    """The row of a claim in a study that could not steer."""
    nothing = untestable("nothing was steered")
    numbers = {name: getattr(nothing, name) for name in (*_NUMBERS, "why")}
    source = study.studied if claim == "causal" else study.base
    row = {"claim": claim, "pair": f"{source} -> {study.studied}", "must_fail": False}
    return row | {"contrast": "none", "threshold": "none", "kind": "emergent"} | numbers


def complete(study: Study, row: Row, evidence: Sequence[Row]) -> dict[str, Any]:
    """A row of `steer` with study, statement, published value and control pairs."""
    name = row["claim"]
    published = PUBLISHED.get(name, Published(None, "none"))
    finding = finding_of(row)
    return {
        **row,
        "study": STUDY,
        "statement": STATEMENTS[name],
        "published": asdict(published),
        "agreement": agreement(published, finding),
        "why": finding.why or missing(finding),
        "by_control": {
            control: short(in_control(study, name, control, evidence)) for control in study.controls
        },
    }


def in_control(study: Study, claim: str, control: str, evidence: Sequence[Row]) -> Finding:
    """The same claim of a control pair; of the primary endpoint its effect, from `transfer`."""
    name = "transfer" if claim == "primary" else claim
    source = control if claim == "causal" else study.base_by_role[control]
    row = find_row(evidence, claim=name, pair=f"{source} -> {control}")
    return finding_of(row) if row else untestable("the pair was not steered")


def finding_of(row: Row) -> Finding:
    """The finding in a row of claims.json."""
    return Finding(**{name: row[name] for name in _NUMBERS}, why=row.get("why", ""))
