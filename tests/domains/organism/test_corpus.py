"""Training rows: nothing held out is in them, and a chunk depends on its number alone."""

from itertools import islice
from random import Random

import pytest

from backtracking.domains.organism import corpus
from backtracking.domains.organism.corpus import (
    Corpus,
    base_corpus,
    draw_chunk,
    search_corpus,
    stream_batches,
)
from backtracking.domains.organism.grammar import vocabulary
from backtracking.domains.organism.policy import BasePolicy, Policy
from backtracking.domains.organism.world import World
from backtracking.models.training import IGNORED, Row, batch_rows, to_tensors

WORDS = ["<pad>", "<s>", "</s>", "<unk>", *vocabulary()]
ID_BY_WORD = {word: index for index, word in enumerate(WORDS)}


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "CHUNK", 60)


def draw(world: World, written_by: Corpus, chunk: int = 0, context: int = 2000) -> list[list[str]]:
    rows = draw_chunk(world, written_by, ID_BY_WORD, 5, chunk, context)
    return [[WORDS[token] for token in row.ids] for row in rows]


@pytest.mark.parametrize("kind", ["reasoning", "shuffled", "base"])
def test_no_row_has_a_study_problem_a_held_out_pair_or_a_held_out_size(
    world: World, policy: Policy, base_policy: BasePolicy, kind: str
) -> None:
    by_kind = {
        "reasoning": search_corpus(policy),
        "shuffled": search_corpus(policy, shuffled=True),
        "base": base_corpus(base_policy),
    }
    for words in draw(world, by_kind[kind]):
        end = words.index("Target")
        numbers, target = tuple(map(int, words[2 : end - 1])), int(words[end + 1])
        assert len(numbers) in world.sizes and len(numbers) != world.held_out_size
        assert not world.is_study(numbers, target)
        compared = [
            (int(words[at + 1]), int(words[at + 3]))
            for at, word in enumerate(words)
            if word == "Compare"
        ]
        assert compared
        assert not any(world.is_held_out_pair(*pair) for pair in compared)


def test_every_row_is_whole_or_cut_at_the_context_and_never_dropped(
    world: World, policy: Policy
) -> None:
    whole = draw(world, search_corpus(policy))
    cut = draw(world, search_corpus(policy), context=100)
    assert all(row[0] == "<s>" and row[-1] == "</s>" for row in whole)
    assert cut == [row[:100] for row in whole]


def test_a_chunk_depends_on_its_number_alone(world: World, policy: Policy) -> None:
    write = search_corpus(policy)
    assert draw(world, write, chunk=3) == draw(world, write, chunk=3)
    assert draw(world, write, chunk=3) != draw(world, write, chunk=4)


def test_batches_hold_every_row_once_within_their_size() -> None:
    rows = [Row(list(range(n)), 1) for n in Random(0).choices(range(5, 90), k=100)]
    batches = batch_rows(rows, 300, Random(1))
    assert sorted(len(row.ids) for batch in batches for row in batch) == sorted(
        len(row.ids) for row in rows
    )
    assert all(len(batch) * max(len(row.ids) for row in batch) <= 300 for batch in batches)


def test_the_stream_of_batches_is_the_same_again(world: World, base_policy: BasePolicy) -> None:
    def first() -> list[list[Row]]:
        write = base_corpus(base_policy)
        return list(islice(stream_batches(world, write, ID_BY_WORD, 7, 128, 1024), 12))

    assert first() == first()


def test_targets_are_the_next_tokens_after_the_prompt_and_no_padding() -> None:
    ids, targets = to_tensors([Row([1, 5, 6, 7, 2], 3), Row([1, 5, 8, 2], 2)])
    assert ids.tolist() == [[1, 5, 6, 7, 2], [1, 5, 8, 2, 0]]
    no = IGNORED
    assert targets.tolist() == [[no, no, 7, 2, no], [no, 8, 2, no, no]]
