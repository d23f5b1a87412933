"""`backtracking view`: pages of our traces and of others', and what is said of broken ones."""

import base64
import json
import re
import zlib
from pathlib import Path
from typing import Any

import pytest

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
