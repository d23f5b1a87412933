"""This study's further claims: belief, decoding, and what activations add to the text."""

from typing import Any

from backtracking.literature.own import STUDY, finding_of
from backtracking.literature.rows import (
    Finding,
    Published,
    Question,
    above,
    answer,
    find_row,
    untestable,
)
from backtracking.literature.study import Study

NONE = Published(None, "none")

BELIEF = Question(
    claim="belief",
    study=STUDY,
    statement="The model's direction is a belief: it makes the model report a total as too big.",
    contrast="change of log-odds(over : under) after `Check :`, direction / patch from the donor, "
    "at equal change of log-odds(Wait)",
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


def claims(study: Study) -> list[dict[str, Any]]:
    """Rows of the claims."""
    return [
        answer(BELIEF, lambda role: belief(study, role, role), study.base_by_role),
        answer(
            BASE_BELIEF,
            lambda role: belief(study, study.base_by_role[role], role),
            study.base_by_role,
        ),
        answer(AHEAD, lambda role: ahead(study, role), study.base_by_role),
    ]


def belief(study: Study, source: str, target: str) -> Finding:
    """The verdict of the stage `belief` at the steered layer."""
    row = find_row(study.rows("belief/evidence"), pair=f"{source} -> {target}")
    return untestable("not measured") if row is None else finding_of(row)


def ahead(study: Study, role: str) -> Finding:
    """What a model's activation adds to the tokens at a sentence's first one."""
    rungs = (study.files.get("transitions/ladder") or {}).get("first", {}).get("rungs", ())
    row = find_row(rungs, model=f"tokens_{role}")
    if row is None:
        return untestable("this model's activations are not on the ladder")
    value, low, high = (-row[f"difference_{key}"] for key in ("value", "high", "low"))
    return Finding(above(low, 0.0), value, low, high, row["n"], null=0.0)
