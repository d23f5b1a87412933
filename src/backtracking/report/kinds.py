"""The part of docs/reliability.md on kinds of trouble: what was tried of each, and what happened.

Tests that bear the marker `kind` leave what they saw in logs/kinds.json (tests/conftest.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from backtracking.records import reader
from backtracking.report.words import markdown
from lifeboat.stage import artifacts

SEEN, KEPT = "logs/kinds.json", "docs/kinds.json"

SHOWN = 12
"""Members that are named; of more, the number is given."""

KINDS: dict[int, tuple[str, str]] = {
    1: (
        "Saved means more than what `git status` shows",
        "The files that are there are walked and compared with the tree of the commit that the "
        "remote shows; each difference is named with its reason.",
    ),
    2: (
        "One path stops all code",
        "What git cannot take is left out by name, and everything else goes.",
    ),
    3: (
        "An error that nobody expected",
        "Any exception in a step leaves the other steps to run and ends in a sentence; so does "
        "any in a verb or a stage. The traceback stands in `logs/`.",
    ),
    4: (
        "File systems that refuse",
        "What a folder can do is tried there once, any refusal has a way around it, and `doctor` "
        "says what it costs.",
    ),
    5: (
        "Present is not readable, and a hash is not always a hash",
        "One judge decides for every caller whether an object is there, readable and right.",
    ),
    6: (
        "What a sample cannot see",
        "Ruled out by rule: batches keep to one formula, state that a pass leaves behind is "
        "undone or refused, and nothing that is not finite is stored.",
    ),
    7: (
        "A refusal before the question",
        "Nothing is demanded that is not needed, and the true cause is named.",
    ),
    8: (
        "The right exit code, and no way out",
        "What git, the store or the driver said reaches the user, with a cure.",
    ),
}
"""Title of each kind, and the mechanism that makes it impossible or tells it."""


@dataclass(frozen=True)
class Tried:
    """What one test of a kind saw.

    Attributes:
        kind: number of the kind.
        says: what happens, in words: the name of the test.
        member: of the family, empty where there is one.
        passed: whether it is so.
    """

    kind: int
    says: str
    member: str
    passed: bool


def render(tried: Sequence[Tried]) -> str:
    """The kinds, each with its mechanism and a table of what was tried."""
    told = [_kind(number, [one for one in tried if one.kind == number]) for number in KINDS]
    n = len({(one.kind, one.says) for one in tried})
    return (
        "# Kinds of trouble\n\n"
        "Taken from public reports of people who do this job, and members of the same kinds that "
        f"were not in them: {n} statements, {len(tried)} members, "
        f"{sum(one.passed for one in tried)} as stated.\n\n" + "\n".join(told)
    )


def read(path: Path) -> list[Tried]:
    """What the tests saw.

    Raises:
        UserError: for a row that lacks a column.
    """
    return reader.read_list(Tried, path, "Run `make reliability`.")


def take_in(root: Path) -> None:
    """Keeps what the tests of kinds saw, where they have run."""
    if (root / SEEN).is_file():
        rows = artifacts.read_json(root / SEEN)
        kept = sorted(rows.values(), key=lambda row: (row["kind"], row["says"], row["member"]))
        artifacts.write_json(root / KEPT, kept)


def _kind(number: int, tried: Sequence[Tried]) -> str:
    title, mechanism = KINDS[number]
    by_statement = groupby(sorted(tried, key=_statement), key=_statement)
    rows = [_row(says, list(group)) for says, group in by_statement]
    table = markdown(["What happens", "Members tried", "As stated"], rows) if rows else "Nothing."
    return f"## {number}. {title}\n\n{mechanism}\n\n{table}\n"


def _statement(tried: Tried) -> str:
    return tried.says


def _row(says: str, group: Sequence[Tried]) -> list[str]:
    members = [one.member for one in group if one.member]
    more = f" and {len(members) - SHOWN} more" if len(members) > SHOWN else ""
    named = ", ".join(f"`{one}`" for one in members[:SHOWN])
    passed = sum(one.passed for one in group)
    return [says, named + more, f"{passed} of {len(group)}"]
