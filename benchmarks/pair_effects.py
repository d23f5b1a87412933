"""What the base's direction does to a fine-tuned model of the organism, by code of its own.

Only the world, its parser and the sampler are the package's. `Stop` is a forward pass of its own:
a prefix is read once, and what follows its full stop is computed for thousands of edited states.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from backtracking import PROJECT_ROOT
from backtracking.domains.domain import ProblemPlan
from backtracking.domains.organism.donors import find_pairs
from backtracking.domains.organism.organism import Organism
from backtracking.domains.organism.states import Reading, Replay, is_solved, words_of
from backtracking.domains.organism.tokenizer import build_tokenizer
from backtracking.domains.organism.world import read_prompt
from backtracking.models.generation import generate
from backtracking.models.hooks import capture
from backtracking.models.loading import LoadedModel
from backtracking.models.sampling import Sampling
from backtracking.records.traces import Trace

N_NULL = 399
N_STOPS = 80
OPENERS = ("Wait", "No", "Undo")
LEGAL = (*OPENERS, "Try", "Check", "Well", "Hmm")
"""Words that may stand behind the full stop of a comparison that decides."""


class Stop:
    """The last token of a prefix, whose state is edited at one layer, many ways at once.

    Attributes:
        resid: its `resid_post`, of every layer.
    """

    def __init__(self, loaded: LoadedModel, ids: Sequence[int]) -> None:
        self._model: Any = loaded.model
        self._blocks: list[Any] = list(loaded.blocks)
        self._position, layers = len(ids) - 1, range(loaded.n_layers)
        with torch.inference_mode(), capture(loaded.blocks, layers) as resid:
            past = self._model(torch.tensor([ids]), use_cache=True).past_key_values
        self.resid = [resid[layer][0, -1] for layer in layers]
        self._past = [(one.keys[0], one.values[0]) for one in past.layers]
        words = loaded.tokenizer.get_vocab()
        self._openers = [words[word] for word in OPENERS]
        self._legal = [words[word] for word in LEGAL]
        self._wait, self._for = words["Wait"], words["for"]

    @torch.inference_mode()
    def read(
        self, layer: int, states: Float[Tensor, "rows d_model"]
    ) -> tuple[Float[np.ndarray, " rows"], Float[np.ndarray, " rows"]]:
        """P_back and P_legal of every state: P(openers), less "Wait" that "for" takes back."""
        rows, own, x = len(states), {}, states
        for number in range(layer + 1, len(self._blocks)):
            x, own[number] = self._block(number, x, self._position, None)
        p = self._next(x)
        for number in range(layer + 1):
            own[number] = tuple(one[:, -1].expand(rows, -1, -1) for one in self._past[number])
        x = self._model.get_input_embeddings().weight[self._wait].expand(rows, -1)
        for number in range(len(self._blocks)):
            x, _ = self._block(number, x, self._position + 1, own[number])
        taken_back = p[:, self._wait] * self._next(x)[:, self._for]
        p_back = p[:, self._openers].sum(dim=1) - taken_back
        return p_back.numpy(), p[:, self._legal].sum(dim=1).numpy()

    def _next(self, x: Tensor) -> Tensor:
        return self._model.lm_head(self._model.model.norm(x)).softmax(dim=-1)

    def _block(
        self, number: int, x: Tensor, position: int, before: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """A decoder block on one token a row, which attends to the prefix, `before` and itself."""
        block = self._blocks[number]
        attention, h = block.self_attn, block.input_layernorm(x)
        heads = (len(x), -1, attention.head_dim)
        cos, sin = self._model.model.rotary_emb(x[None], torch.tensor([[position]]))
        query, key = (
            _rotated(project(h).view(heads), cos[0], sin[0])
            for project in (attention.q_proj, attention.k_proj)
        )
        value = attention.v_proj(h).view(heads)
        keys, values = (one[:, : self._position] for one in self._past[number])
        mine = [(key, value)] if before is None else [before, (key, value)]
        scores = [torch.einsum("rhd,hpd->rhp", query, keys)]
        scores += [(query * one).sum(dim=-1, keepdim=True) for one, _ in mine]
        weights = (torch.cat(scores, dim=-1) * attention.scaling).softmax(dim=-1)
        shared, rest = weights[..., : self._position], weights[..., self._position :]
        out = torch.einsum("rhp,hpd->rhd", shared, values)
        out = out + sum(rest[..., n, None] * one for n, (_, one) in enumerate(mine))
        x = x + attention.o_proj(out.reshape(len(x), -1))
        return x + block.mlp(block.post_attention_layernorm(x)), (key, value)


def _rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


@dataclass(frozen=True)
class Points:
    """Decisions that are over or alive.

    Attributes:
        trace, position: where the deciding full stop is.
        is_over: class.
        total: true running total.
    """

    trace: np.ndarray
    position: np.ndarray
    is_over: np.ndarray
    total: np.ndarray

    def strata(self, n: int = 6) -> np.ndarray:
        """Strata of the total, by quantile."""
        edges = np.quantile(self.total, np.linspace(0, 1, n + 1)[1:-1])
        return np.searchsorted(edges, self.total, side="right")


@dataclass
class Study:
    """Traces of a target on problems that nobody trained on."""

    target: LoadedModel
    seed: int
    traces: list[Trace] = field(default_factory=list)
    readings: list[list[Reading]] = field(default_factory=list)

    def __post_init__(self) -> None:
        organism = Organism.load(PROJECT_ROOT / "params.yaml")
        words = build_tokenizer().backend_tokenizer
        problems = organism.problems(ProblemPlan(256, 1, (0.5, 0.2, 0.3), 1))[:256]
        prompts = [organism.prompt(problem, words) for problem in problems]
        sampling = Sampling(self.seed, 1.0, 360)
        keys = [problem.problem_id for problem in problems]
        for problem, prompt, made in zip(
            problems, prompts, generate(self.target, prompts, keys, sampling), strict=True
        ):
            own = problem.problem_id, problem.split, 0, prompt, made.token_ids, ""
            trace = Trace(problem.problem_id, *own, made.finish_reason, {})
            self.traces.append(trace)
            read = Replay(*read_prompt(problem.prompt)).read(words_of(trace, words))
            self.readings.append(read)

    def points(self, split: str) -> Points:
        """Decisions of a split."""
        rows = [
            (number, len(trace.prompt_ids) + one.end - 1, one.kind == "over", one.true_total)
            for number, trace in enumerate(self.traces)
            if trace.split == split
            for one in self.readings[number]
            if one.form and one.form.name == "compare" and one.kind in ("over", "alive")
        ]
        return Points(*(np.array(column) for column in zip(*rows, strict=True)))

    @torch.inference_mode()
    def states(self, loaded: LoadedModel, points: Points) -> Float[np.ndarray, "layers n d_model"]:
        """`resid_post` of a model at the points."""
        found = []
        for number in np.unique(points.trace):
            with capture(loaded.blocks, range(loaded.n_layers)) as resid:
                loaded.model(torch.tensor([self.traces[number].ids]))
            at = points.position[points.trace == number]
            found.append(torch.stack([resid[layer][0, at] for layer in range(loaded.n_layers)]))
        return torch.cat(found, dim=1).double().numpy()

    def stops(self, split: str, kind: str) -> tuple[list[Stop], list[Stop]]:
        """Stops of right prefixes and, where they are alive, of their donors."""
        ids, random = self.target.tokenizer.get_vocab(), Random(self.seed)
        pairs = [
            pair
            for trace in self.traces
            if trace.split == split
            for pair in find_pairs(trace, ids, random)
            if pair.kind == kind
        ][:N_STOPS]
        clean = [Stop(self.target, pair.clean_ids) for pair in pairs]
        donors = [Stop(self.target, pair.donor_ids) for pair in pairs if pair.donor_ids]
        return clean, donors

    def competence(self) -> dict[str, float]:
        """Shares of right sentences, of parsed and solved traces, and rates of acting."""
        every = [one for read in self.readings for one in read]
        done = [
            all(one.form for one in read)
            for read, trace in zip(self.readings, self.traces, strict=True)
            if trace.finish_reason == "stop"
        ]
        decided = [one for one in every if one.action and one.kind != "solved"]
        dead = [one.kind in ("over", "exhausted") for one in decided]
        acts = np.array([one.action != "carries_on" for one in decided])
        return {
            "valid": float(np.mean([one.valid for one in every if one.check != "none"])),
            "parsed": float(np.mean(done)),
            "solved": float(np.mean([is_solved(read) for read in self.readings])),
            "acts_dead": float(acts[np.array(dead)].mean()),
            "acts_live": float(acts[~np.array(dead)].mean()),
        }


def direction(states: Float[np.ndarray, "n d_model"], points: Points) -> np.ndarray:
    """Over minus alive within strata of the total, of norm 1."""
    found, strata = np.zeros(states.shape[1]), points.strata()
    for stratum in np.unique(strata):
        over = states[points.is_over & (strata == stratum)]
        alive = states[~points.is_over & (strata == stratum)]
        if len(over) and len(alive):
            weight = 1 / (1 / len(over) + 1 / len(alive))
            found += weight * (over.mean(axis=0) - alive.mean(axis=0))
    return found / np.linalg.norm(found)


def auroc(scores: np.ndarray, points: Points) -> float:
    """Of over against alive, within strata of the total."""
    right, n, strata = 0.0, 0, points.strata()
    for stratum in np.unique(strata):
        over = scores[points.is_over & (strata == stratum), None]
        alive = scores[~points.is_over & (strata == stratum)]
        right += (over > alive).sum() + 0.5 * (over == alive).sum()
        n += len(over) * len(alive)
    return float(right / n)


@dataclass(frozen=True)
class Nulls:
    """Unit vectors: isotropic, and of the covariance within classes without what lies along `v`."""

    isotropic: Float[np.ndarray, "n d_model"]
    covariance: Float[np.ndarray, "n d_model"]

    @classmethod
    def draw(
        cls, states: Float[np.ndarray, "n d_model"], is_over: np.ndarray, v: np.ndarray, seed: int
    ) -> "Nulls":
        """Nulls of one direction."""
        generator = np.random.default_rng(seed)
        within = [states[one] - states[one].mean(axis=0) for one in (is_over, ~is_over)]
        rows = np.concatenate(within)
        projected = generator.standard_normal((N_NULL, len(rows))) @ rows
        projected -= np.outer(projected @ v, v)
        isotropic = generator.standard_normal((N_NULL, len(v)))
        both = (one / np.linalg.norm(one, axis=1, keepdims=True) for one in (isotropic, projected))
        return cls(*both)


@dataclass(frozen=True)
class Moved:
    """What setting the projection on a direction does at the stops, as means over them.

    Attributes:
        effect: change of P_back.
        legal: P_legal at the steered position.
        p_isotropic, p_covariance: against directions of equal displacement, one-sided.
    """

    effect: float
    legal: float
    p_isotropic: float = 1.0
    p_covariance: float = 1.0


def set_projection(
    stops: Sequence[Stop], layer: int, v: np.ndarray, goal: float, nulls: Nulls | None = None
) -> Moved:
    """The affine edit: the projection on `v` becomes `goal`, at every stop."""
    others = np.empty((0, len(v))) if nulls is None else np.concatenate([*vars(nulls).values()])
    units = torch.tensor(np.concatenate([v[None], others]), dtype=torch.float32)
    changes, legal = [], []
    for stop in stops:
        h = stop.resid[layer]
        away = goal - float(h @ units[0])
        sized = units * away
        p_back, p_legal = stop.read(layer, torch.cat([h[None], h + sized]))
        changes.append(p_back[1:] - p_back[0])
        legal.append(p_legal[1])
    effects = np.mean(changes, axis=0)
    own, null = effects[0], effects[1:].reshape(-1, N_NULL)
    beaten = null >= own if own > 0 else null <= own
    p = (1 + beaten.sum(axis=1)) / (1 + N_NULL)
    return Moved(float(own), float(np.mean(legal)), *map(float, p))


@dataclass(frozen=True)
class Target:
    """What is edited: the studied model with its class means at one layer."""

    layer: int
    states: Float[np.ndarray, "n d_model"]
    points: Points
    seed: int

    def mean(self, v: np.ndarray, is_over: bool) -> float:
        """Mean projection of a class, on train points."""
        return float((self.states @ v)[self.points.is_over == is_over].mean())

    def move(self, stops: Sequence[Stop], v: np.ndarray, to_over: bool, k: bool = True) -> Moved:
        """The edit towards a class mean, beside nulls where `k`."""
        nulls = Nulls.draw(self.states, self.points.is_over, v, self.seed) if k else None
        return set_projection(stops, self.layer, v, self.mean(v, to_over), nulls)


def p_back_of(stops: Sequence[Stop], layer: int, others: Sequence[Stop]) -> float:
    """Mean P_back where each stop has the state of another."""
    both = zip(stops, others, strict=True)
    return float(np.mean([stop.read(layer, one.resid[layer][None])[0][0] for stop, one in both]))


def patched(stops: Sequence[Stop], donors: Sequence[Stop], layer: int) -> float:
    """The ceiling: change of P_back by the donors' states."""
    return p_back_of(stops, layer, donors) - p_back_of(stops, layer, stops)


