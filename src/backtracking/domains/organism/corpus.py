"""Training rows: whole traces as token ids, drawn chunk by chunk from a seed.

A chunk depends on its number alone, so that a run taken up again after a kill reads the same rows.
A trace longer than the context is cut, not dropped: dropping it would teach a policy that is better
than the one that wrote it.
"""

from collections.abc import Callable
from random import Random

from backtracking.domains.organism.policy import (
    BasePolicy,
    Policy,
    Sentence,
    Writer,
    write_prompt,
    write_walk,
)
from backtracking.domains.organism.world import World
from backtracking.models.rows import CHUNK, Row

Corpus = Callable[[tuple[int, ...], int, Random], list[Sentence]]


def search_corpus(policy: Policy, shuffled: bool = False) -> Corpus:
    """Traces of the search policy, or of its shuffled twin."""

    def write(numbers: tuple[int, ...], target: int, random: Random) -> list[Sentence]:
        return Writer(numbers, target, policy, random, shuffled).write()

    return write


def base_corpus(policy: BasePolicy) -> Corpus:
    """Walks of the base's corpus."""
    return lambda numbers, target, random: write_walk(numbers, target, policy, random)


def draw_chunk(
    world: World, corpus: Corpus, id_by_word: dict[str, int], seed: int, chunk: int, context: int
) -> list[Row]:
    """The rows of one chunk, never with a problem of the study or a held-out pair."""

    random = Random(f"{seed}/{chunk}")
    rows: list[Row] = []
    while len(rows) < CHUNK:
        numbers, target = world.draw(random)
        if world.is_study(numbers, target):
            continue
        sentences = corpus(numbers, target, random)
        if world.compares_held_out_pair(sentences):
            continue
        prompt = [word for words in write_prompt(numbers, target) for word in words]
        words = [word for words in sentences for word in words]
        ids = [id_by_word[word] for word in ("<s>", *prompt, *words, "</s>")]
        rows.append(Row(ids[:context], len(prompt) + 1))
    return rows
