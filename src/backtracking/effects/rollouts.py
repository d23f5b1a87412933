"""What is observed of rollouts: one value per rollout, token, sentence or decision."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Observed:
    """What one measure is the mean of, with the problem of each value."""

    values: list[float]
    problem_ids: list[str]
