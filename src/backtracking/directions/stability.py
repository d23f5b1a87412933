"""Regenerating events: what a model writes when it goes on from the same prefix again."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from backtracking.directions.events import Decode, TurnReader
from backtracking.labels.rules import RULES
from backtracking.models.generation import generate
from backtracking.models.loading import LoadedModel
from backtracking.models.sampling import Sampling
from backtracking.records.events import Event
from backtracking.records.tokens import Turning


def regenerate(
    loaded: LoadedModel,
    events: Sequence[Event],
    prefixes: Sequence[Sequence[int]],
    turning: Turning | None,
    end_ids: tuple[int, ...],
    n_regenerations: int,
    sampling: Sampling,
    batch_size: int,
    labeller: str = RULES,
) -> list[Event]:
    """The events with what `n_regenerations` continuations from their prefixes did.

    An event so late in its trace that the model has no room for a continuation keeps `n` 0.

    Args:
        loaded: the model that goes on.
        events: decisions after which a trace turned.
        prefixes: ids of each one's trace up to the deciding token, prompt first.
        turning: how a turn is read exactly; None where only words tell.
        end_ids: ids that end a trace.
        n_regenerations: continuations of each event.
        sampling: temperature of the traces, a seed of its own, and a length that what stands
            between a decision and the action, and the longest opening sentence, fit in.
        batch_size: continuations that share a call of the model.
        labeller: by whose words a turn is told, where only words tell.
    """
    context = getattr(loaded.model.config.get_text_config(), "max_position_embeddings", np.inf)
    turns = TurnReader(turning, end_ids, decoding(loaded), labeller)
    room = [
        (event, prefix)
        for event, prefix in zip(events, prefixes, strict=True)
        if event.position + sampling.max_new_tokens <= context
    ]
    written = generate(
        loaded,
        [prefix for _, prefix in room],
        [
            f"{e.trace_id}/{e.position}/{number}"
            for e, _ in room
            for number in range(n_regenerations)
        ],
        sampling,
        n=n_regenerations,
        is_done=lambda ids: turns.first_sentence(ids)[1],
        batch_size=batch_size,
    )
    counted = {}
    for row, (event, _) in enumerate(room):
        own = written[row * n_regenerations : (row + 1) * n_regenerations]
        found = [turn for one in own if (turn := turns.turn_of(one.token_ids)) is not None]
        counted[event] = replace(
            event,
            n=n_regenerations,
            n_keyword=sum(turn.is_keyword for turn in found),
            n_backtracking=sum(turn.is_backtracking for turn in found),
        )
    return [counted.get(event, event) for event in events]


def decoding(loaded: LoadedModel) -> Decode:
    """A model's decoding, which gives no text for special tokens."""
    return lambda ids: str(loaded.tokenizer.decode(list(ids), skip_special_tokens=True))
