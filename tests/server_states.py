"""Hidden states as a server writes them, and what servers have got wrong in them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from backtracking.extraction.items import Item
from backtracking.models.loading import LoadedModel

BLOCK = 16


def true_states(model: LoadedModel, ids: Sequence[int]) -> Tensor:
    """States [tokens, ids from 0 to the number of layers, d_model], none behind the final norm.

    As transformers reports them; the last from what the last block gives out.
    """
    last: list[Tensor] = []
    handle = model.blocks[-1].register_forward_hook(
        lambda _module, _inputs, output: last.append(
            output if isinstance(output, Tensor) else output[0]
        )
    )
    with torch.inference_mode():
        found = model.model(
            torch.tensor([list(ids)], device=model.device),
            output_hidden_states=True,
            use_cache=False,
        ).hidden_states
    handle.remove()
    layers = [*found[:-1], last[0]]
    return torch.stack([layer.reshape(len(ids), -1) for layer in layers], dim=1).clone()


@dataclass
class Served:
    """What a server has in memory: all requests, to be spoilt.

    Attributes:
        model: what was served.
        ids: of each request.
        states: of each request: tokens, layers, d_model.
        victim: the request in which something that concerns one alone goes wrong.
    """

    model: LoadedModel
    ids: list[list[int]]
    states: list[Tensor]
    victim: int = 0

    @property
    def own(self) -> Tensor:
        return self.states[self.victim]

    @own.setter
    def own(self, states: Tensor) -> None:
        self.states[self.victim] = states

    def other(self) -> Tensor:
        """The states of another text that is no shorter, nor alike in its beginning."""
        mine, n = self.ids[self.victim], len(self.own)
        return next(
            states
            for ids, states in zip(self.ids, self.states, strict=True)
            if len(ids) >= n and ids[:BLOCK] != mine[:BLOCK]
        )

    def read(self, ids: Sequence[int]) -> Tensor:
        """What the model makes of other tokens."""
        return true_states(self.model, ids)[:, -self.own.shape[1] :]


def serve(model: LoadedModel, items: Sequence[Item], first_id: int = 1) -> Served:
    """All layers from an id on, of all traces."""
    states = [true_states(model, item.ids)[:, first_id:] for item in items]
    return Served(model, [list(item.ids) for item in items], states)


def write(served: Served, folder: Path, name: str = "cmpl-{:08x}-0") -> Path:
    """The requests as files, in no order that the traces have."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, (ids, states) in enumerate(zip(served.ids, served.states, strict=True)):
        tensors = {"hidden_states": states.contiguous(), "token_ids": torch.tensor(ids)}
        save_file(tensors, folder / f"{name.format(number * 2654435761 % 2**32)}.safetensors")
    return folder


def _rows(served: Served, *parts: Tensor) -> None:
    served.own = torch.cat(parts)[: len(served.own)]


def _cached_rows_missing(served: Served) -> None:
    served.own = served.own[BLOCK:]


def _cached_ids_missing(served: Served) -> None:
    served.own = served.own[BLOCK:]
    served.ids[served.victim] = served.ids[served.victim][BLOCK:]


def _cached_rows_of_another(served: Served) -> None:
    _rows(served, served.other()[:BLOCK], served.own[BLOCK:])


def _cached_rows_never_written(served: Served) -> None:
    _rows(served, torch.zeros_like(served.own[:BLOCK]), served.own[BLOCK:])


def _cached_rows_at_the_end(served: Served) -> None:
    _rows(served, served.own[BLOCK:], served.own[:BLOCK])


def _read_without_the_cached(served: Served) -> None:
    _rows(served, served.own[:BLOCK], served.read(served.ids[served.victim][BLOCK:]))


def _only_the_last_chunk(served: Served) -> None:
    served.own = served.own[-8:]


def _a_chunk_twice(served: Served) -> None:
    _rows(served, served.own[:8], served.own[:8], served.own[16:])


def _chunks_out_of_order(served: Served) -> None:
    _rows(served, served.own[8:16], served.own[:8], served.own[16:])


def _a_chunk_lost(served: Served) -> None:
    _rows(served, served.own[:8], torch.zeros_like(served.own[8:16]), served.own[16:])


def _a_chunk_that_sees_nothing_before(served: Served) -> None:
    ids = served.ids[served.victim]
    _rows(served, served.own[:8], served.read(ids[8:16]), served.own[16:])


def _chunks_of_two_texts(served: Served) -> None:
    _rows(served, served.own[:8], served.other()[8:16], served.own[16:])


def _padding_in_the_last_slot(served: Served) -> None:
    _rows(served, served.own[:-1], served.read([0]))


def _padding_in_the_last_slot_of_a_block(served: Served) -> None:
    _rows(served, served.own[: BLOCK - 1], served.read([0]), served.own[BLOCK:])


def _padding_left_on(served: Served) -> None:
    served.own = torch.cat([served.own, served.read([0, 0, 0])])


def _padding_in_front(served: Served) -> None:
    _rows(served, served.read([0]), served.own)


def _rows_of_the_graph_before(served: Served) -> None:
    _rows(served, served.own[:-3], served.other()[:3])


