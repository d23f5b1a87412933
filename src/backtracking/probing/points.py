"""The decision points that probes are asked of, and the tokens around them that they may read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from backtracking.probing.beliefs import Beliefs
from backtracking.probing.features import label_history, tokens_at
from backtracking.probing.targets import ACTION, Task, make_task, targets_of
from backtracking.records.columns import Sentences
from backtracking.records.decisions import Classes, Decisions
from backtracking.records.posteriors import Posteriors
from backtracking.records.traces import Trace
from lifeboat.stage.errors import UserError

N_WORDS = 8
"""Last tokens of the deciding sentence that its words are."""


@dataclass(frozen=True)
class DecisionPoints:
    """All decisions of the traces with what is known of them without activations.

    Attributes:
        decisions: the decisions.
        tasks: what is asked.
        offsets: of the grid, in tokens from the deciding one; none behind it, where the event is.
        present: whether the decision has a token there.
        posterior_by_target: P(positive | prefix) there of every kind that is asked, under the known
            writer; NaN where the decision is not yet the one ahead, or no posterior is known.
        words: token ids of each deciding sentence, the deciding token last; -1 before its start.
        history: label history of each decision (`features.label_history`).
        tokens: token id at each offset; -1 where there is none.
    """

    decisions: Decisions
    tasks: tuple[Task, ...]
    offsets: Int[np.ndarray, " offsets"]
    present: Bool[np.ndarray, "offsets n"]
    posterior_by_target: Mapping[str, Float[np.ndarray, "offsets n"]]
    words: Int[np.ndarray, "n slots"]
    history: Float[np.ndarray, "n labels"]
    tokens: Int[np.ndarray, "n offsets"]

    @property
    def is_train(self) -> Bool[np.ndarray, " n"]:
        """Decisions of train problems."""
        return self.decisions.split == "train"

    @property
    def n_test_problems(self) -> int:
        """Problems of the test split, those without a decision behind the last one left out."""
        is_test = self.decisions.split == "test"
        return int(self.decisions.problem_number[is_test].max(initial=0)) + 1

    def task(self, target: str) -> Task:
        """The task of a target."""
        return next(one for one in self.tasks if one.target == target)


def gather_points(
    written: Sequence[Trace],
    sentences: Sentences,
    decisions: Decisions,
    posteriors: Mapping[str, Posteriors] | None,
    classes: Classes,
    window: tuple[int, int],
) -> DecisionPoints:
    """The decision points of traces.

    Args:
        written: the traces.
        sentences: all their sentences.
        decisions: their decisions.
        posteriors: what each prefix tells, by trace; None where it is not known.
        classes: what the study contrasts.
        window: first and last offset from the deciding token, both included.

    Raises:
        UserError: where sentences, decisions and posteriors do not belong together.
    """
    numbers = _deciding(sentences, decisions)
    targets = targets_of(decisions, classes)
    beliefs = Beliefs.gather(decisions, posteriors) if posteriors and len(decisions) else None
    offsets = np.arange(window[0], window[1] + 1)
    where = decisions.position[:, None] + offsets
    unknown = np.full(where.shape, np.nan)
    return DecisionPoints(
        decisions=decisions,
        tasks=tuple(make_task(target, decisions) for target in targets),
        offsets=offsets,
        present=(where >= 0).T,
        posterior_by_target={
            target.name: (unknown if beliefs is None else beliefs.of(target, where)).T
            for target in targets
            if target.name != ACTION
        },
        words=_words(written, decisions),
        history=label_history(sentences, numbers),
        tokens=tokens_at(written, decisions.trace, where),
    )


def _deciding(sentences: Sentences, decisions: Decisions) -> Int[np.ndarray, " n"]:
    """Numbers of the sentences at whose end the decisions fall."""
    numbers = np.flatnonzero(sentences.decides)
    chosen = sentences[numbers]
    same = len(chosen) == len(decisions) and all(
        np.array_equal(getattr(chosen, name), getattr(decisions, name))
        for name in ("trace", "index", "start")
    )
    if not same:
        raise UserError(
            f"Expected a deciding sentence for each of {len(decisions)} decisions, found "
            f"{len(chosen)}, or elsewhere.",
            "Label the traces again: `dvc --wait-for-lock repro label`.",
        )
    return numbers


def _words(written: Sequence[Trace], decisions: Decisions) -> Int[np.ndarray, "n slots"]:
    longest = int((decisions.end - decisions.start).max(initial=1))
    where = decisions.position[:, None] + np.arange(1 - min(longest, N_WORDS), 1)
    inside = where >= decisions.start[:, None]
    return np.where(inside, tokens_at(written, decisions.trace, where), -1)
