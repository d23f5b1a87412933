"""What every prefix tells, where the writer is known: kinds of decisions ahead, and what is next.

Both are files that may be absent; their readers then return None.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.numpy
from jaxtyping import Float, Int

from backtracking.records import reader
from backtracking.records.measured import read_arrays
from lifeboat.stage import artifacts
from lifeboat.stage.errors import UserError

END = "END"
"""The symbol of a trace that has ended, beside the sentence states."""

_CURE = "Label the traces again: `dvc --wait-for-lock repro label`."
_PLACES = ("start", "end", "pending", "known")


@dataclass(frozen=True)
class Posteriors:
    """The decisions of one trace, and what each prefix tells of them; positions as in `Trace.ids`.

    Attributes:
        kinds: names of the columns.
        first: position of the first row, the length of the prompt.
        p_kind: P(kind of the decision ahead | tokens up to and including this one), by generated
            token; NaN where no decision is ahead.
        start, end: half-open range of the sentence at whose end each decision falls.
        pending: first position at which it is the decision ahead.
        known: t*, first position from which on P(visible dead end | prefix) is 0 or 1.
    """

    kinds: tuple[str, ...]
    first: int
    p_kind: Float[np.ndarray, "tokens kinds"]
    start: Int[np.ndarray, " decisions"]
    end: Int[np.ndarray, " decisions"]
    pending: Int[np.ndarray, " decisions"]
    known: Int[np.ndarray, " decisions"]

    def p(self, kinds: Sequence[str]) -> Float[np.ndarray, " tokens"]:
        """P(the decision ahead is of one of these kinds | prefix), by generated token."""
        return self.p_kind[:, [self.kinds.index(kind) for kind in kinds]].sum(axis=1)


@dataclass(frozen=True)
class Laws:
    """P(what comes next | prefix) after each sentence of a trace, under a known writer.

    Attributes:
        symbols: names of the columns: sentence states, then END.
        p: rows that sum to 1; NaN where the writer writes no such prefix.
    """

    symbols: tuple[str, ...]
    p: Float[np.ndarray, "sentences symbols"]


@dataclass(frozen=True)
class Index:
    """How a file of stacked arrays falls apart.

    Attributes:
        columns: names of the table's columns.
        trace_ids: the traces, in order.
        first: position of each one's first row.
        n_rows: rows of the table of each.
        n_decisions: decisions of each.
    """

    columns: tuple[str, ...]
    trace_ids: tuple[str, ...]
    first: tuple[int, ...]
    n_rows: tuple[int, ...]
    n_decisions: tuple[int, ...]


def write_posteriors(path: Path, posteriors: Mapping[str, Posteriors]) -> None:
    """Writes the posteriors of all traces, by trace id.

    Raises:
        ValueError: where the traces have other kinds.
    """
    found = list(posteriors.values())
    index = Index(
        columns=_columns([one.kinds for one in found]),
        trace_ids=tuple(posteriors),
        first=tuple(one.first for one in found),
        n_rows=tuple(len(one.p_kind) for one in found),
        n_decisions=tuple(len(one.start) for one in found),
    )
    arrays = {"p": np.concatenate([one.p_kind for one in found])}
    for name in _PLACES:
        arrays[name] = np.concatenate([getattr(one, name) for one in found])
    _write(path, index, arrays)


def read_posteriors(path: Path) -> dict[str, Posteriors] | None:
    """The posteriors of all traces, by trace id; None where there is no such file.

    Raises:
        UserError: for another file.
    """
    if not path.exists():
        return None
    index, arrays = _read(path, ("p", *_PLACES))
    tables = _split(arrays["p"], index.n_rows)
    places = {name: _split(arrays[name], index.n_decisions) for name in _PLACES}
    return {
        trace: Posteriors(
            index.columns,
            index.first[row],
            tables[row],
            *(places[name][row] for name in _PLACES),
        )
        for row, trace in enumerate(index.trace_ids)
    }


def write_laws(path: Path, laws: Mapping[str, Laws]) -> None:
    """Writes the laws of all traces, by trace id.

    Raises:
        ValueError: where the traces have other symbols.
    """
    found = list(laws.values())
    none = (0,) * len(found)
    index = Index(
        columns=_columns([one.symbols for one in found]),
        trace_ids=tuple(laws),
        first=none,
        n_rows=tuple(len(one.p) for one in found),
        n_decisions=none,
    )
    _write(path, index, {"p": np.concatenate([one.p for one in found])})


def read_laws(path: Path) -> dict[str, Laws] | None:
    """The laws of all traces, by trace id; None where there is no such file.

    Raises:
        UserError: for another file.
    """
    if not path.exists():
        return None
    index, arrays = _read(path, ("p",))
    tables = _split(arrays["p"], index.n_rows)
    return {
        trace: Laws(index.columns, table)
        for trace, table in zip(index.trace_ids, tables, strict=True)
    }


def _columns(names: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    if len(set(names)) != 1:
        raise ValueError(f"Expected traces with the same columns, and one at least: {set(names)}.")
    return names[0]


def _write(path: Path, index: Index, arrays: Mapping[str, np.ndarray]) -> None:
    text = json.dumps(reader.encode(index), sort_keys=True)
    data = {name: np.ascontiguousarray(values) for name, values in arrays.items()}
    artifacts.write_bytes(path, safetensors.numpy.save(data, metadata={"index": text}))


def _read(path: Path, names: tuple[str, ...]) -> tuple[Index, dict[str, np.ndarray]]:
    text, arrays = read_arrays(path, _CURE)
    index = reader.decode(Index, json.loads(text), str(path), _CURE)
    if sorted(arrays) != sorted(names):
        raise UserError(f"{path}: expected {sorted(names)}, found {sorted(arrays)}.", _CURE)
    return index, arrays


def _split(values: np.ndarray, sizes: Sequence[int]) -> list[np.ndarray]:
    return np.split(values, np.cumsum(sizes)[:-1]) if sizes else []
