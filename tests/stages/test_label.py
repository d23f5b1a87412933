from random import Random

from tokenizers import Tokenizer

from backtracking.domains.organism.policy import Policy, Writer
from backtracking.domains.organism.tokenizer import build_tokenizer
from backtracking.domains.organism.world import World, make_problem
from backtracking.records.traces import Problem, Trace
from backtracking.stages.label import Params, Result, run

WORLD = World((4, 5), 6, 12, 2, 0.2, 0.05)


def written(n: int, seed: int = 0) -> tuple[list[Trace], list[Problem], Tokenizer]:
    """Traces as the policy itself writes them; every third is cut."""
    random, wrapped = Random(seed), build_tokenizer()
    traces, problems = [], {}
    while len(traces) < n:
        numbers, target = WORLD.draw(random)
        problem = make_problem(numbers, target, "study", "train")
        if problem.problem_id in problems:
            continue
        problems[problem.problem_id] = problem
        sentences = Writer(numbers, target, Policy(), random).write()
        words = [word for sentence in sentences for word in sentence]
        by_word = wrapped.get_vocab()
        ids = [by_word[word] for word in (*words, "</s>")]
        cut = len(traces) % 3 == 2
        if cut:
            ids = ids[: len(ids) // 2]
        traces.append(
            Trace(
                f"{problem.problem_id}/0",
                problem.problem_id,
                "train",
                0,
                wrapped(problem.prompt).input_ids,
                ids,
                "",
                "length" if cut else "stop",
                {},
            )  # fmt: skip
        )
    return traces, list(problems.values()), wrapped.backend_tokenizer


def label(traces: list[Trace], problems: list[Problem], tokenizer: Tokenizer) -> Result:
    """The stage's result on these traces."""
    return run(Params("backtracking"), Policy(), traces, problems, tokenizer)


def test_spans_of_both_labellers_cover_every_token_and_agree() -> None:
    traces, problems, tokenizer = written(30)
    result = label(traces, problems, tokenizer)
    assert result.metrics["span_coverage"] == 1.0
    by_labeller = {
        labeller: {(s.trace_id, s.start, s.end) for s in result.sentences if s.labeller == labeller}
        for labeller in ("exact", "rules")
    }
    assert by_labeller["exact"] == by_labeller["rules"]
    for trace in traces:
        spans = [s for s in result.sentences if s.trace_id == trace.trace_id]
        n_words = len(trace.token_ids) - (trace.finish_reason != "length")
        assert sum(s.end - s.start for s in spans if s.labeller == "exact") == n_words
        assert min(s.start for s in spans) == len(trace.prompt_ids)


def test_text_of_a_sentence_is_what_its_own_tokens_decode_to() -> None:
    traces, problems, tokenizer = written(5)
    ids_by_trace = {trace.trace_id: trace.ids for trace in traces}
    for sentence in label(traces, problems, tokenizer).sentences:
        ids = ids_by_trace[sentence.trace_id][sentence.start : sentence.end]
        assert sentence.text == tokenizer.decode(ids)


def test_the_world_makes_the_labellers_disagree_within_bounds() -> None:
    metrics = label(*written(150)).metrics
    assert 0.5 <= metrics["kappa"] <= 0.9
    assert 0.5 <= metrics["kappa_positive"] <= 0.9
    assert 0 < metrics["f1"] < 1


def test_an_empty_trace_is_kept_without_sentences() -> None:
    traces, problems, tokenizer = written(2)
    first = traces[0]
    empty = Trace(
        first.trace_id, first.problem_id, "train", 0, first.prompt_ids, [2], "", "empty", {}
    )
    result = label([empty, traces[1]], problems, tokenizer)
    assert [row["trace_id"] for row in result.tokens] == [empty.trace_id, traces[1].trace_id]
    assert result.tokens[0]["state"] == []


def test_a_sentence_of_no_known_form_is_counted_and_kept() -> None:
    traces, problems, tokenizer = written(1)
    by_word = tokenizer.get_vocab()
    words = [by_word[word] for word in ("Try", "Try", ".")]
    broken = Trace(
        traces[0].trace_id, traces[0].problem_id, "train", 0, traces[0].prompt_ids,
        [*words, *traces[0].token_ids], "", "stop", {},
    )  # fmt: skip
    metrics = label([broken], problems, tokenizer).metrics
    assert metrics["n_unparsed"] == 1
    assert metrics["n_compared"] == metrics["n_sentences"] - 1
