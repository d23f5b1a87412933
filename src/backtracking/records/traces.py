"""Problems, and what models wrote for them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SPLITS = ("train", "dev", "test")


@dataclass(frozen=True)
class TokenSpan:
    """Half-open range of positions in `prompt_ids + token_ids` of a trace."""

    start: int
    end: int


@dataclass(frozen=True)
class Problem:
    """A question with its exact answer.

    Attributes:
        problem_id: stable name, made from the problem itself.
        split: train, dev or test, by a hash of the problem.
        pool: `study`, or a held-out kind that is only used to measure generalisation.
        prompt: the text that the model reads.
        answer: the exact answer.
    """

    problem_id: str
    split: str
    pool: str
    prompt: str
    answer: str


@dataclass(frozen=True)
class Trace:
    """What a model wrote for one problem: the very token ids, never re-tokenised.

    Attributes:
        trace_id: `<problem_id>/<sample>`.
        problem_id: the problem.
        split: the problem's split.
        sample: number of the rollout, from 0.
        prompt_ids: token ids that the model read.
        token_ids: token ids that it wrote, the end token included where there is one.
        text: `token_ids` decoded without special tokens.
        finish_reason: `stop` (end token), `length` (truncated) or `empty` (end token at once).
        sampling: seed, temperature and length limit, or what else is known of traces that were
            made elsewhere.
    """

    trace_id: str
    problem_id: str
    split: str
    sample: int
    prompt_ids: list[int]
    token_ids: list[int]
    text: str
    finish_reason: str
    sampling: Mapping[str, Any]

    @property
    def ids(self) -> list[int]:
        """All token ids, prompt first; positions everywhere count in this list."""
        return self.prompt_ids + self.token_ids
