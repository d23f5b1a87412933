"""Training: taken up after a kill to the same bytes, and a folder that everything loads."""

import copy
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

from backtracking import PROJECT_ROOT
from backtracking.domains.organism.tokenizer import build_tokenizer
from backtracking.models.training import Architecture, Row, Schedule, Trainer, build_model, train

ARCHITECTURE = Architecture(n_layers=2, d_model=16, n_heads=2, d_mlp=32, context=64)
SCHEDULE = Schedule(
    steps=12, tokens_per_step=64, muon_lr=0.02, adam_lr=0.01, seed=3, checkpoint_every=5
)


class Killed(BaseException):
    """Stands for a signal that nothing handles."""


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def batches() -> Iterator[list[Row]]:
    generator = torch.Generator().manual_seed(0)
    while True:
        ids = torch.randint(4, 100, (4, 16), generator=generator).tolist()
        yield [Row([1, *row], 3) for row in ids]


def kill_at(step: int, kill: bool = True):
    def after_step(now: int, loss: float) -> None:
        assert loss > 0
        if kill and now == step:
            if "BY_SIGNAL" in os.environ:
                os.kill(os.getpid(), signal.SIGKILL)
            raise Killed

    return after_step


def run(checkpoint: Path, killed_at: int | None = None) -> Trainer:
    model = build_model(ARCHITECTURE, build_tokenizer(), SCHEDULE.seed)
    trainer = Trainer(model, SCHEDULE)
    train(trainer, batches(), checkpoint, kill_at(killed_at or 0, killed_at is not None))
    return trainer


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    torch.set_num_threads(1)
    return run(tmp_path_factory.mktemp("whole") / "checkpoint.safetensors")


def assert_same_bytes(first: Trainer, second: Trainer) -> None:
    assert first.losses == second.losses and len(first.losses) == SCHEDULE.steps
    theirs = second.model.state_dict()
    for name, tensor in first.model.state_dict().items():
        assert torch.equal(tensor, theirs[name]), name


@pytest.mark.parametrize("step", [3, 5, 8, 11])
def test_a_run_killed_at_any_step_resumes_to_the_same_bytes(
    whole: Trainer, tmp_path: Path, step: int
) -> None:
    checkpoint = tmp_path / "checkpoint.safetensors"
    with pytest.raises(Killed):
        run(checkpoint, killed_at=step)
    assert checkpoint.is_file() == (step >= 5)
    assert_same_bytes(run(checkpoint), whole)


@pytest.mark.slow
def test_a_run_killed_twice_by_a_signal_resumes_to_the_same_bytes(
    whole: Trainer, tmp_path: Path
) -> None:
    checkpoint = tmp_path / "checkpoint.safetensors"
    code = (
        "import sys; sys.path[:0] = sys.argv[1:3]; import test_training; from pathlib import Path;"
        "test_training.torch.set_num_threads(1); test_training.run(Path(sys.argv[3]), 8)"
    )
    folders = [str(PROJECT_ROOT / "src"), str(Path(__file__).parent)]
    environment = os.environ | {"BY_SIGNAL": "1"}
    killed = subprocess.run(
        [sys.executable, "-c", code, *folders, str(checkpoint)], env=environment, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    with pytest.raises(Killed):
        run(checkpoint, killed_at=11)
    assert_same_bytes(run(checkpoint), whole)


def test_a_checkpoint_holds_the_whole_state(whole: Trainer, tmp_path: Path) -> None:
    whole.save(tmp_path / "one")
    fresh = Trainer(build_model(ARCHITECTURE, build_tokenizer(), 99), SCHEDULE)
    fresh.restore(tmp_path / "one")
    fresh.save(tmp_path / "two")
    assert fresh.step == SCHEDULE.steps
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


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


@pytest.fixture(scope="module")
def folder(whole: Trainer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model")
    whole.model.save_pretrained(path)
    build_tokenizer().save_pretrained(path)
    return path


@torch.inference_mode()
def test_the_folder_loads_in_transformers_and_in_transformer_lens(
    folder: Path, whole: Trainer
) -> None:
    from transformer_lens.model_bridge import TransformerBridge

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    assert isinstance(model, LlamaForCausalLM)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = torch.tensor([tokenizer("Numbers 7 8 9 12. Target 28.").input_ids])
    expected = whole.model.eval()(ids).logits
    assert torch.equal(model.eval()(ids).logits, expected)
    bridge = TransformerBridge.boot_transformers(
        str(folder), hf_model=copy.deepcopy(model), tokenizer=tokenizer
    )
    torch.testing.assert_close(bridge(ids, return_type="logits"), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("change", ["steps", "tokens_per_step", "checkpoint_every"])
def test_a_schedule_of_nothing_is_refused(change: str) -> None:
    with pytest.raises(ValueError, match="must be 1 or more"):
        Schedule(**(vars(SCHEDULE) | {change: 0}))


def test_a_width_that_heads_do_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 2 x n_heads"):
        Architecture(2, 18, 4, 32, 64)
