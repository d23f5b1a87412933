"""Regenerating events: what a model writes when it goes on from the same prefix again."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from backtracking.directions.events import Event, first_sentence, turn_of
from backtracking.domains.organism.solver import KINDS
from backtracking.models.continuations import continue_prefixes
from backtracking.models.loading import LoadedModel
from backtracking.models.sampling import Sampling
from backtracking.statistics.bootstrap import Bootstrap

GROUPS = ("keyword", "backtracking")
"""Events as a keyword finds them, and true ones."""


def regenerate(
    loaded: LoadedModel,
    events: Sequence[Event],
    ids_by_trace: dict[str, list[int]],
    n_regenerations: int,
    sampling: Sampling,
    batch_size: int,
) -> list[Event]:
    """The events with what `n_regenerations` continuations from their prefixes did.

    An event so late in its trace that the model has no room for a continuation keeps `n` 0.

    Args:
        loaded: the model that wrote the traces.
        events: decisions after which it turned.
        ids_by_trace: all token ids of each trace, prompt first.
        n_regenerations: continuations of each event.
        sampling: temperature of the traces, a seed of its own, and a length that the longest
            check and the longest opening sentence fit in.
        batch_size: continuations that share a call of the model.
    """
    context = getattr(loaded.model.config.get_text_config(), "max_position_embeddings", np.inf)
    room = [event for event in events if event.position + sampling.max_new_tokens <= context]
    word_by_id = {token: word for word, token in loaded.tokenizer.get_vocab().items()}

    def is_done(ids: list[int]) -> bool:
        return first_sentence([word_by_id[token] for token in ids])[1]

    written = continue_prefixes(
        loaded,
        [ids_by_trace[event.trace_id][: event.position + 1] for event in room],
        [f"{event.trace_id}/{event.position}" for event in room],
        n_regenerations,
        sampling,
        is_done,
        batch_size,
    )
    counted = {}
    for event, continuations in zip(room, written, strict=True):
        turns = [turn_of([word_by_id[token] for token in ids]) for ids in continuations]
        counted[event] = replace(
            event,
            n=n_regenerations,
            n_keyword=sum(turn is not None and turn.is_keyword for turn in turns),
            n_backtracking=sum(turn is not None and turn.is_backtracking for turn in turns),
        )
    return [counted.get(event, event) for event in events]


def measure(
    events: Sequence[Event], threshold: float, bootstrap: Bootstrap
) -> list[dict[str, Any]]:
    """Stability of the events by how they were found and by kind, with intervals by problem.

    `not_reproduced` is the share of events less than `threshold` of whose continuations backtrack;
    `dead` is the share of the weight that lies at recognisable dead ends, counted and weighted.
    """
    rows: list[dict[str, Any]] = []
    for group in GROUPS:
        found = [e for e in events if e.stability is not None and getattr(e, f"is_{group}")]
        if not found:
            continue
        problems = [event.problem_id for event in found]
        stability = np.array([event.stability for event in found], dtype=float)
        kind = np.array([event.kind for event in found], dtype=object)
        dead = np.isin(kind, ("over", "exhausted")).astype(float)
        columns = {
            f"{group}_stability": stability,
            f"{group}_not_reproduced": (stability < threshold).astype(float),
            f"{group}_never_reproduced": (stability == 0).astype(float),
            f"{group}_dead": dead,
        }
        columns |= {
            f"{group}_stability_{one}": np.where(kind == one, stability, np.nan)
            for one in KINDS
            if (kind == one).any()
        }
        intervals = bootstrap.intervals(np.stack(list(columns.values()), axis=1), problems)
        rows += [
            {"measure": name} | asdict(interval)
            for name, interval in zip(columns, intervals, strict=True)
        ]
        weighted = np.stack([stability * dead, stability], axis=1)
        if stability.sum() > 0:
            (interval,) = bootstrap.intervals(weighted, problems, _ratio)
            rows.append({"measure": f"{group}_dead_weighted"} | asdict(interval))
    return rows


def _ratio(means: np.ndarray) -> np.ndarray:
    undefined = np.full(len(means), np.nan)
    return np.divide(means[:, 0], means[:, 1], out=undefined, where=means[:, 1] > 0)[:, None]
