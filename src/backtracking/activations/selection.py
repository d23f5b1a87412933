"""Rows of a store by what their sentences are: `select(layer, offset, state, split)`."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from backtracking.activations.reader import ActivationStore
from lifeboat.stage import artifacts
from lifeboat.stage.errors import UserError


@dataclass(frozen=True)
class Annotations:
    """What is known of the sentences of a file of traces, one row each.

    Attributes:
        trace: row number of the sentence's trace.
        sentence: its index in the trace.
        start, end: its half-open token range.
        state: its label.
        split: the split of its trace's problem, empty where the file has none.
    """

    trace: Int[np.ndarray, " n"]
    sentence: Int[np.ndarray, " n"]
    start: Int[np.ndarray, " n"]
    end: Int[np.ndarray, " n"]
    state: Shaped[np.ndarray, " n"]
    split: Shaped[np.ndarray, " n"]

    def __getitem__(self, chosen: np.ndarray) -> "Annotations":
        """The chosen rows, by mask or by number."""
        columns = (self.trace, self.sentence, self.start, self.end, self.state, self.split)
        return Annotations(*(column[chosen] for column in columns))


def read_annotations(traces: Path, sentences: Path, labeller: str | None = None) -> Annotations:
    """The sentences of one labeller, in the order of their file.

    Args:
        traces: JSON Lines with `trace_id` and, where there is one, `split`.
        sentences: JSON Lines with `trace_id`, `index`, `start`, `end`, `label` and `labeller`.
        labeller: the one to take; None is `exact` where there is one, else the first in the file.

    Raises:
        UserError: for an unknown labeller; for a sentence of an unknown trace.
    """
    row_by_id, split_by_id = {}, {}
    for row, record in enumerate(artifacts.read_jsonl(traces)):
        name = str(record.get("trace_id", row))
        row_by_id[name], split_by_id[name] = row, str(record.get("split", ""))
    records = list(artifacts.read_jsonl(sentences))
    found = list(dict.fromkeys(str(record.get("labeller", "")) for record in records))
    wanted = labeller or ("exact" if "exact" in found or not found else found[0])
    if wanted not in found:
        raise UserError(f"{sentences}: no labeller {wanted!r}; there is {', '.join(found)}.")
    chosen = [record for record in records if str(record.get("labeller", "")) == wanted]
    unknown = next((r for r in chosen if str(r.get("trace_id")) not in row_by_id), None)
    if unknown is not None:
        raise UserError(f"{sentences}: there is no trace {unknown.get('trace_id')!r} in {traces}.")
    names = [str(record["trace_id"]) for record in chosen]

    def column(key: str) -> np.ndarray:
        return np.array([record[key] for record in chosen], dtype=np.int64)

    return Annotations(
        trace=np.array([row_by_id[name] for name in names], dtype=np.int64),
        sentence=column("index"),
        start=column("start"),
        end=column("end"),
        state=np.array([str(record.get("label", "")) for record in chosen], dtype=object),
        split=np.array([split_by_id[name] for name in names], dtype=object),
    )


def select(
    store: ActivationStore,
    annotations: Annotations,
    layer: int,
    offset: int,
    state: str | None = None,
    split: str | None = None,
) -> tuple[Float[Tensor, "n d_model"], Annotations]:
    """The vectors at one offset from the first token of each chosen sentence, and whose they are.

    Sentences whose trace does not reach that offset are left out.

    Args:
        store: the activations.
        annotations: the sentences of its traces.
        layer: one layer; the others are not read.
        offset: in tokens from the sentence's first; may be negative.
        state: label to choose; None is every one.
        split: split to choose; None is every one.

    Raises:
        UserError: for an unknown state or split; where the store does not keep that offset.
    """
    chosen = np.ones(len(annotations.trace), dtype=bool)
    for name, wanted, column in (
        ("state", state, annotations.state),
        ("split", split, annotations.split),
    ):
        if wanted is not None:
            if wanted not in set(column):
                known = ", ".join(sorted(map(str, set(column))))
                raise UserError(f"There is no sentence with {name} {wanted!r}; there is {known}.")
            chosen &= column == wanted
    window = store.manifest["positions"]["window"]
    if window is not None and not window[0] <= offset <= window[1]:
        raise UserError(
            f"{store.folder} keeps offsets {window[0]} to {window[1]}, and {offset} was asked for.",
            "Extract with a wider window: only what is missing is computed.",
        )
    picked = annotations[chosen]
    picked = picked[store.has(picked.trace, picked.start + offset)]
    return store.gather(layer, picked.trace, picked.start + offset), picked
