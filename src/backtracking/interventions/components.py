"""Taking attention and MLP outputs away: at decisions, at other sentence ends, or from the model.

A component is one attention or MLP of one block; its output, what the block adds to the residual
stream for it, is replaced by zeros or by its mean over many positions. Heads are not told apart:
their share of an attention's output is exact in some architectures only.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, product
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from backtracking.models import edits, hooks
from backtracking.models.batches import groups, pad, to_numpy
from backtracking.models.components import find_writers
from backtracking.models.forced import Prefix
from backtracking.models.heads import Beside, Run, compare
from backtracking.models.hooks import Site
from backtracking.models.loading import LoadedModel
from backtracking.models.prefixes import Clean, read_again, read_clean
from backtracking.records.decisions import Classes, Decisions
from backtracking.records.measured import P_OPEN, Arm, Array, Measured, Where
from lifeboat.stage import progress

Kind = Literal["attention", "mlp"]
Value = Literal["mean", "zero"]

KINDS: tuple[Kind, ...] = get_args(Kind)
WHERES: tuple[Where, ...] = ("decision", "other")


class Component(NamedTuple):
    """One writer into the residual stream."""

    kind: Kind
    layer: int

    @property
    def name(self) -> str:
        """As it stands in tables."""
        return f"{self.kind}.{self.layer}"

    def ablated(self, value: Value, where: Where) -> Arm:
        """The arm that takes it away at these positions."""
        return Arm(
            self.name, self.kind, where=where, edit="ablate", layer=self.layer,
            component=self.kind, value=value,
        )  # fmt: skip

    @classmethod
    def of(cls, arm: Arm) -> "Component":
        """What an arm takes away."""
        if arm.component is None or arm.layer is None:
            raise ValueError(f"the arm {arm.name} takes no component away.")
        return cls(arm.component, arm.layer)


@dataclass(frozen=True)
class Ablator:
    """A model whose components can be taken away.

    Attributes:
        loaded: the model.
        mean_by_component: the output's mean over all positions of many traces, prompts included.
    """

    loaded: LoadedModel
    mean_by_component: Mapping[Component, Float[Tensor, " d_model"]]

    @cached_property
    def module_by_component(self) -> dict[Component, nn.Module]:
        """Whose output is the component's."""
        return modules_of(self.loaded)

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
class Ranked:
    """One component in a ranking.

    Attributes:
        component: what it is.
        fall: how far its mean-ablation at decisions lowers P(backtrack | dead end).
        fall_other: the same where it is taken away at the matched other positions.
    """

    component: Component
    fall: float
    fall_other: float


def modules_of(loaded: LoadedModel) -> dict[Component, nn.Module]:
    """The modules whose outputs are the components'."""
    return {
        Component(kind, layer): getattr(writers, kind)
        for layer, writers in enumerate(find_writers(loaded))
        for kind in KINDS
    }


@torch.inference_mode()
def mean_outputs(
    loaded: LoadedModel, sequences: Sequence[Sequence[int]], rows_per_batch: int
) -> dict[Component, Float[Tensor, " d_model"]]:
    """Every component's mean output over all positions of the sequences."""
    modules = modules_of(loaded)
    sums = torch.zeros(len(modules), loaded.d_model, dtype=torch.float64)
    sites = {number: Site(module) for number, module in enumerate(modules.values())}

    def sums_of(group: Sequence[int]) -> Float[Tensor, "sites d_model"]:
        chosen = [torch.tensor(list(sequences[number])) for number in group]
        is_token = pad([torch.ones_like(ids) for ids in chosen]).bool()
        found = torch.zeros_like(sums)

        def add(number: int, output: Tensor) -> None:
            found[number] = output.cpu()[is_token].double().sum(dim=0)

        with hooks.reading(sites, add):
            loaded.model(input_ids=pad(chosen).to(loaded.device), use_cache=False)
        return found

    room, lengths = loaded.room("texts", rows_per_batch), [len(ids) for ids in sequences]
    for group in groups(loaded, lengths, rows_per_batch):
        for some in room.parts(group, sums_of, max(lengths[number] for number in group)):
            sums += some
    means = sums / sum(lengths)
    return {one: mean.to(loaded.model.dtype) for one, mean in zip(modules, means, strict=True)}


def arms_of(components: Sequence[Component], values: Sequence[Value]) -> list[Arm]:
    """Each component taken away at decisions and at other sentence ends, with each value."""
    return [one.ablated(*how) for one in sorted(components) for how in product(values, WHERES)]


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
) -> dict[str, Array]:
    """Reads every prefix under no change and then under every arm, teacher-forced.

    All decisions of a prefix are one place: where an arm's component is taken away, it is at all.

    Args:
        ablator: the model.
        prefixes: what is read.
        others: the other position matched to each decision, prefix by prefix.
        arms: what is taken away, and where.
        marked_ids: token ids whose probabilities are summed at decisions.
        rows_per_batch: prefixes in one call of the model.

    Returns:
        The first row of each array is the model as it is. `p_open`: P(next token is a marked
        one) at each decision. KL(baseline || arm) in nats: `kl_decision` at each decision,
        `kl_other` at its matched position, NaN where it has none, and `kl_elsewhere`, the mean
        over the generated positions of a prefix that are neither.
    """
    n_decisions = [len(prefix.decisions) for prefix in prefixes]
    lengths, loaded = [len(prefix.ids) for prefix in prefixes], ablator.loaded
    forcing = _Forcing(
        ablator,
        prefixes,
        others,
        arms,
        torch.tensor(list(marked_ids), dtype=torch.long, device=loaded.device),
        np.cumsum([0, *n_decisions]),
        *np.full((3, 1 + len(arms), sum(n_decisions)), np.nan),
        np.full((1 + len(arms), len(prefixes)), np.nan),  # pyright: ignore[reportCallIssue]
    )
    batches = list(groups(loaded, lengths, rows_per_batch))
    for group in progress.track(batches, "ablating", unit="batches"):
        longest = max(lengths[number] for number in group)
        loaded.room("ablated prefixes", rows_per_batch).each(group, forcing.force, longest)
    return {
        P_OPEN: Array("decisions", forcing.p_open),
        "kl_decision": Array("decisions", forcing.kl_decision),
        "kl_other": Array("decisions", forcing.kl_other),
        "kl_elsewhere": Array("prefixes", forcing.kl_elsewhere),
    }


