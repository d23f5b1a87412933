import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from synthetic_results import write_pairs, write_results

from backtracking import PROJECT_ROOT
from backtracking.claims.literature.rows import complete
from backtracking.records.rows.claims import Finding, Published, Question
from backtracking.report import readme, real_traces, trained, verdicts
from backtracking.report.because import verdict_of
from backtracking.report.committed import STAGED, open_results, read_results
from backtracking.report.findings import GRADES
from backtracking.report.needed import necessity, sizes
from backtracking.report.sentences import headline
from lifeboat.saving import snapshot
from lifeboat.stage.errors import UserError

PAGES = ["README.md", "CONTRIBUTING.md"]
PAGES += [
    f"docs/{name}.md"
    for name in ("method", "findings", "artifacts", "log", "guide", "house", "scale")
]
MADE = {"dvc.lock", "results/tables"}
"""What `make reproduce` writes for git, absent before it has run once."""

STAGES = "stages: {problems: {deps: [a.py], outs: [data]}, traces: {deps: [data/x], outs: [t]}}\n"
PAGE = "# Title\n<!-- generated: {name} -->\nold\n<!-- end -->\nprose\n"
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
MEASURED = re.compile(r"\d\.\d|\d\s*(?:%|percent\b)|[±≈]")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text(PAGE.format(name="finding"))
    (tmp_path / "docs" / "method.md").write_text(PAGE.format(name="magnitudes"))
    (tmp_path / "docs" / "findings.md").write_text(PAGE.format(name="believe"))
    (tmp_path / "docs" / "house.md").write_text(PAGE.format(name="pipeline"))
    (tmp_path / "docs" / "scale.md").write_text(PAGE.format(name="scale-hours"))
    (tmp_path / "dvc.yaml").write_text(STAGES)
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    commit(tmp_path)
    return tmp_path


def git(root: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *identity, *arguments], cwd=root, check=True, capture_output=True)


def commit(root: Path) -> None:
    git(root, "add", "-A")
    git(root, "commit", "--quiet", "-m", "x")


@pytest.mark.parametrize("name", readme.files(PROJECT_ROOT))
def test_what_is_printed_is_what_the_committed_results_say(name: str) -> None:
    text = (PROJECT_ROOT / name).read_text()
    assert readme.rewrite(text, readme.generate(PROJECT_ROOT)) == text, (
        "run `python -m backtracking.report.readme`"
    )


def test_no_measured_number_stands_outside_the_generated_blocks() -> None:
    text = CODE.sub("", readme.prose((PROJECT_ROOT / "README.md").read_text()))
    text = text.replace("Python 3.11", "").replace("ARENA 3.0", "")
    assert [line for line in text.splitlines() if MEASURED.search(line)] == []


def test_the_readmes_example_holds() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", readme_text(), re.DOTALL)
    assert code.rstrip().splitlines()[-1].startswith("assert ")
    exec(compile(code, "README.md", "exec"), {})


def test_every_path_of_the_readmes_tree_is_there_or_is_ignored() -> None:
    (tree,) = re.findall(r"```text\n(.*?)```", readme_text(), re.DOTALL)
    paths = [line.split()[0] for line in tree.splitlines()]
    assert len(paths) > 20
    absent = [path for path in paths if not (PROJECT_ROOT / path).exists() and path not in MADE]
    for path in absent:
        ignored = ["git", "check-ignore", "--no-index", "--quiet", path]
        assert subprocess.run(ignored, cwd=PROJECT_ROOT, check=False).returncode == 0, path


@pytest.mark.parametrize("name", PAGES)
def test_every_link_to_a_file_leads_to_one(name: str) -> None:
    path = PROJECT_ROOT / name
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", path.read_text())
    assert [link for link in links if not _leads(path.parent / link)] == []


def generated(root: Path, **known: bool) -> dict[str, str]:
    write_results(root, **known)
    commit(root)
    return readme.generate(root)


def test_a_snapshot_says_what_its_study_found_whatever_the_results_are_now(root: Path) -> None:
    (root / "pyproject.toml").write_text((PROJECT_ROOT / "pyproject.toml").read_text())
    blocks = generated(root, has_control=True)
    (written, *_) = snapshot.take(root)
    stamp = written.fact.split()[1].strip("/").removeprefix("runs/")
    (root / "reports").mkdir()
    (root / "reports" / "other.md").write_text(PAGE.format(name=f"{stamp}-finding"))
    (older := root / "runs" / "20200101_000000").mkdir()
    (older / "summary.json").write_text("{}")
    now = generated(root, has_control=True, works=False)
    assert now["finding"] != blocks["finding"]
    for name in readme.WRITERS:
        assert now[f"{stamp}-{name}"] == blocks[name]
    readme.main(["--root", str(root)])
    assert blocks["finding"] in (root / "reports" / "other.md").read_text()


