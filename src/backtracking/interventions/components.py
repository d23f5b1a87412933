"""Taking attention and MLP outputs away: at decisions, at other sentence ends, or from the model.

A component is one attention or MLP of one block; its output, what the block adds to the residual
stream for it, is replaced by zeros or by its mean over many positions. Heads are not told apart:
their share of an attention's output is exact in some architectures only.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal, get_args

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from backtracking.models import edits, hooks
from backtracking.models.components import find_writers
from backtracking.models.forced import Prefix
from backtracking.models.hooks import Site
from backtracking.models.loading import LoadedModel
from lifeboat.stage import progress

Kind = Literal["attention", "mlp"]
Value = Literal["mean", "zero"]
Place = Literal["decision", "other"]

KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, order=True)
class Component:
    """One writer into the residual stream."""

    kind: Kind
    layer: int

    @property
    def name(self) -> str:
        """As it stands in tables."""
        return f"{self.kind}.{self.layer}"


@dataclass(frozen=True)
class Ablator:
    """A model whose components can be taken away.

    Attributes:
        loaded: the model.
        module_by_component: whose output is the component's.
        mean_by_component: the output's mean over all positions of many traces, prompts included.
    """

    loaded: LoadedModel
    module_by_component: Mapping[Component, nn.Module]
    mean_by_component: Mapping[Component, Float[Tensor, " d_model"]]

    @contextmanager
    def without(
        self, components: Sequence[Component], value: Value, where: edits.Positions = None
    ) -> Iterator[None]:
        """The model without these components, in every call inside the context.

        Args:
            components: what is taken away; none leaves every bit as it is.
            value: what stands there instead.
            where: positions; by default all, so that it makes no difference whether a KV cache
                is used or how a prompt is read.
        """
        with ExitStack() as stack:
            for component in components:
                mean = self.mean_by_component[component]
                vector = mean if value == "mean" else torch.zeros_like(mean)
                module = self.module_by_component[component]
                stack.enter_context(edits.ablate(module, vector, where))
            yield


@dataclass(frozen=True)
class Arm:
    """One component taken away at the positions of a place."""

    component: Component
    value: Value
    place: Place


@dataclass(frozen=True)
class Ablated:
    """What every arm predicts on the same prefixes; KL is KL(baseline || arm) in nats.

    Attributes:
        p_baseline: P(next token is a marked one) at each decision, in the order of the prefixes.
        p_marked: the same under each arm.
        kl_decision: at each decision.
        kl_other: at each decision's matched other sentence end; NaN where it has none.
        kl_elsewhere: mean over the generated positions of a prefix that are neither.
    """

    p_baseline: Float[np.ndarray, " decisions"]
    p_marked: Float[np.ndarray, "arms decisions"]
    kl_decision: Float[np.ndarray, "arms decisions"]
    kl_other: Float[np.ndarray, "arms decisions"]
    kl_elsewhere: Float[np.ndarray, "arms prefixes"]


def make_ablator(
    loaded: LoadedModel, sequences: Sequence[Sequence[int]], rows_per_batch: int
) -> Ablator:
    """The model's components with their mean outputs over all positions of the sequences."""
    modules = {
        Component(kind, layer): getattr(writers, kind)
        for layer, writers in enumerate(find_writers(loaded))
        for kind in KINDS
    }
    return Ablator(loaded, modules, _mean_outputs(loaded, modules, sequences, rows_per_batch))


def match_positions(decisions: Sequence[int], others: Sequence[int]) -> list[int | None]:
    """For each decision the nearest other position not yet taken, the earlier of two.

    Args:
        decisions: positions, ascending.
        others: positions that decide nothing, for example other sentences' ends.
    """
    left = set(others) - set(decisions)
    found: list[int | None] = []
    for decision in decisions:
        nearest = min(left, key=lambda at: (abs(at - decision), at), default=None)
        left.discard(-1 if nearest is None else nearest)
        found.append(nearest)
    return found


