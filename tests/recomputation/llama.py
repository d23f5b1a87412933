"""The Llama forward pass by hand, in float64, with the residual stream open to be written over."""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor


@dataclass(frozen=True)
class Read:
    """One run on some ids.

    Attributes:
        resid: output of every block, layers by positions by width.
        keys, values: of every block, heads by positions by width of a head.
        logits: of the next token at every position.
    """

    resid: Tensor
    keys: list[Tensor]
    values: list[Tensor]
    logits: Tensor


class Llama:
    """A model from its folder: config.json and model.safetensors."""

    def __init__(self, folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        self.n_layers, self.eps = config["num_hidden_layers"], config["rms_norm_eps"]
        self.n_heads, self.n_kv = config["num_attention_heads"], config["num_key_value_heads"]
        self.width = config.get("head_dim") or config["hidden_size"] // self.n_heads
        rope = config.get("rope_parameters") or {"rope_theta": config.get("rope_theta", 10000.0)}
        powers = torch.arange(0, self.width, 2, dtype=torch.float64) / self.width
        self.frequency = rope["rope_theta"] ** -powers
        weights = load_file(folder / "model.safetensors")
        self.weights = {name: weight.double() for name, weight in weights.items()}
        self.embedding = self.weights["model.embed_tokens.weight"]

    def read(self, ids: list[int]) -> Read:
        """The whole run."""
        x, resid, keys, values = self.embedding[ids][None], [], [], []
        for layer in range(self.n_layers):
            x, key, value = self._block(layer, x, 0, None)
            for found, one in ((resid, x), (keys, key), (values, value)):
                found.append(one[0])
        return Read(torch.stack(resid), keys, values, self._logits(x)[0])

    def behind(self, read: Read, layer: int, first: int, resid: Tensor) -> Tensor:
        """Logits of rows whose output of a block, from a position on, was written over.

        Args:
            read: the run, of which all before `first` stays.
            layer: whose output.
            first: position.
            resid: rows by positions from `first` on by width.
        """
        x = resid
        for above in range(layer + 1, self.n_layers):
            past = read.keys[above][:, :first], read.values[above][:, :first]
            x, _, _ = self._block(above, x, first, past)
        return self._logits(x)

    def _block(
        self, layer: int, x: Tensor, first: int, past: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        def weight(name: str) -> Tensor:
            return self.weights[f"model.layers.{layer}.{name}.weight"]

        normed = self._norm(x, weight("input_layernorm"))
        split = {"q": self.n_heads, "k": self.n_kv, "v": self.n_kv}
        query, key, value = (
            (normed @ weight(f"self_attn.{one}_proj").T).unflatten(2, (n, -1)).transpose(1, 2)
            for one, n in split.items()
        )
        query, key = self._rotated(query, first), self._rotated(key, first)
        mixed = self._attend(query, key, value, past)
        x = x + mixed.transpose(1, 2).flatten(2) @ weight("self_attn.o_proj").T
        normed = self._norm(x, weight("post_attention_layernorm"))
        gate = torch.nn.functional.silu(normed @ weight("mlp.gate_proj").T)
        x = x + (gate * (normed @ weight("mlp.up_proj").T)) @ weight("mlp.down_proj").T
        return x, key, value

    def _attend(
        self, query: Tensor, key: Tensor, value: Tensor, past: tuple[Tensor, Tensor] | None
    ) -> Tensor:
        if past is not None:
            rows = len(query)
            key, value = (
                torch.cat([before[None].expand(rows, -1, -1, -1), one], dim=2)
                for before, one in zip(past, (key, value), strict=True)
            )
        key, value = (one.repeat_interleave(self.n_heads // self.n_kv, 1) for one in (key, value))
        scores = query @ key.mT / self.width**0.5
        n, seen = scores.shape[2:]
        future = torch.ones(n, seen, dtype=torch.bool).triu(seen - n + 1)
        return scores.masked_fill(future, -torch.inf).softmax(dim=-1) @ value

    def _rotated(self, x: Tensor, first: int) -> Tensor:
        place = torch.arange(first, first + x.shape[2], dtype=torch.float64)
        angle = place[:, None] * self.frequency
        one, other = x[..., : self.width // 2], x[..., self.width // 2 :]
        cos, sin = angle.cos(), angle.sin()
        return torch.cat([one * cos - other * sin, other * cos + one * sin], dim=-1)

    def _norm(self, x: Tensor, gain: Tensor) -> Tensor:
        return x / (x.square().mean(dim=-1, keepdim=True) + self.eps).sqrt() * gain

    def _logits(self, x: Tensor) -> Tensor:
        head = self.weights.get("lm_head.weight", self.embedding)
        return self._norm(x, self.weights["model.norm.weight"]) @ head.T
