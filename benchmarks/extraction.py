"""How close extraction comes to the bare forward pass, and how far other tools stay behind.

All variants run interleaved in one process on the same ragged traces with the same weights; what
is printed and filed is the median, over the rounds, of each one's time over that of the bare
forward pass of the same round. Peak memory is that of processes of their own.

    .venv/bin/python benchmarks/extraction.py               # about 15 minutes on two cores
    .venv/bin/python benchmarks/extraction.py --device cuda --preset 8b
    .venv/bin/python benchmarks/extraction.py --memory      # 1,000 traces against 10,000
"""

import argparse
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import torch
from peers import Peers
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import WordLevel
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from backtracking.activations.format import Positions
from backtracking.extraction import engine
from backtracking.extraction.items import Item
from backtracking.extraction.planning import Request, batches_of, plan_units
from backtracking.extraction.running import open_reader, right_pad
from backtracking.models import loading
from backtracking.models.loading import LoadedModel
from backtracking.records.traces import TokenSpan
from backtracking.runtime.compute import prepare_torch
from lifeboat.stage import artifacts

WINDOW = (-13, 10)


@dataclass(frozen=True)
class Preset:
    """A model's shape, its traces, and how they run."""

    config: dict[str, int]
    dtype: str
    n_traces: int
    median_tokens: int
    unit_traces: int
    tokens_per_batch: int
    floor: float


