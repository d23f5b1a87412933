"""Extraction with a tiny random model: against other ways to compute the same, and killed."""

import dataclasses
import os
import random
import shutil
import signal
import time
import warnings
from collections import namedtuple
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from transformer_lens.model_bridge import TransformerBridge

from backtracking import artifacts, hooks, models
from backtracking.errors import UserError
from backtracking.extraction import engine, running, selfcheck
from backtracking.extraction.planning import Item, Positions, Request
from backtracking.extraction.reader import ActivationStore
from backtracking.models import LoadedModel
from backtracking.organism.tokenizer import build_tokenizer
from backtracking.organism.training import Architecture, build_model
from backtracking.traces import TokenSpan

N_LAYERS = 3
FLOOR = 1e-5
EVERY_TOKEN = Positions((-100, 100), True)
REQUEST = Request((0, 1, 2), EVERY_TOKEN, "float32", 4, 64, 1)
Run = Callable[..., engine.Extraction]


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    tokenizer = build_tokenizer()
    build_model(Architecture(N_LAYERS, 32, 4, 64, 128), tokenizer, 3).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def model(model_folder: Path) -> LoadedModel:
    return models.load(model_folder)


@pytest.fixture(scope="module")
def items() -> list[Item]:
    return make_items(23)


def make_items(n: int) -> list[Item]:
    """Ragged traces with adjoining sentences; the third of each four has none."""
    rng = random.Random(5)
    made = []
    for trace in range(n):
        ids = [rng.randrange(100) for _ in range(rng.randrange(8, 60))]
        cuts = sorted(rng.sample(range(3, len(ids)), 4)) if trace % 4 != 2 else []
        spans = (TokenSpan(*span) for span in pairwise(cuts))
        made.append(Item(trace, ids, dict(enumerate(spans))))
    return made


@pytest.fixture(scope="module")
def published(
    model: LoadedModel, items: list[Item], tmp_path_factory: pytest.TempPathFactory
) -> ActivationStore:
    folder = tmp_path_factory.mktemp("published")
    engine.extract(model, items, REQUEST, store=folder / "store", out=folder / "out", floor=FLOOR)
    return ActivationStore(folder / "out")


@pytest.fixture
def run(model: LoadedModel, items: list[Item], tmp_path: Path) -> Run:
    def run_(
        items: Sequence[Item] = items,
        request: Request = REQUEST,
        floor: float = FLOOR,
        at: str = "",
    ) -> engine.Extraction:
        store, out = tmp_path / f"store{at}", tmp_path / f"out{at}"
        return engine.extract(model, items, request, store=store, out=out, floor=floor)

    return run_


def contents(folder: Path) -> dict[str, str]:
    return {path.name: artifacts.sha256_file(path) for path in sorted(folder.iterdir())}


def tokens_of(store: ActivationStore, layer: int, item: Item) -> torch.Tensor:
    n_tokens = len(item.ids)
    return store.gather(layer, np.full(n_tokens, item.trace), np.arange(n_tokens))


def with_sentences(items: Sequence[Item]) -> list[Item]:
    return [item for item in items if item.spans]


def test_every_layer_equals_output_hidden_states_of_a_trace_alone(
    published: ActivationStore, model: LoadedModel, items: list[Item]
) -> None:
    final_norm = model.model.get_submodule("model.norm")
    for item in with_sentences(items):
        ids = torch.tensor([item.ids])
        hidden_states = model.model(ids, output_hidden_states=True).hidden_states
        for layer in range(N_LAYERS - 1):
            found = tokens_of(published, layer, item)
            assert selfcheck.relative(found, hidden_states[layer + 1][0]) < FLOOR
        last = tokens_of(published, N_LAYERS - 1, item)
        assert selfcheck.relative(final_norm(last), hidden_states[-1][0]) < FLOOR
        assert selfcheck.relative(last, hidden_states[-1][0]) > 0.1


