"""The overlay `smollm2` in small: its tokenizer, its pair and control, every stage, every claim.

On a random model of its shape: fast up to directions, slow to the end.
"""

from pathlib import Path
from random import Random
from typing import Any

import pytest
import real_tokenizers
from domains_countdown import make_trace
from project import ROOT, write_tiny_params
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, set_seed
from whole_study import AFTER, BEFORE, N_PROBLEMS, SMALL, run

from backtracking.domains.countdown.countdown import Countdown
from backtracking.domains.countdown.world import read_question
from backtracking.domains.countdown.writer import Writer
from backtracking.records import reader
from backtracking.records.directions import read_directions
from backtracking.records.traces import Problem, Trace
from backtracking.runtime import params
from backtracking.runtime.workspace import Workspace
from lifeboat.stage import artifacts

STEPS = {"steps": 2, "tokens_per_step": 256}
WEIGHTS = {"reasoning": STEPS, "shuffled": STEPS, "cores": {"n_processes": 1}}
OVERLAY = SMALL | {
    "countdown": {
        "world": {"sizes": [4], "min_solutions": 1, "study_share": 0.4},
        "writer": {"max_steps": 12},
    },
    "loading": {"dtype": "float32"},
    "traces": SMALL["traces"] | {"max_new_tokens": 12, "dtype": "float32"},
}
SOURCES: dict[str, dict[str, Any]] = {
    "random": {"weights": WEIGHTS | {"base": {"source": "given", "revision": None}}},
}


def write_base(folder: Path) -> None:
    """A random model of two layers that reads SmolLM2's tokens; its head is its embedding."""
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=real_tokenizers.smollm2(), eos_token="<|im_end|>"
    )
    set_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=18, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=9, num_key_value_heads=3, max_position_embeddings=512,
        initializer_range=0.3, tie_word_embeddings=True,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def write_searches(workspace: Workspace) -> None:
    """What the untrained model wrote is replaced by what the writer writes."""
    domain = Countdown.load(workspace.params)
    problems = reader.read_lines(Problem, workspace.problems / "problems.jsonl")
    for name in ("traces.jsonl", "greedy.jsonl"):
        old = reader.read_lines(Trace, workspace.traces / name)
        assert {one.problem_id for one in old} == {one.problem_id for one in problems}
        found = []
        for problem in problems:
            numbers, target = read_question(problem.prompt)
            search = Writer(numbers, target, domain.section.writer, Random(problem.problem_id))
            found.append(make_trace(domain, problem, search.write(), real_tokenizers.smollm2()))
        reader.write_lines(workspace.traces / name, found)


def begin(root: Path, source: str) -> Path:
    """A study on the overlay, as far as directions."""
    smollm2 = params.read(ROOT / "configs" / "smollm2.yaml")
    write_tiny_params(root / "params.yaml", smollm2, OVERLAY, SOURCES[source])
    if source == "random":
        write_base(root / "given")
    run(root, *BEFORE[:3])
    write_searches(Workspace(root))
    run(root, *BEFORE[3:])
    return root


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return begin(tmp_path_factory.mktemp("smollm2"), "random")


def test_the_overlay_runs_in_small_as_far_as_directions(begun: Path) -> None:
    workspace = Workspace(begun)
    files = {path.name for path in workspace.labels.iterdir()}
    assert {"sentences.jsonl", "decisions.jsonl", "pairs.jsonl", "kinds.json"} <= files
    assert "posteriors.safetensors" not in files
    matched = read_directions(workspace.results("directions")).of(form="matched")
    assert {place.role for place in matched.places} == {"base", "reasoning", "shuffled"}
    problems = reader.read_lines(Problem, workspace.problems / "problems.jsonl")
    assert len(problems) == N_PROBLEMS


def require_every_claim(root: Path) -> None:
    claims = artifacts.read_json(root / "results" / "claims.json")
    committed = artifacts.read_json(ROOT / "results" / "claims.json")
    own = {"decodable_over": "decodable_miss", "decodable_doomed": "decodable_open_doomed"}
    names = {own.get(row["claim"], row["claim"]) for row in committed}
    assert {row["claim"] for row in claims} == names
    assert all(row["why"] for row in claims if row["verdict"] == "untestable")


@pytest.mark.slow
def test_every_claim_is_there_and_what_has_no_truth_says_so(begun: Path) -> None:
    run(begun, *AFTER)
    require_every_claim(begun)
