"""What a token takes, in every family that caches keys and values: no less than a text leaves."""

import pytest
import torch
from extraction.families import FAMILIES, REFUSED, VARIANTS, build

from backtracking.models.footprint import PARTS, Footprint

RECURRENT = ("bamba", "qwen3_5_text", "qwen3_next", "recurrent_gemma")
ODD = ("stablelm",)
"""It rotates a quarter of a head, which of the four values here makes five."""
LEFT_OUT = (*REFUSED, *RECURRENT, *ODD)
NAMES = [name for name in (*FAMILIES, *VARIANTS) if name not in LEFT_OUT]
KEY_VALUE_HEADS = "num_key_value_heads"


@pytest.mark.parametrize("name", NAMES)
def test_the_cache_is_at_least_what_a_text_leaves_in_it(name: str) -> None:
    model = build(name)
    text = model.config.get_text_config()
    if not hasattr(type(text)(), KEY_VALUE_HEADS) and hasattr(text, KEY_VALUE_HEADS):
        delattr(text, KEY_VALUE_HEADS)  # the family knows no such thing, and has as many as heads
    token = Footprint.of_config(model.config, text.num_hidden_layers, 4)
    with torch.inference_mode():
        past = model(torch.tensor([[5] * 9]), use_cache=True).past_key_values
    layers = [one for one in past.layers if getattr(one, "keys", None) is not None]
    assert 0 < sum(one.keys.nbytes + one.values.nbytes for one in layers) / 9 <= token.cache
    assert all(token.n_tokens(kind, 1e12) > 0 for kind in PARTS)
