"""The page of a study: traces with their labels, kinds and numbers, and what was found above."""

import base64
import json
import re
import zlib
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from steered_study import write_steered
from synthetic_results import write_results
from tiny_study import PAIR, TinyStudy, write_study

from backtracking.figures.every import NAMES
from backtracking.records.choices import read_choice
from backtracking.records.decisions import Decisions
from backtracking.runtime.workspace import Workspace
from backtracking.stages import report, steer
from backtracking.stages.study import Study
from backtracking.view.page import LARGEST


@pytest.fixture(scope="module")
def study() -> TinyStudy:
    return write_study(9, splits=("test", "train", "dev"))


@pytest.fixture(scope="module")
def reported(study: TinyStudy, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A steered study whose page was made."""
    root = tmp_path_factory.mktemp("reported")
    sizes = {"report": {"n_traces": 5, "n_layers": 2, "n_steered": 1}}
    workspace = write_steered(root, study, PAIR, sizes)
    steer.main(["--root", str(root)])
    write_results(root, is_affine=True)
    report.main(["--root", str(root)])
    return workspace


def data_of(workspace: Workspace) -> list[dict[str, Any]]:
    text = (workspace.results("report") / "index.html").read_text()
    (packed,) = re.findall(r'id="data">([A-Za-z0-9+/=]*)</script>', text)
    return json.loads(zlib.decompress(base64.b64decode(packed)))["traces"]


def test_sampled_traces_come_with_labels_kinds_and_numbers(
    reported: Workspace, study: TinyStudy
) -> None:
    sampled = [one for one in data_of(reported) if "arm" not in one["facts"]]
    assert len(sampled) == 5
    by_id = {one.trace_id: one for one in study.traces}
    read = Study(reported)
    decisions: Decisions = read.decisions
    for shown in sampled:
        trace = by_id[shown["id"]]
        assert len(shown["ends"]) == len(trace.token_ids)
        assert shown["ends"][-1] == len(shown["text"])
        names = [name for name, _ in shown["shades"]]
        layer = read_choice(reported.results("steer")).layer
        assert len(names) == 5 and names[0] == "P(backtrack)" and "base" in names[1]
        assert names[2].endswith(f"layer {layer}") and not names[3].endswith(f"layer {layer}")
        _, projected = shown["shades"][4]
        assert sum(one is not None for one in projected) > len(projected) / 2
        its = decisions.trace_id == shown["id"]
        kinds = [kind for *_, kind in shown["sentences"] if kind]
        assert kinds == decisions.kind[its].tolist()
        at = [n for n, one in enumerate(shown["shades"][0][1]) if one is not None]
        deciding = set((decisions.position[its] - len(trace.prompt_ids)).tolist())
        assert set(at) <= deciding and (at or shown["facts"]["split"] == "train")


def test_every_figure_is_a_file_and_stands_on_the_page_or_says_why_not(
    reported: Workspace,
) -> None:
    text = (reported.results("report") / "index.html").read_text()
    pixels = {path.stem for path in (reported.results("report") / "figures").glob("*.png")}
    alts = dict(re.findall(r'<figure class="wide" id="figure-(\w+)"><img alt="([^"]+)"', text))
    assert {"transitions", "agreement"} <= set(alts) == pixels < set(NAMES)
    for name in NAMES:
        svg = (reported.root / "figures" / f"{name}.svg").read_bytes()
        said = re.findall("<title>(.*)</title>", svg.decode())
        assert said == [alts.get(name, "Not drawn")]
        assert (base64.b64encode(svg).decode() in text) == (name in alts)
        assert name in alts or f"<li>{name}: " in text
    assert text.count("<h2>Figures</h2>") == 1 and len(text) < LARGEST


def test_the_page_and_its_figures_are_the_same_bytes_again(reported: Workspace) -> None:
    files = [*(reported.root / "figures").glob("*"), *reported.results("report").rglob("*.*")]
    before = {path: path.read_bytes() for path in files}
    report.main(["--root", str(reported.root)])
    assert {path: path.read_bytes() for path in files} == before and len(files) > len(NAMES)


def test_a_steered_problem_stands_beside_itself(reported: Workspace) -> None:
    steered = [one for one in data_of(reported) if "arm" in one["facts"]]
    assert len({one["problem"] for one in steered}) == 1
    arms = [one["facts"]["arm"] for one in steered]
    assert arms[0] == "unsteered" and len(arms) == len(set(arms)) > 2
    for one in steered:  # read as the traces of the study are
        assert one["labellers"] == ["exact", "rules"] and one["facts"]["outcome"]
        assert "".join(one["text"][a:b] for a, b, *_ in one["sentences"]).strip()


def test_what_was_found_stands_before_and_no_markup_comes_out_of_it(reported: Workspace) -> None:
    text = (reported.results("report") / "index.html").read_text()
    for said in ("What was found", "<td>primary</td>", "MUST NOT", "Provenance", "0.411"):
        assert said in text or said == "MUST NOT"
    seen = Tags()
    seen.feed(text)
    assert seen.tags >= {"table", "section", "main"} and not seen.tags & {"iframe", "form", "link"}


class Tags(HTMLParser):
    """The tags of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)


def test_sizes_below_0_are_refused() -> None:
    with pytest.raises(ValueError, match="0 or more"):
        report.Params(0, -1, 0)


def test_without_results_it_says_which_stage_is_missing(
    tmp_path: Path, study: TinyStudy, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = write_steered(tmp_path, study, PAIR)
    with pytest.raises(SystemExit):
        report.main(["--root", str(workspace.root)])
    assert "results/summary.json is not there" in capsys.readouterr().err
