"""The extract stage on a small workspace, in process and as a process of its own."""

import os
import random
import signal
import sys
import time
import warnings
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from extraction_helpers import contents

from backtracking.activations.permuted import FOLDER, PermutedStore, moved
from backtracking.activations.reader import ActivationStore
from backtracking.domains.organism.tokenizer import build_tokenizer
from backtracking.models import loading
from backtracking.models.training import Architecture, build_model
from backtracking.records import reader
from backtracking.records.sentences import Sentence, State, read_sentences, write_sentences
from backtracking.records.traces import TokenSpan, Trace
from backtracking.runtime.workspace import Workspace
from backtracking.stages import extract
from lifeboat.stage import artifacts, claims

N_TRACES = 80
PARAMS = {
    "layers": None,
    "window": [-13, 10],
    "means": True,
    "dtype": "float32",
    "unit_traces": 2,
    "tokens_per_batch": 256,
    "n_threads": 1,
    "permuted": [],
    "parity_floor": 1e-5,
    "device": "cpu",
}


@pytest.fixture(autouse=True)
def _torch_as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    n_threads = torch.get_num_threads()
    yield
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(n_threads)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path)
    tokenizer = build_tokenizer()
    folder = workspace.model("reasoning")
    build_model(Architecture(2, 32, 4, 64, 128), tokenizer, 3).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    rng = random.Random(1)
    written, sentences = [], []
    for number in range(N_TRACES):
        ids = [rng.randrange(100) for _ in range(rng.randrange(20, 60))]
        name = f"p/{number}"
        written.append(Trace(name, "p", "train", number, ids[:5], ids[5:], "", "stop", {}))
        for index, (start, end) in enumerate(pairwise(range(5, len(ids), 7))):
            labels: dict[str, State] = {"exact": "deduction"}
            sentences.append(Sentence(name, index, start, end, "", False, labels))
    reader.write_lines(workspace.traces / "traces.jsonl", written)
    write_sentences(workspace.labels / "sentences.jsonl", sentences)
    write_params(workspace, PARAMS)
    return workspace


def write_params(workspace: Workspace, section: dict[str, object]) -> None:
    artifacts.write_json(workspace.params, {"extract": section})  # JSON is YAML


def main(workspace: Workspace) -> None:
    extract.main(["--root", str(workspace.root), "reasoning"])


