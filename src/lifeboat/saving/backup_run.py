"""One backup on its way: its time, what is known so far, and what its sides have come to."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from lifeboat.deadlines import Deadline
from lifeboat.git.refs import Pushed
from lifeboat.items import Item
from lifeboat.remotes.bucket import Bucket
from lifeboat.saving.finished import Proof
from lifeboat.saving.unfinished import Kept
from lifeboat.stage.errors import UserError

T = TypeVar("T")

_RESERVE_S = 5.0
"""Kept for the proof and the receipt."""


@dataclass
class Run:
    """One backup on its way.

    Attributes:
        root: the project.
        deadline: when it has to end.
        items: what is known so far.
        content: hash of what git holds of the working tree; empty where it is not known.
        folder: the snapshot.
        pushed: what the git remote has, None where nothing could be pushed.
        bucket: the DVC remote, None where there is none.
        proof: what it has of finished data, None where it did not tell.
        kept: what it has of unfinished work, None where that is not known.
    """

    root: Path
    deadline: Deadline
    items: list[Item] = field(default_factory=list)
    content: str = ""
    folder: Path | None = None
    pushed: Pushed | None = None
    bucket: Bucket | None = None
    proof: Proof | None = None
    kept: Kept | None = None

    @property
    def reserved(self) -> Deadline:
        """The deadline for everything that is not the end."""
        return self.deadline.sooner(min(_RESERVE_S, self.deadline.left / 4))

    def attempt(self, action: Callable[[], T]) -> T | None:
        """What `action` returns; None where it failed, which is noted."""
        try:
            return action()
        except UserError as error:
            self.items.append(Item(str(error), "wrong"))
            return None

    def share(self, part: float) -> Deadline:
        """A part of the time that is left."""
        return self.reserved.at_most(self.reserved.left * part)
