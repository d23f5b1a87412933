"""A study of free text in SmolLM2's tokens, by models whose law of the next token is known.

MLPs write nothing, and attention next to nothing, so that the next token depends on the last one
alone, `LAW`, and still no two decisions are the same state.
"""

import math
from pathlib import Path
from random import Random
from typing import Any

import real_tokenizers
import torch
from project import write_tiny_params
from steered_study import PLAN, draw_directions
from tiny_study import D_MODEL, N_LAYERS, PAIR, only_roles
from tokenizers import Tokenizer
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from backtracking.domains.sets.lines import Line, Lines
from backtracking.records import reader
from backtracking.records.traces import SPLITS, Problem
from backtracking.runtime.workspace import Role, Workspace
from backtracking.stages import extract, label
from lifeboat.stage import artifacts

END = "<|im_end|>"
LAW: dict[str, dict[str, float]] = {
    ".": {" Wait": 0.25, " Adding": 0.35, " Hold": 0.2, " But": 0.1, "\n": 0.08, END: 0.02},
    "\n": {"Wait": 0.5, "Adding": 0.5},
    " Wait": {",": 1.0},
    "Wait": {",": 1.0},
    " But": {" wait": 0.5, " Adding": 0.5},
    " wait": {",": 1.0},
    ",": {" no": 1.0},
    " no": {".": 1.0},
    " Hold": {" on": 0.2, " it": 0.8},
    " on": {".": 1.0},
    " it": {".": 1.0},
    " Adding": {" one": 1.0},
    "Adding": {" one": 1.0},
    " one": {".": 1.0},
}
"""P(next token | last token); any other token is followed by a full stop."""

P_OPENED = 0.25 + 0.1 * 0.5 + 0.08 * 0.5
"""Of a sentence that an opener begins which at least half of the time opens backtracking: "Wait",
"But wait", and "Wait" on a new line."""

P_TURNED = P_OPENED + 0.2 * 0.2
"""Of a sentence that the rules call backtracking: "Hold on" is one, and "Hold it" is none."""

FEW = {"n_random": 2, "n_few_random": 2, "n_null": 2, "n_retrained": 1}
DRAWN = {
    "n": 16, "max_new_tokens": 9, "doses": [1.0], "n_null": 1, "n_texts": 1,
    "per_trace": 1, "rows_per_batch": 64,
}  # fmt: skip


def save_lawful_model(folder: Path, law: dict[str, dict[str, float]] = LAW) -> None:
    """Writes the model: a class a token of the law, one coordinate each."""
    tokenizer = real_tokenizers.smollm2()
    ids = {piece: one_id(piece, tokenizer) for piece in (*law, END)}
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=D_MODEL, intermediate_size=8,
        num_hidden_layers=N_LAYERS, num_attention_heads=2, max_position_embeddings=400,
        eos_token_id=ids[END], bos_token_id=None, tie_word_embeddings=False, rms_norm_eps=1e-12,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    places = {piece: place for place, piece in enumerate(law)}
    other = len(law)
    assert other < D_MODEL
    embedded = model.get_parameter("model.embed_tokens.weight").data.zero_()
    embedded[:, other] = 1
    for piece, place in places.items():
        embedded[ids[piece]] = torch.eye(D_MODEL)[place]
    rows = model.get_parameter("lm_head.weight").data.fill_(-30 / D_MODEL**0.5)
    for piece, after in (*law.items(), ("other", {".": 1.0})):
        for following, p in after.items():
            rows[ids[following], places.get(piece, other)] = math.log(p) / D_MODEL**0.5
    random = torch.Generator().manual_seed(0)
    for layer in range(N_LAYERS):
        block = f"model.layers.{layer}"
        written = model.get_parameter(f"{block}.self_attn.o_proj.weight").data
        written.copy_(1e-3 * torch.randn(written.shape, generator=random))
        model.get_parameter(f"{block}.mlp.down_proj.weight").data.zero_()
    model.save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END).save_pretrained(folder)


def one_id(piece: str, tokenizer: Tokenizer) -> int:
    """The id of a text that is one token."""
    known = tokenizer.token_to_id(piece)
    ids = [known] if known is not None else tokenizer.encode(piece, add_special_tokens=False).ids
    assert len(ids) == 1, piece
    return ids[0]


def write_lines(n_problems: int, seed: int = 0) -> list[dict[str, Any]]:
    """Problems of all splits in turn, with one trace each that the law wrote."""
    random, found = Random(seed), []
    for number in range(n_problems):
        text, last = " Let me start.", "."
        while last != END and text.count(".") < 7:
            after = LAW.get(last, {".": 1.0})
            last = random.choices([*after], [*after.values()])[0]
            text += "" if last == END else last
        found.append(
            {"problem_id": f"p{number}", "split": SPLITS[number % 3], "prompt": f"Count {number}."}
            | {"text": text, "finish_reason": "stop"}
        )
    return found


def write_free_workspace(
    root: Path,
    n_problems: int = 9,
    roles: dict[str, Role] = PAIR,
    steer: dict[str, Any] | None = None,
    primary: str = "rules",
) -> Workspace:
    """A workspace with all that `steer` reads; the base is the studied model."""
    workspace, lines = Workspace(root), write_lines(n_problems)
    contrast = {"by": "action", "positive": ["turns"], "negative": ["goes on"]}
    write_tiny_params(
        workspace.params,
        only_roles(roles),
        {
            "contrast": contrast | {"strata": ["position"]},
            "label": {"primary": primary},
            "steer": PLAN | FEW | {"drawn": DRAWN} | (steer or {}),
            "domain": {"name": "mute", "file": "lines.jsonl"},
        },
    )
    for role in roles:
        save_lawful_model(workspace.model(role))
    artifacts.write_jsonl(root / "lines.jsonl", lines)
    domain = Lines(root / "lines.jsonl", tuple(Line(**line) for line in lines))
    tokenizer = real_tokenizers.smollm2()
    problems = [
        Problem(one["problem_id"], one["split"], "study", one["prompt"], "") for one in lines
    ]
    traces = [trace for one in problems for trace in domain.given(one, tokenizer)]
    found = label.run(
        label.Params(primary, "backtracking", 0), domain, traces, [], problems, tokenizer
    )
    with artifacts.new_folder(workspace.labels) as folder:
        found.write(folder)
    reader.write_lines(workspace.problems / "problems.jsonl", problems)
    for name in ("traces", "greedy"):
        reader.write_lines(workspace.traces / f"{name}.jsonl", traces)
    draw_directions(workspace, list(roles))
    for role in roles:
        extract.main(["--root", str(root), role])
    return workspace
