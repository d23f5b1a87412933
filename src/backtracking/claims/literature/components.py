"""The study that ablates components of R1-Distill-Qwen-1.5B: are some of them specific?"""

from backtracking.claims.literature.rows import answer, untestable
from backtracking.claims.literature.study import Study
from backtracking.records.rows.claims import Claim, Finding, Published, Question
from backtracking.records.rows.components import Specific

SPECIFIC = Question(
    claim="components_specific",
    study="component ablation, R1-Distill-Qwen-1.5B on GSM8K",
    statement="A few components write backtracking, and the model goes on without them.",
    contrast="backtracking sentences per sentence in whole generations: without the first "
    "components of the ranking made on dev - whole",
    threshold="below 0 and below every random set; solved problems and valid sentences kept",
    kind="emergent",
    published=Published(
        -0.652,
        "backtracking in 68 % of samples, 2.8 % without 12 components; solved 20 %, then 1 %, as "
        "without random ones: the study's own numbers make it unspecific",
        comparable=False,
    ),
)


def claims(study: Study) -> list[Claim]:
    """The row of the study's claim."""
    return [answer(study, SPECIFIC, specific)]


def specific(study: Study, role: str) -> Finding:
    """The set size that comes nearest to the claim: one that is specific, else the smallest."""
    rows = [one for one in study.rows(Specific) if one.target == role]
    if not rows:
        return untestable("not ablated")
    row = next((one for one in rows if one.evidence.finding.verdict == "holds"), rows[0])
    return row.evidence.finding
