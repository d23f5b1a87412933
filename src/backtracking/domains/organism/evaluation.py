"""What a base knows of the world that it was taught, on problems that nobody trained on."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from random import Random

import torch

from backtracking.domains.organism.policy import BasePolicy, compare, write_prompt, write_walk
from backtracking.domains.organism.world import World
from backtracking.models.loading import LoadedModel
from backtracking.records.grades import Observation

WALKS_PER_PART = 50


@dataclass(frozen=True)
class Walk:
    """A walk up to a comparison whose total and target nobody trained on, and the report's colon.

    Attributes:
        problem_id: numbers and target.
        words: all of them, prompt first.
        report: what comes next, if it is right.
    """

    problem_id: str
    words: tuple[str, ...]
    report: str


def parts(
    loaded: LoadedModel, world: World, policy: BasePolicy, n_reports: int, random: Random
) -> list[partial[list[Observation]]]:
    """The base's sums, and its reports over or under; parts depend on no other."""
    walks = draw_walks(world, policy, n_reports, random)
    return [
        partial(observe, loaded, walks[first : first + WALKS_PER_PART])
        for first in range(0, n_reports, WALKS_PER_PART)
    ]


def draw_walks(world: World, policy: BasePolicy, n: int, random: Random) -> list[Walk]:
    """The first n comparisons of held-out pairs in walks of the study's problems."""
    found: list[Walk] = []
    while len(found) < n:
        numbers, target = world.draw(random)
        if not world.is_study(numbers, target):
            continue
        words = ["<s>", *(word for words in write_prompt(numbers, target) for word in words)]
        for sentence in write_walk(numbers, target, policy, random):
            words += sentence
            if sentence[0] != "Compare" or int(sentence[1]) == target:
                continue
            if world.is_held_out_pair(int(sentence[1]), target):
                report = compare(int(sentence[1]), target)
                found.append(Walk(f"{numbers}-{target}", (*words, "Check", ":"), report))
    return found[:n]


@torch.inference_mode()
def observe(loaded: LoadedModel, walks: Sequence[Walk]) -> list[Observation]:
    """Whether the base says each walk's report, and before it each of its sums."""
    ids = loaded.tokenizer.get_vocab()
    seen: list[Observation] = []
    for walk in walks:
        logits = loaded.model(torch.tensor([[ids[word] for word in walk.words]])).logits[0]
        says = logits.argmax(dim=-1).tolist()
        is_right = says[-1] == ids[walk.report]
        seen.append(Observation("base_report_accuracy", walk.problem_id, is_right))
        seen += [
            Observation("base_sum_accuracy", walk.problem_id, says[at] == ids[walk.words[at + 1]])
            for at, word in enumerate(walk.words[:-1])
            if word == "Total"
        ]
    return seen
