"""The stage on traces that the policy itself wrote, with models that have learnt nothing."""

from dataclasses import replace
from pathlib import Path

import pytest
from tiny_study import TinyStudy, make_models, write_study

from backtracking.runtime.forks import Cores
from backtracking.stages.stability import Params, Result, run
from lifeboat.stage.units import Units

CORES = Cores(1, 1, "cpu")
PARAMS = Params(True, 2, 12, 0.5, 64, 0, CORES)


@pytest.fixture(scope="module")
def study() -> TinyStudy:
    """A study whose traces say how they were sampled."""
    found = write_study(12, splits=("train",) * 11 + ("test",))
    sampled = [replace(trace, sampling={"temperature": 1.0}) for trace in found.traces]
    return replace(found, traces=sampled)


def written(folder: Path) -> dict[Path, int]:
    """When each file below a folder was written."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_every_event_of_the_train_problems_is_regenerated_and_kept(
    study: TinyStudy, tmp_path: Path
) -> None:
    models = make_models(tmp_path, ("reasoning", "shuffled"))
    units = Units(tmp_path, ("backtracking",))

    def regenerated(params: Params) -> Result:
        tokens = study.labelled.tokens
        return run(params, units, models, tokens, study.traces, study.decisions)

    found = regenerated(PARAMS)
    decisions = study.decisions.of(split="train").open()
    actions = dict(zip(decisions.ids, decisions.action, strict=True))
    assert "idles" in actions.values()
    turned = {name for name, action in actions.items() if action == "turns"}
    for role in models:
        its = {event.decision_id for event in found.events if event.role == role}
        assert its == turned
    assert len(found.events) == 2 * len(turned) > 20
    for event in found.events:
        assert event.is_backtracking and event.n in (0, 2) and event.n_backtracking <= event.n
    assert found.metrics.n_events == len(turned)
    kept = written(tmp_path / ".cache" / "store")
    assert kept and regenerated(PARAMS) == found
    assert written(tmp_path / ".cache" / "store") == kept
    off = regenerated(replace(PARAMS, enabled=False))
    assert off.events == [] and off.metrics.n_events == off.metrics.n_regenerations == 0


@pytest.mark.parametrize(("n", "threshold"), [(0, 0.5), (2, 0.0), (2, 1.5)])
def test_settings_that_weigh_nothing_are_refused(n: int, threshold: float) -> None:
    with pytest.raises(ValueError, match="must be"):
        Params(True, n, 12, threshold, 64, 0, CORES)
