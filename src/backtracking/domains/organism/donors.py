"""Minimal pairs: the same tokens under another target, so that a live point becomes a dead end.

At a live decision point of a trace the target T is replaced everywhere, in the prompt as in every
sentence that names it, by a T' well below the total reached. No earlier comparison comes out
otherwise, so all that was written before stays right, and only the last comparison now says "over".
"""

from collections.abc import Iterator, Mapping, Sequence
from random import Random

from backtracking.domains.organism.policy import compare
from backtracking.domains.organism.states import Reading, Replay
from backtracking.records.pairs import FollowUp, MinimalPair
from backtracking.records.traces import Trace

MARGIN = 3
"""How far the donor's target lies below the total, at least."""

LOWEST_TARGET = 3
"""The smallest sum of two distinct numbers: no problem of the world has a lower target."""

LIVE = ("alive", "doomed")
"""Still under the target with numbers left, whether or not some of them complete the sum."""

_TARGET_OFFSET = {"goal": 1, "target": 1, "compare": 3}


def find_pairs(
    trace: Trace, id_by_word: Mapping[str, int], random: Random
) -> Iterator[MinimalPair]:
    """Live decision points of a trace that have a donor, and those that are over, which have none.

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
            end = first + reading.end
            donor_ids, changed = trace.ids[:end], slots.copy() if donor else []
            for slot in changed:
                donor_ids[slot] = id_by_word[str(donor)]
            yield MinimalPair(
                pair_id=f"{trace.trace_id}@{end - 1}",
                trace_id=trace.trace_id,
                problem_id=trace.problem_id,
                split=trace.split,
                kind=reading.kind,
                donor_kind="over" if donor else None,
                n_prompt=first,
                clean_ids=trace.ids[:end],
                donor_ids=donor_ids if donor else [],
                changed=changed,
                follow_ups=_follow_ups(reading, (target, donor), left, id_by_word) if donor else [],
            )
        earlier.append(reading.true_total)


def legal_targets(total: int, target: int, earlier: Sequence[int]) -> list[int]:
    """Targets under which `total` is over by `MARGIN`, and no earlier total stands otherwise."""
    return [
        other
        for other in range(LOWEST_TARGET, min(total - MARGIN, target - 1) + 1)
        if all(compare(one, other) == compare(one, target) for one in earlier)
    ]


def _read_prompt(words: Sequence[str]) -> tuple[tuple[int, ...], int, int]:
    """Numbers, target and the target's position in a prompt."""
    first, at = words.index("Numbers"), words.index("Target") + 1
    numbers = tuple(int(word) for word in words[first + 1 : words.index(".", first)])
    return numbers, int(words[at]), at


def _follow_ups(
    reading: Reading, targets: Sequence[int], left: Sequence[int], id_by_word: Mapping[str, int]
) -> list[FollowUp]:
    """The claim "too big" against "nothing left", and along a return the parent and a number."""
    total, parent = reading.true_total, reading.parent
    clean, donor = (_continuation(total, parent, target, left) for target in targets)
    both = ([id_by_word[word] for word in clean], [id_by_word[word] for word in donor])
    legal = [id_by_word[str(number)] for number in left]
    return [
        FollowUp("claim", *both, 1, [id_by_word[str(total)]], [id_by_word["nothing"]]),
        FollowUp("parent", *both, clean.index("on"), [id_by_word[str(parent)]], []),
        FollowUp("legal", *both, len(clean) - 1, legal, []),
    ]


def _continuation(total: int, parent: int, target: int, left: Sequence[int]) -> list[str]:
    rest = " ".join(map(str, left)) or "none"
    return (
        f"Wait , {total} is too big . Undo {total - parent} on {parent} . Left {rest} . "
        f"Compare {parent} with {target} . Try"
    ).split()
