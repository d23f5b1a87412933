"""What the stages found, as the claims read it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Study:
    """Results of the stages, with the pairs that they are about.

    Attributes:
        base_by_role: role of each pair's model and of its base, the pair under study first.
        files: content of results/<stage>/<file>.json under the name `<stage>/<file>`.
    """

    base_by_role: Mapping[str, str]
    files: Mapping[str, Any]

    def rows(self, name: str) -> list[Mapping[str, Any]]:
        """The rows of a file; none where the study has no such file."""
        return self.files.get(name) or []

    @property
    def controls(self) -> list[str]:
        """Roles of the control pairs' models."""
        return list(self.base_by_role)[1:]

    @property
    def layer(self) -> int:
        """The layer that is steered, chosen on dev."""
        return self.files["steer/selection"]["layer"]

    @property
    def window(self) -> str:
        """The window of the matched direction that is steered along, chosen on dev."""
        return self.files["steer/selection"]["window"]

    def pair(self, role: str) -> str:
        """Name of a role's pair in tables of cosines."""
        return f"{self.base_by_role[role]}-{role}"
