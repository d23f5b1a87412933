"""Models over several cards: planned by `cards`, loaded and joined by accelerate.

A block on another card than the first takes what it is given there, and what it makes comes home.
So whoever gives a model tokens, or reads or edits what a block returns, meets one device, as in a
model on one card. Only what stands inside such a block is elsewhere: its modules' outputs, and its
keys and values in a cache.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from accelerate.hooks import AlignDevicesHook, add_hook_to_module, remove_hook_from_module
from torch import nn
from transformers import PreTrainedModel

from backtracking.models import architectures, structure
from backtracking.models.cards import Card, Placement, Size, place
from backtracking.models.footprint import Footprint, Kind
from backtracking.models.sizes import BYTES_BY_DTYPE

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Spread:
    """A model's places.

    Attributes:
        placement: which block stands on which card, with the bytes of each.
        devices: of the cards.
        device_by_module: as transformers takes it.
        empty: the model without weights. Its buffers were computed on the processor, as those of a
            model that is moved to one card are.
    """

    placement: Placement
    devices: tuple[torch.device, ...]
    device_by_module: dict[str, torch.device]
    empty: PreTrainedModel

    def join(self, model: PreTrainedModel, blocks: Sequence[nn.Module]) -> None:
        """Has each block that is not at home take what it is given there, and return it home.

        In place of the hooks that transformers has put on every module.
        """
        remove_hook_from_module(model, recurse=True)
        for name, buffer in self.empty.named_non_persistent_buffers():
            model.get_buffer(name).copy_(buffer)
        skip: Any = model._skip_keys_device_placement
        for block, card in zip(blocks, self.placement.card_by_layer, strict=True):
            if card:
                hook = AlignDevicesHook(self.devices[card], io_same_device=True, skip_keys=skip)
                add_hook_to_module(block, hook)


def plan(folder: Path, devices: Sequence[torch.device], dtype: str) -> Spread | None:
    """Where the model of a folder stands; None where that is not known: weights are quantised.

    Raises:
        UserError: where the devices do not hold it, with numbers; for a configuration that cannot
            be read, and an architecture whose blocks are not known.
    """
    config = architectures.config_of(folder, str(folder))
    if architectures.quantization(config) is not None:
        return None
    kind = architectures.class_of(config, folder)
    model = architectures.empty(kind, config, folder, has_buffers=True)
    blocks, *_ = structure.find_parts(model, folder)
    size = size_of(model, blocks, BYTES_BY_DTYPE[dtype])
    free = [Card(str(one), free_bytes(one)) for one in devices]
    found = place(size, free, f"{folder} ({type(model).__name__})")
    if len(found.cards) > 1:
        _log.warning("%s stands on several cards, which work in turn: %s.", folder, found.told)
    its = [torch.device(card.name) for card in found.cards]
    device_by_block = {
        id(block): its[card] for block, card in zip(blocks, found.card_by_layer, strict=True)
    }
    return Spread(found, tuple(its), dict(_places(model, "", device_by_block, its[0])), model)


def size_of(model: nn.Module, blocks: Sequence[nn.Module], width: int) -> Size:
    """What a model needs whose numbers have so many bytes."""
    each = [_n_values(block) for block in blocks]
    n_rest = _n_values(model) - sum(each)
    token = Footprint.of_config(model.config, len(blocks), width)
    return Size.of(each, n_rest, width, token)


def free_bytes(device: torch.device) -> int:
    """Bytes of a GPU that nobody uses, with what this process holds of it and does not use."""
    held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + held


def n_tokens(model: PreTrainedModel, blocks: Sequence[nn.Module], kind: Kind) -> int | None:
    """Tokens of a kind of work that its cards hold beside a model; None where it is on none.

    What a token takes is spread over the cards as the blocks are, but for what a call computes.
    """
    n_by_card = Counter(next(block.parameters()).device for block in blocks)
    free_by_card = {card: free_beside(card) for card in n_by_card}
    if None in free_by_card.values():
        return None
    token = Footprint.of_config(model.config, len(blocks), model.dtype.itemsize)
    shares = {card: round(token.cache * n / len(blocks)) for card, n in n_by_card.items()}
    return min(
        replace(token, cache=shares[card]).n_tokens(kind, free or 0)
        for card, free in free_by_card.items()
    )


def free_beside(device: torch.device) -> int | None:
    """`free_bytes` of a GPU; None of what has no memory of its own."""
    return free_bytes(device) if device.type == "cuda" else None


def _n_values(module: nn.Module) -> int:
    return sum(one.numel() for one in (*module.parameters(), *module.buffers()))


def _places(
    module: nn.Module, name: str, device_by_block: dict[int, torch.device], home: torch.device
) -> Iterator[tuple[str, torch.device]]:
    """Each block by its name, and beside them what is as large as can be without a block."""
    if id(module) in device_by_block:
        yield name, device_by_block[id(module)]
    elif not any(id(one) in device_by_block for one in module.modules()):
        yield name, home
    else:
        own = (*module.named_parameters(name, False), *module.named_buffers(name, False))
        yield from ((its, home) for its, _ in own)
        for child, one in module.named_children():
            yield from _places(one, f"{name}.{child}".lstrip("."), device_by_block, home)