def test_the_first_sentence_says_plainly_that_no_control_works_where_none_is_there(
    root: Path,
) -> None:
    blocks = generated(root)
    finding = blocks["finding"]
    assert finding.startswith("**This study has no positive control: ")
    assert "from 0.111 to 0.522: +0.411 (0.360 to 0.460, 70 problems)" in finding
    assert "`primary` **" in finding and "beside 3 random directions that went as far" in finding
    assert "it stays below +0.040 in 95 % of 3 random ones" in blocks["believe"]


def test_the_first_sentence_is_the_finding_where_what_must_hold_does(root: Path) -> None:
    blocks = generated(root, has_control=True)
    assert blocks["finding"].startswith("**The base model's dead-end direction, added at dose 1")
    seen = "What this pair was made to show is seen (`transfer` of base -> reasoning)"
    assert seen in blocks["believe"]
    sentence, _, _ = blocks["finding"].partition(" (0.360")
    assert sentence and blocks["believe"].startswith(sentence)


def test_where_what_must_hold_fails_the_first_sentence_says_that_nothing_is_tested(
    root: Path,
) -> None:
    blocks = generated(root, has_control=True, works=False)
    assert blocks["finding"].startswith("**No positive control works in this study")
    assert "`transfer` of base -> reasoning is `fails`" in blocks["finding"]
    assert "MUST HOLD" in blocks["claims"]
    assert "What the pair was made to show is not seen in this study" in blocks["primary"]


def test_every_because_is_a_sentence_and_there_are_five_tables(root: Path) -> None:
    blocks = generated(root, transfers=False)
    found = "".join(blocks[name] for name in verdicts.BLOCKS)
    assert "It does not exceed that in the control pair `shuffled`." in blocks["primary"]
    assert "beyond_control" not in found
    assert "| primary | base -> reasoning |" in blocks["claims"]
    assert "| --- |" not in blocks["exploratory"] and "`ward_alike`" in blocks["exploratory"]
    page = (PROJECT_ROOT / "docs" / "findings.md").read_text()
    on_page = re.findall(r"generated: (\S+)", page)
    assert {*on_page} == {*verdicts.BLOCKS, "claims", "results", *real_traces.BLOCKS}
    assert len(on_page) == len({*on_page})
    tables = set(verdicts.BLOCKS) - {"believe", "exploratory"}
    assert tables == {"premise", "primary", "doses", "belief", "pairs"}


def test_other_pairs_are_not_measured_until_their_table_is_committed(root: Path) -> None:
    blocks = generated(root, has_control=True)
    assert (
        blocks["pairs"].startswith("Not measured")
        and "not been run on other pairs" in blocks["believe"]
    )
    write_pairs(root / "results", 3)
    trained.main(["--root", str(root), "--device", "2 cores"])
    commit(root)
    blocks = readme.generate(root)
    assert "3 pairs, trained from different seeds" in blocks["believe"]
    assert "(2 cores), each by itself: no premise is asked" in blocks["believe"]
    assert "`primary` holds in 2 of 2 pairs that could be tested" in blocks["believe"]
    assert "All of that holds in 2." in blocks["believe"]
    assert blocks["pairs"].count("\n| base-") == 3
    assert "no test | `primary`, `causal` and `transfer`: The model is broken" in blocks["pairs"]
    assert blocks["pairs"].endswith("Measured on: 2 cores.")
    natural = generated(root)["believe"]  # nothing was made to hold: no pair of ours is its like
    assert "of one trained pair" in natural and "3 pairs, trained" not in natural


def test_in_a_control_pair_failing_is_right_and_holding_is_an_alarm() -> None:
    question = Question("causal", "", "", "", "", "emergent", Published(None, ""))
    fails, holds = (
        complete(question, Finding(one, parts={"raises_off_0": one}), {}, must_fail=True)
        for one in ("fails", "holds")
    )
    assert verdict_of(fails) == "fails, as it must"
    assert "MUST NOT" in verdict_of(holds)
    broken = complete(question, Finding("no test"), {}, must_fail=True)
    assert verdict_of(broken) == "no test, where it must be seen that it fails"


def test_a_row_that_no_table_holds_is_undefined_and_no_row_is_left_out(root: Path) -> None:
    write_results(root)
    (root / "results" / "tables" / "grade.csv").write_text("measure,value,low,high,n\n")
    commit(root)
    results = readme.generate(root)["results"]
    assert "| problems solved, greedy | undefined |  |  |" in results
    assert results.count("undefined") == len(GRADES)


def test_where_the_edit_is_affine_every_row_of_the_readme_is_found(root: Path) -> None:
    blocks = generated(root, is_affine=True)
    assert "undefined" not in blocks["results"]
    assert "| P_back at alive, base, set to the other class's mean | 0.700 |" in blocks["results"]
    assert "| same token elsewhere, base, dose 1 | 0.522 |" in blocks["results"]
    assert "direction, set to the other class's mean in the model under study" in blocks["finding"]


def test_numbers_come_from_the_commit_and_never_from_the_workspace(root: Path) -> None:
    write_results(root)
    commit(root)
    before = readme.generate(root)
    write_results(root, transfers=False)
    assert readme.generate(root) == before
    git(root, "add", "results")
    assert readme.generate(root) == before
    assert "It does not exceed" in readme.generate(root, STAGED)["believe"]


