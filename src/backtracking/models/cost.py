"""What a study needs of a rented machine, before it is rented: memory, disk, hours, price.

Everything follows from its parameters, from the shapes of its models, and from a few guesses, which
stand in `Gpu` and in `work.Guess`: how long a trace is, how much happens in it, how fast a GPU is.
Hours are within a factor of two of the truth at best. Pilots and repeated runs are not in them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from backtracking.models import fitting
from backtracking.models.fitting import Rows
from backtracking.models.footprint import ROOMY
from backtracking.models.published import SHAPES, Shape
from backtracking.models.sizes import BYTES_BY_DTYPE
from backtracking.models.work import GUESS, Guess, Work, steered, under_study, works
from lifeboat.stage.errors import UserError


@dataclass(frozen=True)
class Gpu:
    """A GPU, as its data sheet has it.

    Attributes:
        gigabytes: of its memory.
        bandwidth: bytes a second that it reads of it.
        flops: operations a second in bfloat16, dense.
    """

    gigabytes: float
    bandwidth: float
    flops: float

    def times(self, n: int, *, in_turn: bool) -> "Gpu":
        """Several as one: with all their memory, and their speed unless they work in turn."""
        speed = 1 if in_turn else n
        return Gpu(self.gigabytes * n, self.bandwidth * speed, self.flops * speed)


GPUS: Mapping[str, Gpu] = {
    "RTX 4090": Gpu(24.0, 1.008e12, 165e12),
    "L40S": Gpu(48.0, 0.864e12, 362e12),
    "A100": Gpu(80.0, 2.039e12, 312e12),
    "H100": Gpu(80.0, 3.35e12, 989e12),
    "H200": Gpu(141.0, 4.8e12, 989e12),
}
"""By name; the cheapest first."""


@dataclass(frozen=True)
class Needs:
    """What a study needs.

    Attributes:
        gpu_bytes: at the stage that takes most.
        disk_bytes: weights twice (the hub's cache, models/) and activations.
        hours_by_stage: on the GPU.
        unknown: models of which neither size nor shape is known, and which are not counted.
    """

    gpu_bytes: float
    disk_bytes: float
    hours_by_stage: Mapping[str, float]
    unknown: tuple[str, ...] = field(default=())

    @property
    def hours(self) -> float:
        """All of them."""
        return sum(self.hours_by_stage.values())


def gpu_of(name: str) -> Gpu:
    """A GPU by its name.

    Raises:
        UserError: for one that is not known.
    """
    if name not in GPUS:
        raise UserError(f"There is no GPU `{name}`.", f"Those known are {', '.join(GPUS)}.")
    return GPUS[name]


def smallest(needs: Needs, n_gpus: int = 1) -> str | None:
    """The first GPU so many of which have memory enough; None where there is none."""
    each = needs.gpu_bytes / n_gpus
    return next((name for name, one in GPUS.items() if one.gigabytes * 1e9 >= each), None)


def seconds(work: Work, shape: Shape, gpu: Gpu, dtype: str, guess: Guess = GUESS) -> float:
    """How long a piece of work takes: reading is bound by arithmetic, writing by memory.

    Args:
        work: what is done.
        shape: of the model.
        gpu: on which.
        dtype: of the weights.
        guess: how much of the data sheet is had.
    """
    width = BYTES_BY_DTYPE[dtype]
    reading = 2 * shape.n_parameters * work.read / (gpu.flops * guess.flops_share)
    n_bytes = width * (shape.n_parameters + work.at_once * work.context * shape.kv_values)
    call = max(n_bytes / (gpu.bandwidth * guess.bandwidth_share), _calls(shape, guess))
    return reading + work.written / work.at_once * call


def _calls(shape: Shape, guess: Guess) -> float:
    return shape.n_layers * guess.block_seconds


def needs(values: Mapping[str, Any], gpu: Gpu, guess: Guess = GUESS) -> Needs:
    """What a study needs.

    Args:
        values: its parameters, as params.yaml has them.
        gpu: on which it runs.
        guess: what is not known before.
    """
    shapes, unknown = _shapes(values)
    hours: dict[str, float] = {}
    dtype = str(values["loading"]["dtype"])
    for work in works(values, guess):
        if work.role in shapes:
            took = seconds(work, shapes[work.role], gpu, dtype, guess) / 3600
            hours[work.stage] = hours.get(work.stage, 0.0) + took
    return Needs(_gpu_bytes(values, guess), disk_bytes(values, guess), hours, unknown)


def _shapes(values: Mapping[str, Any]) -> tuple[dict[str, Shape], tuple[str, ...]]:
    """The shape of each role's model, and the sources that have none."""
    weights, roles = values["weights"], values["models"]["roles"]
    sources = {role: str(weights[role]["source"]) for role in roles}
    owners = {f"models/{role}": source for role, source in sources.items()}
    sources = {role: owners.get(source, source) for role, source in sources.items()}
    known = {role: SHAPES[source] for role, source in sources.items() if source in SHAPES}
    return known, tuple(sorted({sources[role] for role in sources if role not in known}))


def rows_of(values: Mapping[str, Any], guess: Guess = GUESS) -> list[Rows]:
    """What each stage asks for in one call of a model, beside the weights that it has loaded."""
    own, roles = _own(values), values["models"]["roles"]
    if values["models"]["studied"] not in own:
        return []
    run, pairs = [one for one in roles if one in steered(roles)], under_study(values)
    loaded = {"steer": run, "belief": run, "stability": pairs, "ablate": pairs}
    loaded["traces"] = [values["models"]["studied"]]
    loaded["extract"] = [max(own, key=lambda role: own[role].n_parameters)]
    longest = values["traces"]["max_new_tokens"] + guess.prompt_tokens
    return list(fitting.rows_of(values, longest, guess.edit_tokens, own, loaded, _width(values)))


def _gpu_bytes(values: Mapping[str, Any], guess: Guess) -> float:
    """Of the stage that takes most; `directions` and `lens` have all models side by side."""
    rows = rows_of(values, guess)
    together = ROOMY * _width(values) * sum(one.n_parameters for one in _own(values).values())
    return max(together, *(one.n_bytes for one in rows)) if rows else 0.0


def _own(values: Mapping[str, Any]) -> dict[str, Shape]:
    """The shapes of the models that are loaded: of those with the same weights, one."""
    weights = values["weights"]
    return {role: one for role, one in _shapes(values)[0].items() if not _is_shared(weights[role])}


def _width(values: Mapping[str, Any]) -> int:
    return BYTES_BY_DTYPE[str(values["loading"]["dtype"])]


def disk_bytes(values: Mapping[str, Any], guess: Guess = GUESS) -> float:
    """About what a study writes: weights, and activations of traces as long as they are guessed.

    0 where no model is a published one.
    """
    shapes, _ = _shapes(values)
    extract, traces = values["extract"], values["traces"]
    first, last = extract["window"]
    share = min(1.0, (last - first + 1) / guess.sentence_tokens)
    n_new = guess.trace_share * traces["max_new_tokens"]
    n_traces = values["problems"]["n_study"] * traces["n_samples"]
    n_rows = n_traces * n_new * (share + 1 / guess.sentence_tokens)
    width = BYTES_BY_DTYPE[str(extract["dtype"])]
    total = 0.0
    for role, shape in shapes.items():
        n_layers = len(extract["layers"]) if extract["layers"] else shape.n_layers
        n_stores = 2 if role in extract["permuted"] else 1
        total += n_stores * n_rows * (n_layers * shape.d_model * width + 24)
        copies = 1 if _is_shared(values["weights"][role]) else 2
        total += copies * 2 * shape.n_parameters
    return total


def _is_shared(section: Mapping[str, Any]) -> bool:
    """Whether a role has the very weights of another."""
    return str(section["source"]).startswith("models/")
