"""Venhoff: a state's vector brings it about (arXiv 2506.18167)."""

from backtracking.claims.literature.rows import answer
from backtracking.claims.literature.study import Study
from backtracking.claims.literature.ward import along_form
from backtracking.records.rows.claims import Claim, Finding, Published, Question

STEERS = Question(
    claim="venhoff_steers",
    study="Venhoff, arXiv 2506.18167",
    statement="The vector of the state `backtracking` makes the model backtrack.",
    contrast="change of P(backtrack | {live}) along the model's own direction of Venhoff's form, "
    "dose 1",
    threshold="off 0 and beyond 95 % of random directions of the same norm",
    kind="emergent",
    published=Published(None, "Venhoff, arXiv 2506.18167, as figures"),
)

STOPS = Question(
    claim="venhoff_stops",
    study="Venhoff, arXiv 2506.18167",
    statement="Subtracting the vector stops it.",
    contrast="change of P(backtrack | {dead}) along the same direction, dose -1",
    threshold="off 0 and beyond 95 % of random directions of the same norm",
    kind="emergent",
    published=Published(None, "Venhoff, arXiv 2506.18167, as figures"),
)


def claims(study: Study) -> list[Claim]:
    """Rows of Venhoff's claims."""
    return [
        answer(study, STEERS, lambda study, role: own(study, role, study.live, 1.0)),
        answer(study, STOPS, lambda study, role: own(study, role, study.dead, -1.0)),
    ]


def own(study: Study, role: str, kind: str, dose: float) -> Finding:
    """A model's own direction of Venhoff's form in itself."""
    return along_form(study, f"{role}.venhoff", role, kind, dose)
