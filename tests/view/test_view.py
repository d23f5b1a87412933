"""`backtracking view`: pages of our traces and of others', and what is said of broken ones."""

import base64
import itertools
import json
import re
import zlib
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from backtracking import cli
from backtracking.labels.states import STATES
from backtracking.view.page import page
from backtracking.view.shown import Shade, ShownSentence, ShownTrace

TEXT = "Let me see. So x = 3. Wait, no, that is wrong. The answer is 4."
OURS = {
    "trace_id": "p/0", "problem_id": "p", "split": "dev", "sample": 0, "prompt_ids": [1],
    "token_ids": [2, 3], "text": TEXT, "finish_reason": "stop", "sampling": {"seed": 1},
}  # fmt: skip


def view(folder: Path, *rows: dict[str, Any], options: tuple[object, ...] = ()) -> int:
    source = folder / "traces.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return run(source, folder / "page.html", *options)


def run(source: Path, out: Path, *options: object) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(["view", str(source), "--out", str(out), *map(str, options)])
    return int(ended.value.code or 0)


def data_of(path: Path) -> dict[str, Any]:
    """What a page shows, as its script unpacks it."""
    (packed,) = re.findall(r'id="data">([A-Za-z0-9+/=]*)</script>', path.read_text())
    return json.loads(zlib.decompress(base64.b64decode(packed)))


def test_our_own_traces_are_split_and_labelled(tmp_path: Path) -> None:
    assert view(tmp_path, OURS, {**OURS, "trace_id": "p/1"}) == 0
    data = data_of(tmp_path / "page.html")
    first, _ = data["traces"]
    assert first["text"] == TEXT and first["labellers"] == ["rules", "learned"]
    said = [TEXT[start:end] for start, end, _, _ in first["sentences"]]
    assert said == ["Let me see. ", "So x = 3. ", "Wait, no, that is wrong. ", "The answer is 4."]
    assert data["states"][first["sentences"][2][2][0]] == "backtracking"


def test_labels_of_a_person_come_first(tmp_path: Path) -> None:
    labels = tmp_path / "labels.jsonl"
    rows = [{"trace_id": "p/0", "start": 0, "end": 11, "state": "backtracking", "annotator": "me"}]
    labels.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert view(tmp_path, OURS, options=("--labels", labels)) == 0
    (trace,) = data_of(tmp_path / "page.html")["traces"]
    assert trace["labellers"] == ["me", "rules", "learned"]
    assert STATES[trace["sentences"][0][2][0]] == "backtracking"
    assert [one[2][0] for one in trace["sentences"][1:]] == [-1, -1, -1]


def test_a_judge_whose_backtracking_is_wider_is_told_so(tmp_path: Path) -> None:
    sentences = [{"index": 0, "text": TEXT, "labels": ["uncertainty_management"]}]
    judge = {"kind": "judge", "name": "a judge", "sentences": sentences}
    assert view(tmp_path, {"trace_id": "p/1", "text": TEXT, "annotations": [judge]}, OURS) == 0
    first, second = data_of(tmp_path / "page.html")["traces"]
    assert first["labellers"][0] == "a judge" and second["wider"] == ["", ""]
    assert first["wider"][0].startswith("`uncertainty_management`, ") and not any(
        first["wider"][1:]
    )


@pytest.mark.slow
def test_every_shared_file_of_traces_becomes_a_small_page(
    shared_traces: Path, tmp_path: Path
) -> None:
    files = sorted(one for one in shared_traces.glob("*.jsonl.gz") if "resamples" not in one.name)
    assert len(files) == 8
    for file in files:
        out = tmp_path / f"{file.name}.html"
        assert run(file, out) == 0
        assert out.stat().st_size < 2_000_000
        for trace in data_of(out)["traces"]:
            bounds = [(start, end) for start, end, *_ in trace["sentences"]]
            assert bounds and all(a < b <= len(trace["text"]) for a, b in bounds)
            assert all(a[1] <= b[0] for a, b in zip(bounds, bounds[1:], strict=False))


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"trace_id": "p/0", "text": " "}, "no text to show"),
        ({"text": "a"}, "trace_id"),
        ({"trace_id": 3, "text": "a"}, "trace_id"),
    ],
)
def test_what_cannot_be_shown_is_told(
    row: dict[str, Any], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert view(tmp_path, row) == 1
    captured = capsys.readouterr()
    assert said in captured.out + captured.err
    assert not (tmp_path / "page.html").exists()


def test_a_page_names_its_script_and_lets_in_no_other() -> None:
    text = page("<b>", [ShownTrace("</script>", "", {}, "<script>", (), ())])
    assert "<b>" not in text and text.count("</script>") == 2
    assert "default-src 'none'" in text and "http" not in text.replace("http-equiv", "")
    assert re.search(r"script-src 'sha256-[A-Za-z0-9+/=]{44}'", text)


CSS = files("backtracking.view").joinpath("assets", "page.css").read_text("utf-8")
DEUTERANOPIA = [
    [0.367322, 0.860646, -0.227968],
    [0.280085, 0.672501, 0.047413],
    [-0.011820, 0.042940, 0.968881],
]
"""Of linear RGB: Machado, Oliveira and Fernandes 2009, severity 1."""
TO_XYZ = [[0.4339, 0.3762, 0.1899], [0.2127, 0.7152, 0.0722], [0.0178, 0.1095, 0.8727]]
"""Of linear RGB, white being 1 1 1."""


def linear(colour: str) -> NDArray[np.float64]:
    value = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def lab(rgb: NDArray[np.float64]) -> NDArray[np.float64]:
    x, y, z = np.cbrt(np.array(TO_XYZ) @ np.clip(rgb, 0, 1))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_states_are_told_apart_by_the_colour_blind_in_light_and_in_dark() -> None:
    """By colour, or where colours are near by how the line is drawn; backtracking by its mark."""
    palettes = re.findall(r"--s0: #[^}]+", CSS)
    papers = re.findall(r"--paper: (#\w+)", CSS.replace("#fff;", "#ffffff;"))
    assert len(papers) == len(palettes) == 3
    drawn = {int(one) for one in re.findall(r"\.s(\d) { border-bottom[^}]+(?:dotted|double)", CSS)}
    assert drawn == {0, 4} and ".state.s5::before" in CSS
    for palette, paper in zip(palettes, papers, strict=True):
        colours = re.findall(r"#\w{6}", palette)
        assert len(colours) == len(STATES)
        shades = [
            linear(paper)[None] @ TO_XYZ[1],
            *(linear(one)[None] @ TO_XYZ[1] for one in colours),
        ]
        white, *others = [float(one[0]) + 0.05 for one in shades]
        assert all(max(white / one, one / white) > 3 for one in others)
        for sight in (np.eye(3), np.array(DEUTERANOPIA)):
            seen = [
                lab(sight @ linear(one)) for at, one in enumerate(colours) if at not in {0, 4, 5}
            ]
            far = [np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)]
            assert min(far) > 15


@pytest.mark.parametrize(
    "wrong",
    [
        {"token_ends": (1,), "shades": (Shade("x", ()),)},
        {"labellers": ("one",), "sentences": (ShownSentence(0, 1, ()),)},
    ],
)
def test_a_trace_that_does_not_fit_together_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="t: "):
        ShownTrace(
            "t", "p", {}, "ab", wrong.pop("labellers", ()), wrong.pop("sentences", ()), **wrong
        )
