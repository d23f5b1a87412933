"""Whether a sentence that a model has just written backtracks, by the labeller of a study."""

from backtracking.labels.learned import LEARNED, Learned
from backtracking.labels.rules import RULES, label_by_rules
from backtracking.records.spans import Ordinal
from lifeboat.stage.errors import UserError


def is_turn(labeller: str, text: str, place: Ordinal) -> bool:
    """Whether the labeller calls the sentence backtracking.

    Args:
        labeller: as `label.primary` names it.
        text: the sentence.
        place: of the sentence that it stands in the place of.

    Raises:
        UserError: for a labeller that reads no sentence while a model runs.
    """
    if labeller == RULES:
        return label_by_rules(text) == "backtracking"
    if labeller == LEARNED:
        return Learned.load().is_backtracking(text, place.number, place.n)
    raise UserError(
        f"Expected a labeller that reads sentences as they are drawn ({RULES}, {LEARNED}), found "
        f"`{labeller}`.",
        "Choose one as `label.primary`; a judge can label the drawn texts afterwards, with "
        "`backtracking label`.",
    )
