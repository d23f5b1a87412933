import shutil
from pathlib import Path

import pytest

from backtracking import PROJECT_ROOT
from lifeboat.doctor import services


@pytest.fixture
def root(tmp_path: Path) -> Path:
    shutil.copyfile(PROJECT_ROOT / "params.yaml", tmp_path / "params.yaml")
    return tmp_path


def test_the_cache_of_the_hub_is_shown_with_its_room(root: Path) -> None:
    (root / ".cache" / "huggingface" / "hub" / "models--a--b").mkdir(parents=True)
    item = services.cache_item(root)
    assert item.verdict == "ok"
    assert f"{root}/.cache/huggingface/hub: 1 model, " in item.fact
    assert "GB free" in item.fact
    assert "To be fetched" not in item.fact


def test_what_has_to_be_fetched_first_is_named(root: Path) -> None:
    text = (root / "params.yaml").read_text()
    text = text.replace("reasoning:\n    source: organism", "reasoning:\n    source: some/model")
    (root / "params.yaml").write_text(text)
    assert "To be fetched: some/model." in services.cache_item(root).fact


def test_tokens_are_reported_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "No Hugging Face token" in services.token_item().fact
    assert "tracking is off" in services.tracking_item().fact
    token = "hf_" + "aB3" * 11
    monkeypatch.setenv("HF_TOKEN", token)
    monkeypatch.setenv("WANDB_API_KEY", "a-key-for-tests")
    found = [services.token_item(), services.tracking_item()]
    assert "token is set up (not checked" in found[0].fact
    assert "tracking is on" in found[1].fact
    assert token not in str(found)
    assert "a-key" not in str(found)


def test_a_token_of_something_else_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "something-else")
    item = services.token_item()
    assert item.verdict == "warning"
    assert "something-else" not in item.fact
