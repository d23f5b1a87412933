"""How fast arms are read at the decisions of given traces, beside one plain forward pass an arm.

39 random directions at 6 doses are read at every decision of 8 traces of 2,000 tokens. `endpoints`
edits each decision by itself and reads what comes next there; `teacher_force` edits all decisions
of a trace at once and reads all other positions. Each stands beside a plain pass an arm over each
trace, with a hook that adds the vector at all decisions, that reads the same positions: as many
arms of it are run as `--plain` says, and its time is scaled to all. At a trace's first decision,
where nothing earlier is edited, `endpoints` and the plain pass must say the same, and are compared.
All are interleaved; what is printed is the median of the ratios of the rounds.

    .venv/bin/python benchmarks/forced.py               # hours on two cores
    .venv/bin/python benchmarks/forced.py --size quick  # a minute
"""

import argparse
import json
import random
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
import timing
import torch
from generation import NORM, SIZES, save_model
from timing import CLOCKS, Row
from torch import Tensor

from backtracking.models import hooks, loading
from backtracking.models.endpoints import Counted, read_endpoints
from backtracking.models.forced import Arm, Prefix, teacher_force
from backtracking.records.tokens import Opener, TokenSet
from backtracking.runtime.compute import prepare_torch

MARKERS = (11, 12, 13)
"""Ids whose probabilities are summed."""
FLOOR = 1e-3
"""By which a probability may differ, of itself."""


@dataclass(frozen=True)
class Size:
    """What is read.

    Attributes:
        model: of `generation.SIZES`.
        n_traces, n_tokens: traces, and the length of each.
        n_directions, n_doses: whose product are the arms, beside one of zeros.
        every: tokens from one decision to the next.
        rows: in one call of the model.
    """

    model: str
    n_traces: int
    n_tokens: int
    n_directions: int
    n_doses: int
    every: int = 20
    rows: int = 64


SIZES_READ = {
    "135m": Size("135m", 8, 2000, 39, 6),
    "quick": Size("quick", 1, 240, 7, 4),
    "1.5b": Size("1.5b", 8, 2000, 39, 6, rows=256),
}


