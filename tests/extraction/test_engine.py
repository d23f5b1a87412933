"""Extraction with a tiny random model: against other ways to compute the same, and killed."""

import dataclasses
import os
import random
import shutil
import signal
import time
from collections import namedtuple
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from extraction.conftest import FLOOR, REQUEST, Run
from extraction_helpers import (
    alter,
    contents,
    finished,
    in_child,
    tokens_of,
    truncate,
    with_sentences,
)
from transformer_lens.model_bridge import TransformerBridge

from backtracking.activations.format import Positions
from backtracking.activations.reader import ActivationStore
from backtracking.extraction import engine, filling, running, selfcheck
from backtracking.extraction.items import Item
from backtracking.models import hooks, loading
from backtracking.models.loading import LoadedModel
from backtracking.records.traces import TokenSpan
from lifeboat.stage import artifacts
from lifeboat.stage.errors import UserError

N_LAYERS = 3


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


@pytest.mark.parametrize(("hook", "ends_in"), [("resid_post", 1), ("resid_pre", 0)])
def test_nothing_above_the_highest_layer_runs_and_no_hook_stays(
    model: LoadedModel, hook: str, ends_in: int
) -> None:
    reader = running.open_reader(model, dataclasses.replace(REQUEST, hook=hook))
    ran: list[int] = []
    found: list[int] = []
    before = n_hooks(model)
    handles = [
        block.register_forward_hook(lambda *_, layer=layer: ran.append(layer))
        for layer, block in enumerate(model.blocks)
    ]
    running.forward(reader, torch.tensor([[1, 2, 3]]), [0, 1], lambda n, _: found.append(n))
    for handle in handles:
        handle.remove()
    assert (ran, found) == (list(range(ends_in + 1)), [0, 1])
    assert n_hooks(model) == before
    with pytest.raises(IndexError):
        running.forward(reader, torch.tensor([[10**6]]), [0], lambda *_: None)
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


Damage = Callable[[Path], None]
DAMAGES = [(truncate, "truncated"), (alter, "altered"), (Path.unlink, "missing")]


