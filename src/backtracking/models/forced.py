"""What a vector added to the residual stream does to a model's next tokens, prefix by prefix.

Teacher-forced: every arm reads the same token ids, so that arms differ by the vector alone and not
by the states that steering itself has led to.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from backtracking.models import kv_cache
from backtracking.models.batches import groups, pad, to_numpy
from backtracking.models.generation import Where
from backtracking.models.loading import LoadedModel
from backtracking.models.prefixes import Clean, editing, read_again, read_clean
from backtracking.models.prefixes import Edit as RowEdit

Edit = Literal["add", "noise", "project_out"]


@dataclass(frozen=True)
class Prefix:
    """The token ids that every arm reads.

    Attributes:
        ids: prompt and generated tokens.
        n_prompt: how many of them are the prompt.
        decisions: positions at which the next action is decided, ascending.
        sentence_ends: other generated positions at which a sentence ends.
    """

    ids: list[int]
    n_prompt: int
    decisions: list[int]
    sentence_ends: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Arm:
    """A vector, where it is used, and how; a zero vector is the baseline.

    Attributes:
        vector: what is added to `resid_post`, coefficient included.
        where: at `decision` positions, at `generated` tokens, or at `all`.
        edit: `add` it; add `noise`, a fresh random vector of its norm at every position; or
            `project_out` its direction.
        seed: of the noise, which depends on it and on the prefix alone.
    """

    vector: Float[Tensor, " d_model"]
    where: Where
    edit: Edit = "add"
    seed: int = 0


@dataclass(frozen=True)
class Forced:
    """What every arm predicts on the same prefixes.

    Attributes:
        p_marked: at each decision, in the order of the prefixes, P(next token is a marked one).
        agreement: for each prefix, share of the generated non-decision positions at which the most
            likely token is the baseline's; NaN where a prefix has none.
        kl: for each prefix, mean KL(baseline || arm) at the same positions, in nats.
        p_sentence_end: for each prefix, mean P(next token is a marker) at its other sentence ends.
        p_mid_sentence: the same at the generated positions that are neither.
    """

    p_marked: Float[np.ndarray, "arms decisions"]
    agreement: Float[np.ndarray, "arms prefixes"]
    kl: Float[np.ndarray, "arms prefixes"]
    p_sentence_end: Float[np.ndarray, "arms prefixes"]
    p_mid_sentence: Float[np.ndarray, "arms prefixes"]

    def with_arms_of(self, other: "Forced") -> "Forced":
        """These arms, and then the other's without its baseline, on the same prefixes."""
        names = (one.name for one in fields(self))
        return Forced(*(np.vstack([getattr(self, n), getattr(other, n)[1:]]) for n in names))