PRESETS = {
    "50m": Preset(
        {"hidden_size": 768, "intermediate_size": 2048, "num_hidden_layers": 6,
         "num_attention_heads": 12, "num_key_value_heads": 12, "vocab_size": 8192},
        "float32", 160, 220, 32, 2048, 1e-5,
    ),
    "tiny": Preset(
        {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
         "num_attention_heads": 4, "num_key_value_heads": 4, "vocab_size": 512},
        "float32", 1000, 60, 64, 4096, 1e-5,
    ),
    "8b": Preset(
        {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
         "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256},
        "bfloat16", 96, 2000, 4, 16384, 3e-2,
    ),
}  # fmt: skip


def make_traces(preset: Preset, n_traces: int) -> list[Item]:
    """Ragged traces, log-normal in length as reasoning is, with sentences of 8 to 40 tokens."""
    rng = random.Random(0)
    items = []
    for trace in range(n_traces):
        length = int(preset.median_tokens * rng.lognormvariate(0.0, 0.6))
        length = max(24, min(length, 4 * preset.median_tokens))
        ids = [rng.randrange(preset.config["vocab_size"]) for _ in range(length)]
        cuts = [10]
        while cuts[-1] + 40 < length:
            cuts.append(cuts[-1] + rng.randrange(8, 40))
        spans = {n: TokenSpan(*span) for n, span in enumerate(pairwise([*cuts, length]))}
        items.append(Item(trace, ids, spans))
    return items


def save_model(preset: Preset, folder: Path, device: str) -> None:
    """A random Llama with a tokenizer of its vocabulary."""
    torch.manual_seed(0)
    config = LlamaConfig(**preset.config, max_position_embeddings=8192)
    with torch.device(device):
        model = LlamaForCausalLM(config).to(getattr(torch, preset.dtype))
    model.save_pretrained(folder)
    words = {f"w{n}": n for n in range(preset.config["vocab_size"])}
    tokenizer = Tokenizer(WordLevel(words, unk_token="w0"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="w0").save_pretrained(folder)


class Variants:
    """Everything that is timed, each as a function without arguments."""

    def __init__(self, preset: Preset, device: str, folder: Path) -> None:
        self.folder = folder
        save_model(preset, folder / "model", device)
        self.model = loading.load(folder / "model", device=device, dtype=preset.dtype)
        self.items = make_traces(preset, preset.n_traces)
        self.preset = preset
        layers = tuple(range(self.model.n_layers))
        self.request = Request(
            layers, Positions(WINDOW), preset.dtype, preset.unit_traces, preset.tokens_per_batch,
            torch.get_num_threads(),
        )  # fmt: skip
        peers = Peers(folder / "model", preset.dtype, device, self.items, WINDOW, folder / "peer")
        ours = self.batches()
        plain = [list(range(n, min(n + 8, len(self.items)))) for n in range(0, len(self.items), 8)]
        every = replace(self.request, positions=Positions(None), dtype="bfloat16")
        self.by_name: dict[str, Callable[[], None]] = {
            "bare forward, our batches": self.bare,
            "ours to disk: windows": lambda: self.ours(self.request),
            "ours to disk: every token, 16 bit": lambda: self.ours(every),
            "output_hidden_states + save, our batches": lambda: peers.hidden_states(ours),
            "output_hidden_states + save, batches of 8": lambda: peers.hidden_states(plain),
            "run_with_cache + save, our batches": lambda: peers.run_with_cache(ours),
            "run_with_cache + save, batches of 8": lambda: peers.run_with_cache(plain),
            "nnsight + save, our batches": lambda: peers.nnsight(ours),
        }

    def batches(self) -> list[list[int]]:
        """The batches that extraction plans, over all units."""
        units = plan_units(self.items, self.request, open_reader(self.model, self.request).identity)
        return [
            [unit.first + n for n in batch]
            for unit in units
            for batch in batches_of(unit.items(self.items), self.request)
        ]

    def bare(self) -> None:
        """The same module stack on the same batches; nothing is kept."""
        with torch.inference_mode():
            for batch in self.batches():
                ids = right_pad([self.items[n].ids for n in batch]).to(self.model.device)
                self.model.model.base_model(input_ids=ids, use_cache=False)
        _synchronize(self.model)

    def ours(self, request: Request) -> None:
        """A whole extraction into an empty store: plan, run, check, hash, write, publish."""
        store, out = self.folder / "made" / "store", self.folder / "made" / "out"
        floor = 3e-2 if request.dtype == "bfloat16" else self.preset.floor
        engine.extract(self.model, self.items, request, store=store, out=out, floor=floor)

    def clean(self) -> None:
        """Removes what `ours` made; not part of what is timed."""
        shutil.rmtree(self.folder / "made", ignore_errors=True)


def _synchronize(model: LoadedModel) -> None:
    if model.device.type == "cuda":
        torch.cuda.synchronize()


def measure(variants: Variants, rounds: int) -> dict[str, list[float]]:
    """Seconds of each variant in each round, the order rotated; one untimed round first."""
    names = list(variants.by_name)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(-1, rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            start = time.perf_counter()
            variants.by_name[name]()
            if turn >= 0:
                seconds[name].append(time.perf_counter() - start)
            variants.clean()
        print(f"round {turn + 1} of {rounds}", file=sys.stderr, flush=True)
    return seconds


def table(seconds: dict[str, list[float]], n_tokens: int) -> list[dict[str, object]]:
    """Rows with the medians: seconds, tokens a second, speed as a share of the bare forward."""
    bare = next(iter(seconds.values()))
    rows = []
    for name, its in seconds.items():
        ratios = [b / s for b, s in zip(bare, its, strict=True)]
        rows.append(
            {
                "variant": name,
                "seconds": statistics.median(its),
                "tokens_per_second": n_tokens / statistics.median(its),
                "speed_over_bare": statistics.median(ratios),
                "low": min(ratios),
                "high": max(ratios),
                "rounds": len(its),
            }
        )
    return rows


def show(rows: list[dict[str, object]]) -> None:
    """The table as text."""
    for row in rows:
        cells = (f"{v:.3g}" if isinstance(v, float) else str(v) for v in list(row.values())[1:])
        print(f"{row['variant']!s:44}" + "".join(f"{cell:>12}" for cell in cells))


def matmul_ceiling(device: str, dtype: str) -> float:
    """Floating-point operations a second of a large matrix product."""
    n = 8192 if device != "cpu" else 2048
    left, right = (torch.randn(n, n, device=device, dtype=getattr(torch, dtype)) for _ in range(2))
    times = []
    for _ in range(8):
        start = time.perf_counter()
        left @ right
        if device != "cpu":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return 2 * n**3 / min(times)


def peak_memory(n_traces: int) -> float:
    """Peak resident megabytes of a process that extracts this many traces of a small model."""
    command = [sys.executable, __file__, "--preset", "tiny", "--extract-only", str(n_traces)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def extract_only(preset: Preset, n_traces: int, folder: Path) -> None:
    """One extraction from files, and the peak memory of this process on standard output."""
    save_model(preset, folder / "model", "cpu")
    traces, sentences = folder / "traces.jsonl", folder / "sentences.jsonl"
    items = make_traces(preset, n_traces)
    artifacts.write_jsonl(traces, ({"trace_id": str(i.trace), "token_ids": i.ids} for i in items))
    artifacts.write_jsonl(
        sentences,
        (
            {"trace_id": str(i.trace), "index": n, "start": s.start, "end": s.end}
            for i in items
            for n, s in i.spans.items()
        ),
    )
    # The maker's memory is not the extractor's.
    command = [sys.executable, "-c", _CHILD, str(folder)]
    print(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip())


_CHILD = """
import resource, sys
from pathlib import Path
from backtracking import models
from backtracking.extraction import Positions, Request, TraceFile, extract
folder = Path(sys.argv[1])
items = TraceFile(folder / "traces.jsonl", folder / "sentences.jsonl")
model = models.load(folder / "model")
request = Request((0, 1), Positions((-13, 10)), "float32", 64, 4096, 2)
extract(model, items, request, store=folder / "store", out=folder / "out", floor=1e-5)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def main() -> None:
    """Runs what the command line asks for, prints it and files it beside this script."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", choices=PRESETS, default="50m")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--extract-only", type=int)
    options = parser.parse_args()
    preset = PRESETS[options.preset]
    with tempfile.TemporaryDirectory() as name:
        if options.extract_only:
            extract_only(preset, options.extract_only, Path(name))
            return
        if options.memory:
            peaks = {n: peak_memory(n) for n in (1000, 10_000)}
            rows = [{"traces": n, "peak_mb": peak} for n, peak in peaks.items()]
            _file(rows, "memory")
            print(f"{peaks}: {peaks[10_000] / peaks[1000]:.3f} times")
            return
        prepare_torch(options.threads)
        variants = Variants(preset, options.device, Path(name))
        n_tokens = sum(len(item.ids) for item in variants.items)
        n_parameters = sum(p.numel() for p in variants.model.model.base_model.parameters())
        rows = table(measure(variants, options.rounds), n_tokens)
    n_embedded = preset.config["vocab_size"] * preset.config["hidden_size"]
    flops = 2 * (n_parameters - n_embedded) * float(str(rows[0]["tokens_per_second"]))
    ceiling = matmul_ceiling(options.device, preset.dtype)
    show(rows)
    print(
        f"{n_tokens:,} tokens, {n_parameters / 1e6:.1f} M parameters; the bare forward pass makes "
        f"{flops / 1e9:,.0f} GFLOP/s in its matrices, {flops / ceiling:.0%} of the "
        f"{ceiling / 1e9:,.0f} of a large matrix product."
    )
    _file(rows, options.preset)


def _file(rows: list[dict[str, object]], what: str) -> None:
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    path = Path(__file__).parent / f"extraction-{what}.{device.replace(' ', '-').lower()}.csv"
    artifacts.write_csv(path, rows, list(rows[0]))


if __name__ == "__main__":
    main()
