"""All claims of claims.json: this study's, then those of others, in the order of their studies."""

from backtracking.claims.literature import (
    components,
    dynamics,
    ladder,
    own,
    phua,
    stability,
    venhoff,
    ward,
)
from backtracking.claims.literature.study import Study
from backtracking.records.rows.claims import Claim

STUDIES = (own, ladder, ward, venhoff, components, dynamics, phua, stability)


def all_claims(study: Study) -> list[Claim]:
    """A row per claim of the pair under study, with every control pair's value beside it.

    Rows of `steer` in the control pairs themselves stand among them: those that must fail there
    are marked.
    """
    return [row for module in STUDIES for row in module.claims(study)]
