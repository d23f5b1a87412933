"""A real inference server, `transformers serve`, on loopback: what it writes is the model's own."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from free_study import save_lawful_model
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

pytestmark = pytest.mark.slow

DRAWS = {"do_sample": True, "top_k": 0}
GREEDY, SAMPLED = Sampling(1, 0.0, 24), Sampling(1, 0.8, 24)
TEXTS = ("Count 1. Let me start.", "Count 2. Wait, no.", "Count 3. Adding one.")


@contextmanager
def serving(folder: Path, log: Path) -> Iterator[str]:
    """The address of a server of a model's folder."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [str(Path(sys.executable).with_name("transformers")), "serve", str(folder)]
    command += ["--host", "127.0.0.1", "--port", port, "--device", "cpu", "--dtype", "float32"]
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    with (
        log.open("wb") as out,
        subprocess.Popen(command, env=environment, stdout=out, stderr=out) as process,
    ):
        try:
            _wait_for(f"http://127.0.0.1:{port}/health", process, log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.kill()


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise AssertionError(log.read_text(errors="replace")[-2000:])


def writer(
    loaded: LoadedModel, url: str, root: Path, name: str, more: dict[str, str] | None = None
) -> Writer:
    server = Server(url, name, 3, takes_ids=False, n_checks=3, max_gap=0.05, more=more or {})
    tokenizer = Tokenizer.from_file(str(loaded.folder / "tokenizer.json"))
    units = Units(root, ("backtracking",))
    return Writer(
        server, Endpoint(url, tries=2), tokenizer, loaded.end_ids, "data/t", units, "weights"
    )


def test_it_writes_what_our_engine_does_draws_where_it_is_told_to_and_is_killed_without_loss(
    tmp_path: Path,
) -> None:
    save_lawful_model(tmp_path / "model")
    loaded = loading.load(tmp_path / "model")
    prompts = [list(loaded.tokenizer(text).input_ids) for text in TEXTS]
    keys, many = [str(number) for number in range(len(prompts))], prompts * 12
    names = [str(number) for number in range(len(many))]
    draws = {"generation_config": json.dumps(DRAWS | {"eos_token_id": loaded.end_ids})}
    with serving(loaded.folder, tmp_path / "log") as url:
        one = writer(loaded, url, tmp_path, str(loaded.folder))
        greedy = one.write(prompts, keys, GREEDY)
        assert greedy == generate(loaded, prompts, keys, GREEDY)
        as_it_is = one.write(many, names, SAMPLED)
        told = writer(loaded, url, tmp_path, str(loaded.folder), draws)
        sampled = told.write(many, names, SAMPLED)
        with pytest.raises(UserError, match="did not answer"):
            writer(loaded, url, tmp_path, "no/such-model").write(prompts, keys, GREEDY)
    found = check_served(loaded, rows(prompts, greedy), rows(many, sampled), 0.8, 0.05)
    assert found.gap < 1e-3 and found.n_sampled > 300
    # By itself it draws nothing, whatever temperature it is asked for.
    with pytest.raises(UserError, match="more probable than tokens drawn at that temperature"):
        check_served(loaded, [], rows(many, as_it_is), 0.8, 0.05)
    # The server is gone: what it wrote is there, and nothing else can be had.
    assert one.write(prompts, keys, GREEDY) == greedy
    with pytest.raises(UserError, match="what was written is kept"):
        one.write(prompts, [f"{key}x" for key in keys], GREEDY)


def rows(prompts: list[list[int]], written: list[Generation]) -> list[tuple[list[int], list[int]]]:
    return [(prompt, one.token_ids) for prompt, one in zip(prompts, written, strict=True)]
