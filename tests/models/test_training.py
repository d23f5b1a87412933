"""Training: taken up after a kill to the same bytes, and a folder that everything loads."""

import copy
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random

import pytest
import torch
from stopping import Killed, stopped_at_checkpoint
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

from backtracking import PROJECT_ROOT
from backtracking.domains.organism.tokenizer import build_tokenizer
from backtracking.models.rows import Row
from backtracking.models.training import (
    IGNORED,
    Architecture,
    Schedule,
    Task,
    Trained,
    Trainer,
    batch_rows,
    build_model,
    fit,
    stream_batches,
    to_tensors,
)
from lifeboat.stage.names import Types
from lifeboat.stage.shelf import Shelf
from lifeboat.stage.steps import Steps

ARCHITECTURE = Architecture(n_layers=2, d_model=16, n_heads=2, d_mlp=32, context=64)
SCHEDULE = Schedule(
    steps=12, tokens_per_step=64, muon_lr=0.02, adam_lr=0.01, seed=3, checkpoint_every=5
)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@dataclass(frozen=True)
class Drawn:
    """Rows of random words."""

    def rows(self, tokenizer: Tokenizer, seed: int, context: int) -> Iterator[Row]:
        generator = torch.Generator().manual_seed(seed)
        while True:
            n = int(torch.randint(8, 20, (1,), generator=generator))
            ids = torch.randint(4, tokenizer.get_vocab_size(), (n,), generator=generator).tolist()
            yield Row([1, *ids][:context], 3)


def steps_in(folder: Path) -> Steps:
    return Steps(Shelf(folder), "0" * 64, Types(("backtracking",)))


def run(folder: Path, killed_at: int | None = None) -> Trained:
    """A whole run, or one that is killed after a step."""
    n_done = 0

    def advance(n: int) -> None:
        nonlocal n_done
        n_done += n
        if n_done == killed_at:
            if "BY_SIGNAL" in os.environ:
                os.kill(os.getpid(), signal.SIGKILL)
            raise Killed

    words = build_tokenizer()
    model = build_model(ARCHITECTURE, words, SCHEDULE.seed)
    task = Task(Drawn(), SCHEDULE, 64, 1)
    found = fit(task, model, words.backend_tokenizer, steps_in(folder), advance)
    assert n_done == SCHEDULE.steps
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    torch.set_num_threads(1)
    return run(tmp_path_factory.mktemp("whole"))


def assert_same_bytes(first: Trained, second: Trained) -> None:
    assert first.losses == second.losses and len(first.losses) == SCHEDULE.steps
    assert first.weights.keys() == second.weights.keys()
    for name, tensor in first.weights.items():
        assert torch.equal(tensor, second.weights[name]), name


@pytest.mark.parametrize("step", [3, 5, 8, 11])
def test_a_run_killed_at_any_step_resumes_to_the_same_bytes(
    whole: Trained, tmp_path: Path, step: int
) -> None:
    with pytest.raises(Killed):
        run(tmp_path, killed_at=step)
    kept = steps_in(tmp_path).latest()
    assert (kept[0] if kept else 0) == (step - 1) // 5 * 5
    assert_same_bytes(run(tmp_path), whole)


