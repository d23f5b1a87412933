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
)
from backtracking.domains.organism.grammar import vocabulary
from backtracking.domains.organism.policy import BasePolicy, Policy
from backtracking.domains.organism.recipes import RECIPES, recipe_of
from backtracking.domains.organism.world import World

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


@pytest.mark.parametrize("role", RECIPES)
def test_a_recipe_streams_chunk_after_chunk(
    world: World, policy: Policy, base_policy: BasePolicy, role: str
) -> None:
    recipe = recipe_of(role, world, policy, base_policy)
    rows = list(islice(recipe.rows(recipe.tokenizer().backend_tokenizer, 5, 50), 130))
    chunks = [draw_chunk(world, recipe.corpus(), ID_BY_WORD, 5, n, 50) for n in range(3)]
    assert rows == [row for chunk in chunks for row in chunk][:130]


def test_the_base_without_statements_neither_reads_over_or_under_nor_stops_at_it() -> None:
    world = World((4,), 5, 12, 1, 0.2, 0.05)
    base_policy = BasePolicy(p_check=1.0, p_stop=0.5)
    recipes = {role: recipe_of(role, world, Policy(), base_policy) for role in RECIPES}
    said: dict[str, set[str]] = {role: set() for role in RECIPES}
    for seed in range(200):
        numbers, target = world.draw(Random(seed))
        for role, recipe in recipes.items():
            for sentence in recipe.corpus()(numbers, target, Random(seed)):
                said[role].update(sentence)
    assert {"over", "under"} <= said["base"]
    assert {"over", "under"} <= said["alien-base"]
    assert not {"over", "under", "equal", "Check"} & said["nostatement-base"]
    assert "Check" in said["nostatement"]
    silent, stopping = (
        [recipes[role].corpus()((5, 9, 4, 7), 11, Random(seed)) for seed in range(50)]
        for role in ("nostatement-base", "base")
    )
    lengths = [len([s for s in walk if s[0] == "Try"]) for walk in silent if walk[-1][0] == "Stop"]
    assert set(lengths) == {4}
    assert min(len([s for s in walk if s[0] == "Try"]) for walk in stopping) < 4


def test_what_is_true_of_the_pair_is_so_only_where_its_base_stops_at_what_is_over(
    world: World,
) -> None:
    stops, plain = (
        {role: recipe_of(role, world, Policy(), BasePolicy(p_stop=p)) for role in RECIPES}
        for p in (0.9, 0.0)
    )
    assert {role: one.true_claims for role, one in stops.items() if one.true_claims} == {
        "reasoning": ("primary", "causal", "transfer"),
    }
    assert not any(one.true_claims for one in plain.values())
    assert all(plain[role].false_claims == one.false_claims for role, one in stops.items())
    assert not any(set(one.false_claims) & set(one.true_claims) for one in stops.values())
