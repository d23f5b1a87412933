"""Prefixes that are read once, and then many rows behind them, each edited in its own way.

Nothing before an edit can change in a causal model. So what stands before it goes into a key-value
cache once, and every edit is a row that reads the rest alone.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import DynamicCache

from backtracking.models import edits, hooks, kv_cache
from backtracking.models.batches import pad
from backtracking.models.heads import Run, read
from backtracking.models.loading import LoadedModel
from backtracking.models.trees import Tree
from backtracking.records.tokens import TokenPath

Span = Literal["decision", "onwards"]
"""Positions of an edit of a tail: its first, the deciding token, or all but its last."""

SPANS: tuple[Span, ...] = ("decision", "onwards")

TOKENS_HELD = 2**16
"""Tokens whose keys and values are held at once, of prefixes or of copies of one."""


@dataclass(frozen=True)
class Edit:
    """A change of `resid_post[layer]` in one row.

    Attributes:
        kind: `add` the vector; `project_out` its direction; `set_projection` on it to a value;
            `patch` other values in.
        layer: layer of the residual stream.
        vector: what is added, coefficient included, or what is projected on; None for a patch.
        span: where, in a tail.
        value: of the projection.
    """

    kind: Literal["add", "project_out", "set_projection", "patch"]
    layer: int
    vector: Float[Tensor, " d_model"] | None
    span: Span = "decision"
    value: float = 0.0


def no_edit(loaded: LoadedModel) -> Edit:
    """The edit that changes no bit."""
    return Edit("add", 0, torch.zeros(loaded.d_model))


@contextmanager
def editing(
    loaded: LoadedModel,
    rows: Sequence[Edit],
    where: Bool[Tensor, "rows pos"],
    patched: Mapping[int, Float[Tensor, "some pos d_model"]] | None = None,
) -> Iterator[None]:
    """Edits every row of the calls inside the context; a layer or kind without rows has no hook.

    Args:
        loaded: the model.
        rows: the edit of each row of the batch.
        where: positions that each changes.
        patched: what patches write, by layer, for every row or one for all.

    Raises:
        ValueError: where a row patches a layer and `patched` has nothing for it.
    """
    where = where.to(loaded.device)
    with ExitStack() as stack:
        for layer in sorted({row.layer for row in rows}):
            block = loaded.blocks[layer]
            added = _vectors(loaded, rows, ("add",), layer)
            along = _vectors(loaded, rows, ("project_out", "set_projection"), layer)
            if added.any():
                stack.enter_context(hooks.add_vector(loaded.blocks, layer, added, where))
            if along.any():
                values = torch.tensor([row.value for row in rows])
                stack.enter_context(edits.set_projection(block, along, values, where))
            is_patch = [row.kind == "patch" and row.layer == layer for row in rows]
            if any(is_patch):
                if patched is None or layer not in patched:
                    raise ValueError("an edit patches, and there is no donor to patch from")
                here = where & torch.tensor(is_patch, device=loaded.device)[:, None]
                values = patched[layer].expand(len(rows), -1, -1)
                stack.enter_context(edits.patch(block, values, here))
        yield


@dataclass(frozen=True)
class Clean:
    """Rows as they are read without an edit, once for all that are then read with one.

    Attributes:
        past: keys and values of what stands before every row; None where nothing does.
        ids: token ids, padded on the right, where no position sees the padding.
        output_by_layer: what blocks returned, as they returned it.
        run: up to the head.
    """

    past: DynamicCache | None
    ids: Int[Tensor, "rows pos"]
    output_by_layer: Mapping[int, Any]
    run: Run


def read_clean(
    loaded: LoadedModel,
    rows: Sequence[Sequence[int]],
    layers: Iterable[int],
    past: DynamicCache | None = None,
) -> Clean:
    """Reads rows, and keeps what the blocks of these layers return."""
    ids = pad([torch.tensor(row) for row in rows]).to(loaded.device)
    with edits.outputs_of({layer: loaded.blocks[layer] for layer in layers}) as output_by_layer:
        run = read(loaded, ids, past)
    return Clean(past, ids, output_by_layer, run)


def read_again(loaded: LoadedModel, clean: Clean, layer: int, n: int = 1) -> Run:
    """Each row, n times, under the edits that the model is in.

    Args:
        loaded: the model.
        clean: what was read before.
        layer: the last block below all edits: it and those below it do not run. -1 is none.
        n: rows of each, next to each other.
    """
    ids = clean.ids.repeat_interleave(n, dim=0)
    if layer < 0:
        return read(loaded, ids, clean.past)
    with edits.resume_after(loaded.blocks, layer, clean.output_by_layer[layer], n):
        return read(loaded, ids, clean.past)


def read_prefix(loaded: LoadedModel, ids: Sequence[int]) -> DynamicCache:
    """Keys and values of all tokens of a prefix but the last, with which its tails begin."""
    return kv_cache.read(loaded, ids[:-1])


class Pasts:
    """Keys and values of several prefixes: held where all are few tokens, else read when asked for.

    Args:
        loaded: the model that reads.
        prefixes: their ids, as `read_prefix` takes them.
    """

    def __init__(self, loaded: LoadedModel, prefixes: Sequence[Sequence[int]]) -> None:
        self._loaded, self._prefixes = loaded, prefixes
        is_held = sum(map(len, prefixes)) <= TOKENS_HELD
        self._held = [read_prefix(loaded, ids) for ids in prefixes] if is_held else []

    def __getitem__(self, number: int) -> DynamicCache:
        if self._held:
            return self._held[number]
        return read_prefix(self._loaded, self._prefixes[number])


def edited_positions(span: Span, n: int) -> range:
    """Positions of a tail of n tokens that an edit changes; never the last, where it is read.

    What is written over the position that is read is the answer itself, and shows of no state that
    anything reads it. Of the deciding token alone, what it says next is what the edit makes it say.
    """
    return range(1 if span == "decision" else max(1, n - 1))


@torch.inference_mode()
def run_tails(
    loaded: LoadedModel,
    past: DynamicCache,
    tail_ids: Sequence[int],
    rows: Sequence[Edit],
    rows_per_batch: int,
    donor: Mapping[int, Float[Tensor, "pos d_model"]] | None = None,
    positions: Sequence[int] | None = None,
) -> Float[Tensor, "rows read d_vocab"]:
    """Log-probabilities of the next token at positions of one tail, under every edit.

    Up to the layer of an edit all rows are the same and are read once.

    Args:
        loaded: the model that reads.
        past: what `read_prefix` returned; it is not changed.
        tail_ids: the deciding token, the last of the prefix, and what is appended to it, up to the
            token behind which is read: that one is edited by no row.
        rows: the edits.
        rows_per_batch: edits in one call of the model.
        donor: `resid_post` of the donor's tail by layer, where an edit patches it in.
        positions: of the tail, at which it is read; every one by default.
    """
    patched = {layer: values[None, : len(tail_ids)] for layer, values in (donor or {}).items()}
    by_layer: dict[int, list[int]] = {}
    for number, row in enumerate(rows):
        by_layer.setdefault(row.layer, []).append(number)
    clean = read_clean(loaded, [tail_ids], by_layer, past)
    found = clean.run.everywhere(positions).repeat(len(rows), 1, 1)
    room, n_tokens = loaded.room("tails", rows_per_batch), past.get_seq_length() + len(tail_ids)
    for layer, numbers in by_layer.items():

        def run(some: Sequence[int], layer: int = layer) -> Float[Tensor, "some read d_vocab"]:
            chunk = [rows[number] for number in some]
            where = torch.zeros(len(chunk), len(tail_ids), dtype=torch.bool)
            for span in SPANS:
                of_span = torch.tensor([row.span == span for row in chunk])
                where[of_span, : len(edited_positions(span, len(tail_ids)))] = True
            with editing(loaded, chunk, where, patched):
                found = read_again(loaded, clean, layer, len(chunk))
            return found.everywhere(positions)

        found[numbers] = torch.cat(list(room.parts(numbers, run, n_tokens)))
    return found


@torch.inference_mode()
def read_donor(
    loaded: LoadedModel,
    past: DynamicCache,
    tail_ids: Sequence[int],
    positions: Sequence[int] | None = None,
) -> tuple[Float[Tensor, "read d_vocab"], dict[int, Float[Tensor, "pos d_model"]]]:
    """Log-probabilities at positions of a donor's own tail, and its `resid_post` by layer."""
    with hooks.capture(loaded.blocks, range(loaded.n_layers)) as resid_post_by_layer:
        run = read(loaded, torch.tensor([list(tail_ids)]), past)
    resid_post = {layer: values[0] for layer, values in resid_post_by_layer.items()}
    return run.everywhere(positions)[0], resid_post


