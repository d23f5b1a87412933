"""Decision points made up of whole cloth, with a signal planted where a test wants it."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from backtracking.activations.reader import ActivationStore
from backtracking.probing.points import Anchor, DecisionPoints
from backtracking.probing.probes import TARGETS, Task
from backtracking.records.moments import Moments
from backtracking.statistics.bootstrap import Bootstrap

WINDOW = (-3, 4)
D_MODEL = 8
START = 20
BOOTSTRAP = Bootstrap(200, 0.95, 1)
D_VOCAB = 12


@dataclass(frozen=True)
class Planted:
    """Decisions, one a trace, and their label.

    Attributes:
        points: the decisions, asked for one target.
        is_positive: the label of each.
    """

    points: DecisionPoints
    is_positive: np.ndarray


def plant_points(
    rng: np.random.Generator,
    n_problems: int = 90,
    per_problem: int = 8,
    by_position: float = 0.0,
    posterior: float = np.nan,
) -> Planted:
    """Decisions of problems in three splits.

    Args:
        rng: of everything.
        n_problems: in all splits together.
        per_problem: decisions of each.
        by_position: how much the label depends on the position of the decision, in log-odds.
        posterior: the exact posterior of every decision at every offset, the same for all.
    """
    n = n_problems * per_problem
    number = np.arange(n) // per_problem
    split = np.array(["train", "dev", "test"], dtype=object)[number % 3]
    position = rng.integers(START, 3 * START, n)
    log_odds = by_position * (position - 2 * START) / START
    is_positive = rng.random(n) < 1 / (1 + np.exp(-log_odds))
    empty = np.full(n, "", dtype=object)
    moments = Moments(
        trace=np.arange(n), problem=np.array([f"p{k:03d}" for k in number], dtype=object),
        problem_number=number // 3, split=split, start=position, end=position + 5,
        label=empty, form=np.full(n, "compare", dtype=object),
        kind=np.where(is_positive, "over", "alive").astype(object), action=empty,
        total=np.zeros(n, dtype=np.int64),
    )  # fmt: skip
    offsets = np.arange(WINDOW[0], WINDOW[1] + 1)
    shape = (len(offsets), n)
    anchor = Anchor(
        name="comparison", position=position, offsets=offsets, last=4,
        present=np.ones(shape, dtype=bool),
        posterior_by_target={target: np.full(shape, posterior) for target in TARGETS},
    )  # fmt: skip
    points = DecisionPoints(
        moments=moments,
        tasks=(Task("over", np.arange(n), is_positive),),
        anchors=(anchor,),
        words=rng.integers(0, D_VOCAB, (n, 5)),
        history=rng.integers(0, 3, (n, 4)).astype(np.float64),
        tokens_by_anchor={"comparison": rng.integers(0, D_VOCAB, (n, len(offsets)))},
        is_absent=rng.random(n) < 0.5,
    )
    return Planted(points, is_positive)


class PlantedStore(ActivationStore):
    """Noise, plus `size[layer, offset]` along one direction where the label is positive.

    Args:
        planted: the decisions.
        size: of the signal, by layer and offset; elsewhere 0.
        rng: of the noise.
        by_position: size of a component that tells the position of the decision.
    """

    def __init__(
        self,
        planted: Planted,
        size: Mapping[tuple[int, int], float],
        rng: np.random.Generator,
        n_layers: int = 2,
        by_position: float = 0.0,
    ) -> None:
        n, n_offsets = len(planted.is_positive), WINDOW[1] - WINDOW[0] + 1
        values = rng.normal(size=(n_layers, n, n_offsets, D_MODEL))
        for (layer, offset), its in size.items():
            values[layer, planted.is_positive, offset - WINDOW[0], 1] += its
        start = planted.points.moments.start
        values[..., 2] += by_position * ((start - 2 * START) / START)[None, :, None]
        self.start = start
        self.values = torch.from_numpy(values).float()
        self.manifest = {"layers": list(range(n_layers)), "d_model": D_MODEL}

    def has(self, trace: np.ndarray, position: np.ndarray) -> np.ndarray:
        """Every token of the window is stored."""
        offset = position - self.start[trace]
        return (offset >= WINDOW[0]) & (offset <= WINDOW[1])

    def gather(self, layer: int, trace: np.ndarray, position: np.ndarray) -> torch.Tensor:
        """The planted vectors."""
        offset = position - self.start[trace] - WINDOW[0]
        return self.values[layer, torch.from_numpy(trace), torch.from_numpy(offset)]


def embed() -> torch.Tensor:
    """A token embedding that knows nothing."""
    return torch.randn(D_VOCAB, D_MODEL, generator=torch.Generator().manual_seed(0))