def test_every_layer_equals_transformer_lens(
    published: ActivationStore, model_folder: Path, items: list[Item], tmp_path: Path
) -> None:
    shutil.copytree(model_folder, tmp_path / "copy")
    bridge = TransformerBridge.boot_transformers(
        str(tmp_path / "copy"), device="cpu", dtype=torch.float32
    )
    for item in with_sentences(items)[:6]:
        _, cache = bridge.run_with_cache(torch.tensor([item.ids]))
        for layer in range(N_LAYERS):
            expected = cache[f"blocks.{layer}.hook_resid_post"][0]
            assert selfcheck.relative(tokens_of(published, layer, item), expected) < FLOOR


def test_means_are_those_of_the_sentences_tokens(
    published: ActivationStore, items: list[Item]
) -> None:
    values, rows = published.means(1)
    assert len(rows) == sum(len(item.spans) for item in items)
    for value, trace, sentence in zip(values, rows.trace, rows.sentence, strict=True):
        span = items[trace].spans[int(sentence)]
        expected = tokens_of(published, 1, items[trace])[span.start : span.end].mean(0)
        assert torch.allclose(value, expected, atol=1e-6)


@pytest.mark.parametrize("positions", [Positions((-3, 2), True), Positions((0, 0), False)])
def test_a_window_holds_the_same_vectors_as_every_token(
    published: ActivationStore, run: Run, positions: Positions, tmp_path: Path
) -> None:
    run(request=dataclasses.replace(REQUEST, layers=(1,), positions=positions))
    store = ActivationStore(tmp_path / "out")
    values, rows = store.layer(1)
    is_token = rows.position >= 0
    expected = published.gather(1, rows.trace[is_token], rows.position[is_token])
    assert selfcheck.relative(values[torch.from_numpy(is_token)], expected) < FLOOR
    assert store.layers == (1,)
    assert is_token.all() != positions.means


@pytest.mark.parametrize("tokens_per_batch", [1, 200, 10_000])
def test_vectors_do_not_depend_on_which_traces_share_a_batch(
    published: ActivationStore, run: Run, tokens_per_batch: int, tmp_path: Path
) -> None:
    other = dataclasses.replace(REQUEST, unit_traces=9, tokens_per_batch=tokens_per_batch)
    run(request=other)
    another = ActivationStore(tmp_path / "out")
    for layer in range(N_LAYERS):
        assert selfcheck.relative(published.layer(layer)[0], another.layer(layer)[0]) < FLOOR


def n_hooks(model: LoadedModel) -> int:
    """Number of forward hooks; transformers keeps some of its own."""
    return sum(len(module._forward_hooks) for module in model.model.modules())


def test_nothing_above_the_highest_layer_runs_and_no_hook_stays(model: LoadedModel) -> None:
    ran: list[int] = []
    before = n_hooks(model)
    handles = [
        block.register_forward_hook(lambda *_, layer=layer: ran.append(layer))
        for layer, block in enumerate(model.blocks)
    ]
    found = running.resid_post(model, torch.tensor([[1, 2, 3]]), [0, 1])
    for handle in handles:
        handle.remove()
    assert (ran, sorted(found)) == ([0, 1], [0, 1])
    assert n_hooks(model) == before
    with pytest.raises(IndexError):
        running.resid_post(model, torch.tensor([[10**6]]), [0])
    assert n_hooks(model) == before


def test_a_second_run_computes_nothing_and_publishes_the_same_bytes(
    run: Run, tmp_path: Path
) -> None:
    first = run()
    before = contents(tmp_path / "out")
    shutil.rmtree(tmp_path / "out")  # as DVC does before a run
    second = run()
    assert (first.n_computed, second.n_computed) == (first.n_units, 0)
    assert contents(tmp_path / "out") == before
    run(at="elsewhere")
    assert contents(tmp_path / "outelsewhere") == before


def test_traces_added_later_compute_only_what_is_new(
    run: Run, items: list[Item], tmp_path: Path
) -> None:
    run(items=items[:9])
    assert run().n_computed == 6 - 2
    run(at="fresh")
    assert contents(tmp_path / "out") == contents(tmp_path / "outfresh")


