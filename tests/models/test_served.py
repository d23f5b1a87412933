"""Text of an inference server is the model's own, whole and asked for once; or none is kept."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from completion_server import completing
from judge_server import Reply
from tiny_models import save_model
from tokenizers import Tokenizer

from backtracking.models import loading
from backtracking.models.generation import Generation, generate
from backtracking.models.loading import LoadedModel
from backtracking.models.sampling import Sampling
from backtracking.models.served import Server, Writer
from backtracking.models.served_check import check_served
from backtracking.runtime.posting import Endpoint
from lifeboat.stage.errors import UserError
from lifeboat.stage.units import Units

PROMPTS = [[1, 6, 7, 8], [1, 9], [1, 10, 11, 12, 13], [1, 30, 4]]
KEYS = [f"p{number}/0" for number in range(len(PROMPTS))]
GREEDY = Sampling(3, 0.0, 20)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return loading.load(save_model(tmp_path_factory.mktemp("model")))


def writer(loaded: LoadedModel, url: str, root: Path, *, takes_ids: bool = True) -> Writer:
    server = Server(url, "served", 3, takes_ids, 2, 0.05)
    tokenizer = Tokenizer.from_file(str(loaded.folder / "tokenizer.json"))
    endpoint = Endpoint(url, "sk-secret", pause_s=0.01)
    units = Units(root, ("backtracking",))
    return Writer(server, endpoint, tokenizer, loaded.end_ids, "data/traces", units, "weights")


def written(loaded: LoadedModel, tmp_path: Path, **server: Any) -> list[Generation]:
    takes_ids = server.pop("takes_ids", True)
    with completing(loaded, **server) as at:
        return writer(loaded, at.url, tmp_path, takes_ids=takes_ids).write(PROMPTS, KEYS, GREEDY)


@pytest.mark.parametrize("gives_ids", [True, False])
@pytest.mark.parametrize("takes_ids", [True, False])
def test_a_server_of_the_model_writes_what_our_engine_does(
    loaded: LoadedModel, tmp_path: Path, gives_ids: bool, takes_ids: bool
) -> None:
    found = written(loaded, tmp_path, gives_ids=gives_ids, takes_ids=takes_ids)
    assert found == generate(loaded, PROMPTS, KEYS, GREEDY)


def test_what_is_written_is_asked_for_once_and_other_draws_are_asked_for_anew(
    loaded: LoadedModel, tmp_path: Path
) -> None:
    with completing(loaded) as server:
        one = writer(loaded, server.url, tmp_path)
        first = one.write(PROMPTS, KEYS, GREEDY)
        assert len(server.bodies) == len(PROMPTS)
        assert one.write(PROMPTS, KEYS, GREEDY) == first
        assert len(server.bodies) == len(PROMPTS)
        one.write(PROMPTS, [f"{key}x" for key in KEYS], GREEDY)
        replace(one, weights="others").write(PROMPTS, KEYS, GREEDY)
        assert len(server.bodies) == 3 * len(PROMPTS)
        assert server.keys[0] == "Bearer sk-secret"
        assert len({body["seed"] for body in server.bodies}) == 2 * len(PROMPTS)


def gone(number: int) -> Reply | None:
    return (503, {}) if number > 2 else None


def test_what_a_server_wrote_before_it_was_killed_is_kept(
    loaded: LoadedModel, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"did not answer: status 503.*what was written is kept"):
        written(loaded, tmp_path, busy=gone)
    with completing(loaded) as server:
        one = writer(loaded, server.url, tmp_path)
        kept = Units(tmp_path, ("backtracking",))
        assert one.write(PROMPTS, KEYS, GREEDY) == generate(loaded, PROMPTS, KEYS, GREEDY)
        assert 0 < len(PROMPTS) - len(server.bodies) <= 2
        assert kept.store


@pytest.mark.parametrize(
    "status", [429, 500, 503], ids=["too many requests", "broken", "unavailable"]
)
def test_a_server_that_is_busy_for_a_while_is_asked_again(
    loaded: LoadedModel, tmp_path: Path, status: int
) -> None:
    found = written(loaded, tmp_path, busy=lambda n: (status, {}) if n % 3 == 1 else None)
    assert found == generate(loaded, PROMPTS, KEYS, GREEDY)


def cut(value: dict[str, Any]) -> None:
    value["usage"]["prompt_tokens"] -= 1


def begun_twice(value: dict[str, Any]) -> None:
    value["usage"]["prompt_tokens"] += 1


def without_thoughts(value: dict[str, Any]) -> None:
    value["choices"][0]["text"] = " ".join(value["choices"][0]["text"].split()[-2:])


def short(value: dict[str, Any]) -> None:
    text = " ".join(value["choices"][0]["text"].split()[:5])
    value["choices"][0] = {"text": text, "finish_reason": "length"}
    value["usage"]["completion_tokens"] = 5


def no_usage(value: dict[str, Any]) -> None:
    del value["usage"]


def of_another_vocabulary(value: dict[str, Any]) -> None:
    value["choices"][0]["token_ids"] = [99_999]


def filtered(value: dict[str, Any]) -> None:
    value["choices"][0]["finish_reason"] = "content_filter"


def lossy(value: dict[str, Any]) -> None:
    value["choices"][0]["text"] += "  \ufffd"


@pytest.mark.parametrize(
    ("oddity", "told"),
    [
        (cut, r"read \d+ tokens where the prompt has \d+"),
        (begun_twice, r"read \d+ tokens where the prompt has \d+"),
        (without_thoughts, r"says that it wrote \d+ tokens, and gave a text of \d+"),
        (short, "cut a text after 5 tokens where 20 were asked for"),
        (no_usage, "no completion with `usage`"),
        (of_another_vocabulary, "does not have"),
        (filtered, "'content_filter'"),
        (lossy, "does not come back from the tokenizer"),
    ],
)
def test_an_answer_that_is_not_what_was_asked_for_is_refused_and_not_kept(
    loaded: LoadedModel, tmp_path: Path, oddity: Callable[[dict[str, Any]], None], told: str
) -> None:
    with pytest.raises(UserError, match=told):
        written(loaded, tmp_path, oddity=oddity)
    store = tmp_path / ".cache/store/data/traces"
    assert [path for path in store.rglob("*") if path.name[0] != "." and path.is_file()] == []


@pytest.mark.parametrize(
    ("status", "value", "told"),
    [
        (404, {"error": "model `other` does not exist"}, "model `other` does not exist"),
        (401, {"error": "bad key sk-secret"}, r"bad key \.\.\."),
        (200, b'{"choices": [{"te', "JSONDecodeError"),
    ],
)
def test_what_the_server_said_is_told_without_the_key(
    loaded: LoadedModel, tmp_path: Path, status: int, value: Any, told: str
) -> None:
    with pytest.raises(UserError, match=told) as failed:
        written(loaded, tmp_path, busy=lambda number: (status, value))
    assert "sk-secret" not in str(failed.value)


def rows(loaded: LoadedModel, temperature: float, n: int = 1) -> list[tuple[list[int], list[int]]]:
    prompts = PROMPTS * n
    keys = [str(number) for number in range(len(prompts))]
    found = generate(loaded, prompts, keys, Sampling(7, temperature, 60))
    return [(prompt, one.token_ids) for prompt, one in zip(prompts, found, strict=True)]


def test_text_of_the_model_itself_passes_greedy_and_sampled(loaded: LoadedModel) -> None:
    found = check_served(loaded, rows(loaded, 0.0), rows(loaded, 0.7, 20), 0.7, 0.05)
    assert found.gap < 1e-4
    assert abs(found.surprise) < 0.05 + 4 * found.surprise_error
    assert found.n_greedy > 50 and found.n_sampled > 1000


def quantised(tensor: torch.Tensor) -> torch.Tensor:
    step = tensor.abs().amax(dim=-1, keepdim=True).clamp(min=1e-9) / 7
    return (tensor / step).round() * step


def test_a_quantised_copy_and_other_weights_are_caught(loaded: LoadedModel, tmp_path: Path) -> None:
    copy = loading.load(save_model(tmp_path / "copy"))
    with torch.no_grad():
        for parameter in copy.model.parameters():
            if parameter.ndim == 2:
                parameter.copy_(quantised(parameter))
    others = loading.load(save_model(tmp_path / "others", seed=1))
    for served in (copy, others):
        with pytest.raises(UserError, match="does not write as this model does"):
            check_served(loaded, rows(served, 0.0), [], 1.0, 0.05)


def test_a_template_that_a_server_puts_around_the_prompt_is_caught(loaded: LoadedModel) -> None:
    framed = [[1, 20, 21, *prompt] for prompt in PROMPTS]
    texts = generate(loaded, framed, KEYS, GREEDY)
    as_if = [(prompt, one.token_ids) for prompt, one in zip(PROMPTS, texts, strict=True)]
    with pytest.raises(UserError, match="template"):
        check_served(loaded, as_if, [], 1.0, 0.05)


def test_a_sampler_that_cuts_rare_tokens_or_has_another_temperature_is_caught(
    loaded: LoadedModel,
) -> None:
    for wrong, told in ((0.4, "more probable"), (1.2, "less probable")):
        with pytest.raises(UserError, match=told):
            check_served(loaded, [], rows(loaded, wrong, 20), 0.7, 0.05)


def test_a_prompt_that_does_not_come_back_as_its_ids_is_never_sent_as_text(
    loaded: LoadedModel, tmp_path: Path
) -> None:
    with completing(loaded) as server:
        one = writer(loaded, server.url, tmp_path, takes_ids=False)
        tokenizer = Tokenizer.from_str(one.tokenizer.to_str().replace('"w0"', '"w0 w1"'))
        with pytest.raises(UserError, match="takes_ids: true"):
            replace(one, tokenizer=tokenizer).write([[1, 6, 7]], ["a"], GREEDY)
        assert server.bodies == []


def test_the_surprise_of_tokens_is_0_on_average_under_the_model_that_drew_them(
    loaded: LoadedModel,
) -> None:
    found = check_served(loaded, [], rows(loaded, 1.0, 30), 1.0, 1.0)
    assert abs(found.surprise) < 4 * found.surprise_error
    assert np.isfinite(found.surprise_error) and found.surprise_error > 0
