"""Points are drawn evenly over kinds, and what a reader found is counted."""

import json
from pathlib import Path
from random import Random

import pytest

from backtracking import cli
from backtracking.labels.audit import draw_points, precision_of, read_points
from backtracking.records import reader
from backtracking.records.sentences import (
    Decision,
    Sentence,
    Truth,
    write_decisions,
    write_sentences,
)
from backtracking.records.traces import Problem

KINDS = ("miss", "miss", "miss", "hit", "other", "miss")


def study() -> tuple[list[Decision], list[Sentence]]:
    sentences, decisions = [], []
    for trace in range(10):
        for index, kind in enumerate(KINDS):
            truth = Truth(kind=kind, value=30.0, target=31.0)
            name, text = f"p{trace}/0", f" Sentence {index}."
            sentences.append(Sentence(name, index, index, index + 1, text, True, {}, truth))
            decisions.append(
                Decision(name, f"p{trace}", "test", index, index, index, "deduction", None, truth)
            )
    return decisions, sentences


def test_points_are_spread_over_kinds_and_show_what_stands_around() -> None:
    decisions, sentences = study()
    prompts = {one.problem_id: "Make 31." for one in decisions}
    points = draw_points(decisions, sentences, prompts, 30, Random(0))
    assert sorted(one.kind for one in points) == ["hit"] * 10 + ["miss"] * 10 + ["other"] * 10
    hit = next(one for one in points if one.kind == "hit")
    assert hit.before == " Sentence 0. Sentence 1. Sentence 2."
    assert (hit.sentence, hit.after, hit.problem) == (" Sentence 3.", " Sentence 4.", "Make 31.")
    assert all(one.right is None for one in points)
    alone = draw_points(decisions, sentences, prompts, 30, Random(0), ["miss"])
    assert [one.kind for one in alone] == ["miss"] * 30


def write(root: Path) -> None:
    decisions, sentences = study()
    labels, problems = root / "data/processed/labels", root / "data/raw/problems"
    labels.mkdir(parents=True)
    problems.mkdir(parents=True)
    write_decisions(labels / "decisions.jsonl", decisions)
    write_sentences(labels / "sentences.jsonl", sentences)
    asked = [Problem(f"p{n}", "test", "study", "Make 31.", "31") for n in range(10)]
    reader.write_lines(problems / "problems.jsonl", asked)


def audit(root: Path, *arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--root", str(root), "audit", str(root / "audit.jsonl"), *arguments])
    return int(ended.value.code or 0)


def test_the_verb_draws_then_counts_and_fails_below_the_floor(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path)
    assert audit(tmp_path, "--n", "40", "--kind", "miss") == 0
    assert "40 points" in capsys.readouterr().out
    assert audit(tmp_path) == 1
    rows = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    for number, row in enumerate(rows):
        row["right"] = number > 0
    (tmp_path / "audit.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert audit(tmp_path) == 0
    assert "miss: 0.975 of 40 are right (0.868 to 0.999)." in capsys.readouterr().out
    assert audit(tmp_path, "--floor", "0.99") == 1
    (found,) = precision_of(read_points(tmp_path / "audit.jsonl"))
    assert (found.n, found.value) == (40, 0.975)