def test_the_stage_writes_a_store_of_every_layer_and_the_same_one_again(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    out = workspace.activations("reasoning")
    main(workspace)
    before = contents(out)
    assert (
        f"in {N_TRACES // 2} units, {N_TRACES // 2} of them computed now" in capsys.readouterr().out
    )
    store = ActivationStore(out)
    store.verify()
    assert store.layers == (0, 1)
    assert set(store.rows.trace) == set(range(N_TRACES))
    main(workspace)
    assert contents(out) == before
    assert "0 of them computed now" in capsys.readouterr().out


def test_a_role_that_reads_permuted_traces_has_a_second_store_of_the_same_tokens(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    write_params(workspace, {**PARAMS, "permuted": ["reasoning"], "window": [-1, 0]})
    main(workspace)
    out = workspace.activations("reasoning")
    plain = ActivationStore(out)
    spans: list[dict[int, TokenSpan]] = [{} for _ in range(N_TRACES)]
    for one in read_sentences(workspace.labels / "sentences.jsonl"):
        spans[int(one.trace_id[2:])][one.index] = TokenSpan(one.start, one.end)
    traces = reader.read_lines(Trace, workspace.traces / "traces.jsonl")
    moves = {n: moved(n, its, len(traces[n].ids)) for n, its in enumerate(spans)}
    permuted = PermutedStore(out / FOLDER, moves)
    permuted.verify()
    model = loading.load(workspace.model("reasoning"))
    n = next(n for n, its in enumerate(spans) if moves[n][its[0].start] != its[0].start)
    shuffled = torch.empty(len(traces[n].ids), dtype=torch.long)
    shuffled[torch.from_numpy(moves[n])] = torch.tensor(traces[n].ids)
    states = model.model(shuffled[None], output_hidden_states=True).hidden_states[1][0]
    position = np.array([one.start for one in spans[n].values()])
    found = permuted.gather(0, np.full(len(position), n), position)
    torch.testing.assert_close(found, states[moves[n][position]].detach(), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(found, plain.gather(0, np.full(len(position), n), position))
    capsys.readouterr()
    before = contents(out / FOLDER)
    main(workspace)
    assert contents(out / FOLDER) == before
    assert capsys.readouterr().out.count(" 0 of them computed now") == 2


def test_terminated_it_keeps_what_is_finished_and_goes_on_from_there(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    shards = workspace.store / "data/interim/activations/reasoning"
    with warnings.catch_warnings():
        # Python 3.12 warns of forks beside other threads; the child uses none of them.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        code = 1
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        sys.argv = ["extract", "--root", str(workspace.root), "reasoning"]
        try:
            extract.main()
        except SystemExit as end:
            code = int(str(end.code))
        finally:
            os._exit(code)
    while not list(shards.glob("[!.]*.json")):
        assert os.waitpid(pid, os.WNOHANG) == (0, 0)
        time.sleep(0.002)
    os.kill(pid, signal.SIGTERM)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 75
    finished = {path.stem for path in shards.glob("[!.]*.json")}
    assert 0 < len(finished) < N_TRACES // 2
    assert {path.stem for path in shards.glob("*.safetensors")} == finished
    assert [path.name for path in shards.glob(".*")] == [claims.FILE]
    assert not workspace.activations("reasoning").exists()
    main(workspace)
    n_left = N_TRACES // 2 - len(finished)
    assert f"{n_left} of them computed now" in capsys.readouterr().out
    ActivationStore(workspace.activations("reasoning")).verify()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"windw": [0, 1]}, "unknown key `windw`. Did you mean `window`?"),
        ({"window": [3, 1]}, "`window` expects first <= last, found [3, 1]"),
        ({"layers": [1, 0]}, "`layers` expects ascending layers, found [1, 0]"),
        ({"layers": [0, 2]}, "Expected layers from 0 to 1, found [0, 2]"),
        ({"unit_traces": 0}, "`unit_traces` must be above 0, found 0"),
        ({"dtype": "float8"}, "found 'float8'"),
        ({"parity_floor": 1e-12}, "The self-check failed"),
    ],
)
def test_a_wrong_parameter_is_told_and_nothing_is_overwritten(
    workspace: Workspace,
    change: dict[str, object],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    main(workspace)
    before = contents(workspace.activations("reasoning"))
    write_params(workspace, PARAMS | change)
    with pytest.raises(SystemExit, match="1"):
        main(workspace)
    assert message in capsys.readouterr().err
    assert contents(workspace.activations("reasoning")) == before


def test_a_folder_that_is_no_store_is_never_replaced(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = workspace.activations("reasoning") / "manifest.json"
    artifacts.write_text(kept, "a work of years")
    with pytest.raises(SystemExit, match="1"):
        main(workspace)
    assert f"{kept} is not JSON" in capsys.readouterr().err
    assert kept.read_text() == "a work of years"


def test_a_broken_line_of_the_traces_is_named(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    path = workspace.traces / "traces.jsonl"
    artifacts.write_text(path, path.read_text() + '{"trace_id": "p/')
    with pytest.raises(SystemExit, match="1"):
        main(workspace)
    assert f"traces.jsonl, line {N_TRACES + 1}" in capsys.readouterr().err


def test_a_model_without_weights_is_named(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    (workspace.model("reasoning") / "model.safetensors").unlink()
    with pytest.raises(SystemExit, match="1"):
        main(workspace)
    assert "has no weights" in capsys.readouterr().err
