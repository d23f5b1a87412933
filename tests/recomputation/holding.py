"""Belief or action: what a patch and a direction do to a later report, at the dose of dev."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from recomputation import resampling
from recomputation.comparing import Compared
from recomputation.directions import direction
from recomputation.parsing import decisions_of, kind_of, sentences_of
from recomputation.study import Study
from safetensors import safe_open
from torch import Tensor

READOUT, EDITS = "b", "E2"


def coefficient(study: Study) -> Iterator[Compared]:
    """What the model's own direction does to the report, as a share of the donor's own change.

    It is undefined where the readout does not tell the donor, or the patch does not raise the
    marker, so that no dose matches it.
    """
    role = study.studied
    layer = min(study.table("steer/choice")["layer"], study.model(role).n_layers - 2)
    where = {"role": role, "layer": layer, "span": EDITS, "readout": READOUT}
    ceiling = _row(study.table("effects/belief/ceilings"), where)
    printed = _row(study.table("effects/belief/betas"), where | {"direction": role})
    doses = study.table("belief/selection")["doses"]
    dose = _row(doses, {"role": role, "layer": layer, "direction": role})
    along = direction(study, role, layer, study.table("steer/choice")["window"])
    push = dose["norm"] * along / along.norm()
    dev = np.array([read(study, one, layer, push) for one in pairs(study, "dev")]).mean(axis=0)
    yield Compared("marker, patched, dev", dose["target"], dev[1, 0] - dev[0, 0], 1e-4)
    yield Compared("marker, at the dose, dev", dose["change"], dev[2, 0] - dev[0, 0], 1e-4)
    test = pairs(study, "test")
    found = np.array([read(study, one, layer, push) for one in test])
    own, natural = ((found[:, arm] - found[:, 0])[:, 1] for arm in (2, 3))
    yield Compared("report, donor's own", ceiling["natural"]["value"], natural.mean(), 1e-4)
    yield Compared("report, patched", _patched(study, layer), found[:, 1, 1].mean(), 1e-4)
    is_defined = natural.mean() > 0 and dose["norm"] > 0
    share = own.mean() / natural.mean() if is_defined else np.nan
    yield Compared("belief, share", printed["share"]["value"], share, 1e-5)
    if is_defined:
        problems = [one["problem_id"] for one in test]
        ends = resampling.bootstrap(own, problems, study.params["statistics"], natural)
        low, high = printed["share"]["low"], printed["share"]["high"]
        yield Compared("belief, share, lower end", low, ends.low, ends.reach_low)
        yield Compared("belief, share, upper end", high, ends.high, ends.reach_high)


def pairs(study: Study, split: str) -> list[dict[str, Any]]:
    """The minimal pairs of a split that have a donor.

    Whether they are what they are called is asked of our own parser: the clean prefix is live, the
    donor over, and they differ where the target is named.
    """
    lines = (study.root / "results/belief/pairs.jsonl").read_text().splitlines()
    chosen = [one for one in map(json.loads, lines) if one["split"] == split and one["donor_ids"]]
    word_by_id = {id_: word for word, id_ in study.id_by_word.items()}
    for one in chosen:
        clean, donor = ([word_by_id[id_] for id_ in one[f"{x}_ids"]] for x in ("clean", "donor"))
        at = clean.index("Target") + 1
        ((target, other),) = {(a, b) for a, b in zip(clean, donor, strict=True) if a != b}
        numbers = [int(word) for word in clean[clean.index("Numbers") + 1 : clean.index(".")]]
        sentences = sentences_of(clean[one["n_prompt"] :], one["n_prompt"])
        last = decisions_of(0, numbers, int(clean[at]), sentences)[-1]
        assert (clean[at], last.position) == (target, len(clean) - 1), one["pair_id"]
        assert last.kind in ("alive", "doomed"), one["pair_id"]
        assert kind_of(last.total, int(other), ()) == "over", one["pair_id"]
    return chosen


def read(study: Study, pair: dict[str, Any], layer: int, push: Tensor) -> np.ndarray:
    """Marker and report of a pair: clean, patched, pushed, and in the donor's own run.

    The marker is the log-odds of "Wait" behind the full stop; the report, after "Check :", those
    of "over" against "under". Every position from the full stop on is edited, but for the last,
    behind which the report is read.
    """
    model, words = study.model(study.studied), study.id_by_word
    asked = [words["Check"], words[":"]]
    at = len(pair["clean_ids"]) - 1
    clean, donor = (model.read([*pair[f"{one}_ids"], *asked]) for one in ("clean", "donor"))
    arms = clean.resid[layer, at:].repeat(3, 1, 1)
    arms[1, :-1] = donor.resid[layer, at:-1]
    arms[2, :-1] += push
    logits = torch.cat([model.behind(clean, layer, at, arms), donor.logits[None, at:]])
    log_p = logits.log_softmax(dim=2)
    wait = log_p[:, 0, words["Wait"]].exp()
    report = log_p[:, -1, words["over"]] - log_p[:, -1, words["under"]]
    return torch.stack([(wait / (1 - wait)).log(), report], dim=1).numpy()


def _patched(study: Study, layer: int) -> float:
    """The mean report under the patch, as it was measured."""
    path = study.root / f"results/belief/measured/{study.studied}.test.safetensors"
    with safe_open(path, "numpy") as file:
        arms = json.loads(file.metadata()["index"])["arms"]
        values = file.get_tensor(READOUT)
    (row,) = (
        n
        for n, one in enumerate(arms)
        if (one["group"], one["where"], one["layer"]) == ("patch", "onwards", layer)
    )
    return float(values[row].mean())


def _row(rows: list[dict[str, Any]], where: dict[str, Any]) -> dict[str, Any]:
    (found,) = (row for row in rows if where.items() <= row.items())
    return found
