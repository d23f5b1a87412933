"""What was found, as Markdown: sentences and tables whose numbers are looked up, never typed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from backtracking.claims.literature.own import STUDY
from backtracking.records.rows.claims import Claim
from backtracking.report.committed import Results

NOTHING = "No results are committed yet: `make reproduce` computes them."
UNDEFINED = "undefined"

Cell = str | float | None
"""A number, as it is or as a table has it."""


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
    ("P(act) at dead ends that a reader sees, sampled", "sampled_act_rate_dead"),
    ("the writer's", "policy_act_rate_dead"),
    ("P(act) at all other points, sampled", "sampled_act_rate_live"),
    ("the writer's", "policy_act_rate_live"),
    ("base: reports right, held-out pairs", "base_report_accuracy"),
    ("base: sums right", "base_sum_accuracy"),
)
"""What the stage `grade` measured, as the README calls it."""


def headline(results: Results) -> str:
    """The primary endpoint in one sentence with its number, its null and its verdict."""
    claim = next(one for one in results.claims if one.question.claim == "primary")
    primary = claim.finding
    summary = results.summary
    before, after = (
        number(summary[f"steer_p_backtrack_{summary['study_live']}_{arm}"])
        for arm in ("baseline", "base")
    )
    agreement = _row(results, _elsewhere(results))[1]
    return (
        "**The base model's dead-end direction, added to the reasoning model at the full stop "
        f"where the next step is decided, takes P(backtrack | {summary['study_live']}) from "
        f"{before} to {after}: {signed(primary.estimate)} "
        f"({interval(primary.low, primary.high)}, {primary.n} problems).** "
        f"The same dose along random directions: 95 % of them stay below "
        f"{signed(primary.null)} (p = {number(primary.p)}). "
        f"Layer {summary['selection_layer']}, window {summary['selection_window']}, both chosen on "
        "dev problems; elsewhere the most likely token stays the same at a share of "
        f"{agreement} of positions. "
        f"The primary claim {verdict(claim)}. There is one pair of models, so n = 1 for anything "
        "said about training."
    )


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
            claim.pair,
            signed(claim.finding.estimate),
            interval(claim.finding.low, claim.finding.high),
            signed(claim.finding.null),
            number(claim.finding.p),
            verdict(claim),
        ]
        for claim in results.claims
        if claim.question.study == STUDY
    ]
    columns = ["claim", "direction -> target", "effect", "interval", "95 % of random below"]
    return markdown([*columns, "p", "verdict"], rows)


def magnitudes_table(results: Results) -> str:
    """Dose 1 in three units, for every model."""
    columns = ["role", "norm", "raw_difference_norms", "mean_residual_norms"]
    rows = [
        [row["role"], *(number(row[column]) for column in columns[1:])]
        for row in results.table_by_name["magnitudes"]
    ]
    names = ["model", "norm of what is added", "norms of its own direction"]
    return markdown([*names, "mean residual norms at that layer"], rows)


BLOCKS: dict[str, Callable[[Results], str]] = {
    "finding": headline,
    "results": results_table,
    "claims": claims_table,
    "magnitudes": magnitudes_table,
}
"""Name of a generated block to what writes it."""


def verdict(claim: Claim) -> str:
    """The verdict in words; a claim that is false of a control pair has to fail there."""
    found = claim.finding.verdict
    failed = [part for part, one in claim.finding.parts.items() if one == found != "holds"]
    reasons = f" ({', '.join(failed)})" if failed else ""
    if not claim.must_fail:
        return f"**{found}**{reasons}"
    if found == "holds":
        return "**HOLDS, AND MUST NOT: this is a control pair**"
    return f"{found}, as it must in a control pair{reasons}" if found == "fails" else found


def interval(low: Cell, high: Cell) -> str:
    """The ends of an interval; empty where there is none."""
    return "" if low in (None, "") or high in (None, "") else f"{number(low)} to {number(high)}"


def number(value: Cell) -> str:
    """A number with three decimals, also from a table's cell."""
    return UNDEFINED if value in (None, "") else f"{float(value):.3f}"


def signed(value: Cell) -> str:
    """A change with its sign."""
    return UNDEFINED if value in (None, "") else f"{float(value):+.3f}"


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines
    )


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
    arm, base = _arm(results), summary["study_base"]
    for kind, dose in ((summary["study_live"], "1"), (summary["study_dead"], "-1")):
        for direction in ("baseline", base, summary["study_model"]):
            size = "0" if direction == "baseline" else dose
            name = direction if direction == "baseline" else f"{direction}, dose {size}"
            match = arm | {"kind": kind, "direction": direction, "dose": size}
            lines.append(Line(f"P(backtrack | {kind}), {name}", "steer", match))
    lines.append(_elsewhere(results))
    match = {"target": base, "direction": base, "dose": "1"}
    lines.append(Line("log-odds of its report, shift in the base, dose 1", "reports", match))
    return lines + _free_lines(arm, base)


def _arm(results: Results) -> dict[str, str]:
    """The model that is steered, at decisions."""
    return {"target": results.summary["study_model"], "where": "decision"}


def _elsewhere(results: Results) -> Line:
    """What the base's direction leaves as it is."""
    base = results.summary["study_base"]
    match = _arm(results) | {"direction": base, "dose": "1"}
    return Line(f"same token elsewhere, {base}, dose 1", "elsewhere", match, "agreement")


def _free_lines(arm: dict[str, str], base: str) -> list[Line]:
    names = {"solve_rate": "problems solved", "conditional_validity": "sentences right"}
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
