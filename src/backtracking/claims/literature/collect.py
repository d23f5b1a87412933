"""All claims of claims.json: this study's, then those of others, in the order of their studies."""

from backtracking.claims.family import judge_together
from backtracking.claims.literature import (
    components,
    dynamics,
    ladder,
    own,
    phua,
    premise,
    stability,
    venhoff,
    ward,
)
from backtracking.claims.literature.study import Study
from backtracking.records.rows.claims import Claim

STUDIES = (own, premise, ladder, ward, venhoff, components, dynamics, phua, stability)


def all_claims(study: Study) -> list[Claim]:
    """A row per claim of the pair under study, with every control pair's value beside it.

    Rows of `steer` in the control pairs themselves stand among them: those that must fail or hold
    there are marked. All are judged together: premise, Holm, and the positive control.
    """
    found = [row for module in STUDIES for row in module.claims(study)]
    return judge_together(found, study.studied)
