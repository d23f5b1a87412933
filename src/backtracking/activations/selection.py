"""Rows of a store by what their sentences are: `select(layer, offset, state, split)`."""

import numpy as np
from jaxtyping import Float
from torch import Tensor

from backtracking.activations.reader import ActivationStore
from backtracking.records.columns import Sentences
from lifeboat.stage.errors import UserError


def select(
    store: ActivationStore,
    sentences: Sentences,
    layer: int,
    offset: int,
    state: str | None = None,
    split: str | None = None,
) -> tuple[Float[Tensor, "n d_model"], Sentences]:
    """The vectors at one offset from the first token of each chosen sentence, and whose they are.

    Sentences whose trace does not reach that offset are left out.

    Args:
        store: the activations.
        sentences: those of its traces.
        layer: one layer; the others are not read.
        offset: in tokens from the sentence's first; may be negative.
        state: label to choose; None is every one.
        split: split to choose; None is every one.

    Raises:
        UserError: for an unknown state or split; where the store does not keep that offset.
    """
    chosen = np.ones(len(sentences), dtype=bool)
    for name, wanted, column in (
        ("state", state, sentences.state),
        ("split", split, sentences.split),
    ):
        if wanted is not None:
            if wanted not in set(column):
                known = ", ".join(sorted(map(str, set(column))))
                raise UserError(f"There is no sentence with {name} {wanted!r}; there is {known}.")
            chosen &= column == wanted
    window = store.manifest.positions.window
    if window is not None and not window[0] <= offset <= window[1]:
        raise UserError(
            f"{store.folder} keeps offsets {window[0]} to {window[1]}, and {offset} was asked for.",
            "Extract with a wider window: only what is missing is computed.",
        )
    picked = sentences[chosen]
    picked = picked[store.has(picked.trace, picked.start + offset)]
    return store.gather(layer, picked.trace, picked.start + offset), picked
