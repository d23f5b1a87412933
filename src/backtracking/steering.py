"""What a vector added to the residual stream does to a model's next tokens, prefix by prefix.

Teacher-forced: every arm reads the same token ids, so that arms differ by the vector alone and not
by the states that steering itself has led to.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from backtracking import hooks
from backtracking.generation import Where
from backtracking.models import LoadedModel


@dataclass(frozen=True)
class Prefix:
    """The token ids that every arm reads.

    Attributes:
        ids: prompt and generated tokens.
        n_prompt: how many of them are the prompt.
        decisions: positions at which the next action is decided, ascending.
    """

    ids: list[int]
    n_prompt: int
    decisions: list[int]


@dataclass(frozen=True)
class Arm:
    """A vector and where it is added; a zero vector is the baseline.

    Attributes:
        vector: what is added to `resid_post`, coefficient included.
        where: at `decision` positions, at `generated` tokens, or at `all`.
    """

    vector: Float[Tensor, " d_model"]
    where: Where


@dataclass(frozen=True)
class Forced:
    """What every arm predicts on the same prefixes.

    Attributes:
        p_marked: at each decision, in the order of the prefixes, P(next token is a marked one).
        agreement: for each prefix, share of the generated non-decision positions at which the most
            likely token is the baseline's; NaN where a prefix has none.
        kl: for each prefix, mean KL(baseline || arm) at the same positions, in nats.
    """

    p_marked: Float[np.ndarray, "arms decisions"]
    agreement: Float[np.ndarray, "arms prefixes"]
    kl: Float[np.ndarray, "arms prefixes"]


@torch.inference_mode()
def teacher_force(
    loaded: LoadedModel,
    layer: int,
    prefixes: Sequence[Prefix],
    arms: Sequence[Arm],
    marked_ids: Sequence[int],
    rows_per_batch: int,
    progress: Callable[[int], None] = lambda rows: None,
) -> Forced:
    """Runs every arm on every prefix; arms, doses and prefixes share batches, one vector a row.

    Args:
        loaded: the model that reads.
        layer: where the vectors are added.
        prefixes: what it reads.
        arms: the vectors.
        marked_ids: token ids whose probabilities are summed at decisions.
        rows_per_batch: prefixes times arms in one call of the model.
        progress: told the number of rows just done.
    """
    first = np.cumsum([0, *(len(prefix.decisions) for prefix in prefixes)])
    p_marked = np.full((len(arms), first[-1]), np.nan)
    agreement = np.full((len(arms), len(prefixes)), np.nan)
    kl = np.full((len(arms), len(prefixes)), np.nan)
    marked = torch.tensor(list(marked_ids), device=loaded.device)
    for group in _groups(prefixes, max(1, rows_per_batch // len(arms))):
        chosen_prefixes = [prefixes[number] for number in group]
        clean = _read(loaded, layer, chosen_prefixes)
        baseline = clean.log_probabilities
        for chosen in _chunks(len(arms), rows_per_batch):
            found = _run(loaded, layer, chosen_prefixes, clean, arms[chosen])
            for row, number in enumerate(group):
                prefix, columns = prefixes[number], slice(first[number], first[number + 1])
                steered = found[row, :, : len(prefix.ids)]
                decided = steered[:, prefix.decisions][:, :, marked]
                p_marked[chosen, columns] = _numpy(decided.exp().sum(dim=2))
                elsewhere = _elsewhere(prefix).nonzero().flatten().to(loaded.device)
                if len(elsewhere):
                    expected = baseline[row, elsewhere]
                    other = steered[:, elsewhere]
                    same = other.argmax(dim=2) == expected.argmax(dim=1)
                    agreement[chosen, number] = _numpy(same.float().mean(dim=1))
                    kl[chosen, number] = _numpy(
                        (expected.exp() * (expected - other)).sum(2).mean(1)
                    )
            progress(len(group) * (chosen.stop - chosen.start))
    return Forced(p_marked, agreement, kl)


@torch.inference_mode()
def read_out(
    loaded: LoadedModel,
    layer: int,
    prefixes: Sequence[Prefix],
    suffix: Sequence[int],
    arms: Sequence[Arm],
    for_id: int,
    against_id: int,
) -> Float[np.ndarray, "arms prefixes"]:
    """Log-odds of one token against another after a suffix is appended to each prefix.

    The vector is added within the prefix, so that the suffix asks for what the model holds there.
    """
    found = np.zeros((len(arms), len(prefixes)))
    for number, prefix in enumerate(prefixes):
        longer = Prefix([*prefix.ids, *suffix], prefix.n_prompt, prefix.decisions)
        clean = _read(loaded, layer, [longer])
        last = _run(loaded, layer, [longer], clean, arms, len(prefix.ids))[0, :, -1]
        found[:, number] = _numpy(last[:, for_id] - last[:, against_id])
    return found


def mask_of(prefix: Prefix, where: Where, end: int | None = None) -> Bool[Tensor, " pos"]:
    """The positions of a prefix that an arm changes, none of them from `end` on."""
    mask = torch.zeros(len(prefix.ids), dtype=torch.bool)
    if where == "decision":
        mask[prefix.decisions] = True
    else:
        mask[0 if where == "all" else prefix.n_prompt :] = True
    if end is not None:
        mask[end:] = False
    return mask


@dataclass(frozen=True)
class _Clean:
    """Prefixes read without steering: what the blocks up to the layer give, once for all arms.

    Attributes:
        ids: token ids, padded on the right, where no position sees the padding.
        output: what block `layer` returned, as it returned it.
        log_probabilities: of the next token.
    """

    ids: Int[Tensor, "prefixes pos"]
    output: Any
    log_probabilities: Float[Tensor, "prefixes pos d_vocab"]


def _read(loaded: LoadedModel, layer: int, prefixes: Sequence[Prefix]) -> _Clean:
    outputs: list[Any] = []
    ids = _pad([torch.tensor(prefix.ids) for prefix in prefixes]).to(loaded.device)
    handle = loaded.blocks[layer].register_forward_hook(
        lambda _block, _inputs, output: outputs.append(output)
    )
    try:
        logits = loaded.model(input_ids=ids, use_cache=False).logits
    finally:
        handle.remove()
    return _Clean(ids, outputs[0], logits.float().log_softmax(dim=-1))


def _run(
    loaded: LoadedModel,
    layer: int,
    prefixes: Sequence[Prefix],
    clean: _Clean,
    arms: Sequence[Arm],
    end: int | None = None,
) -> Float[Tensor, "prefixes arms pos d_vocab"]:
    """Log-probabilities of the next token under every arm; blocks up to the layer do not run."""
    n_arms = len(arms)
    vectors = torch.stack([arm.vector for arm in arms]).repeat(len(prefixes), 1)
    masks = _pad([mask_of(prefix, arm.where, end) for prefix in prefixes for arm in arms])
    with (
        _resume_after(loaded.blocks, layer, clean.output, n_arms),
        hooks.add_vector(loaded.blocks, layer, vectors.to(loaded.device), masks.to(loaded.device)),
    ):
        rows = clean.ids.repeat_interleave(n_arms, dim=0)
        logits = loaded.model(input_ids=rows, use_cache=False).logits
    return logits.float().log_softmax(dim=-1).unflatten(0, (len(prefixes), n_arms))


@contextmanager
def _resume_after(
    blocks: Sequence[nn.Module], layer: int, output: Any, n_arms: int
) -> Iterator[None]:
    """Has block `layer` return `output`, a row for each arm, and the blocks below it nothing new.

    All arms have the same residual stream up to there, so it is computed once.
    """
    resid_post, *rest = output if isinstance(output, tuple) else (output,)
    repeated = resid_post.repeat_interleave(n_arms, dim=0)
    returned = (repeated, *rest) if isinstance(output, tuple) else repeated
    skipped = blocks[: layer + 1]
    own = [block.__dict__.get("forward") for block in skipped]
    for block in skipped:
        block.forward = lambda *_args, **_kwargs: returned
    try:
        yield
    finally:
        for block, forward in zip(skipped, own, strict=True):
            del block.forward
            if forward is not None:
                block.forward = forward


def _pad(rows: Sequence[Tensor]) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True)


def _groups(prefixes: Sequence[Prefix], size: int) -> Iterator[list[int]]:
    """Numbers of prefixes of like length, so that little is padded."""
    order = sorted(range(len(prefixes)), key=lambda number: len(prefixes[number].ids))
    for chunk in _chunks(len(order), size):
        yield order[chunk]


def _elsewhere(prefix: Prefix) -> Bool[Tensor, " pos"]:
    mask = mask_of(prefix, "generated")
    mask[prefix.decisions] = False
    return mask


def _chunks(n: int, size: int) -> Iterator[slice]:
    for start in range(0, n, size):
        yield slice(start, min(n, start + size))


def _numpy(values: Tensor) -> np.ndarray:
    return values.double().cpu().numpy()
