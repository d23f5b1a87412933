"""Fine-tuning: AdamW on a model that is there, taken up after a kill to the same bytes."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from stopping import Killed
from tiny_models import WORDS, build_model, build_tokenizer
from tokenizers import Tokenizer

from backtracking.models.finetuning import FineTuning, Tuner, Tuning, fine_tune
from backtracking.models.rows import Row
from backtracking.models.training import Trained
from lifeboat.stage import interruption
from lifeboat.stage.names import Types
from lifeboat.stage.shelf import Shelf
from lifeboat.stage.steps import Steps

SCHEDULE = FineTuning(
    optimizer="adamw",
    steps=9,
    tokens_per_step=48,
    lr=1e-2,
    warmup=3,
    max_norm=1.0,
    context=24,
    autocast="bfloat16",
    seed=3,
    checkpoint_every=4,
)


@dataclass(frozen=True)
class Drawn:
    """Rows of random words, whose last half repeats the first."""

    def rows(self, tokenizer: Tokenizer, seed: int, context: int) -> Iterator[Row]:
        generator = torch.Generator().manual_seed(seed)
        while True:
            n = int(torch.randint(4, 10, (1,), generator=generator))
            ids = torch.randint(4, len(WORDS), (n,), generator=generator).tolist()
            yield Row([1, *ids, *ids][:context], n + 1)


def steps_in(folder: Path) -> Steps:
    return Steps(Shelf(folder), "0" * 64, Types(("backtracking",)))


def run(folder: Path, schedule: FineTuning = SCHEDULE, killed_at: int | None = None) -> Trained:
    """A whole run, or one that is killed after a step."""
    n_done = 0

    def advance(n: int) -> None:
        nonlocal n_done
        n_done += n
        if n_done == killed_at:
            raise Killed

    torch.set_num_threads(1)
    words = build_tokenizer().backend_tokenizer
    task = Tuning(Drawn(), schedule, "cpu", 1)
    return fine_tune(task, build_model("llama"), words, steps_in(folder), advance)


@pytest.mark.parametrize("autocast", ["bfloat16", "float32"])
def test_a_run_killed_at_any_step_resumes_to_the_same_bytes(autocast: str, tmp_path: Path) -> None:
    schedule = replace(SCHEDULE, autocast=autocast)
    whole = run(tmp_path / "whole", schedule)
    assert len(whole.losses) == SCHEDULE.steps
    for step in (3, 4, 6, 8):
        folder = tmp_path / str(step)
        with pytest.raises(Killed):
            run(folder, schedule, killed_at=step)
        kept = steps_in(folder).latest()
        assert (kept[0] if kept else 0) == (step - 1) // 4 * 4
        found = run(folder, schedule)
        assert found.losses == whole.losses
        assert all(torch.equal(one, whole.weights[name]) for name, one in found.weights.items())


def test_a_run_that_is_asked_to_stop_keeps_the_step_in_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, asked = run(tmp_path / "whole"), []

    def requested() -> bool:
        asked.append(1)
        return len(asked) == 2

    def end() -> None:
        if asked:
            raise SystemExit(interruption.EXIT_CODE)

    with monkeypatch.context() as stopped:
        stopped.setattr(interruption, "requested", requested)
        stopped.setattr(interruption, "checkpoint", end)
        with pytest.raises(SystemExit):
            run(tmp_path)
    kept = steps_in(tmp_path).latest()
    assert kept is not None and kept[0] == 2
    assert run(tmp_path).losses == whole.losses


def test_padding_and_prompts_count_for_nothing() -> None:
    row, longer = Row([1, 5, 6, 7, 8], 2), Row([1, 9, 10, 11, 12, 13, 14, 2], 3)
    exact = replace(SCHEDULE, autocast="float32")
    both = Tuner(build_model("llama"), exact)._loss([row, longer])
    alone = [Tuner(build_model("llama"), exact)._loss([one]) for one in (row, longer)]
    assert torch.allclose(both, (3 * alone[0] + 5 * alone[1]) / 8, rtol=1e-5)


def test_it_learns_what_it_is_given_and_a_tied_head_stays_tied(tmp_path: Path) -> None:
    model = build_model("qwen2")
    model.config.tie_word_embeddings = True
    model.tie_weights()
    task = Tuning(Drawn(), replace(SCHEDULE, steps=60), "cpu", 1)
    words = build_tokenizer().backend_tokenizer
    found = fine_tune(task, model, words, steps_in(tmp_path))
    assert sum(found.losses[-5:]) < 0.9 * sum(found.losses[:5])
    assert "lm_head.weight" not in found.weights


def test_the_rate_rises_and_falls_to_zero() -> None:
    rates = [SCHEDULE.rate(step) for step in range(SCHEDULE.steps + 1)]
    assert rates[2] == max(rates) == SCHEDULE.lr
    assert rates[0] == pytest.approx(SCHEDULE.lr / 3) and rates[-1] == 0
    with pytest.raises(ValueError, match="1 or more"):
        replace(SCHEDULE, warmup=0)
