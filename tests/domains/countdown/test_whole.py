"""Every stage runs for written searches: real tokenizer, two random layers, every claim there."""

from importlib import import_module
from pathlib import Path
from random import Random

import pytest
import real_tokenizers
from domains_countdown import make_trace
from project import ROOT, write_tiny_params
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, set_seed
from whole_study import AFTER, BY_ROLE

from backtracking.domains.countdown.countdown import Countdown
from backtracking.domains.countdown.world import read_question
from backtracking.domains.countdown.writer import Writer
from backtracking.records import reader
from backtracking.records.traces import Problem, Trace
from backtracking.runtime import params
from backtracking.runtime.workspace import Roles, Workspace
from lifeboat.stage import artifacts

ROLES = ("nostatement-base", "nostatement", "alien-base", "alien")
STEPS = {"steps": 2, "tokens_per_step": 256}
OVERLAY = {
    "domain": {"name": "countdown"},
    "contrast": {"by": "kind", "positive": ["miss"], "negative": ["open_alive"]},
    "countdown": {
        "world": {"sizes": [4], "max_number": 12, "min_solutions": 1, "study_share": 0.4},
        "writer": {"max_steps": 12},
    },
    "problems": {"n_study": 30, "n_held_out": 0},
    "models": {"roles": dict.fromkeys(ROLES)},
    "weights": {"base": {"source": "given"}, "reasoning": STEPS, "shuffled": STEPS},
    "traces": {"n_samples": 1, "max_new_tokens": 12},
}


def write_base(folder: Path) -> None:
    """A random model of two layers that reads SmolLM2's tokens."""
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=real_tokenizers.smollm2(), eos_token="<|im_end|>"
    )
    set_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=512, initializer_range=0.3,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def run(root: Path, *stages: str) -> None:
    """Runs stages on a workspace, one after the other."""
    roles = params.load(Roles, "models", root / "params.yaml")
    for stage in stages:
        main = import_module(f"backtracking.stages.{stage}").main
        for role in roles.all if stage in BY_ROLE else ("",):
            main(["--root", str(root), *filter(None, [role])])


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


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of which every stage has run."""
    root = tmp_path_factory.mktemp("countdown")
    write_tiny_params(root / "params.yaml", OVERLAY)
    write_base(root / "given")
    run(root, "problems", "weights", "traces")
    write_searches(Workspace(root))
    run(root, "label", "grade", "extract", "stability", "directions", *AFTER)
    return root


@pytest.mark.slow
def test_every_claim_is_there_and_what_has_no_truth_says_so(study: Path) -> None:
    claims = artifacts.read_json(study / "results" / "claims.json")
    committed = artifacts.read_json(ROOT / "results" / "claims.json")
    own = {"decodable_over": "decodable_miss", "decodable_doomed": "decodable_open_doomed"}
    names = {own.get(row["claim"], row["claim"]) for row in committed}
    assert {row["claim"] for row in claims} == names
    assert all(row["why"] for row in claims if row["verdict"] == "untestable")
    print({row["claim"]: (row["target"], row["verdict"], row["why"]) for row in claims})


@pytest.mark.slow
def test_what_the_domain_knows_is_there_and_the_rest_is_absent(study: Path) -> None:
    files = {path.name for path in (study / "data" / "processed" / "labels").iterdir()}
    assert {"sentences.jsonl", "decisions.jsonl", "pairs.jsonl", "kinds.json"} <= files
    assert "posteriors.safetensors" not in files
    claims = artifacts.read_json(study / "results" / "claims.json")
    print(len(claims))
