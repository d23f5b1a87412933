"""Stages as runs of Weights & Biases: what dvc.lock records of each, and what its outs say.

A run is told after its stage, and not by it: only then does DVC know the hashes that tie it to git,
and no stage that runs a model has to know of tracking. Texts of traces, weights and activations are
never sent.
"""

import subprocess
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backtracking.report import hashes, tracking
from backtracking.report.committed import read_table
from backtracking.report.tables import flatten
from lifeboat import project
from lifeboat.stage import artifacts
from lifeboat.stage.errors import UserError

LARGEST = 500_000
"""Bytes of a file of results from which on it is not sent: no person reads it in a table."""

FIGURES, ROWS = (".svg", ".png"), ".jsonl"

DIRECTION = "direction"
"""The job type of a run that holds directions, and the type of its artifact."""


@dataclass(frozen=True)
class Ran:
    """A stage as dvc.lock records it.

    Attributes:
        name: of the stage, with its role behind an `@`.
        params: the parameters that it ran with.
        deps, outs: DVC's hash of each, by path.
    """

    name: str
    params: Mapping[str, Any]
    deps: Mapping[str, str]
    outs: Mapping[str, str]

    @property
    def run_id(self) -> str:
        """The same for the same parameters and outs, so that nothing is told twice."""
        return artifacts.sha256_json([self.name, self.params, self.outs])[:16]


def read_lock(root: Path) -> list[Ran]:
    """Every stage that dvc.lock records, in its order; none where there is no lock.

    Raises:
        UserError: where it cannot be read.
    """
    from ruamel.yaml import YAML, YAMLError

    path = root / "dvc.lock"
    if not path.is_file():
        return []
    try:
        stages = YAML(typ="safe").load(path)["stages"]
        return [_ran(name, stage) for name, stage in stages.items()]
    except (YAMLError, KeyError, TypeError, AttributeError) as error:
        cure = "Bring back the last whole one: `git restore dvc.lock`."
        raise UserError(f"{path} is no lock of DVC: {type(error).__name__}.", cure) from None


def _ran(name: str, stage: Mapping[str, Any]) -> Ran:
    params = {key: one for file in stage.get("params", {}).values() for key, one in file.items()}
    deps, outs = (
        {one["path"]: one.get("md5", "") for one in stage.get(key, ())} for key in ("deps", "outs")
    )
    return Ran(name, params, deps, outs)


def log_stages(root: Path, without: Collection[str] = ()) -> list[str]:
    """Tells of every stage that was not told of before; names of those, in order.

    Args:
        root: the project.
        without: stages that are left out.
    """
    wanted = [ran for ran in read_lock(root) if ran.name not in without]
    return [ran.name for ran in wanted if log_stage(root, ran)]


def log_stage(root: Path, ran: Ran) -> bool:
    """Whether a stage's run was recorded now; it is not where tracking is off, or it was before."""
    if not tracking.is_new(ran.run_id, root):
        return False
    job_type = ran.name.partition("@")[0]
    with tracking.run(job_type, _config(root, ran), root, ran.name, ran.run_id) as run:
        for path in _files(root, ran):
            _log_file(run, path.relative_to(root).as_posix(), path)
        return run.is_recording


def log_running(root: Path, name: str, params: Mapping[str, Any]) -> bool:
    """As `log_stage`, of a stage that has written its outs and still runs.

    It gets the run that dvc.lock will name.
    """
    stage = project.read_yaml(root / "dvc.yaml")["stages"][name]
    entries = [*stage.get("outs", ()), *stage.get("metrics", ())]
    paths = [one if isinstance(one, str) else next(iter(one)) for one in entries]
    outs = {path: hashes.of_path(root / path) for path in paths}
    return log_stage(root, Ran(name, params, {}, outs))


def log_direction(root: Path) -> tuple[str, bool]:
    """The name of the artifact with the matched directions of the place that `steer` chose.

    It says with which hashes of DVC, at which commit of git, they were estimated; beside it stands
    whether it was recorded.

    Raises:
        UserError: where `steer` has not run.
    """
    from backtracking.records.choices import read_choice
    from backtracking.records.directions import read_directions, write_directions

    choice = read_choice(root / "results" / "steer")
    found = read_directions(root / "results" / "directions").of(
        form="matched", window=choice.window, layer=choice.layer
    )
    ran = next((one for one in read_lock(root) if one.name == "directions"), None)
    config = _config(root, ran or Ran("directions", {}, {}, {}))
    name = f"{DIRECTION}-layer-{choice.layer}"
    with (
        tempfile.TemporaryDirectory() as folder,
        tracking.run(DIRECTION, config, root, name) as run,
    ):
        write_directions(Path(folder), found)
        run.artifact(name, DIRECTION, Path(folder), config)
        return name, run.is_recording


def _config(root: Path, ran: Ran) -> dict[str, Any]:
    """What ties a run to git and to DVC, beside its parameters."""
    return {
        "stage": ran.name,
        "params": dict(ran.params),
        "dvc": {"deps": dict(ran.deps), "outs": dict(ran.outs)},
        "git": {"commit": _git(root, "rev-parse", "HEAD"), "is_changed": _is_changed(root)},
    }


def _git(root: Path, *command: str) -> str:
    done = subprocess.run(["git", *command], cwd=root, check=False, capture_output=True)
    return done.stdout.decode("utf-8", "replace").strip() if done.returncode == 0 else ""


def _is_changed(root: Path) -> bool:
    """Whether the lock in this folder is another than the commit's."""
    return bool(_git(root, "status", "--porcelain", "--", "dvc.lock", "params.yaml", "dvc.yaml"))


def _files(root: Path, ran: Ran) -> Iterator[Path]:
    """Figures, rows and small tables in a stage's outs; of a model its training alone."""
    kinds = (".csv",) if ran.name.startswith("weights") else (".csv", ".json", ROWS, *FIGURES)
    for out in map(root.joinpath, ran.outs):
        for path in sorted(out.rglob("*")) if out.is_dir() else [out]:
            is_small = path.suffix == ROWS or path.is_file() and path.stat().st_size <= LARGEST
            if path.suffix in kinds and path.is_file() and is_small:
                yield path


def _log_file(run: tracking.Run, name: str, path: Path) -> None:
    """A figure, a table, the numbers of a record, or how many rows there are of a text."""
    if path.suffix in FIGURES:
        run.figure(name, path)
    elif path.suffix == ROWS:
        with path.open("rb") as file:
            run.summary({f"n_rows/{name}": sum(1 for _ in file)})
    elif path.suffix == ".csv":
        _log_table(run, name, read_table(path.read_text("utf-8")))
    else:
        _log_json(run, name, artifacts.read_json(path))


def _log_table(run: tracking.Run, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """A curve where rows are steps, else a table."""
    if rows and "step" in rows[0]:
        for row in rows:
            run.log({key: float(value) for key, value in row.items() if value})
    else:
        run.table(name, rows)


def _log_json(run: tracking.Run, name: str, found: Any) -> None:
    """Rows as a table, a record as numbers of the run."""
    if isinstance(found, list):
        run.table(name, [flatten(row) for row in found if isinstance(row, dict)])
    elif isinstance(found, dict):
        flat = {k: v for k, v in flatten(found).items() if isinstance(v, int | float | bool)}
        stem = Path(name).stem
        prefix = "" if stem in ("metrics", "summary") else f"{stem}/"
        run.summary({f"{prefix}{key}": value for key, value in flat.items()})
