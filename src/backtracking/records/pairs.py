"""Minimal pairs: the same tokens but for a few, so that a decision point is another one.

How the three readouts of belief are asked of a pair, with the words of tokens.json:

- A, does it act: log-odds of `Tokens.marker` at the last of `clean_ids`.
- B, what it reports: after question `report`, log-odds of its `yes` against its `no`.
- C, does it follow: the follow-up `claim`, which has a right and a wrong answer and is read as
  log-odds of the one against the other, behind its ids up to `at`. A domain may name others, with
  right answers alone, whose probability tells whether the search goes on rightly from there.

A follow-up is patched from the donor's run along `donor_ids`. A pair without a donor is a point
that has none, and is not asked.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from backtracking.records import reader

_CURE = "Label the traces again: `dvc --wait-for-lock repro label`."


@dataclass(frozen=True)
class FollowUp:
    """What is appended to a pair, and what should come then.

    Attributes:
        name: of the question.
        clean_ids: what is appended to the clean tokens.
        donor_ids: what is appended to the donor's, as many.
        at: index in them of the token after which the answer is read.
        right_ids: first tokens of right answers.
        wrong_ids: first tokens of the answers that they are held against; empty where against all.
    """

    name: str
    clean_ids: list[int]
    donor_ids: list[int]
    at: int
    right_ids: list[int]
    wrong_ids: list[int]

    def __post_init__(self) -> None:
        if len(self.clean_ids) != len(self.donor_ids):
            raise ValueError("`clean_ids` and `donor_ids` must be as many.")
        if not 0 <= self.at < len(self.clean_ids) or not self.right_ids:
            raise ValueError("`at` must be an index of `clean_ids`, and `right_ids` not be empty.")


@dataclass(frozen=True)
class MinimalPair:
    """A decision point and its donor, the same tokens but for `changed`; both end where it decides.

    Attributes:
        pair_id: `<trace_id>@<position of the deciding token>`.
        trace_id, problem_id, split: where the point is.
        kind: of the point.
        donor_kind: of the donor's; None for a point that is asked alone, which has no donor.
        n_prompt: how many of the tokens are the prompt.
        clean_ids: all tokens up to the deciding one.
        donor_ids: the same, as the donor has them; empty where there is none.
        changed: positions at which the two differ.
        follow_ups: what is asked along a continuation.
    """

    pair_id: str
    trace_id: str
    problem_id: str
    split: str
    kind: str
    donor_kind: str | None
    n_prompt: int
    clean_ids: list[int]
    donor_ids: list[int]
    changed: list[int]
    follow_ups: list[FollowUp]

    def __post_init__(self) -> None:
        if (self.donor_kind is None) != (not self.donor_ids):
            raise ValueError("`donor_kind` and `donor_ids` belong together.")
        if self.donor_ids:
            both = zip(self.clean_ids, self.donor_ids, strict=True)
            if [at for at, (one, other) in enumerate(both) if one != other] != self.changed:
                raise ValueError("`changed` must be where the tokens differ.")

    def follow_up(self, name: str) -> FollowUp | None:
        """A follow-up by its name; None where the pair has none."""
        return next((one for one in self.follow_ups if one.name == name), None)


def distinct(pairs: Iterable[MinimalPair]) -> list[MinimalPair]:
    """Of the pairs with the same clean tokens, as samples begin alike, the first."""
    found: dict[tuple[int, ...], MinimalPair] = {}
    for pair in pairs:
        found.setdefault(tuple(pair.clean_ids), pair)
    return list(found.values())


def spread(pairs: Sequence[MinimalPair], n: int) -> list[MinimalPair]:
    """At most `n` pairs, as evenly over problems as can be, in the order they were given in."""
    rank: dict[str, int] = {}
    ranked = []
    for number, pair in enumerate(pairs):
        rank[pair.problem_id] = rank.get(pair.problem_id, -1) + 1
        ranked.append((rank[pair.problem_id], number))
    return [pairs[number] for number in sorted(number for _, number in sorted(ranked)[:n])]


def write_pairs(path: Path, pairs: Iterable[MinimalPair]) -> None:
    """Writes pairs as JSON Lines."""
    reader.write_lines(path, pairs)


def read_pairs(path: Path) -> list[MinimalPair] | None:
    """The pairs of a file; None where there is none, since the domain makes no pairs.

    Raises:
        UserError: for a broken record, with file, line and key.
    """
    return reader.read_lines(MinimalPair, path, _CURE) if path.exists() else None