class Variants:
    """Everything that is timed; each returns P(a marker) of every arm at the first decisions."""

    def __init__(self, size: Size, device: str, folder: Path, n_plain: int) -> None:
        self.size, self.n_plain = size, n_plain
        shape = SIZES[size.model]
        save_model(shape, folder, device)
        self.loaded = loading.load(folder, device=device, dtype=shape.dtype)
        self.layer, chosen = self.loaded.n_layers // 2, random.Random(0)
        decisions = list(range(2 * size.every, size.n_tokens - 1, size.every))
        self.prefixes = [
            Prefix(
                [chosen.randrange(20, shape.config["vocab_size"]) for _ in range(size.n_tokens)],
                size.every,
                decisions,
            )
            for _ in range(size.n_traces)
        ]
        directions = torch.randn(size.n_directions, self.loaded.d_model)
        directions *= NORM / directions.norm(dim=1, keepdim=True)
        doses = torch.linspace(-1, 1, size.n_doses)
        self.arms = [Arm(d * dose) for d, dose in product(directions, doses)]
        self.counted = Counted((Opener(TokenSet("Wait", MARKERS, ("Wait",))),), MARKERS)

    @property
    def n_edits(self) -> int:
        """Arms times decisions."""
        return len(self.arms) * sum(len(prefix.decisions) for prefix in self.prefixes)

    def endpoints(self) -> Tensor:
        """Every decision by itself, behind a trace that is read once."""
        found = read_endpoints(
            self.loaded, self.layer, self.prefixes, self.arms, self.counted, self.size.rows,
            has_back=False,
        )  # fmt: skip
        first = np.cumsum([0, *(len(prefix.decisions) for prefix in self.prefixes[:-1])])
        return torch.from_numpy(found.p_open[:, first])

    def teacher_force(self) -> None:
        """All decisions of a trace at once, every other position compared with the baseline."""
        n = len(self.arms)
        found = teacher_force(
            self.loaded, self.layer, self.prefixes, self.arms, MARKERS, min(n, self.size.rows // 8)
        )
        assert np.isfinite(found.kl).all()

    @torch.inference_mode()
    def plain(self) -> Tensor:
        """A pass an arm and trace; logits at the decisions alone."""
        rows = []
        for arm, prefix in product(self.arms[: self.n_plain], self.prefixes):
            at = torch.tensor(prefix.decisions, device=self.loaded.device)
            p = self._pass(prefix, arm.vector, at).double().softmax(dim=1)
            rows.append(p[0, list(MARKERS)].sum().cpu())
        return torch.stack(rows).unflatten(0, (self.n_plain, -1))

    @torch.inference_mode()
    def plain_everywhere(self) -> None:
        """A pass an arm and trace, with one without an edit; KL of all other positions."""
        for prefix in self.prefixes:
            zeros = torch.zeros(self.loaded.d_model)
            clean = self._pass(prefix, zeros, 0).float().log_softmax(dim=1)
            elsewhere = torch.ones(len(prefix.ids), dtype=torch.bool)
            elsewhere[prefix.decisions], elsewhere[: prefix.n_prompt] = False, False
            for arm in self.arms[: self.n_plain]:
                found = self._pass(prefix, arm.vector, 0).float().log_softmax(dim=1)
                kl = (clean.exp() * (clean - found)).sum(dim=1)[elsewhere]
                same = (clean.argmax(dim=1) == found.argmax(dim=1))[elsewhere]
                marked = found[:, list(MARKERS)].exp().sum(dim=1)[elsewhere]
                assert torch.stack([kl, same, marked]).isfinite().all()

    def _pass(self, prefix: Prefix, vector: Tensor, at: Tensor | int) -> Tensor:
        ids = torch.tensor([prefix.ids], device=self.loaded.device)
        where = torch.zeros(1, len(prefix.ids), dtype=torch.bool)
        where[0, prefix.decisions] = True
        with hooks.add_vector(self.loaded.blocks, self.layer, vector[None], where):
            return self.loaded.model(ids, use_cache=False, logits_to_keep=at).logits[0]


PLAIN, PLAIN_EVERYWHERE = "a plain pass an arm", "a plain pass an arm, all positions"
BESIDE = {"endpoints": PLAIN, "teacher_force": PLAIN_EVERYWHERE}
"""What is compared with which plain pass."""


def measure(variants: Variants, rounds: int, clock: str) -> dict[str, list[float]]:
    """Seconds of each variant for all arms in each round, the order rotated."""
    by_name: dict[str, Callable[[], Tensor | None]] = {
        PLAIN: variants.plain,
        PLAIN_EVERYWHERE: variants.plain_everywhere,
        "endpoints": variants.endpoints,
        "teacher_force": variants.teacher_force,
    }
    names, found = list(by_name), dict[str, Tensor | None]()
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            start = CLOCKS[clock]()
            found[name] = by_name[name]()
            if variants.loaded.device.type == "cuda":
                torch.cuda.synchronize()
            seconds[name].append(CLOCKS[clock]() - start)
        for name in (PLAIN, PLAIN_EVERYWHERE):
            seconds[name][-1] *= len(variants.arms) / variants.n_plain
        _require_same(found[PLAIN], found["endpoints"])
        said = {name: round(its[-1], 1) for name, its in seconds.items()}
        print(f"round {turn + 1} of {rounds}: {said}", file=sys.stderr, flush=True)
    return seconds


def _require_same(plain: Tensor | None, ours: Tensor | None) -> None:
    assert plain is not None and ours is not None
    off = ((ours[: len(plain)] - plain).abs() / plain).max()
    if not off < FLOOR:
        raise RuntimeError(f"at first decisions probabilities are off by {float(off):.2g}")


def table(
    seconds: dict[str, list[float]], variants: Variants, options: argparse.Namespace
) -> list[Row]:
    """Rows with the medians: seconds, and how often a plain pass an arm takes as long."""
    rows = []
    for name, its in seconds.items():
        plain = seconds[BESIDE.get(name, name)]
        ratios = [a / b for a, b in zip(plain, its, strict=True)]
        took = statistics.median(its)
        medians = {"seconds": took, "edits_per_second": variants.n_edits / took}
        rows.append(timing.row(name, medians, "plain_over_it", ratios, options))
    return rows


def main() -> None:
    """Times what the command line asks for, prints it, and files it beside this script."""
    parser = timing.parser(__doc__, SIZES_READ)
    parser.add_argument("--plain", type=int, default=2, help="arms that have a plain pass")
    parser.add_argument("--tokens", type=int, help="of a trace")
    options = parser.parse_args()
    size = SIZES_READ[options.size]
    size = replace(size, n_tokens=options.tokens or size.n_tokens)
    prepare_torch(options.threads)
    with tempfile.TemporaryDirectory() as name:
        variants = Variants(size, options.device, Path(name), options.plain)
        rows = table(measure(variants, options.rounds, options.clock), variants, options)
    device = timing.tell(rows, "forced", options)
    if options.json:
        *_, endpoints, forced = rows
        said = {
            "endpoints_over_plain": endpoints["plain_over_it"],
            "teacher_force_over_plain": forced["plain_over_it"],
            "edits_per_second": endpoints["edits_per_second"],
            "device": device,
        }
        print(json.dumps(said))


if __name__ == "__main__":
    main()
