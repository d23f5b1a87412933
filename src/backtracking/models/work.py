"""What each stage of a study has each of its models do, by its parameters and a few guesses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backtracking.models.published import SHAPES


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
        edit_tokens: of an edit: the deciding one, and those that openers begin with.
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
    edit_tokens: int = 9


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


def works(values: Mapping[str, Any], guess: Guess = GUESS) -> list[Work]:
    """What each stage has each model do, in the order of the pipeline."""
    roles: dict[str, Any] = values["models"]["roles"]
    studied, pairs, run = values["models"]["studied"], under_study(values), steered(roles)
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
    for role in pairs if stability["enabled"] else ():
        found.append(Work("stability", role, n_all, n_again, stability["batch_size"], half))
    n_sources = len(roles)
    added = len(steer["doses"]) * (n_sources + steer["n_few_random"]) + 2 * steer["n_random"]
    nulls = 2 * (3 * steer["n_null"] + steer["n_retrained"])
    n_free = n_test * (2 + steer["n_free_random"]) * guess.trace_share * steer["max_new_tokens"]
    for role in (one for one in roles if one in run):
        arms = added + (nulls if role in pairs else 0)
        n_read = n_test * steer["n_samples"] * (n_new + guess.prompt_tokens)
        batch = steer["edits_per_batch"]
        found.append(Work("steer", role, n_read, n_points * arms, batch, half))
        if steer["drawn"]["n"]:
            n_nulls = 3 * min(steer["n_null"], 2 * steer["drawn"]["n_null"])
            n_beside = n_nulls if role in pairs else 0
            n_beside += _n_controls(values, guess) if role == studied else 0
            found.append(_drawn(steer, role, n_test, n_sources, n_beside, half, guess))
    found.append(Work("steer", studied, 0, n_free, steer["rows_per_batch"], half / 2))
    return found + _later(values, guess, n_test, n_new, pairs)


def under_study(values: Mapping[str, Any]) -> list[str]:
    """The model under study and those of the control pairs."""
    roles, studied = values["models"]["roles"], values["models"]["studied"]
    return [studied, *(one for one, row in roles.items() if row["base"] and one != studied)]


def steered(roles: Mapping[str, Any]) -> set[str]:
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
    values: Mapping[str, Any], guess: Guess, n_test: float, n_new: float, roles: Sequence[str]
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