@torch.inference_mode()
def teacher_force(
    loaded: LoadedModel,
    layer: int,
    prefixes: Sequence[Prefix],
    arms: Sequence[Arm],
    marked_ids: Sequence[int],
    rows_per_batch: int,
    progress: Callable[[int], None] = lambda rows: None,
    marker_ids: Sequence[int] | None = None,
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
        marker_ids: token ids whose probabilities are summed elsewhere; by default the marked ones.
    """
    first = np.cumsum([0, *(len(prefix.decisions) for prefix in prefixes)])
    p_marked = np.full((len(arms), first[-1]), np.nan)
    agreement, kl, p_end, p_mid = np.full((4, len(arms), len(prefixes)), np.nan)
    marked = torch.tensor(list(marked_ids), dtype=torch.long, device=loaded.device)
    lengths = [len(prefix.ids) for prefix in prefixes]
    markers = marked if marker_ids is None else torch.tensor(list(marker_ids)).to(marked)
    for group in groups(lengths, max(1, rows_per_batch // len(arms))):
        chosen_prefixes = [prefixes[number] for number in group]
        clean = read_clean(loaded, [prefix.ids for prefix in chosen_prefixes], [layer])
        baseline = clean.log_probabilities
        for chosen in _chunks(len(arms), rows_per_batch):
            found = _run(loaded, layer, chosen_prefixes, clean, arms[chosen])
            for row, number in enumerate(group):
                prefix, columns = prefixes[number], slice(first[number], first[number + 1])
                steered = found[row, :, : len(prefix.ids)]
                decided = steered[:, prefix.decisions][:, :, marked]
                p_marked[chosen, columns] = to_numpy(decided.exp().sum(dim=2))
                elsewhere = _elsewhere(prefix).nonzero().flatten().to(loaded.device)
                if len(elsewhere):
                    expected = baseline[row, elsewhere]
                    other = steered[:, elsewhere]
                    same = other.argmax(dim=2) == expected.argmax(dim=1)
                    agreement[chosen, number] = to_numpy(same.float().mean(dim=1))
                    kl[chosen, number] = to_numpy(
                        (expected.exp() * (expected - other)).sum(2).mean(1)
                    )
                    p = other[:, :, markers].exp().sum(dim=2)
                    ends = torch.isin(elsewhere, torch.tensor(prefix.sentence_ends).to(elsewhere))
                    for found_p, positions in ((p_end, ends), (p_mid, ~ends)):
                        if positions.any():
                            found_p[chosen, number] = to_numpy(p[:, positions].mean(dim=1))
            progress(len(group) * (chosen.stop - chosen.start))
    return Forced(p_marked, agreement, kl, p_end, p_mid)


@torch.inference_mode()
def read_out(
    loaded: LoadedModel,
    layer: int,
    prefixes: Sequence[Prefix],
    suffix: Sequence[int],
    arms: Sequence[Arm],
    for_ids: Sequence[int],
    against_ids: Sequence[int],
) -> Float[np.ndarray, "arms prefixes"]:
    """Log-odds of some tokens against others after a suffix is appended to each prefix.

    The vector is added within the prefix, so that the suffix asks for what the model holds there.
    What stands before the first position that an arm changes is read once for all of them.
    """
    found = np.zeros((len(arms), len(prefixes)))
    for number, prefix in enumerate(prefixes):
        longer = Prefix([*prefix.ids, *suffix], prefix.n_prompt, prefix.decisions)
        start = _first_changed(prefix, arms)
        past = kv_cache.read(loaded, prefix.ids[:start]) if start else None
        clean = read_clean(loaded, [longer.ids[start:]], [layer], past)
        last = _run(loaded, layer, [longer], clean, arms, start, len(prefix.ids))[0, :, -1]
        yes, no = (last[:, list(ids)].logsumexp(dim=1) for ids in (for_ids, against_ids))
        found[:, number] = to_numpy(yes - no)
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


def _run(
    loaded: LoadedModel,
    layer: int,
    prefixes: Sequence[Prefix],
    clean: Clean,
    arms: Sequence[Arm],
    start: int = 0,
    end: int | None = None,
) -> Float[Tensor, "prefixes arms pos d_vocab"]:
    """Log-probabilities of the next token under every arm, from position `start` on."""
    masks = [mask_of(prefix, arm.where, end)[start:] for prefix in prefixes for arm in arms]
    rows = [_as_edit(arm, layer) for arm in arms] * len(prefixes)
    noisy = {layer: _with_noise(prefixes, clean.output_by_layer[layer], arms, start)}
    with editing(loaded, rows, pad(masks), noisy):
        found = read_again(loaded, clean, layer, len(arms))
    return found.unflatten(0, (len(prefixes), len(arms)))


def _as_edit(arm: Arm, layer: int) -> RowEdit:
    """An arm as the edit of a row; noise is patched in, since it differs from prefix to prefix."""
    if arm.edit == "noise":
        return RowEdit("patch", layer, None)
    return RowEdit(arm.edit, layer, arm.vector)


def _with_noise(
    prefixes: Sequence[Prefix], output: Any, arms: Sequence[Arm], start: int
) -> Float[Tensor, "rows pos d_model"]:
    """What a block gave out, with the noise of the arms that add some; empty without them."""
    resid_post = output[0] if isinstance(output, tuple) else output
    if all(arm.edit != "noise" for arm in arms):
        return resid_post[:0]
    values = resid_post.repeat_interleave(len(arms), dim=0).clone()
    for row, (prefix, arm) in enumerate((p, a) for p in prefixes for a in arms):
        if arm.edit == "noise":
            added = noise_of(prefix, arm).to(values)[start:]
            values[row, : len(added)] += added
    return values


def _first_changed(prefix: Prefix, arms: Sequence[Arm]) -> int:
    """The first position that any arm changes; the last, where none does."""
    changed = torch.stack([mask_of(prefix, arm.where) for arm in arms]).any(dim=0)
    changed[-1] = True
    return int(changed.nonzero()[0])


def noise_of(prefix: Prefix, arm: Arm) -> Float[Tensor, "pos d_model"]:
    """A fresh random vector of the arm's norm for every position of a prefix."""
    digest = hashlib.sha256(f"{arm.seed}/{prefix.ids}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "little"))
    drawn = torch.randn(len(prefix.ids), len(arm.vector), generator=generator, dtype=torch.float64)
    norm = arm.vector.double().norm().cpu()
    return (norm * drawn / drawn.norm(dim=1, keepdim=True)).float()


def _elsewhere(prefix: Prefix) -> Bool[Tensor, " pos"]:
    mask = mask_of(prefix, "generated")
    mask[prefix.decisions] = False
    return mask


def _chunks(n: int, size: int) -> Iterator[slice]:
    for start in range(0, n, size):
        yield slice(start, min(n, start + size))
