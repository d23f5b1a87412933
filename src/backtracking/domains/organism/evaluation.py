"""What a base knows of the world that it was taught, on problems that nobody trained on."""

from random import Random

import torch

from backtracking.domains.organism.policy import BasePolicy, compare, write_prompt, write_walk
from backtracking.domains.organism.world import World
from backtracking.models.loading import LoadedModel
from backtracking.records.grades import Observation


@torch.inference_mode()
def observe_base(
    loaded: LoadedModel, world: World, policy: BasePolicy, n_reports: int, random: Random
) -> list[Observation]:
    """The base's sums, and its reports over or under on (total, target) pairs never trained on."""
    ids = loaded.tokenizer.get_vocab()
    seen: list[Observation] = []
    n_seen = 0
    while n_seen < n_reports:
        numbers, target = world.draw(random)
        if not world.is_study(numbers, target):
            continue
        words = [word for words in write_prompt(numbers, target) for word in words]
        for sentence in write_walk(numbers, target, policy, random):
            words += sentence
            if sentence[0] != "Compare" or int(sentence[1]) == target:
                continue
            if world.is_held_out_pair(int(sentence[1]), target) and n_seen < n_reports:
                prefix = ["<s>", *words, "Check", ":"]
                logits = loaded.model(torch.tensor([[ids[word] for word in prefix]])).logits[0]
                report = int(logits[-1].argmax()) == ids[compare(int(sentence[1]), target)]
                problem = f"{numbers}-{target}"
                seen.append(Observation("base_report_accuracy", problem, report))
                seen += _observe_sums(prefix, logits.argmax(dim=-1).tolist(), ids, problem)
                n_seen += 1
    return seen


def _observe_sums(
    words: list[str], predicted: list[int], ids: dict[str, int], problem: str
) -> list[Observation]:
    return [
        Observation("base_sum_accuracy", problem, predicted[position] == ids[words[position + 1]])
        for position, word in enumerate(words[:-1])
        if word == "Total"
    ]
