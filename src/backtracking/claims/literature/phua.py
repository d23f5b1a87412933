"""Phua (arXiv 2605.22221): the same state, reached by different histories, looks the same."""

from backtracking.claims.literature.rows import answer, in_words, untestable
from backtracking.claims.literature.study import Study
from backtracking.records.intervals import Verdict, above, all_of
from backtracking.records.rows.claims import Claim, Finding, Published, Question
from backtracking.records.rows.table import first
from backtracking.records.rows.transitions import Representation

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


def claims(study: Study) -> list[Claim]:
    """The row of the study's claim."""
    return [answer(study, SAME_STATE, same_state)]


def same_state(study: Study, role: str) -> Finding:
    """The AUROC of a model at the layer that dev chose for the state models."""
    rows = study.rows(Representation)
    row, tokens = first(rows, role=role), first(rows, role="tokens")
    if row is None or tokens is None or row.auroc is None or tokens.auroc is None:
        return untestable("no such pairs were compared")
    own, bar = row.auroc, tokens.auroc
    parts: dict[str, Verdict] = {
        "above_chance": above(own.low, 0.5),
        "beyond_tokens": above(own.low, bar.high),
    }
    why = (
        f"{row.n_same} pairs of decisions stand at one state and {row.n_different} at two behind "
        f"the same words; counts of the tokens so far tell them with AUROC {in_words(bar)}."
    )
    return Finding.beside(all_of([*parts.values()]), own, bar.value, parts=parts, why=why)
