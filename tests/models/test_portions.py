"""Portions of traces: the same tokens as without, none computed twice, none believed unread."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from tiny_models import save_model

from backtracking.models import loading, portions
from backtracking.models.generation import Generation, generate
from backtracking.models.loading import LoadedModel
from backtracking.models.portions import Portions
from backtracking.models.sampling import Sampling
from lifeboat.stage import interruption

SAMPLING = Sampling(3, 1.0, 12)
PROMPTS = [[1, 7, 8], [1, 9], [1, 5, 6, 7], [1, 8], [1, 10, 11]]
KEYS = [f"p{number}/0" for number in range(len(PROMPTS))]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """A tiny random model."""
    return loading.load(save_model(tmp_path_factory.mktemp("model")))


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The keys of every batch that the model was asked for."""
    asked: list[list[str]] = []

    def count(
        loaded: LoadedModel, prompts: Sequence[Sequence[int]], keys: list[str], *a: Sampling, **k
    ) -> list[Generation]:
        asked.append(keys)
        return generate(loaded, prompts, keys, *a, **k)

    monkeypatch.setattr(portions, "generate", count)
    return asked


def write(folder: Path, loaded: LoadedModel, sampling: Sampling = SAMPLING) -> list[Generation]:
    told: list[int] = []
    found = Portions(folder, 1).generate(loaded, PROMPTS, KEYS, sampling, 2, told.append)
    assert sum(told) == len(PROMPTS)
    return found


def test_the_tokens_are_those_of_a_run_without_a_store(
    loaded: LoadedModel, tmp_path: Path, computed: list[list[str]]
) -> None:
    expected = generate(loaded, PROMPTS, KEYS, SAMPLING, batch_size=2)
    assert write(tmp_path / "new" / "folder", loaded) == expected
    assert [len(batch) for batch in computed] == [2, 2, 1]
    assert write(tmp_path / "new" / "folder", loaded) == expected
    assert len(computed) == 3


def test_a_run_that_was_asked_to_stop_ends_after_its_batch_and_goes_on_from_there(
    loaded: LoadedModel,
    tmp_path: Path,
    computed: list[list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def checkpoint() -> None:
        if computed:
            raise SystemExit(interruption.EXIT_CODE)

    with monkeypatch.context() as stopping:
        stopping.setattr(interruption, "checkpoint", checkpoint)
        with pytest.raises(SystemExit) as end:
            write(tmp_path, loaded)
    assert end.value.code == 75 and len(computed) == 1
    assert write(tmp_path, loaded) == generate(loaded, PROMPTS, KEYS, SAMPLING, batch_size=2)
    assert len(computed) == 3 and computed[0] not in computed[1:]


@pytest.mark.parametrize(
    "text",
    [
        "",
        '{"finish_reason": "stop", "token_ids": [1]}\n',
        '{"finish_reason": "stop", "token_ids": [1]}\n{"finish_reason": "stop", "token_ids": [',
        '{"finish_reason": "tired", "token_ids": [1]}\n{"finish_reason": "stop", "token_ids": [1]}',
        '{"finish_reason": "stop", "token_ids": [-1]}\n{"finish_reason": "stop", "token_ids": [1]}',
        '{"finish_reason": "stop", "token_ids": [true]}\n{"finish_reason": "stop"}',
        '{"finish_reason": ["stop"], "token_ids": 3}\n{"a": 1}',
        "\udcff",
    ],
)
def test_a_portion_that_is_not_whole_is_computed_again(
    loaded: LoadedModel, tmp_path: Path, computed: list[list[str]], text: str
) -> None:
    expected = write(tmp_path, loaded)
    portion = max(tmp_path.glob("*.jsonl"), key=lambda path: len(path.read_text().splitlines()))
    portion.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert write(tmp_path, loaded) == expected
    assert len(computed) == 4


def test_what_the_tokens_depend_on_makes_other_portions(
    loaded: LoadedModel, tmp_path: Path, computed: list[list[str]]
) -> None:
    write(tmp_path, loaded)
    write(tmp_path, loaded, Sampling(4, 1.0, 12))
    Portions(tmp_path, 2).generate(loaded, PROMPTS, KEYS, SAMPLING, 2, lambda _n: None)
    Portions(tmp_path, 1).generate(
        loaded, PROMPTS, [*KEYS[1:], KEYS[0]], SAMPLING, 2, lambda _n: None
    )
    assert len(computed) == 12


def test_they_are_removed_when_all_is_in_its_out_and_others_stay(
    loaded: LoadedModel, tmp_path: Path
) -> None:
    write(tmp_path, loaded, Sampling(4, 1.0, 12))
    others = set(tmp_path.iterdir())
    own = Portions(tmp_path, 1)
    own.generate(loaded, PROMPTS, KEYS, SAMPLING, 2, lambda _n: None)
    assert set(tmp_path.iterdir()) > others
    own.remove()
    assert set(tmp_path.iterdir()) == others
