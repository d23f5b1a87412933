"""Studies in miniature in which something never occurs, and every stage after `label` on them."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from tiny_study import PAIR_AND_CONTROL, SMALL_WORLD, TinyStudy, write_study, write_workspace

from backtracking.records.sentences import EXACT
from backtracking.records.traces import SPLITS, Trace
from backtracking.runtime.workspace import Workspace
from backtracking.stages import label, traces
from lifeboat.stage import artifacts

STAGES = (
    "grade", "extract", "stability", "directions", "probe", "lens", "steer", "ablate", "belief",
    "transitions", "effects", "power", "summary",
)  # fmt: skip
N_PROBLEMS = 16


def relabelled(
    study: TinyStudy, is_kept: Callable[[Trace], bool] = lambda _: True, longest: int | None = None
) -> TinyStudy:
    """The study of some of its traces, all cut after `longest` tokens, labelled anew."""
    kept = [
        replace(
            one, token_ids=one.token_ids[:longest], finish_reason="length" if longest else "stop"
        )
        for one in study.traces
        if is_kept(one)
    ]
    asked = label.Params(EXACT, "backtracking", 0)
    found = label.run(asked, study.domain, kept, [], study.problems, study.tokenizer)
    return replace(study, traces=kept, labelled=found)


def goes_back(study: TinyStudy, trace: Trace) -> bool:
    """Whether a trace has a decision of the positive class."""
    decisions = [one for one in study.labelled.decisions if one.trace_id == trace.trace_id]
    return any(one.action == "turns" for one in decisions)


def without_donors(study: TinyStudy, *splits: str) -> TinyStudy:
    """Without pairs that have a donor in some splits."""
    pairs = [
        one
        for one in study.labelled.pairs or []
        if one.split not in splits or one.donor_kind is None
    ]
    return replace(study, labelled=replace(study.labelled, pairs=pairs))


def first_problem_of(study: TinyStudy, split: str) -> TinyStudy:
    """With one problem in a split."""
    first = next(one.problem_id for one in study.traces if one.split == split)
    return relabelled(study, lambda one: one.split != split or one.problem_id == first)


RARE: dict[str, Callable[[TinyStudy], TinyStudy]] = {
    "nothing is lacking": lambda study: study,
    "no live test point with a donor": lambda study: without_donors(study, "test"),
    "no point with a donor": lambda study: without_donors(study, *SPLITS),
    "no train point with a donor": lambda study: without_donors(study, "train"),
    "no backtracking": lambda study: relabelled(study, lambda one: not goes_back(study, one)),
    "no backtracking in test": lambda study: relabelled(
        study, lambda one: one.split != "test" or not goes_back(study, one)
    ),
    "no backtracking in dev": lambda study: relabelled(
        study, lambda one: one.split != "dev" or not goes_back(study, one)
    ),
    "nothing but backtracking": lambda study: relabelled(study, lambda one: goes_back(study, one)),
    "one problem in test": lambda study: first_problem_of(study, "test"),
    "one problem in dev": lambda study: first_problem_of(study, "dev"),
    "one problem in train": lambda study: first_problem_of(study, "train"),
    "no problem in test": lambda study: relabelled(study, lambda one: one.split != "test"),
    "no problem in dev": lambda study: relabelled(study, lambda one: one.split != "dev"),
    "no finished trace": lambda study: relabelled(study, longest=40),
    "no trace with a sentence": lambda study: relabelled(study, longest=1),
    "one trace": lambda study: relabelled(study, lambda one: one == study.traces[0]),
}


def whole() -> TinyStudy:
    """A study that lacks nothing."""
    return write_study(N_PROBLEMS, 1, world=SMALL_WORLD)


def run_stages(workspace: Workspace, stages: Sequence[str] = STAGES) -> None:
    """Runs stages on a workspace, one after the other."""
    for stage in stages:
        main = import_module(f"backtracking.stages.{stage}").main
        for role in PAIR_AND_CONTROL if stage == "extract" else ("",):
            main(["--root", str(workspace.root), *filter(None, [role])])


def write_rare(root: Path, name: str, study: TinyStudy) -> Workspace:
    """A workspace of such a study."""
    rare = RARE[name](study)
    workspace = write_workspace(root, rare)
    artifacts.write_json(workspace.traces / "metrics.json", traces._count(rare.traces))
    return workspace
