"""Models of the hub have to be pinned: by which commit, and what is refused where one is not."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backtracking.runtime import params, profile
from lifeboat.stage import artifacts
from lifeboat.stage.errors import UserError

COMMIT = re.compile(r"[0-9a-f]{40}")
_HUB_ID = re.compile(r"\w[\w.-]*/[\w.-]+")
_OURS = ("models", "data")
"""First parts of sources that are folders of this project, there or not."""


@dataclass(frozen=True)
class Hosted:
    """A model that comes from the hub.

    Attributes:
        role: its role in the study.
        source: its id.
        revision: as params.yaml has it; None where that is still to be filled.
    """

    role: str
    source: str
    revision: str | None

    @property
    def is_pinned(self) -> bool:
        """Whether its revision is a whole commit, and so means the same for everybody."""
        return self.revision is not None and bool(COMMIT.fullmatch(self.revision))


def hosted(path: Path) -> list[Hosted]:
    """The models of a parameter file that come from the hub, by role.

    Raises:
        UserError: where it cannot be read.
    """
    found = params.read(path)
    models, weights = found.get("models"), found.get("weights")
    roles = models.get("roles") if isinstance(models, dict) else None
    sections = weights if isinstance(weights, dict) else {}
    rows = ((role, sections.get(role)) for role in roles or ())
    return [
        Hosted(str(role), str(row["source"]), _text(row.get("revision")))
        for role, row in rows
        if isinstance(row, dict) and _is_hub_id(row.get("source"), path.parent)
    ]


def require(path: Path) -> None:
    """Refuses a study that names models of the hub without their commits.

    Raises:
        UserError: naming them all, with what to do.
    """
    loose = [one for one in hosted(path) if not one.is_pinned]
    if loose:
        raise UserError(
            f"{path.name}: {told(loose)}.",
            "Pin the commit, so that others get the same: `backtracking profile pin` asks the hub "
            "and fills it in, or write its 40 digits there.",
        )


def told(models: list[Hosted]) -> str:
    """What models lack, in words."""
    return "; ".join(f"`weights.{one.role}`: {one.source} {_lack(one)}" for one in models)


def _lack(model: Hosted) -> str:
    if model.revision is None:
        return "has no `revision`"
    return f"has the `revision` {model.revision}, which is no whole commit"


def fill(path: Path, commit_by_role: dict[str, str]) -> None:
    """Writes the commits of models into a parameter file, comments and order kept."""
    write(
        path, {"weights": {role: {"revision": commit} for role, commit in commit_by_role.items()}}
    )


def write(path: Path, answers: dict[str, Any]) -> None:
    """Writes what the hub answered, nested as the file is, comments and order kept."""
    text, _ = profile.merged(path.read_text(), answers, "the hub's answers")
    artifacts.write_text(path, text)


def _is_hub_id(source: object, root: Path) -> bool:
    """Whether a source is an id of the hub, and not a folder or a file."""
    if not isinstance(source, str) or not _HUB_ID.fullmatch(source) or source.endswith(".gguf"):
        return False
    return source.split("/")[0] not in _OURS and not (root / source).exists()


def _text(value: object) -> str | None:
    return None if value is None else str(value)