def measure_pair(
    base: LoadedModel, target: LoadedModel, others: Mapping[str, LoadedModel], seed: int
) -> dict[str, object]:
    """A row of the table.

    The layer is the one where, on dev, the base's direction raises P_back most, among those where
    the patch does half of what it does at any, so that failing means something, and that keep
    P_legal at 0.9 (`dev_by_layer`: effect/P_legal). All else is of test stops: `patch` is the
    change of P_back where the donor's state is put into the full stop, and a share is of it;
    `raise` sets the projection at live stops to the target's mean of over, `lower` at over to that
    of alive; `other_effect` is the largest that another base's direction has. `bars` names what is
    missed.
    """
    study = Study(target, seed)
    train, test = study.points("train"), study.points("test")
    states = {"own": study.states(target, train), "base": study.states(base, train)}
    targets = [Target(layer, one, train, seed) for layer, one in enumerate(states["own"])]
    dev, dev_donors = study.stops("dev", "alive")
    directions = {
        name: [direction(one, train) for one in layers] for name, layers in states.items()
    }
    found = [
        one.move(dev, v, True, k=False) for one, v in zip(targets, directions["base"], strict=True)
    ]
    patches = [patched(dev, dev_donors, one) for one in range(len(found))]
    layer = max(
        range(len(found)),
        key=lambda n: (patches[n] >= max(patches) / 2, found[n].legal >= 0.9, found[n].effect),
    )
    at, v, own = targets[layer], directions["base"][layer], directions["own"][layer]
    alive, donors = study.stops("test", "alive")
    over, _ = study.stops("test", "over")
    p_alive, p_over = (p_back_of(stops, layer, stops) for stops in (alive, over))
    patch = patched(alive, donors, layer)
    effect_by_base = {
        name: at.move(alive, direction(study.states(one, train)[layer], train), True, k=False)
        for name, one in others.items()
    }
    row: dict[str, object] = {
        "layer": layer,
        "dev_by_layer": " ".join(f"{one.effect:.3f}/{one.legal:.2f}" for one in found),
        "cosine": float(v @ own),
        "auroc_base": auroc(study.states(base, test)[layer] @ v, test),
        "auroc_own": auroc(study.states(target, test)[layer] @ own, test),
        "n_alive": len(alive),
        "n_over": len(over),
        "p_alive": p_alive,
        "p_over": p_over,
        "patch": patch,
    }
    for name, unit in (("base", v), ("own", own)):
        raised, lowered = at.move(alive, unit, True), at.move(over, unit, False)
        row[f"{name}_share"] = raised.effect / patch
        for moved, does in ((raised, "raise"), (lowered, "lower")):
            row |= {f"{name}_{does}_{key}": value for key, value in vars(moved).items()}
    row["others"] = len(others)
    row["other_effect"] = max((one.effect for one in effect_by_base.values()), default=0.0)
    row |= study.competence() | {"bars": " ".join(bars_missed(row | study.competence()))}
    return {key: round(one, 4) if isinstance(one, float) else one for key, one in row.items()}


