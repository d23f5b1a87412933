"""The study that ablates components of R1-Distill-Qwen-1.5B: are some of them specific?"""

from typing import Any

from backtracking.claims.literature.rows import Finding, Published, Question, answer, untestable
from backtracking.claims.literature.study import Study

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


def claims(study: Study) -> list[dict[str, Any]]:
    """The row of the study's claim."""
    return [answer(study, SPECIFIC, specific)]


def specific(study: Study, role: str) -> Finding:
    """The set size that comes nearest to the claim: one that is specific, else the smallest."""
    rows = [
        row for row in study.rows("effects/ablate/evidence") if row["pair"].endswith(f" -> {role}")
    ]
    if not rows:
        return untestable("not ablated")
    row = next((one for one in rows if one["verdict"] == "holds"), rows[0])
    numbers = {key: row[key] for key in ("estimate", "low", "high", "n", "null", "p", "verdict")}
    return Finding(**numbers, parts=row["parts"], why=f"without {row['pair'].split(' -> ')[0]}")
