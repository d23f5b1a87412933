"""The whole study on other domains and roles: nothing is missing, and nothing ends badly."""

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
from bpe import train
from opened import data_of, files_read, is_in
from project import ROOT, write_tiny_params
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, set_seed
from whole_study import AFTER, BEFORE, BY_ROLE, run_all, run_one

from lifeboat.stage import artifacts

pytestmark = pytest.mark.slow

N_PROBLEMS = 15
SENTENCES = (
    "Let me try {a} plus {b}.",
    "That gives {c}.",
    "So we have {c} now.",
    "Maybe {b} is better.",
    "Wait, {c} is too much.",
    "Hmm, let me think about {a}.",
    "Then I add {a} to it.",
    "Actually, that was wrong.",
)


def write_lines(path: Path) -> list[str]:
    """Traces in plain words, of which nothing else is known."""
    random = Random(0)
    rows = []
    for number in range(N_PROBLEMS):
        prompt = f"Use {random.randrange(9)} and {random.randrange(9)} to make {number}.\n"
        said = [
            random.choice(SENTENCES).format(
                a=random.randrange(30), b=random.randrange(30), c=random.randrange(60)
            )
            for _ in range(8)
        ]
        text = " ".join([*said, f"The final answer is {number}."])
        rows.append({"problem_id": f"p{number}", "prompt": prompt, "text": text})
        rows[-1]["split"] = ("train", "dev", "test")[number % 3]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return [row["prompt"] + row["text"] for row in rows]


def write_models(folder: Path, lines: list[str]) -> None:
    """Two models of other weights that share a tokenizer of pieces of words."""
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=train(lines, 420), eos_token="</s>")
    for seed, role in enumerate(("base", "reasoning")):
        set_seed(seed)
        config = LlamaConfig(
            vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
            num_attention_heads=2, max_position_embeddings=512, initializer_range=0.3,
        )  # fmt: skip
        LlamaForCausalLM(config).save_pretrained(folder / role)
        tokenizer.save_pretrained(folder / role)


ALONE = dict.fromkeys(("shuffled", "nostatement-base", "nostatement", "alien", "alien-base"))


@pytest.fixture(scope="module")
def mute(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of traces in plain words, of a model that somebody else has trained."""
    root = tmp_path_factory.mktemp("mute")
    write_models(root / "given", write_lines(root / "traces.jsonl"))
    taken = {role: {"source": f"given/{role}"} for role in ("base", "reasoning")}
    classes = {
        "by": "action",
        "positive": ["turns"],
        "negative": ["goes on"],
        "strata": ["position"],
    }
    write_tiny_params(
        root / "params.yaml",
        {"domain": {"name": "mute", "file": "traces.jsonl"}, "contrast": classes},
        {"models": {"roles": ALONE}, "weights": taken, "label": {"primary": "rules"}},
    )
    run_all(root)
    return root


def test_every_claim_is_there_and_each_that_needs_truth_says_what_it_lacks(mute: Path) -> None:
    claims = artifacts.read_json(mute / "results" / "claims.json")
    committed = artifacts.read_json(ROOT / "results" / "claims.json")
    names = {row["claim"] for row in claims}
    truth = {
        "decodable_over": "decodable_visible",
        "decodable_doomed": "decodable_hidden",
    }
    assert names == {truth.get(row["claim"], row["claim"]) for row in committed}
    unknown = {"belief", "base_belief", *truth.values(), "phua_same_state"}
    verdict_by_claim = {row["claim"]: row["verdict"] for row in claims}
    assert {name: verdict_by_claim[name] for name in unknown} == dict.fromkeys(
        unknown, "untestable"
    )
    assert all(row["why"] for row in claims if row["verdict"] == "untestable")


def test_what_is_not_known_is_a_file_that_is_absent(mute: Path) -> None:
    files = {path.name for path in (mute / "data" / "processed" / "labels").iterdir()}
    assert {"sentences.jsonl", "decisions.jsonl", "tokens.json", "kinds.json"} <= files
    assert not files & {"pairs.jsonl", "posteriors.safetensors", "laws.safetensors"}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[tuple[str, str], set[str]]]:
    """A study of `base` and `reasoning` alone, and the files that each stage of it reads."""
    root, read = tmp_path_factory.mktemp("alone"), {}
    write_tiny_params(root / "params.yaml", {"models": {"roles": ALONE}})
    for stage in (*BEFORE, *AFTER):
        for role in ("base", "reasoning") if stage in BY_ROLE else ("",):
            with files_read(root) as read[stage, role]:
                run_one(root, stage, role)
    return root, read


def test_a_study_of_base_and_reasoning_alone_runs_whole(alone: tuple[Path, Any]) -> None:
    root, _ = alone
    claims = artifacts.read_json(root / "results" / "claims.json")
    assert {row["target"] for row in claims} == {"base", "reasoning"}
    assert sorted(path.name for path in (root / "models").iterdir()) == ["base", "reasoning"]


@pytest.mark.parametrize("stage", (*BEFORE, *AFTER))
def test_the_data_that_a_stage_depends_on_is_what_it_reads(
    stage: str, alone: tuple[Path, dict[tuple[str, str], set[str]]]
) -> None:
    """What a model starts from is a dependency where it is no model, too, and is not read."""
    root, read = alone
    for role in (role for name, role in read if name == stage):
        files = read[stage, role] - {"params.yaml"}
        deps = data_of(stage, role, root / "params.yaml")
        undeclared = {file for file in files if not any(is_in(file, one) for one in deps)}
        unread = {one for one in deps if not any(is_in(file, one) for file in files)}
        assert undeclared == set()
        assert unread == ({"data/raw/problems"} if (stage, role) == ("weights", "base") else set())