def test_the_command_rewrites_the_blocks_and_nothing_else(root: Path) -> None:
    write_results(root)
    commit(root)
    readme.main(["--root", str(root)])
    text = (root / "README.md").read_text()
    assert text.startswith("# Title\n<!-- generated: finding -->\n\n**This study")
    assert text.endswith("\n\n<!-- end -->\nprose\n") and "\nold\n" not in text
    assert "| base | 2.000 | 0.300 |" in (root / "docs" / "method.md").read_text()
    readme.main(["--root", str(root)])
    assert (root / "README.md").read_text() == text


def test_without_committed_results_nothing_is_claimed(root: Path) -> None:
    assert read_results(root) is None
    assert "No results are committed yet" in readme.generate(root)["results"]


def test_half_committed_results_are_an_error_that_names_the_rest(root: Path) -> None:
    write_results(root)
    (root / "results" / "tables" / "free.csv").unlink()
    commit(root)
    with pytest.raises(UserError, match=r"results/tables/free\.csv is not in commit HEAD"):
        readme.generate(root)


@pytest.mark.parametrize(
    ("svg", "alt"),
    [
        ("<svg><title>From 0.1 &amp; to [0.5]</title></svg>", "From 0.1 & to \\[0.5\\]"),
        ("<svg></svg>", "P(backtrack) against the dose"),
    ],
)
def test_the_figure_says_its_finding_to_who_does_not_see_it(svg: str, alt: str, root: Path) -> None:
    write_results(root)
    (root / "figures").mkdir()
    (root / "figures" / "dose.svg").write_text(svg)
    commit(root)
    assert readme.generate(root)["figure"] == f"![{alt}](figures/dose.svg)"


def test_where_nothing_was_steered_the_first_sentences_say_so(root: Path) -> None:
    write_results(root)
    found = open_results(root)
    nothing = Finding("untestable", why="nothing was steered", target="reasoning")
    claims = [
        replace(one, finding=nothing) if one.question.claim == "primary" else one
        for one in found.claims
    ]
    said = headline(
        replace(found, claims=claims, summary={**found.summary, "steer_endpoint": None})
    )
    assert "The primary claim: **untestable**" in said and "othing was steered" in said


def test_a_misspelt_block_is_an_error_that_names_the_nearest(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = PAGE.format(name="findings")
    (root / "README.md").write_text(page)
    with pytest.raises(SystemExit):
        readme.main(["--root", str(root)])
    assert "Did you mean `finding`?" in capsys.readouterr().err
    assert (root / "README.md").read_text() == page


def test_a_block_without_an_end_is_an_error() -> None:
    with pytest.raises(UserError, match="has no end"):
        readme.rewrite("<!-- generated: finding -->\nold\n", {"finding": "new"})


def test_the_pipeline_is_drawn_from_dvc_yaml(root: Path) -> None:
    drawn = readme.generate(root)["pipeline"]
    assert drawn == "```mermaid\ngraph LR\n  problems --> traces\n```"


def _leads(target: Path) -> bool:
    return target.exists() or str(target.relative_to(PROJECT_ROOT)) in MADE


def readme_text() -> str:
    return (PROJECT_ROOT / "README.md").read_text()


@pytest.mark.parametrize("dead", ["over", "action: turns"])
def test_what_is_taken_away_and_how_large_a_study_is_are_told(root: Path, dead: str) -> None:
    """Columns have the name of the dead ends, whatever it is in a domain."""
    told = generated(root, has_control=True)["believe"]
    assert "is 0.100 with 20 test problems (traces of each: 1; random directions: 39)" in told
    found = open_results(root)
    summary, tables = {**found.summary, "study_dead": dead}, dict(found.table_by_name)
    found = replace(found, summary=summary)
    told_of = {"baseline": "0.6", "random_bound": "-0.02", "low": "-0.5", "high": "-0.3", "n": "52"}
    row = {f"{dead}_{key}": value for key, value in told_of.items()}
    row |= {"target": summary["study_model"]}
    rows = [
        row | {"direction": summary[who], f"{dead}_value": value, "parts_report_stays": stays}
        for who, value, stays in (
            ("study_base", "-0.1", "untestable"),
            ("study_model", "-0.4", "holds"),
        )
    ]
    said = necessity(replace(found, table_by_name=tables | {"necessity": rows}))
    own, base = said.split("; ")
    assert "own direction it goes from 0.600 to 0.200 (-0.400, -0.500 to -0.300, 52" in own
    assert own.endswith("the report that is asked for later stays right")
    assert "from 0.600 to 0.500" in base and "cannot be tested. Of random directions" in base
    assert said.endswith("95 % lower it by less than 0.020.")
    none = replace(found, table_by_name=tables | {"necessity": [], "power": []})
    assert (necessity(none), sizes(none)) == ("", "")
    not_seen = [one | {f"{dead}_value": ""} for one in rows]
    assert necessity(replace(found, table_by_name=tables | {"necessity": not_seen})) == ""