def _one_share(served: Served) -> None:
    served.states = [states[..., : states.shape[-1] // 2] for states in served.states]


def _one_share_and_zeros(served: Served) -> None:
    for states in served.states:
        states[..., states.shape[-1] // 2 :] = 0


def _shares_in_another_order(served: Served) -> None:
    served.states = [states.roll(states.shape[-1] // 2, -1) for states in served.states]


def _summed_twice(served: Served) -> None:
    served.states = [states * 2 for states in served.states]


def _summed_twice_in_the_last_layer(served: Served) -> None:
    for states in served.states:
        states[:, -1] *= 2


def _not_reduced(served: Served) -> None:
    """What one of two ranks has: half of what each block adds."""
    for number, ids in enumerate(served.ids):
        below = true_states(served.model, ids)[:, : served.own.shape[1]]
        served.states[number] = (below + served.states[number]) / 2


def _ids_one_too_low(served: Served) -> None:
    served.states = [true_states(served.model, ids)[:, : served.own.shape[1]] for ids in served.ids]


def _layers_from_the_last(served: Served) -> None:
    served.states = [states.flip(1) for states in served.states]


def _a_layer_twice(served: Served) -> None:
    for states in served.states:
        states[:, -1] = states[:, -2]


def _a_layer_missing(served: Served) -> None:
    served.states = [states[:, :-1] for states in served.states]


def _behind_the_final_norm(served: Served) -> None:
    for states in served.states:
        with torch.inference_mode():
            states[:, -1] = served.model.final_norm(states[:, -1])


def _not_a_number(served: Served) -> None:
    served.own[5, -1, 3] = torch.nan


def _a_row_twice_in_one_layer(served: Served) -> None:
    ids = served.ids[served.victim]
    other = next(n for n, token in enumerate(ids) if token != ids[4])
    served.own[4, -1] = served.own[other, -1]


TOKEN = r"token \d+ of \d+ at resid_post of layer \d \(id \d\) differs by"
"""How far off, and where."""
LOWEST = r"token {} of \d+ at resid_post of layer 0 \(id 1\) differs by"
TRACE = r"\.safetensors \(trace \d+\)"

PLANTED: dict[str, tuple[Callable[[Served], None], str]] = {
    "prefix cache: rows missing": (_cached_rows_missing, f"{TRACE} has states of .* cache"),
    "prefix cache: ids missing as well": (_cached_ids_missing, "is no trace's: the first"),
    "prefix cache: rows of another text": (
        _cached_rows_of_another,
        f"{TRACE}: {LOWEST.format(0)}",
    ),
    "prefix cache: rows never written": (
        _cached_rows_never_written,
        f"{TRACE}: .*(nothing but zeros|same row)",
    ),
    "prefix cache: rows at the end": (
        _cached_rows_at_the_end,
        f"{TRACE}: {LOWEST.format(0)}.*the row of token 16 at layer 0",
    ),
    "prefix cache: not seen by the rest": (
        _read_without_the_cached,
        f"{TRACE}: {LOWEST.format(16)}",
    ),
    "chunks: only the last": (_only_the_last_chunk, f"{TRACE} has states of 8 tokens"),
    "chunks: one twice": (_a_chunk_twice, f"{TRACE}: .*same row"),
    "chunks: out of order": (
        _chunks_out_of_order,
        f"{TRACE}: {LOWEST.format(0)}.*the row of token 8 at",
    ),
    "chunks: one lost": (_a_chunk_lost, f"{TRACE}: .*same row"),
    "chunks: one sees nothing before": (
        _a_chunk_that_sees_nothing_before,
        f"{TRACE}: {LOWEST.format(8)}",
    ),
    "chunks: of two texts": (_chunks_of_two_texts, f"{TRACE}: {LOWEST.format(8)}"),
    "graphs: padding in the last slot": (
        _padding_in_the_last_slot,
        f"{TRACE}: {TOKEN}.*; 1 of its",
    ),
    "graphs: padding in the last slot of a block": (
        _padding_in_the_last_slot_of_a_block,
        f"{TRACE}: {LOWEST.format(15)}",
    ),
    "graphs: padding left on": (_padding_left_on, f"{TRACE} has states of .* padding"),
    "graphs: padding in front": (_padding_in_front, f"{TRACE}: {LOWEST.format(0)}"),
    "graphs: rows of the graph before": (_rows_of_the_graph_before, f"{TRACE}: {TOKEN}.*; 3 of"),
    "ranks: one share": (_one_share, f"{TRACE} has states 16 wide.* one rank's share"),
    "ranks: one share and zeros": (_one_share_and_zeros, f"{TRACE}: {LOWEST.format(0)}"),
    "ranks: shares in another order": (_shares_in_another_order, f"{TRACE}: {LOWEST.format(0)}"),
    "ranks: summed twice": (_summed_twice, f"{TRACE}: {LOWEST.format(0)}.*2 times our own"),
    "ranks: summed twice in the last layer": (
        _summed_twice_in_the_last_layer,
        rf"{TRACE}: token 0 of \d+ at resid_post of layer 2 \(id 3\).*2 times our own",
    ),
    "ranks: not reduced": (_not_reduced, f"{TRACE}: {LOWEST.format(0)}"),
    "layers: one id too low": (_ids_one_too_low, f"{TRACE}: {LOWEST.format(0)}"),
    "layers: from the last": (
        _layers_from_the_last,
        f"{TRACE}: {LOWEST.format(0)}.*the row of token 0 at layer 2",
    ),
    "layers: one twice": (_a_layer_twice, f"{TRACE}: .* are the same, byte for byte"),
    "layers: one missing": (_a_layer_missing, f"{TRACE} has states of 2 layers, and 3 ids"),
    "layers: behind the final norm": (
        _behind_the_final_norm,
        f"{TRACE}: .*layer 2 .* behind the final norm",
    ),
    "rows: not a number": (
        _not_a_number,
        rf"{TRACE}: token 5 of \d+ at resid_post of layer 2 \(id 3\) is not finite",
    ),
    "rows: one twice in one layer": (_a_row_twice_in_one_layer, f"{TRACE}: .*same row"),
}
"""By kind and member: what is done, and what has to be said of it."""