def test_a_damaged_shard_of_the_store_is_computed_again_and_only_it(
    run: Run, tmp_path: Path
) -> None:
    run()
    before = contents(tmp_path / "out")
    shard = sorted((tmp_path / "store").glob("*.safetensors"))[2]
    data = shard.read_bytes()
    artifacts.write_bytes(shard, data[:-1] + bytes([data[-1] ^ 1]))
    assert run().n_computed == 1
    assert contents(tmp_path / "out") == before


def test_the_manifest_tells_what_was_measured_and_nothing_of_the_machine(
    run: Run, model: LoadedModel, tmp_path: Path
) -> None:
    done = run()
    manifest = artifacts.read_json(tmp_path / "out" / "manifest.json")
    units = manifest.pop("units")
    assert sum(unit["rows"] for unit in units) == done.n_rows
    check = manifest.pop("check")
    assert check == dataclasses.asdict(done.check)
    assert 0 < max(check["parity"], check["batch_invariance"]) < FLOOR
    assert manifest == {
        "format": 1,
        "hook": "resid_post",
        "layers": [0, 1, 2],
        "positions": {"window": [-100, 100], "means": True},
        "dtype": "float32",
        "d_model": 32,
        "model_sha256": model.model_sha256,
        "tokenizer_sha256": model.tokenizer_sha256,
        "complete": True,
    }


Forward = Callable[[LoadedModel, torch.Tensor, Sequence[int]], dict[int, torch.Tensor]]


def shifted(forward: Forward) -> Forward:
    return lambda *args: {layer: values.roll(1, 1) for layer, values in forward(*args).items()}


def of_the_layer_below(forward: Forward) -> Forward:
    def wrong(model: LoadedModel, ids: torch.Tensor, layers: Sequence[int]) -> dict:
        found = forward(model, ids, layers)
        return {layer: found[max(0, layer - 1)] for layer in layers}

    return wrong


def not_a_number(forward: Forward) -> Forward:
    return lambda *args: {layer: values * torch.nan for layer, values in forward(*args).items()}


def dependent_on_the_batch(forward: Forward) -> Forward:
    def wrong(model: LoadedModel, ids: torch.Tensor, layers: Sequence[int]) -> dict:
        return {
            n: values + ids.shape[1] * 1e-3 for n, values in forward(model, ids, layers).items()
        }

    return wrong


