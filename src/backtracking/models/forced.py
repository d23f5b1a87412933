"""What an edit of the residual stream at deciding tokens does elsewhere in the same prefixes.

Teacher-forced: every arm reads the same token ids, so that arms differ by the edit alone and not by
the states that steering itself has led to. What happens at the decisions themselves is read one by
one, by `endpoints`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from backtracking.models import edits
from backtracking.models.batches import groups, to_numpy
from backtracking.models.heads import Beside, Run, compare, read, stream_of, with_stream
from backtracking.models.loading import LoadedModel
from backtracking.models.prefixes import Clean, read_clean
from backtracking.models.room import Room


@dataclass(frozen=True)
class Prefix:
    """The token ids that every arm reads.

    Attributes:
        ids: prompt and generated tokens.
        n_prompt: how many of them are the prompt.
        decisions: positions at which the next action is decided, ascending.
        sentence_ends: other generated positions at which a sentence ends.
        donor_ids: as many other ids, whose state a patch writes into the decisions; empty without.
    """

    ids: list[int]
    n_prompt: int
    decisions: list[int]
    sentence_ends: list[int] = field(default_factory=list)
    donor_ids: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Arm:
    """A change of `resid_post` at a deciding token, from x to x + length * vector.

    Attributes:
        vector: what is added: coefficient included, or of norm 1 with a guide. Zeros are the
            baseline.
        guide: a direction of norm 1; None has the length 1. With a guide the length is `value`
            minus the projection of x on it: where it is the vector itself, the projection is set to
            the value; another vector is added as far as that edit would have moved x.
        value: of the projection on the guide.
        is_patch: whether the donor's state is written over x instead.
    """

    vector: Float[Tensor, " d_model"]
    guide: Float[Tensor, " d_model"] | None = None
    value: float = 0.0
    is_patch: bool = False


@dataclass(frozen=True)
class Stack:
    """Several arms as tensors, so that all are applied at once; computed in float32.

    Attributes:
        vectors, guides, values: of each arm; a guide of zeros, with the value 1, where it has none.
        is_patch: as in `Arm`.
    """

    vectors: Float[Tensor, "arms d_model"]
    guides: Float[Tensor, "arms d_model"]
    values: Float[Tensor, " arms"]
    is_patch: Bool[Tensor, " arms"]

    @classmethod
    def of(cls, arms: Sequence[Arm], device: torch.device) -> "Stack":
        """The arms, on a device."""
        vectors = torch.stack([arm.vector for arm in arms]).float()
        guides = [torch.zeros_like(arm.vector) if arm.guide is None else arm.guide for arm in arms]
        values = [1.0 if arm.guide is None else arm.value for arm in arms]
        return cls(
            vectors.to(device),
            torch.stack(guides).to(device).float(),
            torch.tensor(values, device=device),
            torch.tensor([arm.is_patch for arm in arms], device=device),
        )

    def edited(
        self,
        resid_post: Float[Tensor, "rows d_model"],
        arm: Int[Tensor, " rows"],
        donor: Float[Tensor, "rows d_model"] | None = None,
    ) -> Float[Tensor, "rows d_model"]:
        """Each row under an arm, by number.

        Raises:
            ValueError: where an arm patches and there is no donor.
        """
        x, is_patch = resid_post.float(), self.is_patch[arm]
        lengths = self.values[arm] - (x * self.guides[arm]).sum(dim=1)
        moved = x + lengths[:, None] * self.vectors[arm]
        if is_patch.any():
            if donor is None:
                raise ValueError("an edit patches, and there is no donor to patch from")
            moved = torch.where(is_patch[:, None], donor.float(), moved)
        return moved.to(resid_post.dtype)


@dataclass(frozen=True)
class Forced:
    """What every arm predicts where nothing is decided, each arm at all decisions of a prefix.

    Attributes:
        agreement: for each prefix, share of the generated non-decision positions at which the most
            likely token is the baseline's; NaN where a prefix has none.
        kl: for each prefix, mean KL(baseline || arm) at the same positions, in nats.
        p_sentence_end: for each prefix, mean P(next token is a marker) at its other sentence ends.
        p_mid_sentence: the same at the generated positions that are neither.
    """

    agreement: Float[np.ndarray, "arms prefixes"]
    kl: Float[np.ndarray, "arms prefixes"]
    p_sentence_end: Float[np.ndarray, "arms prefixes"]
    p_mid_sentence: Float[np.ndarray, "arms prefixes"]


@torch.inference_mode()
def teacher_force(
    loaded: LoadedModel,
    layer: int,
    prefixes: Sequence[Prefix],
    arms: Sequence[Arm],
    marker_ids: Sequence[int],
    rows_per_batch: int,
    progress: Callable[[int], None] = lambda rows: None,
) -> Forced:
    """Runs every arm on every prefix; arms, doses and prefixes share batches, one arm a row.

    Args:
        loaded: the model that reads.
        layer: whose output is changed; it and the blocks below it run once for all arms.
        prefixes: what it reads.
        arms: the edits, none of them a patch.
        marker_ids: token ids whose probabilities are summed.
        rows_per_batch: prefixes times arms in one call of the model.
        progress: told the number of rows just done.
    """
    found = Forced(*np.full((4, len(arms), len(prefixes)), np.nan))
    markers = torch.tensor(list(marker_ids), dtype=torch.long, device=loaded.device)
    lengths = [len(prefix.ids) for prefix in prefixes]
    n_arms = max(1, len(arms))
    room, shared = loaded.room("arms", rows_per_batch), rows_per_batch // n_arms
    forcing = _Forcing(loaded, layer, prefixes, arms, markers, room, found)
    for group in groups(loaded, lengths, max(1, shared)):
        longest = max(lengths[number] for number in group)
        force = partial(forcing.force, progress)
        loaded.room("prefixes", shared).each(group, force, n_arms * longest)
    return found


@dataclass(frozen=True)
class _Forcing:
    """Arguments of `teacher_force`, and what it fills."""

    loaded: LoadedModel
    layer: int
    prefixes: Sequence[Prefix]
    arms: Sequence[Arm]
    markers: Int[Tensor, " markers"]
    room: Room
    found: Forced

    def force(self, progress: Callable[[int], None], group: Sequence[int]) -> None:
        """Some prefixes under every arm: those of one prefix alone in as many calls as it takes."""
        ids = [self.prefixes[number].ids for number in group]
        run = partial(self._some, progress, group, read_clean(self.loaded, ids, [self.layer]))
        every = range(len(self.arms))
        if len(group) == 1 or not every:
            self.room.each(every, run, len(ids[0]))
        else:  # of several, the prefixes are fewer where memory ends
            run(every)

    def _some(
        self,
        progress: Callable[[int], None],
        group: Sequence[int],
        clean: Clean,
        some: Sequence[int],
    ) -> None:
        n, prefixes = len(some), [self.prefixes[number] for number in group]
        run = _run(self.loaded, self.layer, prefixes, clean, [self.arms[one] for one in some])
        for row, (number, prefix) in enumerate(zip(group, prefixes, strict=True)):
            elsewhere = _elsewhere(prefix).nonzero().flatten().to(self.loaded.device)
            if len(elsewhere):
                its = range(row * n, (row + 1) * n)
                beside = compare(clean.run, row, run, its, elsewhere, self.markers)
                ends = torch.tensor(prefix.sentence_ends).to(elsewhere)
                _fill(self.found, (list(some), number), beside, torch.isin(elsewhere, ends))
        progress(len(group) * n)


def _fill(
    into: Forced, at: tuple[list[int], int], beside: Beside, is_end: Bool[Tensor, " pos"]
) -> None:
    into.agreement[at] = to_numpy(beside.is_same.float().mean(dim=1))
    into.kl[at] = to_numpy(beside.kl.mean(dim=1))
    for values, positions in ((into.p_sentence_end, is_end), (into.p_mid_sentence, ~is_end)):
        if positions.any():
            values[at] = to_numpy(beside.p_marked[:, positions].mean(dim=1))


def _run(
    loaded: LoadedModel,
    layer: int,
    prefixes: Sequence[Prefix],
    clean: Clean,
    arms: Sequence[Arm],
) -> Run:
    """Every prefix under every arm, which edits all decisions at once, arms next to each other."""
    output, n, stack = clean.output_by_layer[layer], len(arms), Stack.of(arms, loaded.device)
    resid_post = stream_of(output).repeat_interleave(n, dim=0)
    every = torch.arange(n, device=loaded.device)
    for row, prefix in enumerate(prefixes):
        for at in prefix.decisions:
            rows = slice(row * n, (row + 1) * n)
            resid_post[rows, at] = stack.edited(resid_post[rows, at], every)
    with edits.resume_after(loaded.blocks, layer, with_stream(output, resid_post)):
        return read(loaded, clean.ids.repeat_interleave(n, dim=0))


def _elsewhere(prefix: Prefix) -> Bool[Tensor, " pos"]:
    """The generated positions at which nothing is decided."""
    mask = torch.zeros(len(prefix.ids), dtype=torch.bool)
    mask[prefix.n_prompt :] = True
    mask[prefix.decisions] = False
    return mask