@dataclass(frozen=True)
class _Forcing:
    """Arguments of `force`, with the first decision of each prefix, and what it fills."""

    ablator: Ablator
    prefixes: Sequence[Prefix]
    others: Sequence[Sequence[int | None]]
    arms: Sequence[Arm]
    marked: Int[Tensor, " marked"]
    first: Int[np.ndarray, " prefixes_and_end"]
    p_open: Float[np.ndarray, "runs decisions"]
    kl_decision: Float[np.ndarray, "runs decisions"]
    kl_other: Float[np.ndarray, "runs decisions"]
    kl_elsewhere: Float[np.ndarray, "runs prefixes"]

    def force(self, group: Sequence[int]) -> None:
        """Some prefixes, as they are and then under every arm."""
        loaded = self.ablator.loaded
        places = [_Places.of(self.prefixes[number], self.others[number]) for number in group]
        every = [place.all.to(loaded.device) for place in places]
        ids = [self.prefixes[number].ids for number in group]
        clean = read_clean(loaded, ids, range(loaded.n_layers))
        ablated = (_ablate(self.ablator, clean, places, arm) for arm in self.arms)
        for number_of_run, run in enumerate(chain([clean.run], ablated)):
            for row, number in enumerate(group):
                if len(every[row]):
                    its = range(row, row + 1)
                    beside = compare(clean.run, row, run, its, every[row], self.marked)
                    self._fill(number_of_run, number, places[row], beside)

    def _fill(self, run: int, number: int, at: "_Places", beside: Beside) -> None:
        columns = np.arange(self.first[number], self.first[number + 1])
        n, n_both = len(at.decisions), len(at.decisions) + len(at.others)
        divergence = beside.kl[0]
        self.p_open[run, columns] = to_numpy(beside.p_marked[0, :n])
        self.kl_decision[run, columns] = to_numpy(divergence[:n])
        self.kl_other[run, columns[at.has_other]] = to_numpy(divergence[n:n_both])
        if len(divergence) > n_both:
            self.kl_elsewhere[run, number] = float(divergence[n_both:].double().mean())


def is_dead_end(decisions: Decisions, classes: Classes) -> Bool[np.ndarray, " decisions"]:
    """Where backtracking is called for: dead ends that can be seen.

    Where no kind of decision is known, the positive class of the study.
    """
    kinds = decisions.kinds_that(standing="dead", visible=True)
    return np.isin(decisions.kind, kinds) if kinds else decisions.is_positive(classes)


def rank(measured: Measured, dead: Bool[np.ndarray, " decisions"]) -> list[Ranked]:
    """Components by how far their mean-ablation at decisions lowers P(backtrack | dead end).

    Args:
        measured: every component taken away, as `arms_of` has it.
        dead: which of its decisions are dead ends; where none is, there is no ranking.
    """
    if not dead.any():
        return []
    p = measured.values(P_OPEN)
    falls = dict(zip(measured.arms, -(p - p[0])[:, dead].mean(axis=1), strict=True))
    components = dict.fromkeys(Component.of(arm) for arm in measured.arms if arm.edit == "ablate")
    fall_by_where = {
        one: [float(falls[one.ablated("mean", where)]) for where in WHERES] for one in components
    }
    order = sorted(components, key=lambda one: (-fall_by_where[one][0], one))
    return [Ranked(one, *fall_by_where[one]) for one in order]


@dataclass(frozen=True)
class _Places:
    """Positions of one prefix."""

    decisions: list[int]
    others: list[int]
    has_other: np.ndarray
    elsewhere: Bool[Tensor, " pos"]

    @property
    def all(self) -> Int[Tensor, " pos"]:
        """Those of decisions, then those matched to them, then all elsewhere."""
        places = [*self.decisions, *self.others, *self.elsewhere.nonzero().flatten().tolist()]
        return torch.tensor(places, dtype=torch.long)

    @classmethod
    def of(cls, prefix: Prefix, others: Sequence[int | None]) -> "_Places":
        found = [at for at in others if at is not None]
        elsewhere = torch.ones(len(prefix.ids), dtype=torch.bool)
        elsewhere[: prefix.n_prompt] = False
        elsewhere[prefix.decisions + found] = False
        has_other = np.array([at is not None for at in others], dtype=bool)
        return cls(prefix.decisions, found, has_other, elsewhere)


def _ablate(ablator: Ablator, clean: Clean, places: Sequence[_Places], arm: Arm) -> Run:
    """The whole model's outputs below the component's block are taken as they are."""
    where = torch.zeros(clean.ids.shape, dtype=torch.bool)
    for row, at in enumerate(places):
        where[row, at.decisions if arm.where == "decision" else at.others] = True
    component = Component.of(arm)
    assert arm.value is not None
    with ablator.without([component], arm.value, where):
        return read_again(ablator.loaded, clean, component.layer - 1)
