"""The same windows by the means that people use now: everything in memory, saved at the end."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from nnsight import NNsight
from safetensors.torch import save_file
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge
from transformers import AutoModelForCausalLM

from backtracking.activations.format import Positions
from backtracking.extraction.items import Item
from backtracking.extraction.planning import rows_of


class Peers:
    """Each method runs the traces in the given batches and saves the rows of the windows."""

    def __init__(
        self,
        model: Path,
        dtype: str,
        device: str,
        items: Sequence[Item],
        window: tuple[int, int],
        out: Path,
    ) -> None:
        self.items, self.out, self.device = items, out, device
        self.rows = [rows_of(item, Positions(window)).position for item in items]
        kind = getattr(torch, dtype)
        self.plain = AutoModelForCausalLM.from_pretrained(model, dtype=kind).to(device).eval()
        self.seen = NNsight(AutoModelForCausalLM.from_pretrained(model, dtype=kind).to(device))
        self.bridge = TransformerBridge.boot_transformers(str(model), device=device, dtype=kind)
        self.layers = range(self.plain.config.num_hidden_layers)

    @torch.inference_mode()
    def hidden_states(self, batches: Sequence[Sequence[int]]) -> None:
        """transformers alone; the last entry is after the final norm, which nobody is told."""

        def run(ids: Tensor, mask: Tensor) -> list[Tensor]:
            states = self.plain(
                ids, attention_mask=mask, output_hidden_states=True, use_cache=False
            )
            return list(states.hidden_states[1:])

        self._run(batches, run)

    @torch.inference_mode()
    def run_with_cache(self, batches: Sequence[Sequence[int]]) -> None:
        """TransformerLens, told which hooks to keep."""
        names = [f"blocks.{layer}.hook_resid_post" for layer in self.layers]

        def run(ids: Tensor, mask: Tensor) -> list[Tensor]:
            _, cache = self.bridge.run_with_cache(ids, attention_mask=mask, names_filter=names)
            return [cache[name] for name in names]

        self._run(batches, run)

    @torch.inference_mode()
    def nnsight(self, batches: Sequence[Sequence[int]]) -> None:
        """nnsight, saving each block's output."""

        def run(ids: Tensor, mask: Tensor) -> list[Tensor]:
            saved = []
            with self.seen.trace(input_ids=ids, attention_mask=mask, use_cache=False):
                for layer in self.seen.model.layers:
                    saved.append(layer.output.save())
            return saved

        self._run(batches, run)

    def _run(
        self,
        batches: Sequence[Sequence[int]],
        run: Callable[[Tensor, Tensor], list[Tensor]],
    ) -> None:
        kept: list[list[Tensor]] = [[] for _ in self.layers]
        for batch in batches:
            width = max(len(self.items[n].ids) for n in batch)
            ids = torch.zeros(len(batch), width, dtype=torch.int64)
            mask = torch.zeros_like(ids)
            for row, n in enumerate(batch):
                length = len(self.items[n].ids)
                ids[row, :length] = torch.tensor(self.items[n].ids)
                mask[row, :length] = 1
            states = run(ids.to(self.device), mask.to(self.device))
            for layer, state in enumerate(states):
                host = state.cpu()
                kept[layer] += [host[row, self.rows[n]] for row, n in enumerate(batch)]
        named = {f"resid_post.{layer}": torch.cat(parts) for layer, parts in enumerate(kept)}
        save_file(named, self.out)
        self.out.unlink()
