"""Decision points made up of whole cloth, with a signal planted where a test wants it."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from manifests import MANIFEST

from backtracking.activations.reader import ActivationStore
from backtracking.probing.baselines import baseline_jobs
from backtracking.probing.grid import grid_jobs
from backtracking.probing.points import DecisionPoints
from backtracking.probing.probes import Fitting, Probes, Series
from backtracking.probing.targets import ACTION, Task
from backtracking.records.decisions import Decisions
from backtracking.records.sentences import Decision, Kind, Truth
from backtracking.records.traces import Trace
from backtracking.statistics.bootstrap import Bootstrap

WINDOW = (-7, 0)
D_MODEL = 8
START = 20
BOOTSTRAP = Bootstrap(200, 0.95, 1)
D_VOCAB = 12
KINDS = (Kind("over", "dead", True), Kind("alive", "live", False))


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
    kinds = np.where(is_positive, "over", "alive").tolist()
    names = [f"p{k:03d}" for k in number]
    traces = [
        Trace(f"{name}/{k}", name, where, k, [], [], "", "stop", {})
        for k, (name, where) in enumerate(zip(names, split, strict=True))
    ]
    records = [
        Decision(
            one.trace_id, one.problem_id, one.split, 0, end - 4, end, "deduction", None,
            Truth(kind=kind),
        )
        for one, end, kind in zip(traces, position.tolist(), kinds, strict=True)
    ]  # fmt: skip
    offsets = np.arange(WINDOW[0], WINDOW[1] + 1)
    shape = (len(offsets), n)
    points = DecisionPoints(
        decisions=Decisions.gather(records, traces, KINDS),
        tasks=(Task("over", np.arange(n), is_positive),),
        offsets=offsets,
        present=np.ones(shape, dtype=bool),
        posterior_by_target={"over": np.full(shape, posterior)},
        words=rng.integers(0, D_VOCAB, (n, 5)),
        history=rng.integers(0, 3, (n, 4)).astype(np.float64),
        tokens=rng.integers(0, D_VOCAB, (n, len(offsets))),
    )
    return Planted(points, is_positive)


def with_actions(planted: Planted, in_activations: bool) -> Planted:
    """The same decisions asked for the action, which falls at 0.7 of `over` and at 0.1 of `alive`.

    Args:
        planted: the decisions.
        in_activations: whether a store's signal is the action, or still the kind.
    """
    share = np.where(planted.is_positive, 0.7, 0.1)
    turns = np.random.default_rng(20).random(len(share)) < share
    points = replace(planted.points, tasks=(Task(ACTION, np.arange(len(share)), turns),))
    return Planted(points, turns if in_activations else planted.is_positive)


class PlantedStore(ActivationStore):
    """Noise, plus `size[layer, offset]` along one direction where the label is positive.

    Args:
        planted: the decisions.
        size: of the signal, by layer and offset; elsewhere 0.
        rng: of the noise.
        by_position: size of a component that tells the position of the decision.
    """

    __reduce__ = object.__reduce__  # type: ignore[assignment]  (it has no folder to be opened from)

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
        at = planted.points.decisions.position
        values[..., 2] += by_position * ((at - 2 * START) / START)[None, :, None]
        self.at = at
        self.values = torch.from_numpy(values).float()
        self.manifest = replace(MANIFEST, layers=tuple(range(n_layers)), d_model=D_MODEL)

    @property
    def content_key(self) -> str:
        """Hash of the planted vectors."""
        return hashlib.sha256(self.values.numpy().tobytes()).hexdigest()

    def has(self, trace: np.ndarray, position: np.ndarray) -> np.ndarray:
        """Every token of the window is stored."""
        offset = position - self.at[trace]
        return (offset >= WINDOW[0]) & (offset <= WINDOW[1])

    def gather(self, layer: int, trace: np.ndarray, position: np.ndarray) -> torch.Tensor:
        """The planted vectors."""
        offset = position - self.at[trace] - WINDOW[0]
        return self.values[layer, torch.from_numpy(trace), torch.from_numpy(offset)]


def embed() -> torch.Tensor:
    """A token embedding that knows nothing."""
    return torch.randn(D_VOCAB, D_MODEL, generator=torch.Generator().manual_seed(0))


def fit(
    planted: Planted, store: PlantedStore, fitting: Fitting, *, baselines: bool = True
) -> dict[Series, Probes]:
    """The probes of a store under the role `base`, and the baselines."""
    jobs = grid_jobs(planted.points, {"base": store}, fitting)
    if baselines:
        jobs += baseline_jobs(planted.points, {"base": embed()}, fitting)
    return {series: probes for job in jobs for series, probes in job()}
