"""Models of the hub: looked at first, taken up where they broke off, refused in plain words."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from hub_server import COMMIT, Hub, serving
from huggingface_hub import constants
from huggingface_hub.utils import close_session
from project import ROOT, write_tiny_params
from stopping import stopped_at_checkpoint
from tiny_models import save_model

from backtracking.models import hub as fetching
from backtracking.models import loading, refused
from backtracking.models.formats import first_line
from backtracking.models.taking import take
from lifeboat.stage import abilities
from lifeboat.stage.errors import UserError

HUB_ID = "lab/tiny"
WEIGHTS = "model.safetensors"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with a tiny Llama, which is the one that the client knows."""
    folder = save_model(tmp_path / "source")
    (folder / "pytorch_model.bin").write_bytes(b"a pickle" * 999)
    (folder / "consolidated.safetensors").write_bytes(b"Mistral's own" * 999)
    (folder / "notes.txt").write_text("read by nobody")
    (folder / "modeling_tiny.py").write_text("raise SystemExit('code of the repository ran')\n")
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no token"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
    monkeypatch.setattr(fetching, "_CHUNK", 100)
    with serving(Hub.of_folder(folder, HUB_ID)) as served:
        monkeypatch.setattr(constants, "ENDPOINT", served.address)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", _template(served.address))
        yield served
        close_session()


def _template(address: str) -> str:
    return address + "/{repo_id}/resolve/{revision}/{filename}"


def taken(root: Path, revision: str | None = COMMIT) -> Path:
    """A model of the hub as the stage takes it."""
    take(HUB_ID, revision, "float32", root, root / "models" / "base")
    return root / "models" / "base"


def test_a_model_comes_whole_without_pickles_or_code_and_is_found_again_without_the_hub(
    hub: Hub, tmp_path: Path
) -> None:
    folder = taken(tmp_path)
    assert (folder / WEIGHTS).read_bytes() == hub.files[WEIGHTS]
    assert loading.load(folder).tokenizer.encode("Wait")
    fetched = hub.fetched()
    assert fetched[0] == "config.json" and WEIGHTS in fetched
    assert not {"pytorch_model.bin", "modeling_tiny.py", "consolidated.safetensors"} & {
        *fetched,
        *map(str, folder.iterdir()),
    }
    hub.asked.clear()
    assert (taken(tmp_path) / WEIGHTS).is_file()
    assert hub.asked == []


def test_a_broken_connection_is_taken_up_at_its_byte(hub: Hub, tmp_path: Path) -> None:
    hub.breaks_after[:] = [5000, 3000]
    folder = taken(tmp_path)
    assert (folder / WEIGHTS).read_bytes() == hub.files[WEIGHTS]
    ranges = [asked for _, path, asked in hub.asked if path == f"/{WEIGHTS}"]
    assert ranges == ["bytes=0-", "bytes=5000-", "bytes=8000-"]


