"""The model organism as a domain: a world in which the true state of every token is known."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import numpy as np
from tokenizers import Tokenizer

from backtracking.domains.domain import ProblemPlan, Reading, Recipe
from backtracking.domains.lexicon import Asked, Lexicon, Spelled
from backtracking.domains.organism.donors import Item, find_items
from backtracking.domains.organism.grammar import (
    ALTERNATIVE,
    BACKTRACKING_OPENERS,
    EOS,
    MARKER,
    MAX_NUMBER,
)
from backtracking.domains.organism.next_state import next_state_laws
from backtracking.domains.organism.policy import BasePolicy, Policy
from backtracking.domains.organism.posteriors import read_decisions
from backtracking.domains.organism.solver import KINDS
from backtracking.domains.organism.states import Reading as SentenceRead
from backtracking.domains.organism.states import Replay, is_solved, words_of
from backtracking.domains.organism.world import World, make_problem, read_prompt, split_of
from backtracking.labels.states import STATES, UNPARSED
from backtracking.records.grades import Grade, Observation, Outcome
from backtracking.records.pairs import FollowUp, MinimalPair
from backtracking.records.posteriors import END, Laws, Posteriors
from backtracking.records.sentences import EXACT, Action, Kind, Sentence, State, Truth
from backtracking.records.tokens import Pattern, Turning
from backtracking.records.traces import Problem, Trace
from backtracking.runtime import params as parameters
from lifeboat.stage.errors import UserError

if TYPE_CHECKING:
    from backtracking.models.loading import LoadedModel

DRAWS_PER_PROBLEM = 60

KIND_BY_NAME = {
    "over": Kind("over", "dead", True),
    "exhausted": Kind("exhausted", "dead", True),
    "doomed": Kind("doomed", "dead", False),
    "alive": Kind("alive", "live", False),
    "solved": Kind("solved", "solved", True),
}
ACTION_BY_NAME: dict[str, Action] = {
    "backtracks": "turns",
    "idles": "idles",
    "carries_on": "goes on",
}
OPENINGS: dict[State, tuple[str, ...]] = {
    "initializing": ("Numbers", "Target", "Start"),
    "adding-knowledge": ("Goal", "Left", "Wait for"),
    "example-testing": ("Try",),
    "deduction": ("Total", "Compare", "Check"),
    "backtracking": ("No", "Dead", "Undo", "Wait"),
    "uncertainty-estimation": ("Hmm", "Well", "Wait , fine"),
    "final-answer": ("Found", "Give", "Stop"),
}
LEXICON = Lexicon(
    openers=tuple(
        Spelled(word, ", fine" if word == MARKER else "") for word in BACKTRACKING_OPENERS
    ),
    marker=MARKER,
    alternative=ALTERNATIVE,
    asides=("Check",),
    questions=(Asked("report", "Check :", ("over",), ("under",)),),
    openings=OPENINGS,
    ends=(EOS,),
)
_REPORTS = ("over", "under", "equal")


@dataclass(frozen=True)
class Section:
    """Section `domain` of params.yaml; the organism has no file."""

    name: str
    file: str


@dataclass(frozen=True)
class Organism:
    """Sums of distinct numbers, searched by a stochastic policy whose law is known.

    Attributes:
        world: distribution of problems.
        policy: how searches are written.
        base_policy: how the base's corpus is written.
    """

    world: World
    policy: Policy
    base_policy: BasePolicy
    name: str = "organism"
    kinds: tuple[Kind, ...] = tuple(KIND_BY_NAME[kind] for kind in KINDS)
    lexicon: Lexicon = LEXICON

    @classmethod
    def load(cls, params: Path) -> "Organism":
        """The organism of a parameter file.

        Raises:
            UserError: for a parameter that is missing or wrong.
        """
        parameters.load(Section, "domain", params)
        return cls(
            parameters.load(World, "world", params),
            parameters.load(Policy, "policy", params),
            parameters.load(BasePolicy, "base_policy", params),
        )

    @property
    def taught_rates(self) -> Mapping[str, float]:
        """How often the policy acts at dead ends that it sees, and elsewhere."""
        rates = {"dead": self.policy.p_notice, "live": self.policy.p_idle}
        return {f"policy_act_rate_{kind}": rate for kind, rate in rates.items()}

    def problems(self, plan: ProblemPlan) -> list[Problem]:
        """Distinct problems of the study pool, then those of the held-out size.

        Raises:
            UserError: where the world does not have as many.
        """
        random = Random(plan.seed)
        study: dict[str, Problem] = {}
        for numbers, target in self._draws(random, plan.n_study, None):
            if len(study) < plan.n_study and self.world.is_study(numbers, target):
                split = split_of(numbers, target, plan.split_shares)
                problem = make_problem(numbers, target, "study", split)
                study.setdefault(problem.problem_id, problem)
        held_out: dict[str, Problem] = {}
        for numbers, target in self._draws(random, plan.n_held_out, self.world.held_out_size):
            if len(held_out) < plan.n_held_out:
                problem = make_problem(numbers, target, "held-out-size", "test")
                held_out.setdefault(problem.problem_id, problem)
        _require_enough("n_study", len(study), plan.n_study)
        _require_enough("n_held_out", len(held_out), plan.n_held_out)
        return [*study.values(), *held_out.values()]

    def prompt(self, problem: Problem, tokenizer: Tokenizer) -> list[int]:
        """The start token and the problem's words."""
        return tokenizer.encode(problem.prompt).ids

    def given(self, problem: Problem, tokenizer: Tokenizer) -> list[Trace]:
        """None: a model writes the traces."""
        return []

    def read(
        self, trace: Trace, problem: Problem, tokenizer: Tokenizer, *, with_laws: bool = False
    ) -> Reading:
        """The trace replayed: exact labels and the truth of every sentence."""
        numbers, target = read_prompt(problem.prompt)
        words = words_of(trace, tokenizer)
        readings = Replay(numbers, target).read(words)
        sentences = _sentences(trace, readings, target, tokenizer)
        if not with_laws:
            return Reading(sentences)
        posteriors = _posteriors(words, numbers, target, len(trace.prompt_ids))
        return Reading(sentences, posteriors, self._laws(readings, target))

    def grade(self, trace: Trace, problem: Problem, tokenizer: Tokenizer) -> Grade:
        """Right where the trace finds the target and truly stands on it."""
        readings = Replay(*read_prompt(problem.prompt)).read(words_of(trace, tokenizer))
        form = readings[-1].form if readings else None
        answer = str(form.numbers[0]) if form and form.name == "found" else None
        outcome: Outcome = "unparsable"
        why = "it ends in no sentence of the world"
        if is_solved(readings):
            outcome, why = "right", "it finds the target, and stands on it"
        elif trace.finish_reason == "length":
            outcome, why = "unfinished", "it was cut"
        elif answer is not None:
            outcome, why = "wrong", "it does not stand on the target"
        elif form is not None:
            outcome, why = "wrong", "it ends without an answer"
        return Grade(trace.trace_id, problem.problem_id, outcome, answer, why)

    def pattern(self, tokenizer: Tokenizer) -> tuple[Pattern, ...]:
        """The full stop of a comparison, dead end or not: no oracle."""
        ids = tokenizer.get_vocab()
        compare, with_, stop = (frozenset({ids[word]}) for word in ("Compare", "with", "."))
        return (Pattern((compare, None, with_, None, stop)),)

    def turning(self, tokenizer: Tokenizer) -> Turning | None:
        """Backtracking sentences as the grammar has them."""
        ids = tokenizer.get_vocab()
        numbers = [str(number) for number in range(MAX_NUMBER + 1)]

        def pattern(*slots: Sequence[str]) -> Pattern:
            return Pattern(tuple(frozenset(ids[word] for word in slot) for slot in slots))

        stop = (".",)
        return Turning(
            stops=frozenset({ids["."]}),
            end_ids=frozenset({ids[EOS]}),
            asides=(pattern(("Check",), (":",), _REPORTS, stop),),
            openers=frozenset(ids[word] for word in BACKTRACKING_OPENERS),
            turns=(pattern(("Dead",), ("end",), stop),),
            idles=(
                pattern((MARKER,), (",",), ("fine",), stop),
                pattern((MARKER,), ("for",), numbers, stop),
            ),
        )

    def pairs(
        self,
        trace: Trace,
        problem: Problem,
        reading: Reading,
        tokenizer: Tokenizer,
        random: Random,
    ) -> Iterator[MinimalPair]:
        """Live points under a target that makes them dead, and points that are over."""
        ids = tokenizer.get_vocab()
        for item in find_items(trace, ids, random):
            yield _pair(item, ids["fine"])

    def recipe(self, role: str) -> Recipe | None:
        """How a role's model is trained.

        Raises:
            UserError: for a role that the organism does not have.
        """
        from backtracking.domains.organism.recipes import recipe_of

        return recipe_of(role, self.world, self.policy, self.base_policy)

    def examine(self, base: "LoadedModel", n: int, random: Random) -> list[Observation]:
        """The base's sums, and its reports on (total, target) pairs that nobody trained on."""
        from backtracking.domains.organism.evaluation import observe_base

        return observe_base(base, self.world, self.base_policy, n, random)

    def _draws(
        self, random: Random, n: int, size: int | None
    ) -> Iterator[tuple[tuple[int, ...], int]]:
        """As many draws as should be enough for `n` distinct problems."""
        for _ in range(n * DRAWS_PER_PROBLEM):
            yield self.world.draw(random, size)

    def _laws(self, readings: Sequence[SentenceRead], target: int) -> Laws:
        """The policy's law after each sentence; it never writes what does not parse."""
        forms = [reading.form for reading in readings]
        laws = next_state_laws(forms, target, self.policy)
        unparsed = np.where(np.isnan(laws[:, 0]), np.nan, 0.0)
        p = np.concatenate([laws[:, :-1], unparsed[:, None], laws[:, -1:]], axis=1)
        return Laws((*STATES, UNPARSED, END), p)