@torch.inference_mode()
def force(
    ablator: Ablator,
    prefixes: Sequence[Prefix],
    others: Sequence[Sequence[int | None]],
    arms: Sequence[Arm],
    marked_ids: Sequence[int],
    rows_per_batch: int,
) -> Ablated:
    """Runs every arm on every prefix, teacher-forced: all decisions of a prefix are one place.

    Args:
        ablator: the model.
        prefixes: what is read.
        others: the other position matched to each decision, prefix by prefix.
        arms: what is taken away, and where.
        marked_ids: token ids whose probabilities are summed at decisions.
        rows_per_batch: prefixes in one call of the model.
    """
    first = np.cumsum([0, *(len(prefix.decisions) for prefix in prefixes)])
    p, kl, kl_other = np.full((3, 1 + len(arms), first[-1]), np.nan)
    elsewhere = np.full((1 + len(arms), len(prefixes)), np.nan)
    order = sorted(range(len(prefixes)), key=lambda number: len(prefixes[number].ids))
    groups = [order[at : at + rows_per_batch] for at in range(0, len(order), rows_per_batch)]
    for group in progress.track(groups, "ablating", unit="batches"):
        places = [_Places.of(prefixes[number], others[number]) for number in group]
        ids = _pad([torch.tensor(prefixes[number].ids) for number in group])
        with edits.outputs_of(dict(enumerate(ablator.loaded.blocks))) as output_by_layer:
            clean = _log_probabilities(ablator.loaded, ids)
        ablated = (_ablate(ablator, ids, places, output_by_layer, arm) for arm in arms)
        for arm, found in enumerate(chain([clean], ablated)):
            divergence = (clean.exp() * (clean - found)).sum(dim=2)
            marked = found[:, :, list(marked_ids)].exp().sum(dim=2)
            for row, number in enumerate(group):
                at, columns = places[row], np.arange(first[number], first[number + 1])
                p[arm, columns] = _numpy(marked[row, at.decisions])
                kl[arm, columns] = _numpy(divergence[row, at.decisions])
                kl_other[arm, columns[at.has_other]] = _numpy(divergence[row, at.others])
                if at.elsewhere.any():
                    mean = divergence[row, : len(at.elsewhere)][at.elsewhere].double().mean()
                    elsewhere[arm, number] = float(mean)
    return Ablated(p[0], p[1:], kl[1:], kl_other[1:], elsewhere[1:])


@dataclass(frozen=True)
class _Places:
    """Positions of one prefix."""

    decisions: list[int]
    others: list[int]
    has_other: np.ndarray
    elsewhere: Bool[Tensor, " pos"]

    @classmethod
    def of(cls, prefix: Prefix, others: Sequence[int | None]) -> "_Places":
        found = [at for at in others if at is not None]
        elsewhere = torch.ones(len(prefix.ids), dtype=torch.bool)
        elsewhere[: prefix.n_prompt] = False
        elsewhere[prefix.decisions + found] = False
        has_other = np.array([at is not None for at in others], dtype=bool)
        return cls(prefix.decisions, found, has_other, elsewhere)


def _ablate(
    ablator: Ablator,
    ids: Tensor,
    places: Sequence[_Places],
    output_by_layer: Mapping[int, Any],
    arm: Arm,
) -> Float[Tensor, "rows pos d_vocab"]:
    """The whole model's outputs below the component's block are taken as they are."""
    where = torch.zeros(ids.shape, dtype=torch.bool)
    for row, at in enumerate(places):
        where[row, at.decisions if arm.place == "decision" else at.others] = True
    blocks, layer = ablator.loaded.blocks, arm.component.layer
    with ExitStack() as stack:
        stack.enter_context(ablator.without([arm.component], arm.value, where))
        if layer > 0:
            below = output_by_layer[layer - 1]
            stack.enter_context(edits.resume_after(blocks, layer - 1, below))
        return _log_probabilities(ablator.loaded, ids)


def _log_probabilities(loaded: LoadedModel, ids: Tensor) -> Float[Tensor, "rows pos d_vocab"]:
    logits = loaded.model(input_ids=ids.to(loaded.device), use_cache=False).logits
    return logits.float().log_softmax(dim=-1)


@torch.inference_mode()
def _mean_outputs(
    loaded: LoadedModel,
    modules: Mapping[Component, nn.Module],
    sequences: Sequence[Sequence[int]],
    rows_per_batch: int,
) -> dict[Component, Float[Tensor, " d_model"]]:
    components = list(modules)
    sums = torch.zeros(len(components), loaded.d_model, dtype=torch.float64)
    rows = sorted((torch.tensor(list(ids)) for ids in sequences), key=len)
    for start in range(0, len(rows), rows_per_batch):
        chosen = rows[start : start + rows_per_batch]
        is_token = _pad([torch.ones_like(ids) for ids in chosen]).bool()

        def add(number: int, output: Tensor, is_token: Tensor = is_token) -> None:
            sums[number] += output.cpu()[is_token].double().sum(dim=0)

        sites = {number: Site(modules[one]) for number, one in enumerate(components)}
        with hooks.reading(sites, add):
            loaded.model(input_ids=_pad(chosen).to(loaded.device), use_cache=False)
    means = sums / sum(len(ids) for ids in rows)
    return {one: mean.to(loaded.model.dtype) for one, mean in zip(components, means, strict=True)}


def _pad(rows: Sequence[Tensor]) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True)


def _numpy(values: Tensor) -> np.ndarray:
    return values.double().cpu().numpy()
