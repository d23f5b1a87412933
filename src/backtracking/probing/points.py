"""The decision points that probes are asked of, and the tokens around them that they may read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from backtracking.probing.beliefs import Beliefs
from backtracking.probing.features import label_history, tokens_at
from backtracking.probing.targets import Target, Task, make_task, targets_of
from backtracking.records.columns import Sentences
from backtracking.records.decisions import Classes, Decisions
from backtracking.records.posteriors import Posteriors
from backtracking.records.traces import Trace
from lifeboat.stage.errors import UserError

AnchorName = Literal["decision", "known"]

N_WORDS = 8
"""Last tokens of the deciding sentence that its words are."""


@dataclass(frozen=True)
class Anchor:
    """What offsets are counted from, and what each decision has there.

    Attributes:
        name: `decision`, the deciding token; or `known`, t*, the token from which on
            P(visible dead end | prefix) is 0 or 1.
        position: position of offset 0, by decision.
        offsets: the offsets of the grid.
        last: the last offset that may be before the action.
        present: whether the decision has a token there; at `known` none behind the decision.
        posterior_by_target: P(positive | prefix) there under the known writer; NaN where the
            decision is not yet the one ahead, for the action where it has been acted on, and
            everywhere where no posterior is known.
    """

    name: AnchorName
    position: Int[np.ndarray, " n"]
    offsets: Int[np.ndarray, " offsets"]
    last: int
    present: Bool[np.ndarray, "offsets n"]
    posterior_by_target: Mapping[str, Float[np.ndarray, "offsets n"]]


@dataclass(frozen=True)
class DecisionPoints:
    """All decisions of the traces with what is known of them without activations.

    Attributes:
        decisions: the decisions.
        tasks: what is asked.
        anchors: where offsets are counted from; `known` only where posteriors are.
        words: token ids of each deciding sentence, the deciding token last; -1 before its start.
        history: label history of each decision (`features.label_history`).
        tokens_by_anchor: token id at each offset; -1 where there is none.
        is_absent: whether no train problem has a deciding sentence of the same words.
    """

    decisions: Decisions
    tasks: tuple[Task, ...]
    anchors: tuple[Anchor, ...]
    words: Int[np.ndarray, "n slots"]
    history: Float[np.ndarray, "n labels"]
    tokens_by_anchor: Mapping[str, Int[np.ndarray, "n offsets"]]
    is_absent: Bool[np.ndarray, " n"]

    @property
    def is_train(self) -> Bool[np.ndarray, " n"]:
        """Decisions of train problems."""
        return self.decisions.split == "train"

    @property
    def n_test_problems(self) -> int:
        """Problems of the test split, those without a decision behind the last one left out."""
        is_test = self.decisions.split == "test"
        return int(self.decisions.problem_number[is_test].max(initial=0)) + 1

    def anchor(self, name: str) -> Anchor:
        """The anchor of a name."""
        return next(one for one in self.anchors if one.name == name)


def gather_points(
    written: Sequence[Trace],
    sentences: Sentences,
    decisions: Decisions,
    posteriors: Mapping[str, Posteriors] | None,
    classes: Classes,
    window_by_anchor: Mapping[str, tuple[int, int]],
) -> DecisionPoints:
    """The decision points of traces.

    Args:
        written: the traces.
        sentences: all their sentences.
        decisions: their decisions.
        posteriors: what each prefix tells, by trace; None where it is not known.
        classes: what the study contrasts.
        window_by_anchor: first and last offset, both included, from `decision` and `known`.

    Raises:
        UserError: where sentences, decisions and posteriors do not belong together.
    """
    numbers = _deciding(sentences, decisions)
    targets = targets_of(decisions, classes)
    beliefs = Beliefs.gather(decisions, posteriors) if posteriors and len(decisions) else None
    position_by_anchor: dict[AnchorName, np.ndarray] = {"decision": decisions.position}
    if beliefs is not None:
        position_by_anchor["known"] = beliefs.known
    anchors = tuple(
        _anchor(name, position, window_by_anchor[name], decisions, written, targets, beliefs)
        for name, position in position_by_anchor.items()
    )
    words = _words(written, decisions)
    return DecisionPoints(
        decisions=decisions,
        tasks=tuple(make_task(target, decisions) for target in targets),
        anchors=anchors,
        words=words,
        history=label_history(sentences, numbers),
        tokens_by_anchor={
            one.name: tokens_at(written, decisions.trace, one.position[:, None] + one.offsets)
            for one in anchors
        },
        is_absent=_absent(words, decisions.split == "train"),
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


def _absent(words: np.ndarray, is_train: np.ndarray) -> Bool[np.ndarray, " n"]:
    """Rows whose words no train row has."""
    _, code = np.unique(words, axis=0, return_inverse=True)
    return ~np.isin(code, code[is_train])


def _anchor(
    name: AnchorName,
    position: np.ndarray,
    window: tuple[int, int],
    decisions: Decisions,
    written: Sequence[Trace],
    targets: Sequence[Target],
    beliefs: Beliefs | None,
) -> Anchor:
    offsets = np.arange(window[0], window[1] + 1)
    where = position[:, None] + offsets
    lengths = np.array([len(trace.ids) for trace in written])[decisions.trace]
    present = (where >= 0) & (where < lengths[:, None])
    last = min(window[1], 0)
    if name == "known":
        present &= where < decisions.end[:, None]
        last = window[1]
    unknown = np.full(where.shape, np.nan)
    posterior = {
        target.name: (unknown if beliefs is None else beliefs.of(target, where)).T
        for target in targets
    }
    return Anchor(name, position, offsets, last, present.T, posterior)
