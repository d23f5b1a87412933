"""What a stage may ask of whatever is studied; everything after `label` reads records instead."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from tokenizers import Tokenizer

from backtracking.domains.lexicon import Lexicon
from backtracking.models.rows import RowSource
from backtracking.records.grades import Grade, Observation
from backtracking.records.pairs import MinimalPair
from backtracking.records.posteriors import Laws, Posteriors
from backtracking.records.sentences import Kind, Sentence
from backtracking.records.tokens import Pattern, Turning
from backtracking.records.traces import Problem, Trace

if TYPE_CHECKING:  # torch: most stages that ask a domain run no model
    from transformers import PreTrainedTokenizerFast

    from backtracking.models.loading import LoadedModel


@dataclass(frozen=True)
class ProblemPlan:
    """How many problems.

    Attributes:
        n_study: problems of the study.
        n_held_out: problems of a kind that no model trains on, all in the test split.
        split_shares: shares of train, dev and test among the study's problems.
        seed: of the draw.
    """

    n_study: int
    n_held_out: int
    split_shares: tuple[float, float, float]
    seed: int

    def __post_init__(self) -> None:
        if abs(sum(self.split_shares) - 1) > 1e-9 or min(self.split_shares) <= 0:
            raise ValueError(f"split_shares {self.split_shares} must be above 0 and sum to 1.")
        if self.n_study < 3:
            raise ValueError(f"n_study {self.n_study} leaves a split empty.")


@dataclass(frozen=True)
class Reading:
    """One trace, read.

    Attributes:
        sentences: in order, with the labels that the domain gives itself.
        posteriors: what each prefix tells of the decision ahead, where that was asked for and the
            writer is known.
        laws: what each sentence tells of the next, likewise.
    """

    sentences: list[Sentence]
    posteriors: Posteriors | None = None
    laws: Laws | None = None


@runtime_checkable
class Recipe(RowSource, Protocol):
    """How one model is trained: a frozen dataclass, in whose module is all that its rows need."""

    @property
    def starts_from(self) -> str | None:
        """Role of the model whose weights it starts from; None is random weights."""
        ...

    @property
    def false_claims(self) -> tuple[str, ...]:
        """Claims that are false of its pair by construction, and so must fail."""
        ...

    @property
    def true_claims(self) -> tuple[str, ...]:
        """Claims that are true of its pair by construction, and so must hold."""
        ...

    def tokenizer(self) -> "PreTrainedTokenizerFast":
        """The tokenizer of a model that starts from random weights."""
        ...


@runtime_checkable
class Domain(Protocol):
    """What is studied."""

    @property
    def name(self) -> str:
        """As `domain.name` of params.yaml has it."""
        ...

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Kinds of decision points, in the order of tables; empty where none is ever known."""
        ...

    @property
    def lexicon(self) -> Lexicon:
        """Its words, as spelled."""
        ...

    @property
    def taught_rates(self) -> Mapping[str, float]:
        """Rates that the writer was taught, by measure, beside which what it learnt stands."""
        ...

    def problems(self, plan: ProblemPlan) -> list[Problem]:
        """Distinct problems with their splits."""
        ...

    def prompt(self, problem: Problem, tokenizer: Tokenizer) -> list[int]:
        """The ids that a model reads."""
        ...

    def given(self, problem: Problem, tokenizer: Tokenizer) -> list[Trace]:
        """Traces that come with the problem; empty where a model has to write them."""
        ...

    def read(
        self, trace: Trace, problem: Problem, tokenizer: Tokenizer, *, with_laws: bool = False
    ) -> Reading:
        """The trace's sentences and what is known of them.

        Args:
            trace: the trace.
            problem: of it.
            tokenizer: of its ids.
            with_laws: whether posteriors and laws are computed as well, which takes most of the
                time.
        """
        ...

    def grade(self, trace: Trace, problem: Problem, tokenizer: Tokenizer) -> Grade:
        """What the trace is worth."""
        ...

    def pattern(self, tokenizer: Tokenizer) -> tuple[Pattern, ...]:
        """Ids at whose end something is decided, for a text that is still being written."""
        ...

    def turning(self, tokenizer: Tokenizer) -> Turning | None:
        """How what follows a decision is read exactly from ids; None where only words tell."""
        ...

    def pairs(
        self,
        trace: Trace,
        problem: Problem,
        reading: Reading,
        tokenizer: Tokenizer,
        random: Random,
    ) -> Iterator[MinimalPair]:
        """Minimal pairs at the trace's decisions, and points that are asked alone."""
        ...

    def recipe(self, role: str) -> Recipe | None:
        """How a role's model is trained; None where it is taken from elsewhere."""
        ...

    def examine(
        self, base: "LoadedModel", n: int, random: Random
    ) -> Sequence[Callable[[], list[Observation]]]:
        """What a base knows beyond traces, about `n` questions; empty where nothing is asked.

        In parts that depend on no other, each of which a unit can keep (`Units.key`).
        """
        ...


def taught_rates(p_notice: float, p_idle: float) -> Mapping[str, float]:
    """What a policy teaches that turns at dead ends that it sees, and else idles, by measure."""
    return {
        "policy_turn_rate_dead": p_notice,
        "policy_idle_rate_dead": 0.0,
        "policy_turn_rate_live": 0.0,
        "policy_idle_rate_live": p_idle,
    }