def _require_enough(key: str, found: int, wanted: int) -> None:
    if found < wanted:
        raise UserError(
            f"params.yaml, section `problems`: `{key}` asks for {wanted} distinct problems, "
            f"and {found} were found in {DRAWS_PER_PROBLEM} draws for each.",
            "Ask for fewer, or make the world larger (`max_number`, `sizes`, `study_share`).",
        )


def _sentences(
    trace: Trace, readings: Sequence[SentenceRead], target: int, tokenizer: Tokenizer
) -> list[Sentence]:
    first = len(trace.prompt_ids)
    found = []
    left: tuple[int, ...] = ()
    moves: list[int] = []
    for index, reading in enumerate(readings):
        start, end = first + reading.start, first + reading.end
        form = reading.form
        if form and form.name == "left":
            left = tuple(sorted(form.numbers))
        elif form and form.name in ("try", "undo"):
            moves.append(form.numbers[0] if form.name == "try" else -form.numbers[0])
        found.append(
            Sentence(
                trace_id=trace.trace_id,
                index=index,
                start=start,
                end=end,
                text=tokenizer.decode(trace.ids[start:end], skip_special_tokens=True),
                decides=form is not None and form.name == "compare",
                label_by={EXACT: _state(reading)},
                truth=_truth(reading, target, left, moves),
            )
        )
    return found


