"""Where everything stands: the folders of a project and its models, named once."""

import os
from dataclasses import dataclass
from pathlib import Path

from backtracking import PROJECT_ROOT


@dataclass(frozen=True)
class Role:
    """One model of the study: a row of `models.roles`.

    Attributes:
        starts_from: what it is made from, a path that DVC knows: the folder of the model whose
            weights it starts from, or the problems.
        base: role of the base that it is paired with; None for a base.
        repeats: role whose recipe it follows from another seed, in a further pair; None otherwise.
    """

    starts_from: str
    base: str | None
    repeats: str | None

    @property
    def start(self) -> str | None:
        """Role of the model whose weights it starts from; None where it is not one."""
        folder, _, role = self.starts_from.rpartition("/")
        return role if folder == "models" else None


@dataclass(frozen=True)
class Roles:
    """The models of the study: section `models` of params.yaml.

    Attributes:
        roles: every model by its role. Those with a base, beside the one under study, are control
            pairs, in which claims must fail, or repeat the pair under study. One that neither has a
            base nor is any's is a further base, which is read, and never steered.
        studied: role of the model under study; by default the first that has a base.
    """

    roles: dict[str, Role]
    studied: str = ""

    def __post_init__(self) -> None:
        named = [one.base for one in self.roles.values()]
        named += [one.repeats for one in self.roles.values()]
        named += [one.start for one in self.roles.values()]
        unknown = set(filter(None, named)) - set(self.roles)
        if unknown:
            raise ValueError(f"no role is called {', '.join(sorted(unknown))}.")
        paired = [role for role, one in self.roles.items() if one.base]
        if not self.studied and paired:
            object.__setattr__(self, "studied", paired[0])
        if self.studied not in paired:
            raise ValueError(f"`studied` must be a role with a base: one of {paired}.")

    @property
    def base_by_role(self) -> dict[str, str]:
        """Every pair, the one under study first: the model's role, and its base's."""
        paired = {role: one.base for role, one in self.roles.items() if one.base}
        return {self.studied: paired[self.studied]} | paired

    @property
    def base(self) -> str:
        """Role of its base."""
        return self.base_by_role[self.studied]

    @property
    def repeats(self) -> dict[str, str]:
        """Further pairs from other seeds: role of each one's model, and of its base."""
        repeating = {role for role, one in self.roles.items() if one.repeats == self.studied}
        return {role: base for role, base in self.base_by_role.items() if role in repeating}

    @property
    def pairs(self) -> dict[str, str]:
        """The pair under study and those that repeat it: each one's model, and its base."""
        return {self.studied: self.base, **self.repeats}

    @property
    def controls(self) -> list[str]:
        """Roles of the control pairs' models."""
        return [role for role in self.base_by_role if role not in (self.studied, *self.repeats)]

    @property
    def all(self) -> tuple[str, ...]:
        """Every role, each once; a base stands before what is paired with it, further ones last."""
        return tuple(dict.fromkeys((*self.run, *self.roles)))

    @property
    def bases(self) -> tuple[str, ...]:
        """Roles of the bases, the one under study first, those of no pair last."""
        paired = dict.fromkeys(self.base_by_role.values())
        return tuple(paired | dict.fromkeys(r for r, one in self.roles.items() if not one.base))

    @property
    def steered(self) -> tuple[str, ...]:
        """Roles of the study's own models, without further pairs: bases that controls add last."""
        own = {role: base for role, base in self.base_by_role.items() if role not in self.repeats}
        return tuple(dict.fromkeys((self.base, *own, *sorted(own.values()))))

    @property
    def run(self) -> tuple[str, ...]:
        """Roles whose models are steered, those of further pairs too; further bases are not."""
        pairs = self.base_by_role.items()
        return tuple(dict.fromkeys(role for pair in pairs for role in reversed(pair)))

    def sources(self, role: str) -> tuple[str, ...]:
        """Roles whose directions a model is steered along.

        The model under study along every other's and every base's, those of further pairs too. The
        others along the pair's under study and their own; a base also along those of all models
        that are paired with it.
        """
        if role == self.studied:
            own = {*self.steered, *self.bases}
            return tuple(one for one in self.all if one in own)
        above = [one for one, base in self.base_by_role.items() if base == role]
        above = [one for one in above if one not in self.repeats]
        base = self.base_by_role.get(role, role)
        return tuple(dict.fromkeys((self.base, self.studied, base, role, *above)))

    def recipe(self, role: str) -> str:
        """The recipe that a role follows: its own, or that of the role that it repeats."""
        return self.roles[role].repeats or role


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
    def labels(self) -> Path:
        """Sentences, decisions, minimal pairs and words of the traces."""
        return self.root / "data" / "processed" / "labels"

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
