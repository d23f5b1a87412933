"""Minimal pairs: the same tokens under another target, so that a live point becomes a dead end.

At a live decision point of a trace the target T is replaced everywhere, in the prompt as in every
sentence that names it, by a T' well below the total reached. No earlier comparison comes out
otherwise, so all that was written before stays right, and only the last comparison now says "over".
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from backtracking.domains.organism.policy import compare
from backtracking.domains.organism.states import Reading, Replay
from backtracking.records.traces import Trace

MARGIN = 3
"""How far the donor's target lies below the total, at least."""

LOWEST_TARGET = 3
"""The smallest sum of two distinct numbers: no problem of the world has a lower target."""

LIVE = ("alive", "doomed")
"""Still under the target with numbers left, whether or not some of them complete the sum."""

_TARGET_OFFSET = {"goal": 1, "target": 1, "compare": 3}


@dataclass(frozen=True)
class Item:
    """A decision point, as token ids, with what can be asked after it.

    Attributes:
        item_id: `<trace_id>@<position>`.
        trace_id, problem_id, split: where it comes from.
        kind: true kind of the point: `alive` or `doomed`, which have a donor, or `over`, which has
            none.
        n_prompt: how many of the tokens are the prompt.
        clean_ids: all tokens up to the deciding full stop.
        donor_ids: the same under the donor's target; empty where there is none.
        changed: positions at which the two differ.
        total, target: numbers of the last comparison.
        donor_target: the target of the donor; None where there is none.
        continuation_ids: a whole return to the parent that claims "too big", from "Wait" to the
            next "Try"; empty where there is no donor, as are the two lists below.
        donor_continuation_ids: the same under the donor's target.
        legal_ids: numbers that may be tried after the continuation.
        claim_id: the token of the total, with which "Wait ," goes on to the claim "is too big".
        parent_id: the parent's total, which is right after "Undo n on".
        parent_at: index in the continuation of the word before it.
    """

    item_id: str
    trace_id: str
    problem_id: str
    split: str
    kind: str
    n_prompt: int
    clean_ids: list[int]
    donor_ids: list[int]
    changed: list[int]
    total: int
    target: int
    donor_target: int | None
    continuation_ids: list[int]
    donor_continuation_ids: list[int]
    legal_ids: list[int]
    claim_id: int
    parent_id: int
    parent_at: int


def collect(traces: Iterable[Trace], id_by_word: Mapping[str, int], seed: int) -> list[Item]:
    """The items of all traces; of those with the same tokens, as samples begin alike, the first."""
    found: dict[tuple[int, ...], Item] = {}
    for trace in traces:
        for item in find_items(trace, id_by_word, Random(f"{seed}/{trace.trace_id}")):
            found.setdefault(tuple(item.clean_ids), item)
    return list(found.values())


def find_items(trace: Trace, id_by_word: Mapping[str, int], random: Random) -> Iterator[Item]:
    """Live decision points of a trace that have a donor, and those that are over.

    A point counts only where every sentence up to it is right: what follows an error of the writer
    is neither clean nor known.

    Args:
        trace: prompt and generated tokens of the world.
        id_by_word: the vocabulary, one token a word.
        random: draws one of the legal targets of each donor.
    """
    word_by_id = {number: word for word, number in id_by_word.items()}
    words = [word_by_id[token] for token in trace.ids]
    first = len(trace.prompt_ids)
    numbers, target, at = _read_prompt(words[:first])
    slots, earlier, left = [at], [], list(numbers)
    for reading in Replay(numbers, target).read(words[first:]):
        if reading.form is None or not reading.valid:
            return
        if reading.form.name == "left":
            left = list(reading.form.numbers)
        if reading.form.name in _TARGET_OFFSET:
            slots.append(first + reading.start + _TARGET_OFFSET[reading.form.name])
        if reading.form.name != "compare":
            continue
        legal = legal_targets(reading.true_total, target, earlier)
        donor = random.choice(legal) if reading.kind in LIVE and legal else None
        if reading.depth and (donor or reading.kind == "over"):
            point = _Point(words[: first + reading.end], slots.copy(), reading, target, donor, left)
            yield _item(trace, point, id_by_word)
        earlier.append(reading.true_total)


def legal_targets(total: int, target: int, earlier: Sequence[int]) -> list[int]:
    """Targets under which `total` is over by `MARGIN`, and no earlier total stands otherwise."""
    return [
        other
        for other in range(LOWEST_TARGET, min(total - MARGIN, target - 1) + 1)
        if all(compare(one, other) == compare(one, target) for one in earlier)
    ]


def spread(items: Sequence[Item], n: int) -> list[Item]:
    """At most `n` items, as evenly over problems as can be, in the order they were given in."""
    rank: dict[str, int] = {}
    ranked = []
    for number, item in enumerate(items):
        rank[item.problem_id] = rank.get(item.problem_id, -1) + 1
        ranked.append((rank[item.problem_id], number))
    return [items[number] for number in sorted(number for _, number in sorted(ranked)[:n])]


@dataclass(frozen=True)
class _Point:
    """A decision point in words: its prefix, where the target stands, and what is known of it."""

    words: list[str]
    slots: list[int]
    reading: Reading
    target: int
    donor_target: int | None
    left: list[int]


def _read_prompt(words: Sequence[str]) -> tuple[tuple[int, ...], int, int]:
    """Numbers, target and the target's position in a prompt."""
    first, at = words.index("Numbers"), words.index("Target") + 1
    numbers = tuple(int(word) for word in words[first + 1 : words.index(".", first)])
    return numbers, int(words[at]), at


def _item(trace: Trace, point: _Point, id_by_word: Mapping[str, int]) -> Item:
    donor, changed = point.donor_target, []
    words = list(point.words)
    for slot in point.slots if donor else []:
        words[slot] = str(donor)
        changed.append(slot)
    total, parent = point.reading.true_total, point.reading.parent
    goes_on, other = (
        _continuation(total, parent, target, point.left)
        for target in (point.target, donor or point.target)
    )

    def ids(these: Sequence[str]) -> list[int]:
        return [id_by_word[word] for word in these]

    return Item(
        item_id=f"{trace.trace_id}@{len(words) - 1}",
        trace_id=trace.trace_id,
        problem_id=trace.problem_id,
        split=trace.split,
        kind=point.reading.kind,
        n_prompt=len(trace.prompt_ids),
        clean_ids=ids(point.words),
        donor_ids=ids(words) if donor else [],
        changed=changed,
        total=total,
        target=point.target,
        donor_target=donor,
        continuation_ids=ids(goes_on) if donor else [],
        donor_continuation_ids=ids(other) if donor else [],
        legal_ids=ids([str(number) for number in point.left]) if donor else [],
        claim_id=id_by_word[str(total)],
        parent_id=id_by_word[str(parent)],
        parent_at=goes_on.index("on"),
    )


def _continuation(total: int, parent: int, target: int, left: Sequence[int]) -> list[str]:
    rest = " ".join(map(str, left)) or "none"
    return (
        f"Wait , {total} is too big . Undo {total - parent} on {parent} . Left {rest} . "
        f"Compare {parent} with {target} . Try"
    ).split()
