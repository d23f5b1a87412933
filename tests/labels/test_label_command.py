"""`backtracking label` as a user runs it: on our traces, on others', with every labeller."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from judge_server import labelling, serving

from backtracking import cli
from backtracking.labels import learned, markers
from backtracking.labels.markers import FIELD
from backtracking.labels.schemes import is_held_back
from backtracking.records import reader
from backtracking.records.rows.labellers import LabellerAgreement

TEXT = "Let me see. So x = 3. Wait, no, that is wrong. The answer is 4."
OURS = {
    "trace_id": "p/0", "problem_id": "p", "split": "dev", "sample": 0, "prompt_ids": [1],
    "token_ids": [2, 3], "text": TEXT, "finish_reason": "stop", "sampling": {"seed": 1},
}  # fmt: skip


def run(root: Path, *arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--root", str(root), "label", *map(str, arguments)])
    return int(ended.value.code or 0)


def answer(root: Path, capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    code = run(root, *arguments, "--json")
    found = json.loads(capsys.readouterr().out)
    assert found["command"] == "label" and found["ok"] == (code == 0)
    return found


@pytest.fixture
def traces(tmp_path: Path) -> Path:
    path = tmp_path / "traces.jsonl"
    path.write_text("".join(json.dumps({**OURS, "trace_id": f"p/{n}"}) + "\n" for n in range(4)))
    return path


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """A human who disagrees with every labeller once."""
    starts = [0, *(TEXT.index(word) for word in ("So x", "Wait", "The answer")), len(TEXT)]
    states = ["initializing", "backtracking", "backtracking", "final-answer"]
    rows = [
        {"trace_id": f"p/{n}", "start": a, "end": b, "state": state}
        for n in range(4)
        for a, b, state in zip(starts, starts[1:], states, strict=False)
    ]
    path = tmp_path / "labels.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("labeller", ["rules", "learned"])
def test_our_traces_are_labelled_and_scored_by_a_file_of_labels(
    labeller: str, traces: Path, labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = answer(
        tmp_path, capsys, traces, "--labeller", labeller, "--labels", labels, "--against", "human"
    )
    assert (found["n"], found["n_traces"], found["n_positive"], found["n_called"]) == (16, 4, 8, 4)
    assert (found["precision"], found["recall"]) == (1.0, 0.5)
    assert found["f1"] == pytest.approx(2 / 3) and found["kappa"] == pytest.approx(0.5)
    assert found["intervals"]["f1"] == {"value": found["f1"], "low": found["f1"],
                                        "high": found["f1"], "n": 4}  # fmt: skip


def test_labels_that_are_written_are_labels_that_are_read(
    traces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.jsonl"
    found = answer(tmp_path, capsys, traces, "--labeller", "rules", "--out", out)
    assert found["n"] == sum(found["n_by_state"].values()) == 16 and found["n_unlabelled"] == 0
    again = ("--labels", out, "--labeller", "human", "--against", "rules")
    assert not answer(tmp_path, capsys, traces, *again)["ok"]
    again = ("--labels", out, "--labeller", "learned", "--against", "rules")
    assert answer(tmp_path, capsys, traces, *again)["kappa"] == 1.0
    again = ("--labels", out, "--labeller", "learned", "--against", "human")
    assert not answer(tmp_path, capsys, traces, *again)["ok"]


def test_a_judge_is_told_its_cost_first_and_asked_within_it(
    traces: Path, labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    judge = (traces, "--labeller", "judge", "--labels", labels, "--against", "human")
    with serving(labelling) as server:
        options = ("--url", server.url, "--model", "m", "--price-in", 1, "--price-out", 10)
        refused = answer(tmp_path, capsys, *judge, *options)
        assert "more than the cap of $0.0000" in refused["items"][0]["fact"]
        assert "Nothing was asked" in refused["items"][0]["fact"] and not server.bodies
        assert run(tmp_path, *judge, *options, "--max-cost", 1) == 0
        shown = capsys.readouterr()
        assert "4 questions, 0 answered before" in shown.err
        assert "precision" in shown.out and "judge calls 4" in shown.out
        n_asked = len(server.bodies)
        assert answer(tmp_path, capsys, *judge, *options)["n_called"] == 4
        assert len(server.bodies) == n_asked
    assert len(list(tmp_path.rglob("paid/judge/*.safetensors"))) == n_asked


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--labeller", "judge"), "judge labelled none of these traces; .*none"),
        (("--labeller", "judge", "--url", "http://x"), "--model, --price-in and --price-out"),
        (("--labeller", "somebody"), "somebody labelled none"),
        (("--labeller", "rules", "--against", "human"), "by both rules and human"),
        (("--labeller", "rules", "--family", "x"), "'x' is no family"),
        (("--labeller", "learned", "--family", "any"), "--family is of the labeller rules"),
        (("--labeller", "rules", "--only", "some"), "neither open nor held-back"),
        (("--labeller", "rules", "--against", "human", "--out", "x"), "are two things"),
    ],
)
def test_what_cannot_be_done_is_said(
    options: tuple[str, ...],
    message: str,
    traces: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(tmp_path, traces, *options) == 1
    shown = capsys.readouterr().err
    assert shown.startswith("error: ")
    assert re.search(message, " ".join(shown.split())), shown


def test_counts_are_shown_without_json(
    traces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, traces, "--labeller", "rules") == 0
    assert "      4  backtracking" in capsys.readouterr().out


def test_a_file_without_a_sentence_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for text in ("", "\n\n", '{"trace_id": "p/0"}\n'):
        (tmp_path / "traces.jsonl").write_text(text)
        found = answer(tmp_path, capsys, tmp_path / "traces.jsonl", "--labeller", "rules")
        assert "traces.jsonl has no sentence to label" in found["items"][0]["fact"]


def test_nobody_is_scored_by_their_own_labels(
    traces: Path, labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = (traces, "--labels", labels, "--labeller", "human", "--against", "human")
    (item,) = answer(tmp_path, capsys, *options)["items"]
    assert "both human and human. Annotators of these traces: human" in item["fact"]


def test_a_key_with_a_line_break_is_sent_without_it_and_shown_nowhere(
    traces: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("JUDGE_API_KEY", "k" * 24 + "\n")
    with serving(labelling) as server:
        options = ("--url", server.url, "--model", "m", "--price-in", 0, "--price-out", 0)
        assert run(tmp_path, traces, "--labeller", "judge", *options) == 0
        assert set(server.keys) == {"Bearer " + "k" * 24}
    assert "kkkk" not in "".join(capsys.readouterr())


def test_what_any_verb_cannot_do_is_one_object_of_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--root", str(tmp_path), "bench-labels", str(tmp_path), "--json"])
    found = json.loads(capsys.readouterr().out)
    assert ended.value.code == 1 and not found["ok"] and found["command"] == "bench-labels"
    assert "reasoningflow_aime.jsonl.gz does not exist" in found["items"][0]["fact"]


@pytest.mark.slow
def test_annotators_of_a_file_are_labellers_too(
    shared_traces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = shared_traces / "reasoningflow_human.jsonl.gz"
    options = ("--against", "human D", "--only", "open")
    humans = answer(tmp_path, capsys, file, "--labeller", "human A", *options)
    judge = answer(tmp_path, capsys, file, "--labeller", "judge", *options)
    assert (humans["n"], judge["n"]) == (202, 772)
    assert humans["kappa"] > 0.8 > 0.5 > judge["kappa"] > 0.4
    assert is_held_back("/".join(("reasoningflow", "math_10_QwQ-32B-Preview")))


def test_episodes_that_know_no_backtracking_are_not_scored(
    shared_traces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = shared_traces / "thinkarm_human.jsonl.gz"
    found = answer(tmp_path, capsys, file, "--labeller", "rules", "--against", "human")
    said = "No label of ThinkARM ground truth says that a sentence backtracks (they are: Analyze,"
    assert said in found["items"][0]["fact"]
    itself = answer(tmp_path, capsys, file, "--labeller", "human")
    assert said in itself["items"][0]["fact"]
    assert answer(tmp_path, capsys, file, "--labeller", "rules")["n"] > 170


def test_a_label_that_is_wider_than_backtracking_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tags = ("active_computation", "uncertainty_management")
    sentences = [{"index": n, "text": TEXT, "labels": [tag]} for n, tag in enumerate(tags)]
    judge = {"kind": "judge", "name": "a judge", "sentences": sentences}
    row = {"trace_id": "p/0", "text": TEXT, "annotations": [judge]}
    (tmp_path / "traces.jsonl").write_text(json.dumps(row))
    options = (tmp_path / "traces.jsonl", "--labeller", "rules", "--against", "judge")
    wider = "`uncertainty_management`, backtracking and uncertainty together, a wider thing"
    assert answer(tmp_path, capsys, *options)["wider"] == wider
    assert run(tmp_path, *options) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"1 of 2 sentences backtrack (by {wider}), rules calls" in said


@pytest.mark.slow
def test_shipped_data_are_found_to_be_what_the_traces_give(
    shared_traces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = [file.read_bytes() for file in (markers.FILE, learned.FILE)]
    with pytest.raises(SystemExit) as ended:
        cli.main(["--root", str(tmp_path), "learn-labels", str(shared_traces), "--check"])
    assert not ended.value.code
    assert capsys.readouterr().out.count("is what the traces give") == 2
    assert before == [file.read_bytes() for file in (markers.FILE, learned.FILE)]


@pytest.mark.slow
def test_all_labellers_are_scored_on_all_human_labels(
    shared_traces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The final word, as it was given: what was held back was scored once, after all was fixed."""
    out = tmp_path / "agreement.json"
    with pytest.raises(SystemExit) as ended:
        cli.main(["--root", str(tmp_path), "bench-labels", str(shared_traces), "--out", str(out)])
    said = capsys.readouterr().out
    assert not ended.value.code and "held-back: learned, 538 sentences" in said
    assert "Left out: thinkarm_human.jsonl.gz: No label of ThinkARM ground truth says" in said
    assert "Left out: thought_anchors_math.jsonl.gz: no human labelled it." in said
    rows = {
        (row.subset, row.labeller): row
        for row in reader.read_list(LabellerAgreement, out)
        if row.source == "reasoningflow_human"
    }
    assert rows["held-back", "rules"].f1.value == pytest.approx(0.586, abs=0.001)
    assert rows["held-back", "learned"].f1.value == pytest.approx(0.553, abs=0.001)
    assert (rows["all", "learned"].f1.value or 0) > 0.6 > 0.5 > (rows["all", FIELD].f1.value or 1)
    assert (rows["all", "human A"].kind, rows["all", "human B"].n) == ("human", 496)
    assert rows["held-back", "learned"].n_traces + rows["open", "learned"].n_traces == 20
