"""Prompts that ask for more than the trace's own did: whether a model can be told to backtrack."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from backtracking.records import reader

FILE = "prompted.jsonl"


@dataclass(frozen=True)
class Prompted:
    """A problem's prompt with an instruction behind the question.

    Attributes:
        problem_id: the problem.
        prompt_ids: what a model reads in the place of the trace's own prompt.
    """

    problem_id: str
    prompt_ids: list[int]


def write_prompted(folder: Path, prompts: Iterable[Prompted]) -> None:
    """Writes them into the folder of the labels."""
    reader.write_lines(folder / FILE, prompts)


def read_prompted(folder: Path) -> dict[str, list[int]]:
    """The prompts by problem; empty where the study has no instruction."""
    path = folder / FILE
    found = reader.read_lines(Prompted, path) if path.is_file() else []
    return {one.problem_id: one.prompt_ids for one in found}
