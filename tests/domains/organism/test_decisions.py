"""Decision points are told from token ids alone, dead end or not."""

from itertools import accumulate

from written import Written

from backtracking.domains.organism.decisions import decision_rule
from backtracking.domains.organism.grammar import vocabulary


def test_a_decision_is_the_full_stop_of_a_comparison_and_nothing_else(
    written: list[Written],
) -> None:
    id_by_word = {word: index for index, word in enumerate(vocabulary())}
    is_decision = decision_rule(id_by_word)
    for trace in written[:20]:
        ids = [id_by_word[word] for word in trace.words]
        found = [end for end in range(1, len(ids) + 1) if is_decision(ids[:end])]
        ends = list(accumulate(len(sentence) for sentence in trace.sentences))
        compares = zip(trace.sentences, ends, strict=True)
        assert found == [end for sentence, end in compares if sentence[0] == "Compare"]
