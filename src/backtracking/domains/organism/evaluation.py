"""How good an organism is, measured against the world that it was taught.

Everything here is on problems that nobody trained on. Rows are kept apart by problem, so that
intervals can be made by problem.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import torch

from backtracking.domains.organism.policy import (
    BasePolicy,
    Policy,
    compare,
    write_prompt,
    write_walk,
)
from backtracking.domains.organism.states import Reading, is_solved
from backtracking.domains.organism.world import World
from backtracking.models.loading import LoadedModel

DEAD_KINDS = ("over", "exhausted")


@dataclass(frozen=True)
class Observation:
    """One yes or no about one problem.

    Attributes:
        measure: what was looked at.
        problem: the problem that it belongs to.
        value: whether it was so.
    """

    measure: str
    problem: str
    value: bool


def observe_trace(problem: str, readings: Sequence[Reading], finished: bool) -> list[Observation]:
    """Validity of every sentence that can be wrong, parsing, and what was done at each decision."""
    seen = []
    for reading in readings:
        if reading.check != "none":
            seen += [
                Observation("valid_sentence_rate", problem, reading.valid),
                Observation(f"valid_{reading.check}_rate", problem, reading.valid),
            ]
        if reading.form and reading.form.name == "total":
            wrong = reading.true_total != reading.written_total
            seen.append(Observation("wrong_total_rate", problem, wrong))
        if reading.action and reading.kind != "solved":
            acts = reading.action != "carries_on"
            group = "dead" if reading.kind in DEAD_KINDS else "live"
            for name in (reading.kind, group):
                seen.append(Observation(f"act_rate_{name}", problem, acts))
            for cell in ("dead", "live"):
                for does in (True, False):
                    inside = cell == group and does == acts
                    name = f"share_{cell}_{'acts' if does else 'carries_on'}"
                    seen.append(Observation(name, problem, inside))
            seen.append(Observation("share_doomed", problem, reading.kind == "doomed"))
    if finished:
        parses = all(reading.form is not None for reading in readings)
        seen.append(Observation("parsed_trace_rate", problem, parses))
    seen.append(Observation("solve_rate", problem, is_solved(list(readings))))
    return seen


def policy_act_rate(policy: Policy, kind: str) -> float:
    """The rate at which the policy acts at a decision point of this kind, or group of kinds."""
    return policy.p_notice if kind in (*DEAD_KINDS, "dead") else policy.p_idle


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
