"""Our verdicts on the graded traces of others, and the equations in them: `graded-traces.md`.

`python -m benchmarks.graded_traces TRACES` writes it again, TRACES being the folder of the shared
traces. What is graded is what stands in a trace; its text is data, and nothing in it is followed.
"""

import argparse
import gzip
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backtracking.domains.countdown.expressions import find_equations
from backtracking.domains.grading.answers import THOUGHT, Same, grade_text
from backtracking.domains.grading.mathematics import same_mathematics
from backtracking.domains.grading.numbers import same_choice, same_number
from backtracking.records.grades import Grade

PAGE = Path(__file__).parent / "graded-traces.md"

COMPARED: dict[str, Same] = {
    "thought_anchors_math": same_mathematics,
    "reasoningflow_aime": same_number,
    "reasoning_gym_math": same_number,
    "thought_branches_mmlu": same_choice,
}
"""How answers of each file are compared."""

BEGUN = ("thought_anchors_math", "thought_branches_mmlu")
"""Files whose prompts had opened the thinking."""

EXPLAINED = {
    "unfinished": "cut within its thinking: the source counts it as wrong",
    "unparsable": "ends without an answer: the source counts it as wrong",
}
OUTCOMES = ("right", "wrong", "unparsable", "unfinished")


@dataclass(frozen=True)
class Compared:
    """One graded trace: the source's verdict, and ours."""

    file: str
    correct: bool
    grade: Grade

    @property
    def is_contradicted(self) -> bool:
        """Whether one says right and the other does not."""
        return self.correct != (self.grade.outcome == "right")

    @property
    def is_told_apart(self) -> bool:
        """Whether ours says more than wrong."""
        return not self.is_contradicted and self.grade.outcome in EXPLAINED


def compare(folder: Path) -> Iterator[Compared]:
    """All traces with a right answer and a verdict of their source."""
    for file, same in COMPARED.items():
        with gzip.open(folder / f"{file}.jsonl.gz", "rt") as lines:
            for row in map(json.loads, lines):
                if row.get("correct") is not None and row.get("gold"):
                    yield Compared(file, row["correct"], _graded(file, row, same))


def equations(folder: Path) -> dict[str, Counter[bool]]:
    """Whether each equation that is read in the traces of a file holds."""
    found = {}
    for path in sorted(folder.glob("*.jsonl.gz")):
        with gzip.open(path, "rt") as lines:
            texts = [_text(row) for row in map(json.loads, lines) if "problem_id" in row]
        found[path.name.removesuffix(".jsonl.gz")] = Counter(
            one.holds for text in texts for one in find_equations(text)
        )
    return found


def page(found: list[Compared], read: Mapping[str, Counter[bool]]) -> str:
    """The tables in Markdown."""
    holds = sum(read.values(), Counter[bool]())
    said = [f"| {one.file} | {len(group)} | {_counts(group)} |" for one, group in _by_file(found)]
    differ = [one for one in found if one.is_contradicted or one.is_told_apart]
    rows = [
        f"| `{one.grade.trace_id}` | {'right' if one.correct else 'wrong'} | {one.grade.outcome} |"
        f" {_reason(one)} |"
        for one in differ
    ]
    n_contradicted = sum(one.is_contradicted for one in found)
    return "\n".join(
        [
            "# Verdicts on graded traces",
            "",
            f"Written by `python -m benchmarks.graded_traces`. Of {len(found)} traces that their",
            f"sources graded by answer, {n_contradicted} are right by the one and not the other.",
            "Not compared: `misguided_attention`, which a judge graded by criteria and which has",
            "no right answer, and traces without a verdict.",
            "",
            "| file | n | source right: ours right / not | source wrong: ours "
            + f"{' / '.join(OUTCOMES)} |",
            "| --- | --- | --- | --- |",
            *said,
            "",
            "Where ours says more, or another thing:",
            "",
            "| trace | source | ours | why |",
            "| --- | --- | --- | --- |",
            *rows,
            "",
            "## Equations",
            "",
            f"Of {holds.total()} equations of numbers that the reader of the domain `countdown`",
            f"finds in these texts {holds[False]} do not hold. A wrong reading would seldom hold,",
            "so these were read one by one while the reader was made on them: all are the writers'",
            'own, wrong results and chains written on ("3182 - 319 + 1 = 3182 - 319 = 2863").',
            "Of 100 others, drawn at random and read, none was misread.",
            "",
            "| file | hold | do not |",
            "| --- | --- | --- |",
            *(f"| {file} | {seen[True]} | {seen[False]} |" for file, seen in read.items() if seen),
            "",
        ]
    )


def main(argv: list[str] | None = None) -> None:
    """Writes the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("traces", type=Path, help="folder of the shared traces")
    folder = parser.parse_args(argv).traces
    PAGE.write_text(page(list(compare(folder)), equations(folder)))


def _graded(file: str, row: dict[str, Any], same: Same) -> Grade:
    return grade_text(
        _text(row),
        row["gold"],
        same,
        finish_reason=row["finish_reason"] or "stop",
        begun=file in BEGUN,
        ids=(row["trace_id"], row["problem_id"]),
    )


def _text(row: Mapping[str, Any]) -> str:
    """What was written; thinking and answer kept apart are joined as models write them."""
    if row["text"] is not None:
        return row["text"]
    return f"{row['thinking'] or ''}{THOUGHT}{row['response'] or ''}"


def _by_file(found: list[Compared]) -> Iterator[tuple[Compared, list[Compared]]]:
    for file in COMPARED:
        group = [one for one in found if one.file == file]
        yield group[0], group


def _counts(group: list[Compared]) -> str:
    seen = Counter((one.correct, one.grade.outcome) for one in group)
    n_right = sum(n for (correct, _), n in seen.items() if correct)
    hits = seen[True, "right"]
    wrong = " / ".join(str(seen[False, outcome]) for outcome in OUTCOMES)
    return f"{hits} / {n_right - hits} | {wrong}"


def _reason(one: Compared) -> str:
    return one.grade.why if one.is_contradicted else EXPLAINED[one.grade.outcome]


if __name__ == "__main__":
    main()
