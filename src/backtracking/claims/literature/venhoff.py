"""Venhoff: a state's vector brings it about (arXiv 2506.18167), in a base too (2510.07364)."""

from backtracking.claims.literature.rows import answer
from backtracking.claims.literature.study import Study
from backtracking.claims.literature.ward import along_form, cell
from backtracking.records.rows.claims import Claim, Finding, Published, Question

STEERS = Question(
    claim="venhoff_steers",
    study="Venhoff, arXiv 2506.18167",
    statement="The vector of the state `backtracking` makes the model backtrack.",
    contrast="change of P(backtrack | {live}) along the model's own direction, dose 1: Venhoff's "
    "form in the pair under study, matched in control pairs",
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

BASE_KNOWS = Question(
    claim="venhoff_base_knows_how",
    study="Venhoff, arXiv 2510.07364",
    statement="The fine-tuned model's vector makes the base backtrack: it knew how, and not when.",
    contrast="change of P(backtrack | {live}) in the base along the model's direction, dose 1",
    threshold="off 0 and beyond 95 % of random directions, where the base's report moves",
    kind="built_in",
    published=Published(None, "Venhoff, arXiv 2510.07364, as recovered accuracy"),
)


def claims(study: Study) -> list[Claim]:
    """Rows of Venhoff's claims."""
    return [
        answer(study, STEERS, lambda study, role: own(study, role, study.live, 1.0)),
        answer(study, STOPS, lambda study, role: own(study, role, study.dead, -1.0)),
        answer(
            study,
            BASE_KNOWS,
            lambda study, role: cell(study, role, study.base_by_role[role], study.live),
        ),
    ]


def own(study: Study, role: str, kind: str, dose: float) -> Finding:
    """A model's own direction in itself."""
    if role in study.controls:
        return cell(study, role, role, kind)
    return along_form(study, f"{role}.venhoff", kind, dose)