def bars_missed(row: Mapping[str, object]) -> list[str]:
    """Names of the bars that a pair does not reach; lowering is held against isotropic nulls."""
    number = {key: float(value) for key, value in row.items() if isinstance(value, float | int)}
    legal = min(value for key, value in number.items() if key.endswith("_legal"))
    bars = {
        "share": number["base_share"] >= 0.3,
        "legal": legal >= 0.9,
        "others": number["base_raise_effect"] >= 10 * number["other_effect"],
        "valid": number["valid"] >= 0.95,
        "parsed": number["parsed"] >= 0.98,
        "solved": number["solved"] >= 0.7,
        "dead": abs(number["acts_dead"] - 0.6) <= 0.07,
        "live": abs(number["acts_live"] - 0.125) <= 0.07,
        "tells": number["p_over"] - number["p_alive"] >= 0.1,
    }
    for name in ("base", "own"):
        for does, sign in (("raise", 1), ("lower", -1)):
            key = f"{name}_{does}_"
            beyond = number[f"{key}p_isotropic"] <= 0.05
            if does == "raise":
                beyond = beyond and number[f"{key}p_covariance"] <= 0.05
            bars[f"{name}-{does}"] = beyond and sign * number[f"{key}effect"] >= 0.05
    return [name for name, reached in bars.items() if not reached]
