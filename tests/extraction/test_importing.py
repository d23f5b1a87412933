"""`backtracking store import`: a server's hidden states, and nothing that is not the model's."""

import dataclasses
import fcntl
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from extraction.families import build
from extraction_helpers import contents, truncate, write_traces
from members import few
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from server_states import PLANTED, Served, serve, true_states, write
from typer.testing import CliRunner

from backtracking.activations.format import Positions
from backtracking.activations.reader import ActivationStore
from backtracking.cli import app
from backtracking.extraction import engine, importer, importing
from backtracking.extraction.items import Item
from backtracking.extraction.planning import Request
from backtracking.models import loading
from backtracking.models.loading import LoadedModel
from backtracking.records.traces import TokenSpan
from lifeboat.stage.errors import UserError

FLOOR = 1e-5
VICTIM = 7
"""A trace behind other units, with a prefix of others, compared at its lowest layer only."""


def make_items(d_vocab: int = 100) -> list[Item]:
    """Three questions of 20 tokens with four answers each, and four that share nothing."""
    rng = random.Random(3)

    def ids(n: int) -> list[int]:
        return [rng.randrange(3, d_vocab) for _ in range(n)]

    questions = [ids(20) for _ in range(3)]
    texts = [[*question, *ids(rng.randrange(6, 20))] for _ in range(4) for question in questions]
    texts += [ids(n) for n in (9, 17, 44, 30)]
    return [
        Item(trace, text, {0: TokenSpan(3, 6), 1: TokenSpan(6, 8)})
        for trace, text in enumerate(texts)
    ]


@pytest.fixture(scope="module")
def texts() -> list[Item]:
    return make_items()


@pytest.fixture(scope="module")
def honest(model: LoadedModel, texts: list[Item]) -> Served:
    return serve(model, texts)


@pytest.fixture
def served(honest: Served, texts: list[Item], tmp_path: Path) -> Served:
    write_traces(texts, tmp_path)
    return dataclasses.replace(
        honest,
        ids=[list(ids) for ids in honest.ids],
        states=[states.clone() for states in honest.states],
    )


def options(at: Path, model: Path | str, **changed: object) -> importing.Options:
    made = importing.Options(
        folder=at / "served",
        model=str(model),
        revision=None,
        traces=at / "traces.jsonl",
        sentences=at / "sentences.jsonl",
        out=at / "out",
        store=None,
        layer_ids="1-3",
        hook="resid_post",
        window=None,
        means=False,
        dtype=None,
        device="cpu",
        unit_traces=3,
        floor=FLOOR,
        repair=False,
    )
    return dataclasses.replace(made, **changed)  # type: ignore[arg-type]


def stored_traces(folder: Path) -> set[int]:
    """Traces of which a shard has a row, wherever it lies."""
    found = set()
    for path in (folder / ".out.store").glob("*.safetensors"):
        with safe_open(path, framework="pt") as file:
            found |= set(file.get_tensor("trace").tolist())
    return found


@pytest.mark.parametrize(
    "kept", [{}, {"window": "-2:3"}, {"window": "-2:3", "means": True}], ids=str
)
def test_what_a_server_wrote_is_what_we_would_extract(
    served: Served, texts: list[Item], model_folder: Path, tmp_path: Path, kept: dict[str, object]
) -> None:
    before = contents(write(served, tmp_path / "served"))
    done = importing.run(options(tmp_path, model_folder, **kept))
    store = ActivationStore(tmp_path / "out")
    store.verify()
    window = (-2, 3) if "window" in kept else None
    request = Request((0, 1, 2), Positions(window, bool(kept.get("means"))), "float32", 3, 64, 1)
    own = tmp_path / "own"
    engine.extract(served.model, texts, request, store=own / "s", out=own / "o", floor=FLOOR)
    expected = ActivationStore(own / "o")
    for layer in (0, 1, 2):
        values, rows = store.layer(layer)
        theirs, their_rows = expected.layer(layer)
        assert all(
            np.array_equal(getattr(rows, name), getattr(their_rows, name))
            for name in ("trace", "sentence", "position")
        )
        difference = (values - theirs).norm(dim=1) / theirs.norm(dim=1)
        assert difference.max() <= FLOOR
    assert store.manifest.imported == done.imported and done.imported.n_files == len(texts)
    assert done.lowest <= FLOOR and done.check.parity <= FLOOR
    assert contents(tmp_path / "served") == before


