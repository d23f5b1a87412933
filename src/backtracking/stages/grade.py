"""Is the model what it should be? What it solves, what it gets wrong, and when it turns.

Counted on problems that nobody trained on. What is not known is no row; rates and their intervals
are made by `effects`.

Reads: models/<base and the one under study>, data/interim/traces, data/raw/problems
Writes: results/grade/tallies.jsonl and, for each trace, {sampled,greedy}.jsonl
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from random import Random

from tokenizers import Tokenizer

from backtracking.domains.domain import Domain
from backtracking.domains.registry import open_domain
from backtracking.labels.deciding import decisions_of
from backtracking.labels.learned import LEARNED, with_learned
from backtracking.labels.rules import with_rules
from backtracking.labels.states import UNPARSED
from backtracking.models import loading
from backtracking.models.loading import LoadedModel
from backtracking.records import reader
from backtracking.records.grades import Grade, Observation, write_grades
from backtracking.records.rows.measures import Tally
from backtracking.records.sentences import EXACT, Decision, Sentence
from backtracking.records.traces import Problem, Trace
from backtracking.runtime import params
from backtracking.runtime.command import run_stage
from backtracking.runtime.compute import prepare_torch
from backtracking.runtime.forks import run_side_by_side
from backtracking.runtime.workspace import Roles, Workspace
from lifeboat.stage import artifacts
from lifeboat.stage.units import Units, kept

OUT = "results/grade"


@dataclass(frozen=True)
class Params:
    """How the models are measured.

    Attributes:
        n_questions: what the base is asked beyond traces, where the domain asks anything.
        seed: of their draw.
        n_threads: CPU threads.
        device: as torch names it, or `auto`.
    """

    n_questions: int
    seed: int
    n_threads: int
    device: str

    def __post_init__(self) -> None:
        if self.n_questions < 1 or self.n_threads < 1:
            raise ValueError("n_questions and n_threads must be 1 or more.")


@dataclass(frozen=True)
class Graded:
    """Grades of the traces of a file, and what was seen in them."""

    grades: list[Grade]
    seen: list[Observation]


class Grader:
    """Grades traces.

    Args:
        domain: what is studied.
        problems: those of the traces.
        tokenizer: of their ids.
        primary: the labeller that actions are taken from.
    """

    def __init__(
        self, domain: Domain, problems: Sequence[Problem], tokenizer: Tokenizer, primary: str
    ) -> None:
        self.domain, self.tokenizer, self.primary = domain, tokenizer, primary
        self._problem_by_id = {problem.problem_id: problem for problem in problems}

    def grade(self, found: Sequence[Trace], prefix: str) -> Graded:
        """Grades of traces; measures have the prefix, and before it a pool that is held out."""
        graded = Graded([], [])
        for trace in found:
            problem = self._problem_by_id[trace.problem_id]
            pool = "" if problem.pool == "study" else f"{problem.pool.replace('-', '_')}_"
            grade = self.domain.grade(trace, problem, self.tokenizer)
            graded.grades.append(grade)
            graded.seen.extend(
                replace(one, measure=f"{pool}{prefix}_{one.measure}")
                for one in self.observe(trace, problem, grade)
            )
        return graded

    def observe(self, trace: Trace, problem: Problem, grade: Grade) -> Iterator[Observation]:
        """What is seen in a trace: sentences, decisions, and the whole."""
        reading = self.domain.read(trace, problem, self.tokenizer)
        sentences = list(map(with_rules, reading.sentences))
        if self.primary == LEARNED:
            sentences = with_learned(sentences)
        decisions = decisions_of(trace, sentences, self.primary)
        seen = [*_check(sentences), *self._decide(decisions), *self._open(sentences)]
        if trace.finish_reason == "stop" and all(EXACT in one.label_by for one in sentences):
            parses = all(one.label_by[EXACT] != UNPARSED for one in sentences)
            seen.append(("parsed_trace_rate", parses))
        if problem.answer:
            seen.append(("solve_rate", grade.outcome == "right"))
        return (Observation(name, trace.problem_id, value) for name, value in seen)

    def _open(self, sentences: Sequence[Sentence]) -> Iterator[tuple[str, bool]]:
        """Whether each whole sentence that an opener begins behind a decision is a turn.

        So far P(an opener) and P(backtrack) are one.
        """
        openers = tuple(one.word.lower() for one in self.domain.lexicon.openers)
        for one, after in pairwise(sentences):
            begins = one.decides and after.text.strip().lower().startswith(openers)
            if begins and EXACT in after.label_by:
                yield "opener_turn_rate", after.label_by[EXACT] == "backtracking"

    def _decide(self, decisions: Sequence[Decision]) -> Iterator[tuple[str, bool]]:
        """How often the trace turns or idles: at each kind, and at what is seen to be dead or not.

        A dead end that is hidden counts as live; what is of unknown standing, as neither.
        """
        kinds = {kind.name: kind for kind in self.domain.kinds}
        for one in decisions:
            kind = kinds.get((one.truth and one.truth.kind) or "")
            if one.action is None or (kind and kind.standing == "solved"):
                continue
            if kind is None:
                yield from _acts(one, "")
                continue
            yield from _acts(one, f"_{kind.name}")
            if kind.standing == "unknown":
                continue
            group = "dead" if kind.standing == "dead" and kind.visible else "live"
            yield from _acts(one, f"_{group}")
            for cell in ("dead", "live"):
                for does in ("opens", "goes_on"):
                    is_it = (does == "goes_on") == (one.action == "goes on")
                    yield f"share_{cell}_{does}", cell == group and is_it
            for hidden in kinds.values():
                if hidden.standing == "dead" and not hidden.visible:
                    yield f"share_{hidden.name}", kind is hidden


def _acts(decision: Decision, where: str) -> Iterator[tuple[str, bool]]:
    """Whether the trace turns there, and whether it idles, which is no turn."""
    yield f"turn_rate{where}", decision.action == "turns"
    yield f"idle_rate{where}", decision.action == "idles"


def _check(sentences: Sequence[Sentence]) -> Iterator[tuple[str, bool]]:
    """Whether each sentence that can be wrong is right, and each value that is written true."""
    for one in sentences:
        truth = one.truth
        if truth is None:
            continue
        if truth.valid is not None:
            yield "valid_sentence_rate", truth.valid
            yield f"valid_{truth.check}_rate", truth.valid
        if truth.written is not None:
            yield "wrong_value_rate", truth.written != truth.value


def tally(seen: Sequence[Observation]) -> list[Tally]:
    """What was seen, counted by measure and problem."""
    counts = Counter((one.measure, one.problem_id) for one in seen)
    is_true = Counter((one.measure, one.problem_id) for one in seen if one.value)
    return [Tally(*name, n, is_true[name]) for name, n in sorted(counts.items())]


def ask(params: Params, domain: Domain, base: LoadedModel, units: Units) -> list[Observation]:
    """What the base knows beyond traces, each part of it kept."""
    parts = domain.examine(base, params.n_questions, Random(params.seed))
    jobs = [kept(units, OUT, part) for part in parts]
    found = run_side_by_side(jobs, 1, "asking the base")
    return [one for part in found for one in part]


def main(argv: Sequence[str] | None = None) -> None:
    """Grades the traces."""
    run_stage(_main, argv)


def _main(workspace: Workspace, _role: str) -> None:
    params_ = params.load(Params, "grade", workspace.params)
    roles = params.load(Roles, "models", workspace.params)
    units = Units(workspace.root, ("backtracking",))
    domain = open_domain(workspace.params)
    prepare_torch(params_.n_threads)
    tokenizer = Tokenizer.from_file(str(workspace.model(roles.studied) / "tokenizer.json"))
    problems = reader.read_lines(Problem, workspace.problems / "problems.jsonl")
    primary = params.load_value(str, "label.primary", workspace.params)
    grader = Grader(domain, problems, tokenizer, primary)
    sampled, greedy = (
        grader.grade(reader.read_lines(Trace, workspace.traces / name), prefix)
        for name, prefix in (("traces.jsonl", "sampled"), ("greedy.jsonl", "greedy"))
    )
    dtype = params.load_value(str, "loading.dtype", workspace.params)
    base = loading.load(workspace.model(roles.base), device=params_.device, dtype=dtype)
    asked = ask(params_, domain, base, units)
    with artifacts.new_folder(workspace.results("grade")) as folder:
        tallies = tally([*asked, *sampled.seen, *greedy.seen])
        reader.write_lines(folder / "tallies.jsonl", tallies)
        write_grades(folder / "sampled.jsonl", sampled.grades)
        write_grades(folder / "greedy.jsonl", greedy.grades)


if __name__ == "__main__":
    main()
