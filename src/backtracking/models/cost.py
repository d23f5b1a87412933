"""What a study needs of a rented machine, before it is rented: memory, disk, hours, price.

Everything follows from its parameters, from the shapes of its models, and from a few guesses, which
stand in `Guess` and `Gpu`: how long a trace is, how much happens in it, how fast a GPU really is.
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
class Guess:
    """What nobody knows before the study has run.

    Attributes:
        trace_share: length of a trace, of the longest allowed.
        prompt_tokens: of a question in its template.
        sentence_tokens: of a sentence.
        decisions: in a trace, of the two classes that are contrasted.
        events: in a trace, sentences that the rules call backtracking.
        states: of sentences that go on.
        bandwidth_share, flops_share: of what the data sheet says, that transformers gets.
        block_seconds: of a call of one block, however little it computes.
        roomy: memory that the allocator takes, of what is asked of it.
    """

    trace_share: float = 0.4
    prompt_tokens: int = 64
    sentence_tokens: int = 20
    decisions: int = 20
    events: int = 8
    states: int = 5
    bandwidth_share: float = 0.5
    flops_share: float = 0.35
    block_seconds: float = 1.0e-3
    roomy: float = ROOMY


GUESS = Guess()


@dataclass(frozen=True)
class Work:
    """What one stage has one model do.

    Attributes:
        stage: its name.
        role: of the model.
        read: tokens that are read in long calls.
        written: tokens that are written, or edited and read again, one by one.
        at_once: of them, in one call.
        context: tokens before each of them, on average.
    """

    stage: str
    role: str
    read: float | int = 0
    written: float | int = 0
    at_once: int = 1
    context: float | int = 0


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
    memory, disk = _gpu_bytes(values, shapes, guess), _disk_bytes(values, shapes, guess)
    return Needs(memory, disk, hours, unknown)


def works(values: Mapping[str, Any], guess: Guess = GUESS) -> list[Work]:
    """What each stage has each model do, in the order of the pipeline."""
    roles: dict[str, Any] = values["models"]["roles"]
    studied = values["models"]["studied"]
    controls = [one for one, row in roles.items() if row["base"] and one != studied]
    run = _run(roles)
    traces, steer = values["traces"], values["steer"]
    n_problems = values["problems"]["n_study"]
    n_traces = n_problems * traces["n_samples"]
    n_new = guess.trace_share * traces["max_new_tokens"]
    n_all = n_traces * (n_new + guess.prompt_tokens)
    n_test = n_problems * values["problems"]["split_shares"][2]
    n_points = n_test * steer["n_samples"] * guess.decisions
    half = n_new / 2
    n_greedy = n_problems * n_new
    found = [
        Work("traces", studied, 0, n_traces * n_new + n_greedy, traces["batch_size"], half),
        *(Work("extract", role, read=n_all) for role in (*roles, *values["extract"]["permuted"])),
    ]
    stability = values["stability"]
    n_again = n_traces * guess.events * stability["n_regenerations"] * stability["max_new_tokens"]
    for role in (studied, *controls) if stability["enabled"] else ():
        found.append(Work("stability", role, n_all, n_again, stability["batch_size"], half))
    n_sources = len(roles)
    added = len(steer["doses"]) * (n_sources + steer["n_few_random"]) + 2 * steer["n_random"]
    nulls = 2 * (3 * steer["n_null"] + steer["n_retrained"])
    n_free = n_test * (2 + steer["n_free_random"]) * guess.trace_share * steer["max_new_tokens"]
    for role in (one for one in roles if one in run):
        arms = added + (nulls if role in (studied, *controls) else 0)
        n_read = n_test * steer["n_samples"] * (n_new + guess.prompt_tokens)
        batch = steer["edits_per_batch"]
        found.append(Work("steer", role, n_read, n_points * arms, batch, half))
        if steer["drawn"]["n"]:
            n_nulls = 3 * min(steer["n_null"], 2 * steer["drawn"]["n_null"])
            n_beside = n_nulls if role in (studied, *controls) else 0
            n_beside += _n_controls(values, guess) if role == studied else 0
            found.append(_drawn(steer, role, n_test, n_sources, n_beside, half, guess))
    found.append(Work("steer", studied, 0, n_free, steer["rows_per_batch"], half / 2))
    return found + _later(values, guess, n_test, n_new, (studied, *controls))


def _run(roles: Mapping[str, Any]) -> set[str]:
    """Roles whose models are steered: further bases are not."""
    return {one for role, row in roles.items() if row["base"] for one in (role, row["base"])}


def _drawn(
    steer: Mapping[str, Any],
    role: str,
    n_test: float,
    n_sources: int,
    n_beside: int,
    context: float,
    guess: Guess,
) -> Work:
    """Sentences that are drawn after decisions, under the arms that `steer.drawn` leaves.

    Nulls and controls, `n_beside` of them, are drawn both ways, each at decisions of one class.
    """
    drawn = steer["drawn"]
    n_few = min(steer["n_few_random"], 2 * drawn["n_null"])
    arms = len(drawn["doses"]) * (n_sources + n_few) + n_beside
    per_class = guess.decisions / 2
    points = 2 * min(per_class, drawn["per_trace"] or per_class) * n_test * steer["n_samples"]
    n_new = points * arms * drawn["n"] * drawn["max_new_tokens"]
    return Work("steer", role, 0, n_new, drawn["rows_per_batch"], context)


def _n_controls(values: Mapping[str, Any], guess: Guess) -> int:
    """Directions of the controls without training: one each, and one a state."""
    forms = values["directions"]["controls"]
    return len(forms) + (guess.states - 1 if "next" in forms else 0)


def _later(
    values: Mapping[str, Any], guess: Guess, n_test: float, n_new: float, roles: tuple[str, ...]
) -> list[Work]:
    """Ablation, by component and of whole generations, and belief by minimal pairs."""
    ablate, belief = values["ablate"], values["belief"]
    found = []
    for role in roles:
        shape = SHAPES.get(str(values["weights"][role]["source"]))
        n_parts = 2 * shape.n_layers if shape else 0
        n_read = n_test * ablate["n_samples"] * (n_new + guess.prompt_tokens) * n_parts
        n_sets = 1 + len(ablate["top"]) * (1 + ablate["n_random"])
        n_free = n_test * n_sets * guess.trace_share * ablate["max_new_tokens"]
        rows = ablate["rows_per_batch"]
        found.append(Work("ablate", role, n_read, n_free, rows, n_new / 4))
        n_doses = len(belief["doses"]) + belief["n_rounds"]
        n_asked = (belief["n_items"] + belief["n_dev_items"]) * n_doses * (belief["n_random"] + 6)
        found.append(Work("belief", role, 0, 2 * n_asked, belief["rows_per_batch"], n_new / 2))
    return found


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
    roles, studied = values["models"]["roles"], values["models"]["studied"]
    weights, width = values["weights"], BYTES_BY_DTYPE[str(values["loading"]["dtype"])]
    own = {role: one for role, one in _shapes(values)[0].items() if not _is_shared(weights[role])}
    if studied not in own:
        return []
    controls = [one for one, row in roles.items() if row["base"] and one != studied]
    run, pairs = [one for one in roles if one in _run(roles)], [studied, *controls]
    loaded = {"traces": [studied], "steer": run, "stability": pairs, "ablate": pairs, "belief": run}
    loaded["extract"] = [max(own, key=lambda role: own[role].n_parameters)]
    longest = values["traces"]["max_new_tokens"] + guess.prompt_tokens
    return list(fitting.rows_of(values, longest, own, loaded, width))


def _gpu_bytes(values: Mapping[str, Any], shapes: Mapping[str, Shape], guess: Guess) -> float:
    """Of the stage that takes most; `directions` and `lens` have all models side by side.

    Equal models are loaded once.
    """
    if values["models"]["studied"] not in shapes:
        return 0.0
    width, weights = BYTES_BY_DTYPE[str(values["loading"]["dtype"])], values["weights"]
    own = [one for role, one in shapes.items() if not _is_shared(weights[role])]
    together = guess.roomy * width * sum(one.n_parameters for one in own)
    return max(together, *(rows.n_bytes for rows in rows_of(values, guess)))


def _disk_bytes(values: Mapping[str, Any], shapes: Mapping[str, Shape], guess: Guess) -> float:
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
