"""What a model predicts after a prefix whose last token is edited, for many edits at once.

An edit begins at the deciding token, and nothing before it can change in a causal model. So the
prefix is read once, into a key-value cache, and every edit is a row that reads only the tail: the
deciding token and what is appended to it.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from transformers import DynamicCache

from backtracking.models import edits, hooks, kv_cache
from backtracking.models.loading import LoadedModel

Span = Literal["E1", "E2"]
"""Positions of an edit: the deciding token (E1), or every one from it to the readout (E2)."""

SPANS: tuple[Span, ...] = ("E1", "E2")


@dataclass(frozen=True)
class Edit:
    """A change of `resid_post[layer]`.

    Attributes:
        kind: `add` the vector; `project` it out; `patch` in what stands there in the donor's run.
        layer: layer of the residual stream.
        vector: what is added, coefficient included, or projected out; None for a patch.
        span: where.
    """

    kind: Literal["add", "project", "patch"]
    layer: int
    vector: Float[Tensor, " d_model"] | None
    span: Span


def clean(loaded: LoadedModel) -> Edit:
    """The edit that changes no bit."""
    return Edit("add", 0, torch.zeros(loaded.d_model), "E1")


def read_prefix(loaded: LoadedModel, ids: Sequence[int]) -> DynamicCache:
    """Keys and values of all tokens of a prefix but the last, in one row."""
    return kv_cache.read(loaded, ids[:-1])


@torch.inference_mode()
def run_tails(
    loaded: LoadedModel,
    cache: DynamicCache,
    tail_ids: Sequence[int],
    rows: Sequence[Edit],
    rows_per_batch: int,
    donor: Mapping[int, Float[Tensor, "pos d_model"]] | None = None,
) -> Float[Tensor, "rows pos d_vocab"]:
    """Log-probabilities of the next token at every position of the tail, under every edit.

    Args:
        loaded: the model that reads.
        cache: what `read_prefix` returned; it is not changed.
        tail_ids: the deciding token, and what is appended to it.
        rows: the edits.
        rows_per_batch: edits in one call of the model.
        donor: `resid_post` of the donor's tail by layer, where an edit patches it in.
    """
    found = []
    for first in range(0, len(rows), rows_per_batch):
        chunk = rows[first : first + rows_per_batch]
        tokens = torch.tensor([list(tail_ids)] * len(chunk), device=loaded.device)
        with _editing(loaded, chunk, len(tail_ids), donor):
            logits = loaded.model(
                input_ids=tokens,
                past_key_values=kv_cache.repeated(cache, len(chunk)),
                use_cache=True,
            ).logits
        found.append(logits.float().log_softmax(dim=-1))
    return torch.cat(found)


@torch.inference_mode()
def read_donor(
    loaded: LoadedModel, cache: DynamicCache, tail_ids: Sequence[int]
) -> tuple[Float[Tensor, "pos d_vocab"], dict[int, Float[Tensor, "pos d_model"]]]:
    """Log-probabilities of a donor's own tail, and its `resid_post` by layer."""
    with hooks.capture(loaded.blocks, range(loaded.n_layers)) as resid_post_by_layer:
        log_p = run_tails(loaded, cache, tail_ids, [clean(loaded)], 1)[0]
    return log_p, {layer: values[0] for layer, values in resid_post_by_layer.items()}


@contextmanager
def _editing(
    loaded: LoadedModel,
    rows: Sequence[Edit],
    n_positions: int,
    donor: Mapping[int, Float[Tensor, "pos d_model"]] | None,
) -> Iterator[None]:
    everywhere = torch.tensor([row.span == "E2" for row in rows], device=loaded.device)
    where = everywhere[:, None].repeat(1, n_positions)
    where[:, 0] = True
    with ExitStack() as stack:
        for layer in sorted({row.layer for row in rows}):
            vectors = {kind: _vectors(loaded, rows, kind, layer) for kind in ("add", "project")}
            if vectors["add"].any():
                stack.enter_context(hooks.add_vector(loaded.blocks, layer, vectors["add"], where))
            if vectors["project"].any():
                block = loaded.blocks[layer]
                stack.enter_context(edits.project_out(block, vectors["project"], where))
            patched = _is(rows, "patch", layer).to(loaded.device)
            if patched.any():
                if donor is None:
                    raise ValueError("an edit patches, and there is no donor to patch from")
                values = donor[layer][None, :n_positions].expand(len(rows), -1, -1)
                here = where & patched[:, None]
                stack.enter_context(edits.patch(loaded.blocks[layer], values, here))
        yield


def _is(rows: Sequence[Edit], kind: str, layer: int) -> Bool[Tensor, " rows"]:
    return torch.tensor([row.kind == kind and row.layer == layer for row in rows])


def _vectors(
    loaded: LoadedModel, rows: Sequence[Edit], kind: str, layer: int
) -> Float[Tensor, "rows d_model"]:
    """The vectors of the edits of one kind at one layer, zeros in the other rows."""
    found = torch.zeros(len(rows), loaded.d_model)
    for number, row in enumerate(rows):
        if row.kind == kind and row.layer == layer and row.vector is not None:
            found[number] = row.vector
    return found.to(loaded.device)