@pytest.mark.parametrize(
    "wrong", [shifted, of_the_layer_below, not_a_number, dependent_on_the_batch]
)
def test_wrong_activations_are_never_published(
    run: Run, wrong: Callable[[Forward], Forward], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(running, "resid_post", wrong(running.resid_post))
    with pytest.raises(UserError, match=r"self-check failed.*1e-05 is accepted"):
        run()
    assert not (tmp_path / "out").exists()
    assert len(list((tmp_path / "store").glob("*.safetensors"))) == 1


def test_a_dependence_on_the_batch_alone_fails_the_check(
    model: LoadedModel, items: list[Item], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run()
    monkeypatch.setattr(running, "resid_post", dependent_on_the_batch(running.resid_post))
    with pytest.raises(UserError, match="the same traces in another batch"):
        run()


def test_sixteen_bits_are_checked_against_their_own_floor(
    model_folder: Path, items: list[Item], tmp_path: Path
) -> None:
    model = models.load(model_folder, dtype="bfloat16")
    request = dataclasses.replace(REQUEST, dtype="bfloat16")
    places = {"store": tmp_path / "store", "out": tmp_path / "out"}
    with pytest.raises(UserError, match="raise `parity_floor`"):
        engine.extract(model, items, request, floor=1e-5, **places)
    assert engine.extract(model, items, request, floor=3e-2, **places).check.parity > 1e-4
    assert ActivationStore(tmp_path / "out").layer(2)[0].dtype == torch.bfloat16


def test_a_full_disk_is_told_before_the_first_forward_pass(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9 - 10**5, 10**5))
    monkeypatch.setattr(engine, "run_unit", None)
    with pytest.raises(UserError, match=r"Extraction of 6 units needs about 0\.00 GB"):
        run()
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("layers", [(), (0, 3), (-1,)])
def test_a_layer_that_the_model_does_not_have_is_refused(run: Run, layers: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match="Expected layers from 0 to 2"):
        run(request=dataclasses.replace(REQUEST, layers=layers))


def test_token_ids_of_another_tokenizer_are_refused(run: Run) -> None:
    with pytest.raises(UserError, match="Trace 3 has token ids from 1 to 5000"):
        run(items=[Item(3, [1, 5000], {0: TokenSpan(0, 2)})])


def test_a_store_in_place_of_which_there_is_a_file_is_a_readable_error(
    run: Run, tmp_path: Path
) -> None:
    (tmp_path / "store").write_text("")
    with pytest.raises(UserError, match="could not be written"):
        run()
    assert not (tmp_path / "out").exists()


def in_child(work: Callable[[], object], kill_after: float | None = None) -> int:
    """Runs `work` in a fork; the wait status, after SIGKILL if it ran longer than `kill_after`."""
    with warnings.catch_warnings():
        # Python 3.12 warns of forks beside other threads; the child uses none of them.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        try:
            work()
        finally:
            os._exit(0)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(pid, signal.SIGKILL)
    return os.waitpid(pid, 0)[1]


def finished(store: Path) -> dict[str, int]:
    """Inode of every shard whose record is written, by name."""
    records = store.glob("[!.]*.json")
    return {path.stem: path.with_suffix(".safetensors").stat().st_ino for path in records}


def test_killed_at_random_moments_it_ends_with_the_bytes_of_an_undisturbed_run(
    run: Run, tmp_path: Path
) -> None:
    start = time.monotonic()
    undisturbed = run(at="undisturbed")
    seconds = time.monotonic() - start
    rng, n_killed = random.Random(0), 0
    for _ in range(12):
        before = finished(tmp_path / "store")
        status = in_child(run, kill_after=rng.uniform(0, 0.5 * seconds))
        n_killed += os.WIFSIGNALED(status)
        after = finished(tmp_path / "store")
        assert before.items() <= after.items()
        if len(after) == undisturbed.n_units:
            shutil.rmtree(tmp_path / "store")
    before = finished(tmp_path / "store")
    assert run().n_computed == undisturbed.n_units - len(before)
    assert n_killed
    assert contents(tmp_path / "out") == contents(tmp_path / "outundisturbed")


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_any_rename_it_ends_with_the_bytes_of_an_undisturbed_run(
    run: Run, items: list[Item], when: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run(items=items[:8], at="undisturbed")
    expected = contents(tmp_path / "outundisturbed")
    replace = os.replace
    # Two units with a record each, the manifest, and the folder itself.
    for moment in range(6):
        countdown = iter(range(moment, -1, -1))

        def dying(source: str, target: str, countdown: Iterator[int] = countdown) -> None:
            last = next(countdown) == 0
            if not (last and when == "before"):
                replace(source, target)
            if last:
                os.kill(os.getpid(), signal.SIGKILL)

        monkeypatch.setattr(os, "replace", dying)
        assert os.WIFSIGNALED(in_child(lambda: run(items=items[:8])))
        monkeypatch.setattr(os, "replace", replace)
        n_finished = len(finished(tmp_path / "store"))
        assert n_finished == min(2, (moment + (when == "after")) // 2)
        assert (tmp_path / "out").exists() == (moment == 5 and when == "after")
        assert run(items=items[:8]).n_computed == 2 - n_finished
        assert contents(tmp_path / "out") == expected
        for folder in ("store", "out"):
            shutil.rmtree(tmp_path / folder)


def test_the_model_is_left_as_it_was(run: Run, model: LoadedModel) -> None:
    ids = torch.tensor([[1, 2, 3]])
    with torch.inference_mode():
        before = model.model(ids).logits
        run()
        assert torch.equal(model.model(ids).logits, before)
    with hooks.capture(model.blocks, [2]) as captured, torch.inference_mode():
        model.model(ids)
    assert captured[2].shape == (1, 3, 32)
