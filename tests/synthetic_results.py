"""Invented findings, written by the very code that writes real ones: files with true names."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from backtracking.claims.literature.collect import all_claims
from backtracking.claims.literature.own import STATEMENTS
from backtracking.claims.literature.study import Study
from backtracking.claims.verdicts import Excess, judge_causal, judge_primary
from backtracking.effects.rates import Steered
from backtracking.labels.agreement import Agreement, Metrics
from backtracking.records import reader
from backtracking.records.decisions import Classes
from backtracking.records.intervals import Interval
from backtracking.records.rows.arms import ArmKey, Elsewhere, Forced, Free, Sign
from backtracking.records.rows.choice import Magnitude, Repeat, Selection
from backtracking.records.rows.claims import Evidence, Finding, Repeated
from backtracking.records.rows.directions import Counts, Likeness, PairCosine, Strength
from backtracking.records.rows.measures import Measure
from backtracking.records.rows.probe import Choice, Probed
from backtracking.records.rows.steering import Report
from backtracking.records.rows.table import Row, Tables
from backtracking.records.sentences import Kind
from backtracking.report.findings import GRADES
from backtracking.stages import summary
from backtracking.statistics.effect import Effect
from lifeboat.stage import artifacts

DOSES = (-1.0, 1.0)
RANDOM = {"random": (-0.02, 0.01, 0.04)}
CLASSES = Classes("kind", ("over",), ("alive",), ("value",))


PAIRS = {"reasoning": "base", "shuffled": "base"}
KINDS = (Kind("over", "dead", True), Kind("doomed", "dead", False), Kind("alive", "live", True))


def study_with(
    *rows: Row, pairs: Mapping[str, str] = PAIRS, false: Mapping[str, Collection[str]] | None = None
) -> Study:
    """A study with planted rows, steered at layer 2."""
    chosen = Selection(2, "0:0", 0, 2.0, "dev", ())
    return Study(pairs, CLASSES, KINDS, "Wait", Tables.of([chosen, *rows]), false or {})


def write_results(
    root: Path,
    transfers: bool = True,
    *,
    has_control: bool = False,
    works: bool = True,
    is_affine: bool = False,
) -> None:
    """Summary, claims and tables of a study below `root`.

    Args:
        root: the project.
        transfers: whether the base's direction beats the control pair's.
        has_control: whether `transfer` must hold in the pair under study.
        works: whether it does.
        is_affine: whether the affine edit was run as well.
    """
    found = _results([*_evidence(transfers, has_control, works), *_affine(is_affine)])
    params = summary.Params(digits=4, loss_every=1)
    folder = root / "results"
    artifacts.write_json(folder / "summary.json", summary.run(params, found))
    artifacts.write_json(folder / "provenance.json", found.provenance)
    reader.write_json(folder / "claims.json", all_claims(found.study))
    for name, (rows, columns) in summary.tables(params, found).items():
        artifacts.write_csv(folder / "tables" / f"{name}.csv", rows, columns)


def _evidence(transfers: bool, has_control: bool, works: bool) -> list[Evidence]:
    excess = Interval(0.3, 0.25 if transfers else -0.1, 0.35, 70)
    weak = Interval(0.0, -0.1, 0.1, 70)
    own, control = (_steered(target, strong) for target, strong in _STRONG.items())
    return [
        judge_primary(own, {"shuffled": Excess(excess)}, {}),
        replace(
            judge_causal(own if works else replace(own, contrast=weak), "transfer"),
            must_hold=has_control,
        ),
        replace(judge_causal(control, "transfer"), must_fail=True),
    ]


_STRONG = {"reasoning": True, "shuffled": False}


def _steered(target: str, strong: bool) -> Steered:
    size = 0.411 if strong else 0.01
    ends = (0.36, 0.46) if strong else (-0.01, 0.03)
    return Steered(
        target=target,
        direction="base",
        live="alive",
        dead="over",
        endpoint="P_back",
        how="added at dose 1",
        contrast=Interval(0.4, 0.35, 0.45, 70),
        raises=Effect(Interval(size, *ends, 70), RANDOM),
        lowers=Effect(Interval(-size, -ends[1], -ends[0], 70), RANDOM, -1),
    )


def _results(rows: Sequence[Row]) -> summary.Results:
    study = Study(PAIRS, CLASSES, KINDS, "Wait", Tables.of([*rows, *_rows()]))
    traces = {"n_stop": 9, "n_length": 1, "n_empty": 0}
    label = Metrics(Agreement(90, 0.71, 0.7, 0.8), 100, 90, 10, 1.0)
    losses = {"base": [3.0, 2.0, 1.0], "reasoning": [1.5, 1.2, 1.0], "shuffled": [1.4, 1.3]}
    power = [{"n_problems": 20, "n_samples": 1, "n_random": 39, "minimal_effect": 0.1}]
    return summary.Results(losses, traces, label, study, power, {"device": "cpu"})


def _rows() -> Iterator[Row]:
    """Those of `steer`, `grade` and `directions`."""
    names = ["sampled_a", "sampled_b", *(name for _, name in GRADES)]
    yield from (Measure(name, _interval(0.9)) for name in names)
    yield Selection(1, "0:0", 0, 2.0, "dev", ())
    yield from (_strength(role) for role in ("reasoning", "base"))
    likeness = Likeness(0.8, 0.85, 0.95, 70, 0.7, -0.1, 0.1, 0.0)
    yield from (PairCosine(f"base-{one}", "matched", "0:0", 1, likeness) for one in _STRONG)
    yield _probed()
    yield Magnitude("base", 2.0, 0.3)
    yield Report("base", "base", "matched", 1.0, "alive", _interval(1.25))
    for arm, level in _arms():
        effect = _interval(0.0)
        yield from (Forced(arm, kind, "P_back", level, effect, 9) for kind in ("alive", "over"))
        yield Elsewhere(arm, level, 0.01, *(None,) * 8)
        yield Sign(arm, "alive", level, effect, 0.0, 0.0, 0.0, 0.0, 0.0)
        for measure in ("solve_rate", "conditional_validity", "p_turn_alive"):
            yield Free(arm, measure, level, effect)


def _affine(is_affine: bool) -> Iterator[Row]:
    """What the affine edit does at decisions, the only place at which it is read."""
    for direction in ("base", "reasoning") if is_affine else ():
        for kind, dose in (("alive", 1.0), ("over", -1.0)):
            arm = ArmKey("reasoning", direction, dose, "decision", "set_projection")
            yield Forced(arm, kind, "P_back", _interval(0.7), _interval(0.6), 9)


def _strength(role: str) -> Strength:
    return Strength(
        role, "matched", None, "0:0", 1, 2.0, 1.9, 1.7, 2.1, 0.3, 0.025, 0.97, 0.9,
        Counts(300, 300, 5, 0.0), 9.0, 0.85, 0.95,
    )  # fmt: skip


def _probed() -> Probed:
    """The base tells what its words do not, so that its premise holds."""
    choice = Choice("base", "over", 1, 0, "words", 0.1, "inside", 0.9)
    auroc, beyond = Interval(0.9, 0.85, 0.95, 70), Interval(0.3, 0.2, 0.4, 70)
    return Probed(choice, auroc, 0.6, beyond, None, None, None, 300)


def _arms() -> Iterator[tuple[ArmKey, Interval]]:
    yield ArmKey("reasoning", "baseline", 0.0, "decision", "none"), _interval(0.111)
    for number, direction in enumerate(("base", "reasoning", "action", "random_0")):
        for dose in DOSES:
            arm = ArmKey("reasoning", direction, dose, "decision")
            yield arm, _interval(0.522 - number / 10)


def _interval(value: float) -> Interval:
    return Interval(value, value - 0.05, value + 0.05, 70)


def write_pairs(results: Path, n_pairs: int) -> None:
    """Claims and places of pairs, the first of which is broken where it is steered."""
    claims = [_claim(number, name) for number in range(1, n_pairs + 1) for name in STATEMENTS]
    places = [
        Repeat(number, Selection(2, "0:0", 0, 9.0, "dev", ())) for number in range(1, n_pairs + 1)
    ]
    for rows in (claims, places):
        reader.write_json(results / f"{type(rows[0]).FILE}.json", rows)


def _claim(number: int, name: str) -> Repeated:
    is_first = number == 1
    finding = Finding(
        "no test" if is_first else "holds", 0.4, 0.3, 0.5, 71, p=0.0025, legal=0.8 if is_first
        else 0.99, parts={"legal": "no test"} if is_first else {}, direction=f"base-{number}",
        target=f"reasoning-{number}", of_ceiling=Interval(0.7, 0.6, 0.8, 60),
    )  # fmt: skip
    return Repeated(number, Evidence(name, "", "", "emergent", finding))
