"""What was found, as the README has it: tables whose numbers are looked up, never typed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from backtracking.claims.literature.own import STUDY
from backtracking.report.because import verdict_of
from backtracking.report.committed import Results
from backtracking.report.sentences import finding
from backtracking.report.words import UNDEFINED, interval, markdown, number, p_value, signed

NOTHING = "No results are committed yet: `make reproduce` computes them."


@dataclass(frozen=True)
class Line:
    """One row of the results table.

    Attributes:
        label: what was measured.
        table: name of the table that holds it.
        match: values of the columns that find its row.
        measure: column of the value, or the prefix of `_value`, `_low`, `_high` and `_n`.
    """

    label: str
    table: str
    match: Mapping[str, str]
    measure: str = "value"


GRADES = (
    ("problems solved, greedy", "greedy_solve_rate"),
    ("the same at a size never trained on", "held_out_size_greedy_solve_rate"),
    ("sentences right given their context, sampled", "sampled_valid_sentence_rate"),
    ("finished traces that parse, sampled", "sampled_parsed_trace_rate"),
    ("turns at dead ends that a reader sees, sampled", "sampled_turn_rate_dead"),
    ("the writer's", "policy_turn_rate_dead"),
    ("turns at all other points, sampled", "sampled_turn_rate_live"),
    ("the writer's", "policy_turn_rate_live"),
    ("idle remarks at all other points, sampled", "sampled_idle_rate_live"),
    ("the writer's", "policy_idle_rate_live"),
    ("sentences that an opener begins at a decision and that turn", "sampled_opener_turn_rate"),
    ("base: reports right, held-out pairs", "base_report_accuracy"),
    ("base: sums right", "base_sum_accuracy"),
)
"""What the stage `grade` measured, as the README calls it."""


def results_table(results: Results) -> str:
    """Every measure that the README shows, with its interval by problem."""
    rows = [_row(results, line) for line in _lines(results)]
    for label, key in (
        ("kappa, exact labels against rules", "label_kappa"),
        ("F1 of backtracking, the same", "label_f1_backtracking"),
        ("split-half cosine of the reasoning direction", "directions_split_half_cosine"),
    ):
        rows.append([label, number(results.summary[key]), "", ""])
    return markdown(["measure", "value", "interval", "problems"], rows)


def claims_table(results: Results) -> str:
    """This study's claims; failed ones as failed, and a control that holds as an alarm."""
    rows = [
        [
            claim.question.claim,
            claim.finding.pair,
            signed(claim.finding.estimate),
            interval(claim.finding.low, claim.finding.high),
            "" if claim.finding.null is None else signed(claim.finding.null),
            "" if claim.finding.p is None else p_value(claim.finding.p),
            "" if claim.finding.legal is None else number(claim.finding.legal),
            verdict_of(claim),
        ]
        for claim in results.claims
        if claim.question.study == STUDY
    ]
    columns = ["claim", "direction -> target", "effect", "interval", "has to exceed"]
    return markdown([*columns, "p", "P_legal", "verdict"], rows)


def magnitudes_table(results: Results) -> str:
    """Dose 1 in two units, for every model."""
    columns = ["role", "norm", "mean_residual_norms"]
    rows = [
        [row["role"], *(number(row[column]) for column in columns[1:])]
        for row in results.table_by_name["magnitudes"]
    ]
    return markdown(["model", "norm of dose 1", "in mean residual norms at that layer"], rows)


BLOCKS: dict[str, Callable[[Results], str]] = {
    "finding": finding,
    "results": results_table,
    "claims": claims_table,
    "magnitudes": magnitudes_table,
}
"""Name of a generated block to what writes it."""


def _lines(results: Results) -> list[Line]:
    summary = results.summary
    place = {
        "form": "matched",
        "window": str(summary["selection_window"]),
        "layer": str(summary["selection_layer"]),
    }
    lines = [Line(label, "grade", {"measure": name}) for label, name in GRADES]
    for row in results.table_by_name["cosines"]:
        if all(row[key] == value for key, value in place.items()):
            match = place | {"pair": row["pair"]}
            lines.append(Line(f"corrected cosine, {row['pair']}", "cosines", match, "cosine"))
    arm, base, endpoint = _arm(results), summary["study_base"], summary["steer_endpoint"]
    for kind, dose in ((summary["study_live"], "1"), (summary["study_dead"], "-1")):
        for direction in ("baseline", base, summary["study_model"]):
            is_baseline = direction == "baseline"
            told = {"dose": "0", "edit": "none"} if is_baseline else _primary(results, dose)
            name = direction if is_baseline else f"{direction}, {_how(results, dose)}"
            match = arm | {"kind": kind, "direction": direction, "endpoint": endpoint} | told
            lines.append(Line(f"{endpoint} at {kind}, {name}", "steer", match))
    lines.append(_elsewhere(results))
    match = {"target": base, "direction": base, "dose": "1"}
    lines.append(Line("log-odds of its report, shift in the base, dose 1", "reports", match))
    return lines + _free_lines(arm, base, str(summary["study_live"]))


def _arm(results: Results) -> dict[str, str]:
    """The model that is steered, at decisions."""
    return {"target": results.summary["study_model"], "where": "decision"}


def _primary(results: Results, dose: str) -> dict[str, str]:
    """The arm by which claims are judged."""
    return {"dose": dose, "edit": str(results.summary["steer_edit"])}


def _how(results: Results, dose: str) -> str:
    is_added = results.summary["steer_edit"] == "add"
    return f"dose {dose}" if is_added else "set to the other class's mean"


def _elsewhere(results: Results) -> Line:
    """What the base's direction leaves as it is, which is measured where doses are added."""
    base = results.summary["study_base"]
    match = _arm(results) | {"direction": base, "dose": "1", "edit": "add"}
    return Line(f"same token elsewhere, {base}, dose 1", "elsewhere", match, "agreement")


def _free_lines(arm: dict[str, str], base: str, live: str) -> list[Line]:
    names = {"solve_rate": "problems solved", "conditional_validity": "sentences right"}
    names[f"p_turn_{live}"] = f"turns at {live}"
    return [
        Line(f"free runs: {label}, {name}", "free", arm | match | {"measure": measure})
        for measure, label in names.items()
        for name, match in (
            ("baseline", {"direction": "baseline", "dose": "0"}),
            (f"{base}, dose 1", {"direction": base, "dose": "1"}),
        )
    ]


def _row(results: Results, line: Line) -> list[str]:
    for row in results.table_by_name[line.table]:
        if all(row.get(key) == value for key, value in line.match.items()):
            return [line.label, *_cells(row, line.measure)]
    return [line.label, UNDEFINED, "", ""]


def _cells(row: Mapping[str, str], measure: str) -> list[str]:
    prefix = f"{measure}_" if f"{measure}_value" in row else ""
    value = row[f"{prefix}value"] if prefix else row[measure]
    low, high, n = (row[f"{prefix}{key}"] for key in ("low", "high", "n"))
    return [number(value), interval(low, high), "" if n == "0" else n]
