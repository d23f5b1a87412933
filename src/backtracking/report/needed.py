"""docs/findings.md: whether a direction is needed, and how large a study has to be."""

from collections.abc import Mapping

from backtracking.report.committed import Results
from backtracking.report.words import interval, joined, number, signed


def necessity(results: Results) -> str:
    """What becomes of backtracking where a direction is taken away; empty where none was."""
    summary, rows = results.summary, results.table_by_name["necessity"]
    dead = summary["study_dead"]
    studied = [row for row in rows if row["target"] == summary["study_model"]]
    by_direction = {row["direction"]: row for row in studied}
    told = [
        _falls(by_direction[name], whose, dead)
        for name, whose in (
            (summary["study_model"], "the model's own direction"),
            (summary["study_base"], "its base's"),
        )
        if name in by_direction and by_direction[name].get(f"{dead}_value")
    ]
    if not told:
        return ""
    random = number(abs(float(studied[0][f"{dead}_random_bound"])))
    return (
        "**Is it needed?** What lies along a direction is set to the mean of live decisions, and "
        f"P(backtrack) read where a step back is due (`{dead}`): "
        f"{'; '.join(told)}. Of random directions, 95 % lower it by less than {random}."
    )


def _falls(row: Mapping[str, str], whose: str, dead: str) -> str:
    before, change = float(row[f"{dead}_baseline"]), float(row[f"{dead}_value"])
    ends = interval(row[f"{dead}_low"], row[f"{dead}_high"])
    return (
        f"along {whose} it goes from {number(before)} to {number(before + change)} "
        f"({signed(change)}, {ends}, {row[f'{dead}_n']} problems), and {STAYS[row[REPORT]]}"
    )


REPORT = "parts_report_stays"
STAYS = {
    "holds": "the report that is asked for later stays right",
    "fails": "the report that is asked for later does not stay right",
    "untestable": "whether the report that is asked for later stays right cannot be tested",
    "no test": "whether the report that is asked for later stays right was not tested",
}


def sizes(results: Results) -> str:
    """The smallest effects that studies of other sizes would find; empty where none was asked."""
    rows = results.table_by_name["power"]
    if not rows:
        return ""
    n_samples = min(rows, key=lambda row: int(row["n_samples"]))["n_samples"]
    n_random = max(rows, key=lambda row: int(row["n_random"]))["n_random"]
    told = [
        f"{number(row['minimal_effect'])} with {row['n_problems']}"
        for row in rows
        if (row["n_samples"], row["n_random"]) == (n_samples, n_random) and row["minimal_effect"]
    ]
    return (
        "**How large a study has to be.** With the spread between problems, decisions and random "
        "directions that is found here, the smallest change of P(backtrack) at live points that is "
        f"found with the probability `power.power` is {joined(told)} test problems (traces of "
        f"each: {n_samples}; random directions: {n_random})."
    )
