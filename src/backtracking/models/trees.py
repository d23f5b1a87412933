"""A trace with branches behind it, read in one call: a tree, made of a row by its attention mask.

That is right in a model whose attention is what its mask says, at the positions that it is told. Of
sliding windows, which no short text shows, the configuration tells; all else is tried on a short
text before the first tree is read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from weakref import WeakSet

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import DynamicCache

from backtracking.models.holdable import other_layers
from backtracking.models.loading import LoadedModel
from backtracking.records.tokens import TokenPath
from lifeboat.stage.errors import UserError

SLIDING = "sliding_attention"

N_TRIED = 9
"""Tokens of the text that is tried."""

_NOISE = 0.1
"""Share of the spread of logits by which rounding may move them: in bfloat16 some hundredths."""

_tried: WeakSet[nn.Module] = WeakSet()


@dataclass(frozen=True)
class Tree:
    """A trace with branches behind it, each of which sees the trace up to where it leaves it.

    Attributes:
        place: position of each token that is read, those of the trace first.
        mask_by_kind: what each of them does not see, as the model adds it to attention, by kind of
            attention layer; of all tokens, those in a cache among them.
    """

    place: Int[Tensor, "lanes pos"]
    mask_by_kind: Mapping[str, Float[Tensor, "lanes one pos seen"]]

    @classmethod
    def of(
        cls,
        loaded: LoadedModel,
        n: int,
        leaves: Int[np.ndarray, " rows"],
        branches: Sequence[TokenPath],
    ) -> "Tree":
        """The branches, closed under beginnings, row after row behind a trace of `n` tokens.

        Args:
            loaded: the model that reads.
            n: tokens of the trace.
            leaves: the last position of the trace that each row's branches see; -1 is none.
            branches: the same in every row.

        Raises:
            UserError: for a model in which no tree can be read, and where the branches cross a
                length at which it changes its formula.
        """
        seen, place = _behind(loaded, n, leaves[None], branches)
        trace = np.pad(np.tri(n, dtype=bool), ((0, 0), (0, place.shape[1])))
        whole = np.concatenate([np.arange(n), place[0]])
        return cls._masked(loaded, whole[None], np.concatenate([trace, seen[0]])[None], whole[None])

    @classmethod
    def behind(
        cls,
        loaded: LoadedModel,
        n: int,
        leaves: Int[np.ndarray, "lanes rows"],
        branches: Sequence[TokenPath],
    ) -> "Tree":
        """As `of`, without the trace, which stands in a cache, and the rows shared out over lanes.

        Rows do not see one another, and in one lane each costs for all others.
        """
        seen, place = _behind(loaded, n, leaves, branches)
        trace = np.broadcast_to(np.arange(n), (len(leaves), n))
        return cls._masked(loaded, place, seen, np.concatenate([trace, place], axis=1))

    @classmethod
    def _masked(
        cls,
        loaded: LoadedModel,
        place: Int[np.ndarray, "lanes pos"],
        seen: Bool[np.ndarray, "lanes pos all"],
        all_places: Int[np.ndarray, "lanes all"],
    ) -> "Tree":
        masks = {}
        for kind, window in windows(loaded).items():
            near = seen
            if window is not None:
                near = seen & (place[:, :, None] - all_places[:, None] < window)
            masks[kind] = _mask(loaded, near)
        return cls(torch.from_numpy(place).to(loaded.device), masks)

    def logits(
        self,
        loaded: LoadedModel,
        ids: Int[Tensor, "lanes pos"],
        at: Int[Tensor, " some"] | None = None,
        past: DynamicCache | None = None,
    ) -> Float[Tensor, "lanes some d_vocab"]:
        """Logits of the next token at all positions, or at some; a cache takes what is read."""
        kept = {} if at is None else {"logits_to_keep": at.to(loaded.device)}
        return loaded.model(
            input_ids=ids.to(loaded.device),
            attention_mask=attention_of(self.mask_by_kind),
            position_ids=self.place,
            past_key_values=past,
            use_cache=past is not None,
            **kept,
        ).logits


def _behind(
    loaded: LoadedModel,
    n: int,
    leaves: Int[np.ndarray, "lanes rows"],
    branches: Sequence[TokenPath],
) -> tuple[Bool[np.ndarray, "lanes pos seen"], Int[np.ndarray, "lanes pos"]]:
    """What the tokens of branches see, of the trace and of each other, and their positions."""
    _require_readable(loaded)
    width, depth = len(branches), np.array([len(branch) for branch in branches], dtype=np.int64)
    place = (leaves[..., None] + depth).reshape(len(leaves), -1)
    loaded.lengths.require_one(n, int(place.max(initial=n - 1)) + 1)
    seen = np.empty((*place.shape, n + place.shape[1]), dtype=bool)
    seen[:, :, :n] = np.arange(n) <= np.repeat(leaves, width, axis=1)[..., None]
    seen[:, :, n:] = _own(tuple(branches), leaves.shape[1])
    return seen, place


@lru_cache(maxsize=64)
def _own(branches: tuple[TokenPath, ...], n_rows: int) -> Bool[np.ndarray, "pos pos"]:
    """Which tokens of branches see which, row after row: the beginnings of their own."""
    width = len(branches)
    within = np.array(
        [[branch[: len(other)] == other for other in branches] for branch in branches], dtype=bool
    ).reshape(width, width)
    return np.kron(np.eye(n_rows, dtype=bool), within)


def windows(loaded: LoadedModel) -> dict[str, int | None]:
    """How many tokens each kind of attention layer sees, itself included; None is all."""
    config = loaded.model.config.get_text_config()
    window = getattr(config, "sliding_window", None)
    usual = SLIDING if window else "full_attention"
    kinds = set(getattr(config, "layer_types", None) or [usual])
    return {kind: window if kind == SLIDING else None for kind in sorted(kinds)}


def attention_of(mask_by_kind: Mapping[str, Tensor]) -> Any:
    """The masks as a model takes them: by kind of layer where it has several."""
    masks = dict(mask_by_kind)
    return masks if len(masks) > 1 else next(iter(masks.values()))


def off_by(found: Float[Tensor, " d_vocab"], expected: Float[Tensor, " d_vocab"]) -> float | None:
    """By which share of their spread logits are off; None where rounding may do that."""
    off = (found.float() - expected.float()).norm()
    spread = (expected.float() - expected.float().mean()).norm()
    return None if off <= _NOISE * spread else float(off / spread)


def _mask(
    loaded: LoadedModel, seen: Bool[np.ndarray, "lanes pos seen"]
) -> Float[Tensor, "lanes one pos seen"]:
    mask = torch.zeros(seen.shape, dtype=loaded.model.dtype)
    mask.masked_fill_(~torch.from_numpy(seen), torch.finfo(loaded.model.dtype).min)
    return mask[:, None].to(loaded.device)


def _require_readable(loaded: LoadedModel) -> None:
    if loaded.model not in _tried:
        _tried.add(loaded.model)
        try:
            _try(loaded)
        except BaseException:
            _tried.discard(loaded.model)
            raise


@torch.inference_mode()
def _try(loaded: LoadedModel) -> None:
    """Compares a branch that leaves a short text with the same ids, read by themselves.

    Raises:
        UserError: naming the architecture in which they differ.
    """
    if others := other_layers(loaded.model.config):
        raise _unreadable(loaded, f"it has {', '.join(others)} layers, which see by other rules")
    ids, leaf, branch = list(range(3, 3 + N_TRIED)), N_TRIED // 2, (3, 5)
    branches = [branch[:1], branch]
    try:
        tree = Tree.of(loaded, N_TRIED, np.array([leaf]), branches)
        found = tree.logits(loaded, torch.tensor([[*ids, *branch]]))[0, -1]
    except (TypeError, ValueError, RuntimeError) as error:
        raise _unreadable(loaded, f"it takes no mask of this kind ({error})") from error
    alone = torch.tensor([[*ids[: leaf + 1], *branch]], device=loaded.device)
    expected = loaded.model(input_ids=alone, use_cache=False).logits[0, -1]
    if (off := off_by(found, expected)) is not None:
        raise _unreadable(loaded, f"its logits are off by {off:.2g} of their norm")


def _unreadable(loaded: LoadedModel, why: str) -> UserError:
    return UserError(
        f"{type(loaded.model).__name__} cannot be read as a tree, by which probabilities at edited "
        f"decisions are computed: {why}.",
        "Take an architecture with rotary or learned positions; the activations of this one can be "
        "extracted.",
    )
