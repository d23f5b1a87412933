"""Where everything stands: the folders of a project, named once."""

import os
from dataclasses import dataclass
from pathlib import Path

from backtracking import PROJECT_ROOT


@dataclass(frozen=True)
class Roles:
    """The models of the study: section `models` of params.yaml.

    Attributes:
        controls: the control pairs, in which claims must fail: role of each one's model, and role
            of the base that it is paired with.
    """

    controls: dict[str, str]

    @property
    def base_by_role(self) -> dict[str, str]:
        """Every pair, the one under study first: the model's role, and its base's."""
        return {"reasoning": "base"} | self.controls

    @property
    def all(self) -> tuple[str, ...]:
        """Every role, each once; a base stands before what is paired with it."""
        pairs = self.base_by_role.items()
        return tuple(dict.fromkeys(role for pair in pairs for role in reversed(pair)))

    @property
    def bases(self) -> tuple[str, ...]:
        """Roles of the bases, the one under study first."""
        return tuple(dict.fromkeys(self.base_by_role.values()))


@dataclass(frozen=True)
class Workspace:
    """The folders and files of one checkout.

    Attributes:
        root: the folder of params.yaml and dvc.yaml.
    """

    root: Path = PROJECT_ROOT

    @property
    def params(self) -> Path:
        """The parameter file."""
        return self.root / "params.yaml"

    @property
    def problems(self) -> Path:
        """Problems with split and exact answer."""
        return self.root / "data" / "raw" / "problems"

    @property
    def traces(self) -> Path:
        """Traces with token ids."""
        return self.root / "data" / "interim" / "traces"

    @property
    def sentences(self) -> Path:
        """Labelled sentences of the traces."""
        return self.root / "data" / "processed" / "sentences"

    def model(self, role: str) -> Path:
        """Weights of one model of the study, in transformers format."""
        return self.root / "models" / role

    def activations(self, role: str) -> Path:
        """Activation cache of one model."""
        return self.root / "data" / "interim" / "activations" / role

    def results(self, stage: str) -> Path:
        """The one out of an analysis stage."""
        return self.root / "results" / stage

    @property
    def store(self) -> Path:
        """Shards and checkpoints by key, outside every out, so that DVC never deletes them.

        In a queued experiment DVC_ROOT is the live workspace, and so the store is shared.
        """
        return Path(os.environ.get("DVC_ROOT", self.root)) / ".cache" / "store"

    @property
    def logs(self) -> Path:
        """Run logs with times and machine facts; ignored by git and no stage's out."""
        return self.root / "logs"
