"""What a look at a remote found."""

from dataclasses import dataclass

from lifeboat.proof.comparison import Evidence
from lifeboat.proof.expected import Expected


@dataclass(frozen=True, slots=True)
class Finding:
    """An object that the remote does not hold as it should.

    Attributes:
        oid: its key.
        path: the file that it is, relative to the project; for a folder's list the folder.
        stage: whose it is.
        reason: in words; empty where it is just not there.
        places: where it is expected from: HEAD, the workspace or both.
        bytes: its size in the local cache, if it has an object of that key (not looked into).
        n_more: further paths with the same content.
    """

    oid: str
    path: str
    stage: str
    reason: str
    places: tuple[str, ...]
    bytes: int | None = None
    n_more: int = 0


@dataclass(frozen=True)
class Verified:
    """What a remote was found to hold.

    Attributes:
        url: the remote.
        n_expected: objects, each counted once.
        n_bytes: of those that are there and not wrong.
        by_evidence: number of those by what was compared.
        missing: objects that are not there.
        wrong: objects that are not what their key says.
        expected: what was read from HEAD and the workspace.
        hashes_are_content: whether the store's own hashes count.
    """

    url: str
    n_expected: int
    n_bytes: int
    by_evidence: dict[Evidence, int]
    missing: tuple[Finding, ...]
    wrong: tuple[Finding, ...]
    expected: Expected
    hashes_are_content: bool = True

    @property
    def n_present(self) -> int:
        """Objects that are there and not wrong."""
        return sum(self.by_evidence.values())

    @property
    def is_whole(self) -> bool:
        """Whether something is expected, all of that is known, and all of it is there."""
        is_there = not self.missing and not self.wrong and not self.expected.problems
        return self.n_expected > 0 and is_there