@pytest.mark.parametrize(("damage", "how"), DAMAGES)
def test_a_damaged_shard_of_the_store_is_named_and_only_it_is_computed_again(
    run: Run, damage: Damage, how: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run()
    before = contents(tmp_path / "out")
    shard = sorted((tmp_path / "store").glob("*.safetensors"))[2]
    damage(shard)
    assert run().n_computed == 1
    assert f"{shard} is {how}: it will be computed again." in capsys.readouterr().err
    assert contents(tmp_path / "out") == before


@pytest.mark.parametrize(("damage", "how"), DAMAGES)
def test_a_damaged_shard_of_a_published_store_is_named_and_repaired_when_asked(
    run: Run, damage: Damage, how: str, tmp_path: Path
) -> None:
    run()
    before = contents(tmp_path / "out")
    shard = sorted((tmp_path / "out").glob("*.safetensors"))[2]
    damage(shard)
    damage(tmp_path / "store" / shard.name)
    with pytest.raises(UserError, match=f"{shard.name} is {how}.*`--repair`"):
        run()
    assert run(repair=True).n_computed == 1
    assert contents(tmp_path / "out") == before


def test_a_folder_of_something_else_is_never_replaced(run: Run, tmp_path: Path) -> None:
    artifacts.write_text(tmp_path / "out" / "thesis.tex", "years of work")
    with pytest.raises(UserError, match="is no activation store"):
        run(repair=True)
    assert (tmp_path / "out" / "thesis.tex").read_text() == "years of work"


def test_the_store_may_not_lie_in_what_is_replaced(
    model: LoadedModel, items: list[Item], tmp_path: Path
) -> None:
    for out in (tmp_path / "a", tmp_path / "a" / "b"):
        with pytest.raises(UserError, match="lies in the folder to publish"):
            engine.extract(model, items, REQUEST, store=tmp_path / "a" / "b", out=out, floor=FLOOR)


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
    assert (check["device"], check["attention"], check["model_dtype"]) == ("cpu", "sdpa", "float32")
    assert manifest.pop("versions")["torch"] == version("torch")
    assert manifest == {
        "format": 1,
        "hook": "resid_post",
        "layers": [0, 1, 2],
        "positions": {"window": [-100, 100], "means": True},
        "dtype": "float32",
        "d_model": 32,
        "model_sha256": model.model_sha256,
        "tokenizer_sha256": model.tokenizer_sha256,
        "unit_traces": 4,
        "tokens_per_batch": 64,
        "n_threads": 1,
        "halved": [],
        "complete": True,
    }


Wrong = Callable[[int, torch.Tensor], torch.Tensor]


def shifted(_layer: int, values: torch.Tensor) -> torch.Tensor:
    return values.roll(1, 1)


def of_the_layer_below() -> Wrong:
    last: dict[int, torch.Tensor] = {}

    def wrong(layer: int, values: torch.Tensor) -> torch.Tensor:
        last[layer] = values.clone()
        return last[max(0, layer - 1)]

    return wrong


def not_a_number(_layer: int, values: torch.Tensor) -> torch.Tensor:
    return values * torch.nan


def dependent_on_the_batch(_layer: int, values: torch.Tensor) -> torch.Tensor:
    return values + values.shape[1] * 1e-3


def altering(monkeypatch: pytest.MonkeyPatch, wrong: Wrong) -> None:
    """Lets extraction receive wrong activations; the plain forward pass stays as it is."""
    forward = running.forward

    def altered(reader: running.Reader, ids: torch.Tensor, layers: Sequence[int], receive) -> None:
        forward(reader, ids, layers, lambda n, values: receive(n, wrong(n, values)))

    monkeypatch.setattr(running, "forward", altered)


@pytest.mark.parametrize(
    "wrong", [shifted, of_the_layer_below(), not_a_number, dependent_on_the_batch]
)
def test_wrong_activations_are_never_published(
    run: Run, wrong: Wrong, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    altering(monkeypatch, wrong)
    with pytest.raises(UserError, match=r"self-check failed.*1e-05 is accepted|are not finite"):
        run()
    assert not (tmp_path / "out").exists()
    # What is not a number is not even written.
    n_written = 0 if wrong is not_a_number else 1
    assert len(list((tmp_path / "store").glob("*.safetensors"))) == n_written


def test_a_dependence_on_the_batch_alone_fails_the_check(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run()
    altering(monkeypatch, dependent_on_the_batch)
    with pytest.raises(UserError, match="the same traces in another batch"):
        run()


def test_sixteen_bits_are_checked_against_their_own_floor(
    model_folder: Path, items: list[Item], tmp_path: Path
) -> None:
    model = loading.load(model_folder, dtype="bfloat16")
    request = dataclasses.replace(REQUEST, dtype="bfloat16")
    store, out = tmp_path / "store", tmp_path / "out"
    with pytest.raises(UserError, match="raise the floor"):
        engine.extract(model, items, request, store=store, out=out, floor=1e-5)
    done = engine.extract(model, items, request, store=store, out=out, floor=3e-2)
    assert done.check.parity > 1e-4
    assert ActivationStore(tmp_path / "out").layer(2)[0].dtype == torch.bfloat16


def test_a_full_disk_is_told_before_the_first_forward_pass(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9 - 10**5, 10**5))
    monkeypatch.setattr(filling, "run_unit", None)
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


@pytest.mark.slow
def test_killed_at_random_moments_it_ends_with_the_bytes_of_an_undisturbed_run(
    run: Run, tmp_path: Path
) -> None:
    start = time.monotonic()
    undisturbed = run(at="undisturbed")
    seconds = time.monotonic() - start
    rng, n_killed = random.Random(0), 0
    for _ in range(20):
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
