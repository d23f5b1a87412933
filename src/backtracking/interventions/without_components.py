"""Whole generations without the components that backtracking depends on, and without others.

An ablation that breaks the model also stops it from backtracking: so other components of the same
kinds are taken away beside it.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from random import Random

from backtracking.interventions.components import Ablator, Component, Value
from backtracking.models.generation import generate
from backtracking.models.sampling import Sampling
from backtracking.records.measured import BASELINE, Arm
from backtracking.records.traces import Trace


@dataclass(frozen=True)
class Removal:
    """Components that are taken away together for whole generations.

    Attributes:
        name: `baseline`, `top_<n>` or `random_<n>_<number>`.
        group: `baseline`, `top` or `random`.
        components: what is taken away.
    """

    name: str
    group: str
    components: tuple[Component, ...]

    def arms(self, value: Value) -> tuple[Arm, ...]:
        """What is taken away as arms, at all positions."""
        return tuple(one.ablated(value, "all") for one in self.components)


def removals(
    ranking: Sequence[Component], sizes: Sequence[int], n_random: int, seed: int
) -> list[Removal]:
    """Nothing, and for each size the top of the ranking and random sets."""
    found = [Removal(BASELINE, BASELINE, ())]
    for size in sizes:
        top = tuple(ranking[:size])
        others = random_sets(top, ranking, n_random, Random(seed))
        found.append(Removal(f"top_{size}", "top", top))
        found += [
            Removal(f"random_{size}_{number}", "random", other)
            for number, other in enumerate(others)
        ]
    return found


def random_sets(
    chosen: Sequence[Component], components: Sequence[Component], n: int, random: Random
) -> list[tuple[Component, ...]]:
    """Other sets with as many components of each kind, nearest in depth first, at most `n`.

    Sets that share fewest components with the chosen ones come before nearer ones; order among
    equals is random. Small models have few such sets, and then all of them are taken.
    """
    own = Counter(one.kind for one in chosen)
    depths = _depths(chosen)
    candidates = [
        other
        for other in combinations(sorted(components), len(chosen))
        if set(other) != set(chosen) and Counter(one.kind for one in other) == own
    ]
    random.shuffle(candidates)
    candidates.sort(
        key=lambda other: (
            len(set(other) & set(chosen)),
            sum(abs(a - b) for a, b in zip(depths, _depths(other), strict=True)),
        )
    )
    return candidates[:n]


def write_without(
    ablator: Ablator,
    components: Sequence[Component],
    value: Value,
    prompt_by_problem: Mapping[str, list[int]],
    split: str,
    sampling: Sampling,
) -> tuple[Trace, ...]:
    """One rollout per problem of a split without these components.

    They are away at all positions, prompt included: the model as it would be if they were not
    there. All sets share a problem's random numbers.
    """
    loaded, prompts = ablator.loaded, list(prompt_by_problem.values())
    with ablator.without(components, value):
        written = generate(loaded, prompts, list(prompt_by_problem), sampling)
    return tuple(
        Trace(
            trace_id=f"{problem}/0",
            problem_id=problem,
            split=split,
            sample=0,
            prompt_ids=prompt,
            token_ids=one.token_ids,
            text=str(loaded.tokenizer.decode(one.token_ids, skip_special_tokens=True)),
            finish_reason=one.finish_reason,
            sampling=asdict(sampling),
        )
        for (problem, prompt), one in zip(prompt_by_problem.items(), written, strict=True)
    )


def _depths(components: Sequence[Component]) -> list[int]:
    return [one.layer for one in sorted(components)]
