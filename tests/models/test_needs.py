import re
import shutil
from pathlib import Path

import pytest

from backtracking import PROJECT_ROOT
from backtracking.models import needs, rented
from backtracking.runtime import params, profile
from lifeboat.doctor import disk
from lifeboat.doctor.links import Links

LINKS = Links(Path("/"), ("hardlink", "symlink"), frozenset({"hardlink", "symlink"}))


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone that has nothing yet but a lock of one out of another study."""
    for name in ("HF_HOME", "HF_HUB_CACHE", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    shutil.copyfile(PROJECT_ROOT / "params.yaml", tmp_path / "params.yaml")
    (tmp_path / "dvc.lock").write_text(
        "stages:\n  probe:\n    params:\n      params.yaml:\n        extract.parity_floor: 1e-04\n"
        "    outs:\n    - path: results/probe\n      size: 1000000000\n"
    )
    return tmp_path


def test_the_cache_of_the_hub_is_shown_with_its_room(root: Path) -> None:
    (root / ".cache" / "huggingface" / "hub" / "models--a--b").mkdir(parents=True)
    item = needs.cache_item(root)
    assert item.verdict == "ok"
    assert f"{root}/.cache/huggingface/hub: 1 model, " in item.fact
    assert "GB free" in item.fact
    assert "To be fetched" not in item.fact


def test_what_has_to_be_fetched_first_is_named(root: Path) -> None:
    text = (root / "params.yaml").read_text()
    text = text.replace("reasoning:\n    source: train", "reasoning:\n    source: some/model")
    (root / "params.yaml").write_text(text)
    assert "To be fetched: some/model." in needs.cache_item(root).fact


def test_tokens_are_reported_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "No Hugging Face token" in needs.token_item().fact
    token = "hf_" + "aB3" * 11
    monkeypatch.setenv("HF_TOKEN", token)
    found = needs.token_item()
    assert "token is set up (not checked" in found.fact
    assert token not in str(found)


def test_a_token_of_something_else_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "something-else")
    item = needs.token_item()
    assert item.verdict == "warning"
    assert "something-else" not in item.fact


def test_other_parameters_are_a_bound_of_their_own(root: Path) -> None:
    found = needs.bound(root, LINKS)
    assert found.is_most
    assert "the next run writes at most" in disk.fits(root, LINKS, found).fact
    n_tokens = 240 * 2 * (370 + needs.PROMPT_TOKENS)
    activations = 7 * n_tokens * (4 * 64 * 4 + 24)
    assert activations < found.bytes - 1_000_000_000 < activations + 50_000_000
    path = root / "params.yaml"
    path.write_text(path.read_text().replace("layers: null ", "layers: [3] "))
    assert needs.bound(root, LINKS).bytes < found.bytes


@pytest.mark.parametrize(("gigabytes", "verdict"), [(1000, "ok"), (600, "warning"), (100, "wrong")])
def test_room_between_what_is_expected_and_the_most_is_a_warning(
    gigabytes: int, verdict: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "r1-distill-llama-8b"
    overlay = params.read(PROJECT_ROOT / "configs" / f"{name}.yaml")
    text, _ = profile.merged((root / "params.yaml").read_text(), overlay, name)
    (root / "params.yaml").write_text(text)
    monkeypatch.setattr(disk, "free_bytes", lambda *_: gigabytes * 1e9)
    found = needs.room(root, LINKS)[0]
    shown = " ".join(one.fact for one in rented.shown(PROJECT_ROOT, name, None, 1.0))
    listed = re.findall(r"about (\d+) GB of disk", shown)
    assert found.verdict == verdict
    assert verdict == "ok" or f"bout {listed[0]}" in found.fact


def test_a_project_without_a_lock_has_a_bound_too(root: Path) -> None:
    (root / "dvc.lock").unlink()
    assert 100_000_000 < needs.bound(root, LINKS).bytes < 3_000_000_000


def test_the_bound_of_the_default_study_is_above_what_it_wrote() -> None:
    outs = disk.recorded(PROJECT_ROOT)
    written = sum(out.bytes for out in outs)
    bound = needs.bound(PROJECT_ROOT, LINKS).bytes
    assert written < bound + sum(out.bytes for out in outs if out.path.startswith("models/"))
    assert bound < 10 * written


def test_a_model_of_unknown_size_is_named(root: Path) -> None:
    text = (root / "params.yaml").read_text()
    text = text.replace("reasoning:\n    source: train", "reasoning:\n    source: some/model")
    (root / "params.yaml").write_text(text)
    first, second = needs.room(root, LINKS)
    assert first.verdict == "ok"
    assert (second.verdict, "`some/model`" in second.fact) == ("warning", True)


def test_where_the_study_has_run_as_it_is_the_lock_tells_and_no_bound_is_said(root: Path) -> None:
    floor = params.read(root / "params.yaml")["extract"]["parity_floor"]
    text = (root / "dvc.lock").read_text().replace("1e-04", str(floor))
    (root / "dvc.lock").write_text(text)
    assert needs.room(root, LINKS) == []