def _state(reading: SentenceRead) -> State:
    state: State = reading.state  # type: ignore[assignment]
    return state


def _truth(reading: SentenceRead, target: int, left: Sequence[int], moves: Sequence[int]) -> Truth:
    """What a sentence says, and where the search then stands.

    A state of the search is the true total and the numbers left; its history is every step taken
    and undone so far, so that a hesitation makes no new one.
    """
    decides = reading.form is not None and reading.form.name == "compare"
    is_checked = reading.check != "none"
    return Truth(
        form=reading.form.name if reading.form else None,
        kind=reading.kind,
        value=float(reading.true_total),
        written=float(reading.written_total)
        if reading.form and reading.form.name == "total"
        else None,
        target=float(target),
        valid=reading.valid if is_checked else None,
        check=reading.check if is_checked else None,
        action=ACTION_BY_NAME[reading.action] if reading.action else None,
        search_state=_spaced((reading.true_total, *left)) if decides else None,
        history=_spaced(moves) if decides else None,
    )


def _spaced(numbers: Sequence[int]) -> str:
    return " ".join(map(str, numbers))


def _posteriors(words: list[str], numbers: tuple[int, ...], target: int, first: int) -> Posteriors:
    found = read_decisions(words, numbers, target)
    return Posteriors(
        tuple(KINDS),
        first,
        found.p_kind,
        found.start + first,
        found.end + first,
        found.pending + first,
        found.known + first,
    )


def _pair(item: Item, fine: int) -> MinimalPair:
    """A donor's item as a pair: the claim "too big", then the parent, then a legal number."""
    follow_ups = []
    if item.donor_ids:
        both = (item.continuation_ids, item.donor_continuation_ids)
        last = len(item.continuation_ids) - 1
        follow_ups = [
            FollowUp("claim", *both, 1, [item.claim_id], [fine]),
            FollowUp("parent", *both, item.parent_at, [item.parent_id], []),
            FollowUp("legal", *both, last, item.legal_ids, []),
        ]
    return MinimalPair(
        pair_id=item.item_id,
        trace_id=item.trace_id,
        problem_id=item.problem_id,
        split=item.split,
        kind=item.kind,
        donor_kind="over" if item.donor_ids else None,
        n_prompt=item.n_prompt,
        clean_ids=item.clean_ids,
        donor_ids=item.donor_ids,
        changed=item.changed,
        follow_ups=follow_ups,
    )