def test_what_is_compared_at_every_layer_shares_prefixes_and_has_the_ends(
    served: Served, texts: list[Item], model_folder: Path, tmp_path: Path
) -> None:
    write(served, tmp_path / "served")
    chosen = set(importing.run(options(tmp_path, model_folder)).imported.traces)
    lengths = [len(item.ids) for item in texts]
    ends = {0, len(texts) - 1, lengths.index(max(lengths)), lengths.index(min(lengths))}
    assert ends <= chosen < set(range(len(texts)))
    first = [item.ids[:16] for item in texts]
    assert any(first[a] == first[b] for a in chosen for b in chosen if a < b)
    assert VICTIM not in chosen and any(first[VICTIM] == one for one in first[:VICTIM])


@pytest.mark.kind(6)
@pytest.mark.parametrize("name", PLANTED)
def test_what_servers_got_wrong_is_told_and_never_stored(
    served: Served, model_folder: Path, tmp_path: Path, name: str
) -> None:
    plant, told = PLANTED[name]
    served.victim = VICTIM
    plant(served)
    before = contents(write(served, tmp_path / "served"))
    with pytest.raises(UserError, match=told):
        importing.run(options(tmp_path, model_folder))
    assert not (tmp_path / "out").exists()
    assert VICTIM not in stored_traces(tmp_path)
    assert contents(tmp_path / "served") == before


@pytest.mark.parametrize("hook", ["resid_post", "resid_pre"])
def test_an_id_is_the_layer_that_the_documents_say(
    model: LoadedModel, texts: list[Item], model_folder: Path, tmp_path: Path, hook: str
) -> None:
    write_traces(texts, tmp_path)
    write(serve(model, texts, first_id=0), tmp_path / "served")
    importing.run(options(tmp_path, model_folder, layer_ids="0-3", hook=hook))
    store = ActivationStore(tmp_path / "out")
    assert (store.hook, store.layers) == (hook, (0, 1, 2))
    states = true_states(model, texts[0].ids)
    for layer in store.layers:
        own = states[:, layer + (hook == "resid_post")]
        assert torch.allclose(store.layer(layer)[0][: len(own)], own, rtol=1e-4, atol=1e-5)
    with pytest.raises(UserError, match="states of 4 layers, and 3 ids"):
        importing.run(options(tmp_path, model_folder, layer_ids="1-3"))


def test_what_block_0_reads_does_not_stand_for_what_comes_before(
    model: LoadedModel, texts: list[Item], model_folder: Path, tmp_path: Path
) -> None:
    write_traces(texts, tmp_path)
    served = serve(model, texts, first_id=0)
    served.victim = VICTIM
    PLANTED["chunks: one sees nothing before"][0](served)
    write(served, tmp_path / "served")
    with pytest.raises(UserError, match=r"\(trace 7\): token 8 of \d+ at resid_pre of layer 1"):
        importing.run(options(tmp_path, model_folder, layer_ids="0-3", hook="resid_pre"))


FAMILIES = ["llama", "gemma2", "opt", "qwen3", "gpt_neox", "mixtral", "gpt2", "olmo2", "phi3"]


@pytest.mark.parametrize(("dtype", "floor"), [("float32", 1e-5), ("bfloat16", 0.1)])
@pytest.mark.parametrize("name", few(FAMILIES, 3))
def test_families_and_dtypes(name: str, dtype: str, floor: float, tmp_path: Path) -> None:
    build(name).save_pretrained(tmp_path / "m")
    texts = [item for item in make_items(40) if len(item.ids) <= 40]
    texts = [dataclasses.replace(item, trace=n) for n, item in enumerate(texts)]
    write_traces(texts, tmp_path)
    served = serve(loading.load(tmp_path / "m", dtype=dtype), texts)
    write(served, tmp_path / "served", "hs_{}")
    chosen = options(tmp_path, tmp_path / "m", floor=floor)
    importing.run(chosen)
    assert ActivationStore(tmp_path / "out").manifest.dtype == dtype
    served.states[5][[2, 3]] = served.states[5][[3, 2]]
    write(served, tmp_path / "served", "hs_{}")
    with pytest.raises(UserError, match=r"token 2 of \d+ .*the row of token 3"):
        importing.run(dataclasses.replace(chosen, out=tmp_path / "other"))