@torch.inference_mode()
def read_branches(
    loaded: LoadedModel,
    token_ids: Sequence[int],
    positions: Int[np.ndarray, " rows"],
    paths: Iterable[TokenPath],
) -> dict[TokenPath, Float[np.ndarray, "rows d_vocab"]]:
    """p(next token) after each position of one trace, and along each path that leaves it there.

    One call of the model: the branches stand behind the trace as a tree, and a mask lets each see
    the trace up to its position, and itself, as if it had been written there.

    Args:
        loaded: the model that reads.
        token_ids: of the trace.
        positions: where paths leave it.
        paths: ids that may follow a position; after the last of them nothing is read.

    Returns:
        By what has followed the position: nothing, or any beginning of a longer path.
    """
    branches = beginnings(paths)
    n, width = len(token_ids), len(branches)
    ids = torch.tensor([[*token_ids, *[branch[-1] for branch in branches] * len(positions)]])
    tree = Tree.of(loaded, n, positions, branches)
    logits = tree.logits(loaded, ids)[0]
    behind = n + np.arange(len(positions) * width).reshape(len(positions), width)
    where = torch.from_numpy(np.concatenate([positions[:, None], behind], axis=1))
    p_next = logits[where.to(loaded.device)].double().softmax(dim=-1).cpu().numpy()
    return {branch: p_next[:, at] for at, branch in enumerate([(), *branches])}


def beginnings(paths: Iterable[TokenPath]) -> list[TokenPath]:
    """Every beginning of a path after which its next id is read, each once, but the empty one."""
    return list(dict.fromkeys(path[:n] for path in paths for n in range(1, len(path))))


def _vectors(
    loaded: LoadedModel, rows: Sequence[Edit], kinds: Sequence[str], layer: int
) -> Float[Tensor, "rows d_model"]:
    """The vectors of the edits of some kinds at one layer, zeros in the other rows."""
    found = torch.zeros(len(rows), loaded.d_model)
    for number, row in enumerate(rows):
        if row.kind in kinds and row.layer == layer and row.vector is not None:
            found[number] = row.vector
    return found.to(loaded.device)
