"""Where a trace of the world decides what to do next, told from its token ids alone."""

from collections.abc import Callable, Mapping


def decision_rule(id_by_word: Mapping[str, int]) -> Callable[[list[int]], bool]:
    """Whether token ids end with the full stop of a comparison, dead end or not: no oracle."""
    compare, with_, stop = (id_by_word[word] for word in ("Compare", "with", "."))

    def is_decision(ids: list[int]) -> bool:
        return len(ids) > 4 and ids[-1] == stop and ids[-5] == compare and ids[-3] == with_

    return is_decision
