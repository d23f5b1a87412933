"""What a verb found: facts, each with a verdict and, where it is not fine, what to do."""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from lifeboat.stage.errors import as_sentence

Verdict = Literal["ok", "warning", "wrong"]


@dataclass(frozen=True)
class Item:
    """One fact that was looked at, not assumed.

    Attributes:
        fact: a true sentence about this machine or this study.
        verdict: `ok`; `warning`, which stops nothing; `wrong`, which makes the verb fail.
        cure: what to do, empty where nothing needs doing.
    """

    fact: str
    verdict: Verdict = "ok"
    cure: str = ""

    def __post_init__(self) -> None:
        """Whatever is told can be printed, names of files that are no text among it, and a fact
        that a cure follows ends as a sentence, whatever words of others it ends with.
        """
        told = as_sentence(self.fact) if self.cure else self.fact
        object.__setattr__(self, "fact", printable(told))
        object.__setattr__(self, "cure", printable(self.cure))


def printable(text: str) -> str:
    """Text in which the bytes of a name that are none stand as `\\xe9`."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def proven(items: Iterable[Item]) -> bool:
    """Whether nothing is wrong."""
    return all(item.verdict != "wrong" for item in items)


def ending(items: Iterable[Item]) -> Item:
    """The last line of a backup: whether it is safe to go."""
    n = sum(item.verdict == "wrong" for item in items)
    if not n:
        return Item("ALL IS SAVED: what this backup is for is proven to be elsewhere.")
    lines = "the line above that says" if n == 1 else f"the {n} lines above that say"
    return Item(f"NOT ALL IS SAVED: see {lines} WRONG.", "wrong")


def as_object(command: str, items: list[Item]) -> dict[str, Any]:
    """The one JSON object that `--json` prints."""
    return {
        "ok": proven(items),
        "command": command,
        "items": [dataclasses.asdict(item) for item in items],
    }


def counted(n: int, one: str, many: str = "") -> str:
    """A number of things in words: 1 file, 2 files."""
    return f"{n} {one if n == 1 else many or f'{one}s'}"


def some(names: Sequence[str], most: int = 3) -> str:
    """The first of some names, and whether there are more."""
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def megabytes(n_bytes: int) -> str:
    """A size in words."""
    return f"{n_bytes / 1e6:.1f} MB"
