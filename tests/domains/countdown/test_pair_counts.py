"""How many minimal pairs there are with each real tokenizer, as docs/overlays.md has it."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
import real_tokenizers
from domains_countdown import load, make_trace
from project import ROOT
from tokenizers import Tokenizer

from backtracking.domains.countdown.countdown import Countdown
from backtracking.domains.countdown.world import read_question
from backtracking.domains.countdown.writer import Writer
from backtracking.domains.domain import ProblemPlan
from backtracking.runtime import params, profile

pytestmark = pytest.mark.slow

PLAN = ProblemPlan(100, 0, (0.5, 0.2, 0.3), 1)
KINDS = ("open_alive", "open_doomed")


def overlay_domain(folder: Path) -> Countdown:
    """The questions of the overlays for rented GPUs, with no template of any model around them."""
    overlay = params.read(ROOT / "configs" / "r1-distill-llama-8b.yaml")
    text, _ = profile.merged((ROOT / "params.yaml").read_text(), overlay, "an overlay")
    (folder / "params.yaml").write_text(text)
    return Countdown(replace(load(folder / "params.yaml"), template="{question}\n"))


def row_of(domain: Countdown, name: str, tokenizer: Tokenizer) -> list[str]:
    """Points of each kind, those with a donor, and their problems, of one search a problem."""
    points, donors, problems = Counter[str](), Counter[str](), set[str]()
    for problem in domain.problems(PLAN):
        random = Random(problem.problem_id)
        text = Writer(*read_question(problem.prompt), domain.section.writer, random, False).write()
        trace = make_trace(domain, problem, text, tokenizer, "length")
        reading = domain.read(trace, problem, tokenizer)
        points.update(str(one.truth.kind) for one in reading.sentences if one.truth and one.decides)
        for pair in domain.pairs(trace, problem, reading, tokenizer, Random(problem.problem_id)):
            if pair.donor_kind:
                donors[pair.kind] += 1
                problems.add(problem.problem_id)
    counts = [f"{donors[kind]} of {points[kind]}" for kind in KINDS]
    return [name, *counts, str(len(problems))]


def test_the_page_about_overlays_has_these_counts(tmp_path: Path) -> None:
    domain = overlay_domain(tmp_path)
    made = [row_of(domain, name, make()) for name, make in real_tokenizers.ALL.items()]
    heads = ["tokenizer", *(f"`{kind}` with a donor" for kind in KINDS), "problems with any"]
    head, *rows = (f"| {' | '.join(row)} |" for row in (heads, *made))
    table = "\n".join([head, "|---" * len(heads) + "|", *rows])
    assert table in (ROOT / "docs" / "overlays.md").read_text(), f"docs/overlays.md needs:\n{table}"
