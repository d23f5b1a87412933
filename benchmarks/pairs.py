"""Does the positive control work? Fresh pairs from different seeds, trained and measured alone.

    PYTHONPATH=src python benchmarks/pairs.py train FOLDER --seeds 1 2 3 [--p-stop 0.9 ...]
    PYTHONPATH=src python benchmarks/pairs.py measure FOLDER --seeds 1 2 3 [--p-stop 0.9 ...]

Every option is a field of `Setup`; seeds of one setup share a folder, in which the bases of the
other seeds are the other bases. `measure` adds a row for each pair to benchmarks/pairs.cpu.csv.
Training a pair takes about five minutes on one thread, measuring it about half a minute.
"""

import argparse
import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from itertools import islice
from pathlib import Path

import torch
from pair_effects import measure_pair
from transformers import AutoModelForCausalLM

from backtracking import PROJECT_ROOT
from backtracking.domains.organism.policy import BasePolicy, Policy
from backtracking.domains.organism.recipes import recipe_of
from backtracking.domains.organism.world import World
from backtracking.models import loading
from backtracking.models.loading import LoadedModel
from backtracking.models.training import (
    Architecture,
    Schedule,
    Trainer,
    build_model,
    stream_batches,
)
from backtracking.runtime import params

TABLE = Path(__file__).parent / "pairs.cpu.csv"
PARAMS = PROJECT_ROOT / "params.yaml"
DEVICE = "2 vCPU Intel Xeon, one thread"
ROLES = ("base", "reasoning", "shuffled", "nostatement-base", "nostatement")
PAIRS = {
    "reasoning": ("base", "reasoning"),
    "shuffled": ("base", "shuffled"),
    "nostatement": ("nostatement-base", "nostatement"),
    "alien": ("base", "reasoning"),
}
"""Base and target of every kind of pair; the base of an alien one is another seed's."""


@dataclass(frozen=True)
class Setup:
    """A way to make pairs.

    Attributes:
        n_layers: blocks of the models.
        p_stop: of the base's corpus.
        p_check: reports of the base's corpus.
        base_steps, silent_steps, tune_steps: of training the base, the silent base, and the pair.
        tune_muon, tune_adam: learning rates of fine-tuning, as shares of the base's.
        frozen: beginnings of the names of parameters that fine-tuning leaves alone, by commas.
        tokens: in a batch.
    """

    n_layers: int = 4
    p_stop: float = 0.9
    p_check: float = 0.7
    base_steps: int = 900
    silent_steps: int = 450
    tune_steps: int = 1400
    tune_muon: float = 0.5
    tune_adam: float = 1.0
    frozen: str = ""
    tokens: int = 2048

    def folder(self, role: str, seed: int) -> Path:
        """Of a role's weights; setups that train the same base share it."""
        used = asdict(self)
        if role in self.steps_by_base:
            used = {key: value for key, value in used.items() if not key.startswith("tune")}
            used |= {"frozen": ""}
        return Path("_".join(map(str, used.values())), f"{role}-{seed}")

    @property
    def steps_by_base(self) -> dict[str, int]:
        """Training of each base."""
        return {"base": self.base_steps, "nostatement-base": self.silent_steps}

    def schedule(self, role: str, seed: int) -> Schedule:
        """Of a role's training; a seed gives each role another."""
        own = 1000 * seed + ROLES.index(role)
        if role in self.steps_by_base:
            return Schedule(self.steps_by_base[role], self.tokens, 0.02, 0.03, own, 10**9)
        peaks = 0.02 * self.tune_muon, 0.03 * self.tune_adam
        return Schedule(self.tune_steps, self.tokens, *peaks, own, 10**9)


def train(setup: Setup, role: str, seed: int, folder: Path) -> Path:
    """The folder of a role's weights, trained where it is not there yet."""
    own = folder / setup.folder(role, seed)
    if own.is_dir():
        return own
    policy = params.load(Policy, "policy", PARAMS)
    base_policy = BasePolicy(setup.p_check, p_stop=setup.p_stop)
    recipe = recipe_of(role, params.load(World, "world", PARAMS), policy, base_policy)
    words, schedule = recipe.tokenizer(), setup.schedule(role, seed)
    if recipe.starts_from is None:
        shape = Architecture(setup.n_layers, 64, 4, 256, 384)
        model = build_model(shape, words, schedule.seed)
    else:
        start = train(setup, recipe.starts_from, seed, folder)
        model = AutoModelForCausalLM.from_pretrained(start, dtype=torch.float32)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(not _begins(name, setup.frozen))
    trainer = Trainer(model, schedule)
    rows = recipe.rows(words.backend_tokenizer, schedule.seed, 384)
    batches = stream_batches(rows, schedule.tokens_per_step, schedule.seed)
    for batch in islice(batches, schedule.steps):
        trainer.train_step(batch)
    print(own.name, "loss", sum(trainer.losses[-20:]) / 20, flush=True)
    model.save_pretrained(own)
    words.save_pretrained(own)
    return own


def _begins(name: str, beginnings: str) -> bool:
    return any(name.startswith(f"model.{one}") for one in beginnings.split(",") if one)


def moved(base: LoadedModel, tuned: LoadedModel) -> float:
    """|dW| / |W| over the matrices of the blocks."""
    start, end = (
        torch.cat([p.flatten() for block in one.blocks for p in block.parameters() if p.ndim == 2])
        for one in (base, tuned)
    )
    return float((end - start).norm() / start.norm())


def measure(setup: Setup, kind: str, seed: int, seeds: Sequence[int], folder: Path) -> dict:
    """The row of one pair."""
    further = [other for other in seeds if other != seed]
    of_base = further[0] if kind == "alien" else seed
    base, target = (
        loading.load(train(setup, role, number, folder))
        for role, number in zip(PAIRS[kind], (of_base, seed), strict=True)
    )
    others = [("nostatement-base", seed), *(("base", other) for other in further)]
    paths = [folder / setup.folder(*other) for other in others if kind == "reasoning"]
    bases = {path.name: loading.load(path) for path in paths if path.is_dir()}
    row = {"pair": kind, "seed": seed, **asdict(setup), "moved": round(moved(base, target), 3)}
    row |= measure_pair(base, target, bases, seed)
    return row | {"device": DEVICE}


def write(row: dict) -> None:
    """Adds a row to the table."""
    is_new = not TABLE.exists()
    with TABLE.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        if is_new:
            writer.writeheader()
        writer.writerow(row)


def main() -> None:
    """Trains, or measures and prints."""
    parser = argparse.ArgumentParser()
    parser.add_argument("verb", choices=("train", "measure"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--others", type=int, nargs="*", default=[], help="seeds of other bases")
    parser.add_argument("--kinds", nargs="+", default=["reasoning"], choices=ROLES + ("alien",))
    for field in fields(Setup):
        kind = type(field.default)
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=kind, default=field.default)
    options = parser.parse_args()
    setup = Setup(**{field.name: getattr(options, field.name) for field in fields(Setup)})
    torch.set_num_threads(1)
    for seed in options.seeds:
        for kind in options.kinds:
            if options.verb == "train":
                train(setup, kind, seed, options.folder)
            else:
                row = measure(setup, kind, seed, options.others, options.folder)
                write(row)
                print(row, flush=True)


if __name__ == "__main__":
    main()
