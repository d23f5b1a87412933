"""Invented findings, written by the very code that writes real ones: files with true names."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backtracking.claims.literature.collect import all_claims
from backtracking.claims.literature.study import Study
from backtracking.claims.verdicts import judge_causal, judge_primary
from backtracking.effects.rates import Steered
from backtracking.records.decisions import Classes
from backtracking.records.intervals import Interval
from backtracking.records.rows.table import Row, Tables
from backtracking.records.sentences import Kind
from backtracking.report.findings import GRADES
from backtracking.stages import summary
from backtracking.statistics.effect import Effect
from lifeboat.stage import artifacts

DOSES = (-1.0, 1.0)
RANDOM = (-0.02, 0.01, 0.04)
PLACE = {"form": "matched", "window": "0:0", "layer": 1}
CLASSES = Classes("kind", ("over",), ("alive",), ("value",))


PAIRS = {"reasoning": "base", "shuffled": "base"}
KINDS = (Kind("over", "dead", True), Kind("doomed", "dead", False), Kind("alive", "live", True))


def study_with(*rows: Row, pairs: Mapping[str, str] = PAIRS, **files: Any) -> Study:
    """A study with planted rows and files, `/` written as `__`, steered at layer 2."""
    named = {name.replace("__", "/"): content for name, content in files.items()}
    chosen = {"effects/steer/selection": {"layer": 2, "window": "0:0"}}
    return Study(pairs, CLASSES, KINDS, "Wait", Tables.of(rows), chosen | named)


def write_results(root: Path, transfers: bool = True) -> None:
    """Summary, claims and tables of a study below `root`.

    Args:
        root: the project.
        transfers: whether the base's direction beats the control pair's.
    """
    found = _results(_evidence(transfers))
    params = summary.Params(digits=4, loss_every=1)
    folder = root / "results"
    artifacts.write_json(folder / "summary.json", summary.run(params, found))
    artifacts.write_json(folder / "claims.json", all_claims(found.study))
    for name, (rows, columns) in summary.tables(params, found).items():
        artifacts.write_csv(folder / "tables" / f"{name}.csv", rows, columns)


def _evidence(transfers: bool) -> list[dict[str, Any]]:
    excess = Interval(0.3, 0.25 if transfers else -0.1, 0.35, 70)
    own, control = (_steered(target, strong) for target, strong in _STRONG.items())
    claims = [
        judge_primary(own, {"shuffled": excess}, {}),
        judge_causal(own, "transfer"),
        judge_causal(control, "transfer"),
    ]
    return [claim | {"must_fail": "shuffled" in claim["pair"]} for claim in claims]


_STRONG = {"reasoning": True, "shuffled": False}


def _steered(target: str, strong: bool) -> Steered:
    size = 0.411 if strong else 0.01
    ends = (0.36, 0.46) if strong else (-0.01, 0.03)
    return Steered(
        target=target,
        direction="base",
        live="alive",
        dead="over",
        contrast=Interval(0.4, 0.35, 0.45, 70),
        raises=Effect(Interval(size, *ends, 70), RANDOM),
        lowers=Effect(Interval(-size, -ends[1], -ends[0], 70), RANDOM, -1),
    )


def _results(evidence: list[dict[str, Any]]) -> summary.Results:
    row = _interval(0.9)
    grades = [{"measure": f"sampled_{name}"} | row for name in ("a", "b")]
    grades += [{"measure": name} | row for _, name in GRADES]
    estimated = PLACE | {"role": "reasoning", "split_half_cosine": 0.97}
    cosines = [PLACE | {"pair": f"base-{one}", "cosine": 0.8, "raw": 0.7} | row for one in _STRONG]
    steer = {
        "selection": {"layer": 1, "window": "0:0", "norm": 2.0},
        "evidence": evidence,
        "magnitudes": [
            {"role": "base", "norm": 2.0, "raw_difference_norms": 0.8, "mean_residual_norms": 0.3}
        ],
        "forced": [_arm(kind) | one for kind in ("alive", "over") for one in _arms()],
        "elsewhere": [_arm() | _elsewhere(one) for one in _arms()],
        "doses": [{"direction": "base", "kind": "alive", "ed50": 0.4}],
        "signs": [_arm() | one for one in _arms()],
        "reports": [{"target": "base", "direction": "base", "dose": 1.0} | _interval(1.25)],
        "free": [
            _arm() | one | {"measure": measure}
            for measure in ("solve_rate", "conditional_validity")
            for one in _arms()
        ],
    }
    traces = {"n_stop": 9, "n_length": 1, "n_empty": 0}
    label = {"kappa": 0.71, "f1": 0.8, "span_coverage": 1.0}
    losses = {"base": [3.0, 2.0, 1.0], "reasoning": [1.5, 1.2, 1.0], "shuffled": [1.4, 1.3]}
    where = {"device": "cpu"}
    power = [{"n_problems": 20, "n_samples": 1, "n_random": 39, "minimal_effect": 0.1}]
    files = {f"effects/steer/{name}": rows for name, rows in steer.items()}
    files |= {"grade/measures": grades, "directions/directions": [estimated]}
    files["directions/cosines"] = cosines
    study = Study(PAIRS, CLASSES, KINDS, "Wait", Tables.of([]), files)
    return summary.Results(losses, traces, label, study, power, where)


def _arm(kind: str = "alive") -> dict[str, Any]:
    return {"target": "reasoning", "kind": kind, "where": "decision"}


def _arms() -> list[dict[str, Any]]:
    arms = [{"direction": "baseline", "dose": 0.0} | _interval(0.111)]
    for number, direction in enumerate(("base", "reasoning", "action", "random_0")):
        arms += [
            {"direction": direction, "dose": dose} | _interval(0.522 - number / 10)
            for dose in DOSES
        ]
    return arms


def _elsewhere(arm: dict[str, Any]) -> dict[str, Any]:
    return {
        "direction": arm["direction"],
        "dose": arm["dose"],
        **{f"agreement_{key}": arm[key] for key in ("value", "low", "high", "n")},
        "kl": 0.01,
    }


def _interval(value: float) -> dict[str, Any]:
    return {"value": value, "low": value - 0.05, "high": value + 0.05, "n": 70}