def test_a_run_that_is_asked_to_stop_ends_where_its_state_was_kept(
    whole: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with stopped_at_checkpoint(monkeypatch):
        run(tmp_path)
    kept = steps_in(tmp_path).latest()
    assert kept is not None and kept[0] == 5
    assert_same_bytes(run(tmp_path), whole)


@pytest.mark.slow
def test_a_run_killed_twice_by_a_signal_resumes_to_the_same_bytes(
    whole: Trained, tmp_path: Path
) -> None:
    code = (
        "import sys; sys.path[:0] = sys.argv[1:4]; import test_training; from pathlib import Path;"
        "test_training.torch.set_num_threads(1); test_training.run(Path(sys.argv[4]), 8)"
    )
    here = Path(__file__).parent
    folders = [str(PROJECT_ROOT / "src"), str(here), str(here.parent)]
    environment = os.environ | {"BY_SIGNAL": "1"}
    killed = subprocess.run(
        [sys.executable, "-c", code, *folders, str(tmp_path)], env=environment, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    with pytest.raises(Killed):
        run(tmp_path, killed_at=11)
    assert_same_bytes(run(tmp_path), whole)


def test_a_state_holds_the_whole_run() -> None:
    words = build_tokenizer()
    one, other = (Trainer(build_model(ARCHITECTURE, words, seed), SCHEDULE) for seed in (3, 99))
    rows = [Row([1, 5, 6, 7, 8, 9, 10, 2], 2)] * 4
    one.train_step(rows)
    other.restore(copy.deepcopy(one.state))
    assert other.step == 1
    assert one.train_step(rows) == other.train_step(rows)
    assert one.train_step(rows) == other.train_step(rows)


def test_batches_hold_every_row_once_within_their_size() -> None:
    rows = [Row(list(range(n)), 1) for n in Random(0).choices(range(5, 90), k=100)]
    batches = batch_rows(rows, 300, Random(1))
    assert sorted(len(row.ids) for batch in batches for row in batch) == sorted(
        len(row.ids) for row in rows
    )
    assert all(len(batch) * max(len(row.ids) for row in batch) <= 300 for batch in batches)


def test_the_stream_of_batches_goes_chunk_by_chunk_and_is_the_same_again() -> None:
    def first() -> list[list[Row]]:
        rows = Drawn().rows(build_tokenizer().backend_tokenizer, 7, 64)
        return list(islice(stream_batches(rows, 1024, 7), 20))

    batches = first()
    assert batches == first()
    rows = Drawn().rows(build_tokenizer().backend_tokenizer, 7, 64)
    chunk = batch_rows(list(islice(rows, 512)), 1024, Random("7/0/order"))
    assert batches[: len(chunk)] == chunk and len(chunk) < 20


def test_targets_are_the_next_tokens_after_the_prompt_and_no_padding() -> None:
    ids, targets = to_tensors([Row([1, 5, 6, 7, 2], 3), Row([1, 5, 8, 2], 2)])
    assert ids.tolist() == [[1, 5, 6, 7, 2], [1, 5, 8, 2, 0]]
    no = IGNORED
    assert targets.tolist() == [[no, no, 7, 2, no], [no, 8, 2, no, no]]


def test_a_model_is_made_from_its_seed_and_leaves_the_global_generator() -> None:
    tokenizer, state = build_tokenizer(), torch.get_rng_state()
    first, again, other = (build_model(ARCHITECTURE, tokenizer, seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first.lm_head.weight, again.lm_head.weight)
    assert not torch.equal(first.lm_head.weight, other.lm_head.weight)


def test_training_learns_what_it_is_given() -> None:
    schedule = Schedule(60, 64, 0.02, 0.03, 0, 100)
    trainer = Trainer(build_model(ARCHITECTURE, build_tokenizer(), 0), schedule)
    rows = [Row([1, 5, 6, 7, 8, 9, 10, 2], 2)] * 4
    losses = [trainer.train_step(rows) for _ in range(60)]
    assert losses[0] > 3 and losses[-1] < 0.1


def test_the_learning_rate_warms_up_stays_and_falls_to_zero() -> None:
    schedule = Schedule(200, 64, 0.02, 0.03, 0, 100)
    factors = [schedule.factor(step) for step in range(200)]
    assert factors[0] == 1 / 20 and factors[19:101] == [1.0] * 82
    assert factors[150] == pytest.approx(0.5) and 0 < factors[-1] < 0.02


@torch.inference_mode()
def test_a_folder_loads_in_transformers_and_in_transformer_lens(tmp_path: Path) -> None:
    from transformer_lens.model_bridge import TransformerBridge

    made = build_model(ARCHITECTURE, build_tokenizer(), 3)
    made.save_pretrained(tmp_path)
    build_tokenizer().save_pretrained(tmp_path)
    model = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    assert isinstance(model, LlamaForCausalLM)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    ids = torch.tensor([tokenizer("Numbers 7 8 9 12. Target 28.").input_ids])
    expected = made.eval()(ids).logits
    assert torch.equal(model.eval()(ids).logits, expected)
    bridge = TransformerBridge.boot_transformers(
        str(tmp_path), hf_model=copy.deepcopy(model), tokenizer=tokenizer
    )
    torch.testing.assert_close(bridge(ids, return_type="logits"), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("change", ["steps", "tokens_per_step", "checkpoint_every"])
def test_a_schedule_of_nothing_is_refused(change: str) -> None:
    with pytest.raises(ValueError, match="must be 1 or more"):
        Schedule(**(vars(SCHEDULE) | {change: 0}))


def test_a_width_that_heads_do_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 2 x n_heads"):
        Architecture(2, 18, 4, 32, 64)