def test_a_process_that_is_stopped_in_the_middle_goes_on_there(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with stopped_at_checkpoint(monkeypatch):
        taken(tmp_path)
    assert not (tmp_path / "models" / "base").exists()
    hub.asked.clear()
    assert (taken(tmp_path) / WEIGHTS).read_bytes() == hub.files[WEIGHTS]
    assert (f"/{WEIGHTS}", "bytes=100-") in [(path, asked) for _, path, asked in hub.asked]


@pytest.mark.slow
def test_a_stage_that_is_killed_in_the_middle_of_a_file_goes_on_there(
    hub: Hub, tmp_path: Path
) -> None:
    large = "model-0.safetensors"
    hub.files[large] = bytes(range(256)) * 2**14
    hub.holds_after = 3 * 2**20
    section = {"source": HUB_ID, "revision": COMMIT, "dtype": "float32"}
    write_tiny_params(tmp_path / "params.yaml", {"weights": {"base": section}})
    command = [sys.executable, "-m", "backtracking.stages.weights", "--root", str(tmp_path), "base"]
    environment = os.environ | {
        "PYTHONPATH": str(ROOT / "src"),
        "HF_ENDPOINT": hub.address,
        "HF_HUB_CACHE": constants.HF_HUB_CACHE,
    }
    process = subprocess.Popen(command, env=environment)
    parts = Path(constants.HF_HUB_CACHE) / "models--lab--tiny" / "parts"
    part, deadline = parts / hub.sha256(large), time.monotonic() + 240
    while not (part.exists() and part.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait(timeout=60) == -signal.SIGKILL
    hub.holds_after, there = 0, part.stat().st_size
    assert 0 < there < len(hub.files[large])
    hub.asked.clear()
    assert subprocess.run(command, env=environment, check=False).returncode == 0
    assert (f"/{large}", f"bytes={there}-") in [(path, asked) for _, path, asked in hub.asked]
    assert (tmp_path / "models" / "base" / large).read_bytes() == hub.files[large]


def test_a_connection_that_breaks_too_often_says_that_what_came_stays(
    hub: Hub, tmp_path: Path
) -> None:
    hub.breaks_after[:] = [100] * fetching._N_TRIES
    with pytest.raises(UserError, match=r"'lab/tiny' .*what has come stays, and the same command"):
        taken(tmp_path)
    hub.asked.clear()
    taken(tmp_path)
    assert f"bytes={100 * fetching._N_TRIES}-" in [asked for *_, asked in hub.asked]


def test_a_file_of_another_hash_is_refused_and_removed(hub: Hub, tmp_path: Path) -> None:
    hub.lies = True
    with pytest.raises(UserError, match=r"model\.safetensors of 'lab/tiny' came with the SHA-256"):
        taken(tmp_path)
    hub.lies = False
    assert (taken(tmp_path) / WEIGHTS).read_bytes() == hub.files[WEIGHTS]


def test_a_gated_model_without_a_token_says_the_steps(hub: Hub, tmp_path: Path) -> None:
    hub.token = "hf_" + "x" * 20
    with pytest.raises(UserError, match=r"'lab/tiny' is gated.*no HF_TOKEN is set.*accept the te"):
        taken(tmp_path)


def test_a_gated_model_of_another_account_says_what_may_be_missing(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.token = "hf_" + "x" * 20
    other = "hf_" + "y" * 20
    monkeypatch.setenv("HF_TOKEN", other)
    with pytest.raises(
        UserError, match=r"the account of HF_TOKEN may not read it.*fine-grai"
    ) as no:
        taken(tmp_path)
    assert other not in str(no.value)


def test_a_token_opens_a_gated_model_and_is_shown_to_no_other_host(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.token = "hf_" + "x" * 20
    monkeypatch.setenv("HF_TOKEN", hub.token)
    taken(tmp_path)
    assert hub.seen and not any(hub.seen)


@pytest.mark.parametrize(
    ("hub_id", "revision", "said"),
    [
        (HUB_ID, "f" * 40, "has no revision ffff"),
        ("lab/other", COMMIT, "no 'lab/other' that is public"),
    ],
)
def test_what_the_hub_does_not_have_is_told(
    hub: Hub, hub_id: str, revision: str, said: str
) -> None:
    with pytest.raises(UserError, match=said):
        fetching.fetch(hub_id, revision)


def test_a_repository_of_pickles_alone_is_refused_before_anything_is_fetched(
    hub: Hub, tmp_path: Path
) -> None:
    del hub.files[WEIGHTS], hub.files["consolidated.safetensors"]
    with pytest.raises(UserError, match=r"no weights .*pickles only \(pytorch_model\.bin\)"):
        taken(tmp_path)
    assert hub.fetched() == []


def configured(hub: Hub, **changed: object) -> None:
    """Gives the repository another configuration."""
    told = json.loads(hub.files["config.json"]) | changed
    hub.files["config.json"] = json.dumps(told).encode()


REFUSED = {
    "code": (
        {"model_type": "tiny_own", "auto_map": {"AutoModelForCausalLM": "modeling_tiny.Tiny"}},
        r"needs code of its own repository .*never run",
    ),
    "unknown": ({"model_type": "of_the_future"}, r"is a 'of_the_future', which transformers 5"),
    "encoder-decoder": (
        {"model_type": "t5", "architectures": ["T5ForConditionalGeneration"], "d_model": 16},
        r"lab/tiny holds a T5ForConditionalGeneration \(t5\)",
    ),
    "mamba": ({"model_type": "mamba"}, r"a MambaForCausalLM \(mamba\), which keeps a running stat"),
    "qwen3.5": (
        {"model_type": "qwen3_5_text", "num_hidden_layers": 4, "layer_types": None},
        r"Qwen3_5ForCausalLM .* in 3 of its 4 layers \(3 linear_attention\).*kv_cache\.py",
    ),
    "lfm2": (
        {"model_type": "lfm2", "layer_types": ["conv", "full_attention", "conv"]},
        r"a Lfm2ForCausalLM \(lfm2\) with layers of other kinds than full .*: 2 conv\..*kv_cache",
    ),
    "lfm2-moe": (
        {"model_type": "lfm2_moe", "layer_types": None},
        r"a Lfm2MoeForCausalLM \(lfm2_moe\), which transformers cannot make of its configuration",
    ),
    "minimax": (
        {"model_type": "minimax", "num_hidden_layers": 4, "layer_types": None},
        r"a MiniMaxForCausalLM \(minimax\) with layers of other .*: 2 linear_attention\.",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_engines_cannot_hold_is_refused_before_its_weights_are_asked_for(
    name: str, hub: Hub, tmp_path: Path
) -> None:
    changed, said = REFUSED[name]
    configured(hub, **changed)
    with pytest.raises(UserError, match=said):
        taken(tmp_path)
    assert hub.fetched() == ["config.json"]


def test_code_that_transformers_does_not_need_is_no_reason_to_refuse(
    hub: Hub, tmp_path: Path
) -> None:
    configured(hub, auto_map={"AutoModelForCausalLM": "modeling_tiny.Tiny"})
    assert loading.load(taken(tmp_path)).n_layers == 3


def test_a_disk_that_is_too_small_is_told_before_weights_are_asked_for(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = len(hub.files[WEIGHTS])
    monkeypatch.setattr(abilities, "free_bytes", lambda _folder: size + 9)
    with pytest.raises(UserError, match=r"lab/tiny \(its files, and a copy in .*GB free"):
        taken(tmp_path)
    assert WEIGHTS not in hub.fetched()


def test_no_network_is_told_in_a_sentence(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise httpx2.ConnectError("no route to host")

    monkeypatch.setattr(fetching, "_files", fail)
    with pytest.raises(
        UserError, match=r"'lab/tiny' .*no route to host.*Check the name and the ne"
    ):
        fetching.fetch(HUB_ID, COMMIT)


def test_what_signs_an_address_is_not_told() -> None:
    signed = "https://cdn.hub/a/b.safetensors?X-Amz-Date=1&X-Amz-Signature=abc"
    error = OSError(f"404 for url '{signed}' (Request 1?).\nmore")
    assert first_line(error) == "404 for url 'https://cdn.hub/a/b.safetensors' (Request 1?)."
    told = refused.told(error, HUB_ID, None)
    assert "Signature" not in str(told) and "https://cdn.hub/a/b.safetensors" in str(told)
