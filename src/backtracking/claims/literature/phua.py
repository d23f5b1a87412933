"""Phua (arXiv 2605.22221): the same state, reached by different histories, looks the same."""

from backtracking.claims.literature.rows import (
    Finding,
    Published,
    Question,
    above,
    answer,
    find_row,
    untestable,
)
from backtracking.claims.literature.study import Study
from backtracking.records.intervals import Verdict
from backtracking.records.rows.claims import Claim

STUDY = "Phua, arXiv 2605.22221"

SAME_STATE = Question(
    claim="phua_same_state",
    study=STUDY,
    statement="A model holds the state of its search apart from how it came there.",
    contrast="AUROC of the cosine of two activations: same state by different histories, against "
    "different states behind the same words",
    threshold="above 0.5, and above the same of counts of the tokens so far",
    kind="emergent",
    published=Published(None, STUDY),
)

SAME_WORDS = "same_words_other_state"


def claims(study: Study) -> list[Claim]:
    """The row of the study's claim."""
    return [answer(study, SAME_STATE, same_state)]


def same_state(study: Study, role: str) -> Finding:
    """The AUROC of a model at the layer that dev chose for the state models."""
    rows = study.rows("transitions/representation")
    layer = study.part("transitions/selection").get("layer")
    row = find_row(rows, role=role, layer=layer, against=SAME_WORDS)
    tokens = find_row(rows, role="tokens", against=SAME_WORDS)
    if row is None or tokens is None or row["auroc"] is None or tokens["auroc"] is None:
        return untestable("no such pairs were compared")
    own, bar = row["auroc"], tokens["auroc"]
    parts: dict[str, Verdict] = {
        "above_chance": above(own["low"], 0.5),
        "beyond_tokens": above(own["low"], bar["high"]),
    }
    ends = {key: own[key] for key in ("low", "high", "n")}
    return Finding.of(parts, estimate=own["value"], null=bar["value"], **ends)
