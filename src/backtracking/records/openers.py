"""Which openers count, and how much of backtracking they are: frozen by `steer` on dev problems.

There is no such file where a domain knows what its openers mean.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from backtracking.records import reader

OPENERS = "openers.json"
"""Beside choice.json."""

EVERY = "every"
"""Name of the count of all continuations."""

MIN_SHARE = 0.5
"""Least share of the sentences after an opener that backtrack, for it to be kept."""

MIN_COVERAGE = 0.7
"""Least share of events that the kept openers open, for P(an opener) to stand for them."""

_CURE = "Steer again: `dvc --wait-for-lock repro steer`."


@dataclass(frozen=True)
class OpenerCount:
    """What unsteered continuations at dev decisions did after one opener.

    Attributes:
        name: of the opener.
        n: continuations that begin with it.
        n_turned: of them, those that backtrack.
    """

    name: str
    n: int
    n_turned: int

    @property
    def is_kept(self) -> bool:
        """Whether it opens backtracking at least as often as not."""
        return self.n > 0 and self.n_turned >= MIN_SHARE * self.n


@dataclass(frozen=True)
class Openers:
    """The frozen openers.

    Attributes:
        role: the model that wrote the continuations.
        labeller: by which it was told what backtracks.
        n_decisions, n, n_turned: decisions, continuations, and those that backtrack.
        counts: of every candidate.
        kept: names of those that count.
        coverage: share of the continuations that backtrack which a kept one opens; None without
            any that does.
    """

    role: str
    labeller: str
    n_decisions: int
    n: int
    n_turned: int
    counts: tuple[OpenerCount, ...]
    kept: tuple[str, ...]
    coverage: float | None

    @property
    def is_usable(self) -> bool:
        """Whether P(an opener) may stand for P(backtracking)."""
        return self.coverage is not None and self.coverage >= MIN_COVERAGE


def freeze(
    role: str,
    labeller: str,
    n_decisions: int,
    names: Sequence[str],
    parts: Sequence[Sequence[OpenerCount]],
) -> Openers:
    """The openers that are kept, and what they cover.

    Args:
        role, labeller, n_decisions: as in `Openers`.
        names: of the candidates.
        parts: counts at some of the decisions each, with one of `EVERY`.
    """
    found = {
        name: OpenerCount(
            name,
            sum(one.n for part in parts for one in part if one.name == name),
            sum(one.n_turned for part in parts for one in part if one.name == name),
        )
        for name in (EVERY, *names)
    }
    every = found.pop(EVERY)
    kept = [one for one in found.values() if one.is_kept]
    covered = sum(one.n_turned for one in kept)
    return Openers(
        role=role,
        labeller=labeller,
        n_decisions=n_decisions,
        n=every.n,
        n_turned=every.n_turned,
        counts=tuple(found.values()),
        kept=tuple(one.name for one in kept),
        coverage=covered / every.n_turned if every.n_turned else None,
    )


def write_openers(folder: Path, openers: Openers) -> None:
    """Writes the file."""
    reader.write_json(folder / OPENERS, openers)


def read_openers(folder: Path) -> Openers | None:
    """The frozen openers; None where nothing had to be frozen.

    Raises:
        UserError: where the file is another one.
    """
    path = folder / OPENERS
    return reader.read_json(Openers, path, _CURE) if path.is_file() else None
