"""How steering is measured, what is read, and what an arm is made of."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from backtracking.directions.vectors import random_directions
from backtracking.interventions.prefixes import prefixes_of
from backtracking.models import forced
from backtracking.models.forced import Prefix
from backtracking.records import measured
from backtracking.records.columns import Sentences
from backtracking.records.decisions import Decisions
from backtracking.records.tokens import Tokens
from backtracking.records.traces import Trace


@dataclass(frozen=True)
class Plan:
    """How steering is measured.

    Attributes:
        doses: signed, in multiples of the norm of the studied model's matched direction at the
            chosen layer and window; 1 and -1 must be among them. At `generated` and `all`
            positions, and along random directions in other models than the studied one, these two
            alone are run.
        n_samples: traces of each test problem that are teacher-forced.
        n_random: random directions, teacher-forced.
        n_few_random: of them, on dev and at other doses than 1 and -1: there their mean counts.
        n_free_random: of them, in free runs.
        n_noise: arms that add a fresh random vector at every decision.
        n_reports: decisions at which the model is asked to report.
        min_agreement: least agreement of other predictions on dev for a layer to be usable.
        max_new_tokens: length at which free runs are cut.
        rows_per_batch: prefixes times arms in one call of the model.
        seed: of random directions and of free runs.
    """

    doses: tuple[float, ...]
    n_samples: int
    n_random: int
    n_few_random: int
    n_free_random: int
    n_noise: int
    n_reports: int
    min_agreement: float
    max_new_tokens: int
    rows_per_batch: int
    seed: int

    def __post_init__(self) -> None:
        if not {1.0, -1.0} <= set(self.doses) or 0.0 in self.doses:
            raise ValueError(f"doses {list(self.doses)} must hold 1 and -1, and not 0.")
        if not 0 < min(few := (self.n_few_random, self.n_free_random)) <= max(few) <= self.n_random:
            raise ValueError(
                "n_few_random and n_free_random must be 1 or more, and at most n_random."
            )
        counts = (self.n_samples, self.n_noise, self.n_reports, self.max_new_tokens)
        if min(*counts, self.rows_per_batch) < 1:
            raise ValueError(
                "n_samples, n_noise, n_reports, max_new_tokens, rows_per_batch must be 1 or more."
            )


@dataclass(frozen=True)
class Words:
    """Ids whose probabilities are read: at decisions of all openers, elsewhere of the marker."""

    opener_ids: tuple[int, ...]
    marker_ids: tuple[int, ...]

    @classmethod
    def of(cls, tokens: Tokens) -> "Words":
        """Those of a study; none where its domain has none."""
        return cls(tuple(tokens.opener_ids), tokens.marker.ids if tokens.marker else ())


@dataclass(frozen=True)
class Read:
    """What every arm of a run reads.

    Attributes:
        prefixes: token ids with the decisions in them.
        trace_ids: the trace of each prefix.
        decisions: names of all decisions, in the order of the prefixes.
    """

    prefixes: tuple[Prefix, ...]
    trace_ids: tuple[str, ...]
    decisions: tuple[str, ...]


@dataclass(frozen=True)
class Push:
    """An arm, and the vector that makes it one.

    Attributes:
        arm: as it stands in what is written.
        vector: what is added, norm and dose included, or projected out; of noise the norm counts.
        cosine: of the direction with the one that it is held against; NaN where there is none.
        seed: of noise.
    """

    arm: measured.Arm
    vector: Float[Tensor, " d_model"]
    cosine: float = math.nan
    seed: int = 0

    def for_model(self) -> forced.Arm:
        """As the model takes it."""
        where: Any = self.arm.where
        edit: Any = "add" if self.arm.edit == "none" else self.arm.edit
        return forced.Arm(self.vector, where, edit, self.seed)


def no_push(d_model: int) -> Push:
    """The baseline."""
    return Push(measured.baseline(), torch.zeros(d_model))


def read_split(
    traces: Sequence[Trace],
    sentences: Sentences,
    decisions: Decisions,
    split: str,
    n_samples: int,
) -> tuple[Read, Decisions]:
    """What is read of a split, and its decisions in the same order."""
    prefixes, chosen = prefixes_of(traces, sentences, decisions, split, n_samples)
    trace_ids = tuple(dict.fromkeys(chosen.trace_id.tolist()))
    return Read(tuple(prefixes), trace_ids, tuple(chosen.ids)), chosen


def read_up_to(traces: Sequence[Trace], decisions: Decisions) -> Read:
    """Prefixes that are cut after one decision each."""
    prefixes = []
    for row, position in zip(decisions.trace.tolist(), decisions.position.tolist(), strict=True):
        trace = traces[row]
        prefixes.append(Prefix(trace.ids[: position + 1], len(trace.prompt_ids), [position]))
    return Read(tuple(prefixes), tuple(decisions.trace_id.tolist()), tuple(decisions.ids))


def random_units(plan: Plan, d_model: int) -> dict[str, Float[Tensor, " d_model"]]:
    """The same random unit vectors, by name, for every target and every kind of run."""
    generator = torch.Generator().manual_seed(plan.seed)
    rows = random_directions(plan.n_random, d_model, generator).float()
    return {f"{measured.RANDOM}_{number}": row for number, row in enumerate(rows)}
