"""The writer's own probability, by cache and masks, is that of plain passes over each prefix."""

from pathlib import Path

import numpy as np
import torch
from searches import write_searches
from transformers import LlamaConfig, LlamaForCausalLM

from backtracking.domains.organism.tokenizer import build_tokenizer
from backtracking.domains.organism.writer import p_backtracks
from backtracking.models import loading
from backtracking.records.moments import is_decision


def test_p_is_that_of_reading_every_prefix_alone(tmp_path: Path) -> None:
    tokenizer = build_tokenizer()
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        vocab_size=len(tokenizer), max_position_embeddings=512, initializer_range=0.3,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    loaded = loading.load(tmp_path)
    searches = write_searches(4)
    decisions = searches.sentences[np.flatnonzero(is_decision(searches.sentences))]
    found = p_backtracks(loaded, searches.traces, decisions)
    ids = loaded.tokenizer.get_vocab()
    for row in (0, 3, len(decisions) - 1):
        prefix = searches.traces[decisions.trace[row]].ids[: decisions.end[row]]
        after, waiting = (_next(loaded, [*prefix, *more]) for more in ([], [ids["Wait"], ids[","]]))
        idles = after[ids["Wait"]] * waiting[ids["fine"]]
        acts = after[[ids[word] for word in ("No", "Undo", "Wait")]].sum() - idles
        assert abs(found[row] - acts / (1 - after[ids["Check"]])) < 1e-5
    assert ((found > 0) & (found < 1)).all()
    assert found.std() > 1e-3


@torch.inference_mode()
def _next(loaded: loading.LoadedModel, ids: list[int]) -> np.ndarray:
    logits = loaded.model(input_ids=torch.tensor([ids])).logits[0, -1]
    return logits.double().softmax(dim=0).numpy()
