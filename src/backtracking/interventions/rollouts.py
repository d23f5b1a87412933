"""Free runs under steering: plain traces, scored by the unsteered model, judged by nobody here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial

import torch

from backtracking.interventions.plan import Plan, Push
from backtracking.models.generation import Generation, Steering, generate
from backtracking.models.loading import LoadedModel
from backtracking.models.sampling import Sampling
from backtracking.models.scoring import token_nll
from backtracking.records.measured import BASELINE
from backtracking.records.rollouts import Rollouts
from backtracking.records.tokens import Pattern
from backtracking.records.traces import Trace
from lifeboat.stage import progress
from lifeboat.stage.errors import UserError


def run_free(
    loaded: LoadedModel,
    target: str,
    layer: int,
    prompts: Mapping[str, Sequence[int]],
    split: str,
    pushes: Sequence[Push],
    patterns: Sequence[Pattern],
    sampling: Sampling,
    *,
    is_scored: bool,
) -> tuple[Rollouts, ...]:
    """One trace a problem under every arm; arms share a problem's random numbers, and batches.

    Args:
        loaded: the model that writes.
        target: its role.
        layer: where the vectors are added, at the decisions that the patterns tell.
        prompts: ids that are read, by problem.
        split: of these problems.
        pushes: the arms, the baseline first.
        patterns: the online rule of where something is decided.
        sampling: seed, temperature and length limit.
        is_scored: whether the unsteered model scores what is written.
    """
    read = [list(ids) for ids in prompts.values()] * len(pushes)
    written = _write(loaded, layer, read, list(prompts), pushes, _rule(patterns), sampling)
    ids = [one.token_ids for one in written]
    nll = token_nll(loaded, read, ids) if is_scored else None
    is_decision, found = _rule(patterns), []
    for number, push in enumerate(pushes):
        rows = slice(number * len(prompts), (number + 1) * len(prompts))
        traces = [
            _trace(loaded, name, split, list(prompts[name]), one, sampling)
            for name, one in zip(prompts, written[rows], strict=True)
        ]
        for name, one in zip(prompts, written[rows], strict=True):
            require_steered(push, name, prompts[name], one, is_decision)
        arm = push.arm
        is_changed = arm.group != BASELINE
        found.append(
            Rollouts(
                target=target,
                name=f"{arm.name}.{arm.dose:+g}" if is_changed else BASELINE,
                group=arm.group,
                arms=(arm,) if is_changed else (),
                traces=tuple(traces),
                nll=tuple(nll[rows]) if nll is not None else None,
                n_steered=tuple(one.n_steered for one in written[rows]),
            )
        )
    return tuple(found)


def require_steered(
    push: Push,
    name: str,
    prompt: Sequence[int],
    written: Generation,
    is_decision: Callable[[list[int]], bool],
) -> None:
    """Checks at how many tokens a vector was added, against what the ids themselves say.

    The last token that was written is read by nobody, and a vector of zeros is never added.

    Args:
        push: the arm.
        name: of the problem.
        prompt, written: what was read and written.
        is_decision: whether the vector is added at the last of the ids.

    Raises:
        UserError: where it was added at more or fewer.
    """
    ids = [*prompt, *written.token_ids]
    expected = sum(is_decision(ids[:n]) for n in range(1, len(ids)))
    expected = expected if push.edit.vector.any() else 0
    if written.n_steered != expected:
        raise UserError(
            f"Expected `{push.arm.name}` at dose {push.arm.dose:+g} to be added at {expected} "
            f"tokens of `{name}`, found {written.n_steered}: what it wrote was not steered as it "
            "says.",
            "Report it with the model's name: a hook was not called, or more than once.",
        )


def sampling_of(plan: Plan) -> Sampling:
    """How the plan's free runs are drawn."""
    return Sampling(plan.seed, 1.0, plan.max_new_tokens)


def _write(
    loaded: LoadedModel,
    layer: int,
    read: list[list[int]],
    names: list[str],
    pushes: Sequence[Push],
    is_decision: Callable[[list[int]], bool],
    sampling: Sampling,
) -> list[Generation]:
    vectors = torch.stack([push.edit.vector for push in pushes]).repeat_interleave(
        len(names), dim=0
    )
    steering = Steering(layer, vectors, "decision", is_decision)
    with progress.bar("free runs", len(read), "traces") as advance:
        keys = names * len(pushes)
        return generate(loaded, read, keys, sampling, steering=steering, progress=advance)


def _rule(patterns: Sequence[Pattern]) -> Callable[[list[int]], bool]:
    return partial(_decides, tuple(patterns))


def _decides(patterns: Sequence[Pattern], ids: list[int]) -> bool:
    return any(pattern.matches(ids) for pattern in patterns)


def _trace(
    loaded: LoadedModel,
    problem_id: str,
    split: str,
    prompt_ids: list[int],
    written: Generation,
    sampling: Sampling,
) -> Trace:
    text = loaded.tokenizer.decode(written.token_ids, skip_special_tokens=True)
    return Trace(
        trace_id=f"{problem_id}/0",
        problem_id=problem_id,
        split=split,
        sample=0,
        prompt_ids=prompt_ids,
        token_ids=written.token_ids,
        text=str(text),
        finish_reason=written.finish_reason,
        sampling=asdict(sampling),
    )
