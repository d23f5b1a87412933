"""What comes next where it is asked for, and nowhere else.

A head has a number for every token of the vocabulary: at all positions of 32 rows of 2,000 tokens,
38 GB for a vocabulary of 150,000 in float32. So what is kept of a run is what its last block
returned, and the head reads single positions of that, outside of all edits.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import DynamicCache

from backtracking.models import edits, kv_cache
from backtracking.models.batches import log_softmax, rows_at_once
from backtracking.models.loading import LoadedModel

N_VALUES = 1 << 26
"""Logits that are held at a time, by default: 256 MiB in float32."""


def stream_of(output: Any) -> Float[Tensor, "rows pos d_model"]:
    """The residual stream in what a block returned."""
    return output[0] if isinstance(output, tuple) else output


def with_stream(output: Any, resid_post: Float[Tensor, "rows pos d_model"]) -> Any:
    """What a block returned, with another residual stream."""
    return (resid_post, *output[1:]) if isinstance(output, tuple) else resid_post


@dataclass(frozen=True)
class Run:
    """Rows that were read up to the head.

    Attributes:
        loaded: the model that read them.
        output: what its last block returned.
    """

    loaded: LoadedModel
    output: Any

    def log_probabilities(
        self, rows: Int[Tensor, " some"], positions: Int[Tensor, " some"]
    ) -> Float[Tensor, "some d_vocab"]:
        """Of the next token at these positions of these rows, in float32."""
        return log_softmax(self.logits(rows, positions))

    def logits(
        self, rows: Int[Tensor, " some"], positions: Int[Tensor, " some"]
    ) -> Float[Tensor, "some d_vocab"]:
        """Of the next token at these positions of these rows, as the model has them."""
        last, loaded = stream_of(self.output)[rows, positions][:, None], self.loaded
        ids = torch.zeros(len(last), 1, dtype=torch.long, device=loaded.device)
        shown = with_stream(self.output, last)
        with edits.resume_after(loaded.blocks, loaded.n_layers - 1, shown):
            return loaded.model(input_ids=ids, use_cache=False).logits[:, 0]

    def pieces(
        self, positions: Int[Tensor, " pos"], n_rows: int = 1, n_values: int = N_VALUES
    ) -> Iterator[Int[Tensor, " some"]]:
        """So few positions at a time that `n_rows` rows have no more than `n_values` numbers."""
        d_vocab = self.loaded.model.get_input_embeddings().weight.shape[0]  # type: ignore[union-attr]
        yield from positions.split(max(1, n_values // n_rows // d_vocab))

    def everywhere(
        self, positions: Sequence[int] | None = None
    ) -> Float[Tensor, "rows pos d_vocab"]:
        """Of the next token at every position of every row, or at some: of short rows."""
        n, length = stream_of(self.output).shape[:2]
        chosen = torch.arange(length) if positions is None else torch.tensor(list(positions))
        columns = (chosen.to(self.loaded.device) % length).repeat(n)
        rows = torch.arange(n, device=self.loaded.device).repeat_interleave(len(chosen))
        return self.log_probabilities(rows, columns).unflatten(0, (n, len(chosen)))


def read(
    loaded: LoadedModel, ids: Int[Tensor, "rows pos"], past: DynamicCache | None = None
) -> Run:
    """Reads rows.

    Args:
        loaded: the model.
        ids: token ids.
        past: keys and values of one row, which stands before all of them; it is not changed.
    """
    ids, last = ids.to(loaded.device), loaded.n_layers - 1
    with edits.outputs_of({last: loaded.blocks[last]}) as output_by_layer:
        if past is None:
            loaded.model(input_ids=ids, use_cache=False, logits_to_keep=1)
        else:
            rows = kv_cache.repeated(kv_cache.before(loaded, past, ids.shape[1]), len(ids))
            loaded.model(input_ids=ids, past_key_values=rows, use_cache=True, logits_to_keep=1)
    return Run(loaded, output_by_layer[last])


@dataclass(frozen=True)
class Beside:
    """Runs of one text beside its clean run, at some of its positions.

    Attributes:
        is_same: whether the most likely token is that of the clean run.
        kl: KL(clean || run), in nats.
        p_marked: P(the next token is a marked one).
    """

    is_same: Bool[Tensor, "runs pos"]
    kl: Float[Tensor, "runs pos"]
    p_marked: Float[Tensor, "runs pos"]


def compare(
    clean: Run,
    row: int,
    run: Run,
    rows: range,
    positions: Int[Tensor, " pos"],
    marked_ids: Int[Tensor, " marked"],
    n_values: int = N_VALUES,
) -> Beside:
    """Some rows of a run beside a row of a clean one, a few positions at a time.

    Args:
        clean: what was read without an edit.
        row: of it.
        run: what was read with edits.
        rows: of it.
        positions: of the text, at least one.
        marked_ids: token ids whose probabilities are summed.
        n_values: probabilities of the run that are held at a time; no less than of one position.
    """
    parts, n = list[Beside](), len(rows)
    its = torch.arange(rows.start, rows.stop, device=positions.device)
    for some in run.pieces(positions, n, n_values):
        expected = clean.log_probabilities(torch.full_like(some, row), some)
        found = run.logits(its.repeat_interleave(len(some)), some.repeat(n))
        parts.append(_beside(expected, found, marked_ids))
    return Beside(
        *(torch.cat([getattr(part, one.name) for part in parts], dim=1) for one in fields(Beside))
    )


def _beside(
    expected: Float[Tensor, "pos d_vocab"],
    logits: Float[Tensor, "rows d_vocab"],
    marked_ids: Int[Tensor, " marked"],
) -> Beside:
    """Rows that stand run by run, each with all positions, beside what is expected there."""
    n, likeliest = len(expected), expected.argmax(dim=1)
    is_same = torch.empty(len(logits), dtype=torch.bool, device=logits.device)
    kl, p_marked = (torch.empty(len(logits), device=logits.device) for _ in range(2))
    for first in range(0, len(logits), at_once := rows_at_once(logits)):
        some = slice(first, first + at_once)
        at = torch.arange(len(logits), device=logits.device)[some] % n
        found, clean = logits[some].float().log_softmax(dim=1), expected[at]
        best = found.gather(1, likeliest[at, None])[:, 0]
        is_same[some] = best == found.amax(dim=1)
        kl[some] = (clean.exp() * (clean - found)).sum(dim=1)
        p_marked[some] = found[:, marked_ids].exp().sum(dim=1)
    return Beside(*(one.unflatten(0, (-1, n)) for one in (is_same, kl, p_marked)))