def test_an_interrupted_import_goes_on_and_a_changed_file_is_read_again(
    served: Served, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(served, tmp_path / "served")
    n_units, asked = 6, iter(range(100))
    with monkeypatch.context() as patch:
        patch.setattr(
            importer.interruption, "checkpoint", lambda: next(asked) < 4 or pytest.exit("stop")
        )
        with pytest.raises(pytest.exit.Exception):
            importing.run(options(tmp_path, model_folder))
    assert importing.run(options(tmp_path, model_folder)).n_written == n_units - 4
    assert importing.run(options(tmp_path, model_folder)).n_written == 0
    path = sorted(folder.iterdir())[0]
    tensors = load_file(path)
    tensors["hidden_states"] *= 1 + 1e-7
    save_file(tensors, path)
    assert importing.run(options(tmp_path, model_folder)).n_written == 1


def test_extraction_never_takes_what_a_server_made_for_its_own(
    served: Served, texts: list[Item], model_folder: Path, tmp_path: Path
) -> None:
    write(served, tmp_path / "served")
    importing.run(options(tmp_path, model_folder, unit_traces=4))
    request = Request((0, 1, 2), Positions(None), "float32", 4, 2048, torch.get_num_threads())
    done = engine.extract(
        served.model,
        texts,
        request,
        store=tmp_path / ".out.store",
        out=tmp_path / "extracted",
        floor=FLOOR,
    )
    assert (done.n_computed, done.n_assembled) == (4, 0)


def test_one_text_sent_once_or_for_each_trace(
    served: Served, texts: list[Item], model_folder: Path, tmp_path: Path
) -> None:
    write_traces([*texts, dataclasses.replace(texts[2], trace=len(texts))], tmp_path)
    write(served, tmp_path / "served")
    importing.run(options(tmp_path, model_folder))
    store = ActivationStore(tmp_path / "out")
    assert set(store.rows.trace) == set(range(len(texts) + 1))
    shutil.copy(next((tmp_path / "served").iterdir()), tmp_path / "served" / "zz.safetensors")
    write_traces(texts, tmp_path)
    with pytest.raises(UserError, match="are requests of one text"):
        importing.run(options(tmp_path, model_folder))


def run(folder: Path, *arguments: str) -> tuple[int, str]:
    found = CliRunner().invoke(app, ["store", *arguments, "--json"])
    return found.exit_code, found.output


def test_the_verb_imports_and_its_store_passes_the_check(
    served: Served, model_folder: Path, tmp_path: Path
) -> None:
    write(served, tmp_path / "served")
    given = ["--model", str(model_folder), "--traces", str(tmp_path / "traces.jsonl")]
    out = tmp_path / "out"
    code, output = run(
        tmp_path,
        "import",
        str(tmp_path / "served"),
        *given,
        "--out",
        str(out),
        "--layer-ids",
        "1-3",
    )
    assert code == 0, output
    assert "Up to layer 0 every token of every trace" in output
    code, output = run(tmp_path, "check", str(out), *given)
    assert code == 0, output
    served.states[7][3] = served.states[7][9]
    write(served, tmp_path / "served")
    code, output = run(
        tmp_path, "import", str(tmp_path / "served"), *given, "--out", str(tmp_path / "no"),
        "--layer-ids", "1-3",
    )  # fmt: skip
    assert (
        code == 1
        and "(trace 7): token" in json.loads(output[output.index("{\n") :])["items"][0]["fact"]
    )


def first_file(folder: Path) -> Path:
    return min(folder.glob("*.safetensors"))


def _truncated(folder: Path) -> None:
    truncate(first_file(folder))


def _longer(folder: Path) -> None:
    with first_file(folder).open("ab") as file:
        file.write(b"\0" * 8)


def _empty(folder: Path) -> None:
    first_file(folder).write_bytes(b"")


def _weights(folder: Path) -> None:
    save_file({"lm_head.weight": torch.zeros(2, 2)}, folder / "model.safetensors")


def _eight_bits(folder: Path) -> None:
    tensors = load_file(path := first_file(folder))
    states = tensors["hidden_states"]
    scales = {"hidden_states_scales": torch.ones(len(states), 1, 1)}
    save_file({**tensors, "hidden_states": states.to(torch.float8_e4m3fn), **scales}, path)


def _eight_bits_alone(folder: Path) -> None:
    tensors = load_file(path := first_file(folder))
    save_file({**tensors, "hidden_states": tensors["hidden_states"].to(torch.float8_e4m3fn)}, path)


def _another_dtype(folder: Path) -> None:
    tensors = load_file(path := first_file(folder))
    save_file({**tensors, "hidden_states": tensors["hidden_states"].bfloat16()}, path)


def _two_axes(folder: Path) -> None:
    tensors = load_file(path := first_file(folder))
    save_file({**tensors, "hidden_states": tensors["hidden_states"][:, 0].contiguous()}, path)


def _pickle(folder: Path) -> None:
    torch.save({"input_ids": [1]}, folder / "data_0.pt")


def _compressed(folder: Path) -> None:
    (folder / "a.safetensors.zst").write_bytes(b"?")


def _link_out(folder: Path) -> None:
    path = first_file(folder).rename(folder.parent / "secret.safetensors")
    (folder / "a.safetensors").symlink_to(path)


def _pipe(folder: Path) -> None:
    os.mkfifo(folder / "a.safetensors")


def _folder(folder: Path) -> None:
    (folder / "a.safetensors").mkdir()


def _link_to_nothing(folder: Path) -> None:
    (folder / "a.safetensors").symlink_to(folder / "nothing")


def _lost(folder: Path) -> None:
    first_file(folder).unlink()


def _nothing(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()
    (folder / "README.md").touch()


def _no_folder(folder: Path) -> None:
    folder.rename(folder.parent / "elsewhere")


def _of_another_text(folder: Path) -> None:
    tensors = load_file(path := first_file(folder))
    tensors["token_ids"][4] += 1
    save_file(tensors, path)


def _begun_otherwise(folder: Path) -> None:
    tensors = load_file(path := first_file(folder))
    states, ids = tensors["hidden_states"], tensors["token_ids"]
    tensors = {
        "hidden_states": torch.cat([states[:1], states]),
        "token_ids": torch.cat([torch.tensor([1]), ids]),
    }
    save_file(tensors, path)


def _without_the_last(folder: Path) -> None:
    tensors = load_file(path := first_file(folder))
    save_file({name: tensor[:-1].contiguous() for name, tensor in tensors.items()}, path)


FOREIGN: dict[str, tuple[Callable[[Path], None], str]] = {
    "truncated": (_truncated, "no whole safetensors file"),
    "longer": (_longer, "no whole safetensors file"),
    "empty": (_empty, "no whole safetensors file"),
    "weights": (_weights, "no file of a request: expected the tensors"),
    "eight bits": (_eight_bits, "Scales are those of an 8-bit copy"),
    "eight bits alone": (_eight_bits_alone, "expected float32, bfloat16, float16"),
    "another dtype": (_another_dtype, "they are of two servers"),
    "two axes": (_two_axes, r"expected states \[tokens, layers, d_model\]"),
    "pickle": (_pickle, "is a pickle, which can run code"),
    "compressed": (_compressed, "is compressed"),
    "link to elsewhere": (_link_out, "is a link to .*, outside of its folder"),
    "pipe": (_pipe, "is no file"),
    "folder": (_folder, "is no file"),
    "link to nothing": (_link_to_nothing, "is no file"),
    "one lost": (_lost, r"Trace \d+ has no file, and 0 others"),
    "nothing": (_nothing, r"has no file of a request \(\*.safetensors\); it has README.md"),
    "no folder": (_no_folder, "is no folder"),
    "another text": (_of_another_text, "the first 4 of its .* ids are those of trace"),
    "one token in front": (_begun_otherwise, "behind the first are those of trace"),
    "the last token never read": (_without_the_last, "is no trace's: the first"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_file_that_is_none_of_a_request_is_named(
    served: Served, model_folder: Path, tmp_path: Path, name: str
) -> None:
    plant, told = FOREIGN[name]
    folder = write(served, tmp_path / "served")
    plant(folder)
    with pytest.raises(UserError, match=told):
        importing.run(options(tmp_path, model_folder))
    assert not (tmp_path / "out").exists() and stored_traces(tmp_path) == set()


def test_a_file_that_the_server_still_writes_is_waited_for_by_name(
    served: Served, model_folder: Path, tmp_path: Path
) -> None:
    path = first_file(write(served, tmp_path / "served"))
    with path.with_name(f"{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(UserError, match=f"{path.name} is still being written"):
            importing.run(options(tmp_path, model_folder))
    importing.run(options(tmp_path, model_folder))


def test_a_file_that_changes_while_it_is_read_is_not_stored(
    served: Served, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(served, tmp_path / "served")
    compared = importing.Importer.require_same

    def then_written(self: importing.Importer, item: Item) -> None:
        compared(self, item)
        os.utime(first_file(folder), (1, 1))

    monkeypatch.setattr(importing.Importer, "require_same", then_written)
    with pytest.raises(UserError, match="was changed while it was read"):
        importing.run(options(tmp_path, model_folder))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "given",
    [
        {"out": "served"},
        {"out": "served/out"},
        {"out": "."},
        {"store": "served"},
        {"store": "served/.store"},
    ],
    ids=str,
)
def test_nothing_is_written_where_the_server_wrote(
    served: Served, model_folder: Path, tmp_path: Path, given: dict[str, str]
) -> None:
    before = contents(write(served, tmp_path / "served"))
    chosen = options(tmp_path, model_folder)
    changed = {name: tmp_path / value for name, value in given.items()}
    with pytest.raises(UserError, match="the server's files are only read"):
        importing.run(dataclasses.replace(chosen, **changed))  # type: ignore[arg-type]
    assert contents(tmp_path / "served") == before


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"layer_ids": "1-4"}, "Expected layer ids from 0 to 3"),
        ({"layer_ids": "0"}, "No id of .* is a resid_post"),
        ({"layer_ids": "1,x"}, "is not a list of layers"),
        ({"hook": "mlp_out"}, "A server gives the residual stream"),
        ({"dtype": "int8"}, "is not a dtype"),
        ({"means": True, "sentences": None}, "no sentences were given"),
    ],
    ids=str,
)
def test_what_cannot_be_asked_for_is_said(
    served: Served, model_folder: Path, tmp_path: Path, given: dict[str, object], told: str
) -> None:
    write(served, tmp_path / "served")
    with pytest.raises(UserError, match=told):
        importing.run(options(tmp_path, model_folder, **given))


def test_another_model_is_told(served: Served, tmp_path: Path) -> None:
    write(served, tmp_path / "served")
    served.model.model.save_pretrained(tmp_path / "other")
    weights = load_file(tmp_path / "other" / "model.safetensors")
    name = next(name for name in weights if "layers.0" in name and "down_proj" in name)
    weights[name] *= 1.01
    save_file(weights, tmp_path / "other" / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match=r"token 0 of \d+ at resid_post of layer 0"):
        importing.run(options(tmp_path, tmp_path / "other"))


def test_a_higher_floor_does_not_let_another_layer_in(
    served: Served, model_folder: Path, tmp_path: Path
) -> None:
    PLANTED["layers: one id too low"][0](served)
    write(served, tmp_path / "served")
    told = r"\(trace \d+\): resid_post of layer 1 \(id 2\) is nearer to our own layer 0"
    with pytest.raises(UserError, match=told):
        importing.run(options(tmp_path, model_folder, floor=100.0))


def test_tokens_that_are_alike_may_have_one_row(model: LoadedModel, tmp_path: Path) -> None:
    """A text of one token again and again, and two tokens that are embedded alike."""
    model.model.save_pretrained(tmp_path / "m")
    weights = load_file(tmp_path / "m" / "model.safetensors")
    name = next(name for name in weights if "embed_tokens" in name)
    weights[name][8] = weights[name][9]
    save_file(weights, tmp_path / "m" / "model.safetensors", {"format": "pt"})
    texts = [Item(n, ids, {}) for n, ids in enumerate([[7] * 30, [8, 9] * 8, [8] * 5])]
    (tmp_path / "traces.jsonl").write_text(
        "".join(json.dumps({"token_ids": item.ids}) + "\n" for item in texts)
    )
    served = serve(loading.load(tmp_path / "m"), texts)
    served.states[1][1] = served.states[1][0]
    write(served, tmp_path / "served")
    importing.run(options(tmp_path, tmp_path / "m", sentences=None))
