"""The domain of a study, by its name in params.yaml."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backtracking.domains.domain import Domain
from backtracking.runtime import params as parameters
from lifeboat.stage.errors import UserError

NAMES = ("organism", "mute", "countdown", "questions")


def open_domain(params: Path) -> Domain:
    """The domain that `domain.name` of a parameter file names.

    A new one is an arm here, with its import inside, so that no study imports another's domain.

    Raises:
        UserError: for an unknown name, or for a parameter of the domain that is missing or wrong.
    """
    match parameters.load_value(str, "domain.name", params):
        case "organism":
            from backtracking.domains.organism.organism import Organism

            return Organism.load(params)
        case "mute":
            from backtracking.domains.sets.lines import Lines

            return Lines.load(params)
        case "countdown":
            from backtracking.domains.countdown.countdown import Countdown

            return Countdown.load(params)
        case "questions":
            from backtracking.domains.sets.questions import Questions

            return Questions.load(params)
        case name:
            raise UserError(
                f"{params.name}, section `domain`: expected a domain, found `{name}`.",
                f"The domains are {', '.join(NAMES)}.",
            )


def is_exact(values: Mapping[str, Any]) -> bool:
    """Whether ids alone tell what follows a decision, so that P(backtrack) is read exactly.

    Args:
        values: of params.yaml. Nothing is opened: data need not be there yet.
    """
    written = (
        values["domain"]["name"] == "countdown" and values["countdown"]["language"] == "written"
    )
    return written or values["domain"]["name"] == "organism"
