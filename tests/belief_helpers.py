"""Traces of the policy as records, and a tiny random model that reads the world's tokens."""

from pathlib import Path
from random import Random

import torch
from transformers import AutoModelForCausalLM, LlamaConfig
from written import Written, write

from backtracking.belief.readouts import Words
from backtracking.belief.readouts import words_of as read_words
from backtracking.domains.domain import Reading
from backtracking.domains.lexicon import spell
from backtracking.domains.organism.organism import Organism
from backtracking.domains.organism.policy import BasePolicy, Policy, write_prompt
from backtracking.domains.organism.tokenizer import build_tokenizer
from backtracking.domains.organism.world import World, make_problem
from backtracking.records.pairs import MinimalPair, distinct
from backtracking.records.traces import Trace

TOKENIZER = build_tokenizer().backend_tokenizer
ID_BY_WORD = build_tokenizer().get_vocab()
WORD_BY_ID = {number: word for word, number in ID_BY_WORD.items()}
WORLD = World((4, 5), 6, 12, 2, 0.2, 0.05)
DOMAIN = Organism(WORLD, Policy(), BasePolicy())
TOKENS = spell(DOMAIN.lexicon, TOKENIZER, DOMAIN.pattern(TOKENIZER), DOMAIN.turning(TOKENIZER))
N_LAYERS, D_MODEL = 3, 16


def make_trace(written: Written, number: int, split: str = "test") -> Trace:
    """A trace as the stage `traces` would have it."""
    prompt = [w for words in write_prompt(written.numbers, written.target) for w in words]
    prompt_ids = [ID_BY_WORD[word] for word in ("<s>", *prompt)]
    token_ids = [ID_BY_WORD[word] for word in written.words]
    problem = f"{'-'.join(map(str, sorted(written.numbers)))}-to-{written.target}"
    name = f"{problem}/{number}"
    return Trace(name, problem, split, number, prompt_ids, token_ids, "", "stop", {})


def make_traces(n: int, split: str = "test", seed: int = 0) -> list[Trace]:
    """Traces of the policy on drawn problems."""
    random = Random(f"{seed}/{split}")
    return [
        make_trace(write(*WORLD.draw(random), Policy(), random), number, split)
        for number in range(n)
    ]


def make_pairs(n: int, split: str = "test", seed: int = 0) -> list[MinimalPair]:
    """The minimal pairs of n traces."""
    random, found = Random(f"{seed}/{split}"), []
    for number in range(n):
        written = write(*WORLD.draw(random), Policy(), random)
        trace = make_trace(written, number, split)
        problem = make_problem(written.numbers, written.target, "study", split)
        drawn = Random(f"{seed}/{trace.trace_id}")
        found += DOMAIN.pairs(trace, problem, Reading([]), TOKENIZER, drawn)
    return distinct(found)


def make_words() -> Words:
    """The words of the readouts."""
    found = read_words(TOKENS)
    assert found is not None
    return found


def words_of(ids: list[int]) -> list[str]:
    """Token ids as words."""
    return [WORD_BY_ID[token] for token in ids]


def save_world_model(folder: Path, seed: int = 0) -> Path:
    """Writes a random model with the world's tokenizer."""
    config = LlamaConfig(
        vocab_size=len(ID_BY_WORD),
        hidden_size=D_MODEL,
        intermediate_size=32,
        num_hidden_layers=N_LAYERS,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        initializer_range=0.4,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    build_tokenizer().save_pretrained(folder)
    return folder
