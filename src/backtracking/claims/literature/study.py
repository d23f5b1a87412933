"""What the stages found, as the claims read it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from backtracking.records.decisions import Classes
from backtracking.records.rows.choice import Selection
from backtracking.records.rows.table import Row, Tables
from backtracking.records.sentences import Kind

R = TypeVar("R", bound=Row)


@dataclass(frozen=True)
class Study:
    """Results of the stages, with the pairs that they are about.

    Attributes:
        base_by_role: role of each pair's model and of its base, the pair under study first, then
            the control pairs.
        classes: the two classes of decisions that are contrasted.
        kinds: the domain's kinds of decisions; empty where none is known.
        marker: the word that stands for all that open backtracking.
        tables: what the stages found.
        false_by_role: claims that are false of a pair by construction, by its model's role.
    """

    base_by_role: Mapping[str, str]
    classes: Classes
    kinds: tuple[Kind, ...]
    marker: str
    tables: Tables
    false_by_role: Mapping[str, Collection[str]] = field(default_factory=dict)

    def rows(self, table: type[R]) -> list[R]:
        """The rows of a table; none where the study has no such table."""
        return self.tables.rows(table)

    def part(self, file: type[R]) -> R | None:
        """A file that is one record; None where the study has no such file."""
        return self.tables.record(file)

    @property
    def studied(self) -> str:
        """Role of the model under study."""
        return next(iter(self.base_by_role))

    @property
    def base(self) -> str:
        """Role of its base."""
        return self.base_by_role[self.studied]

    @property
    def controls(self) -> list[str]:
        """Roles of the control pairs' models."""
        return list(self.base_by_role)[1:]

    @property
    def dead(self) -> str:
        """The class at which a model should backtrack."""
        return self.classes.positive[0]

    @property
    def live(self) -> str:
        """The class at which it should not."""
        return self.classes.negative[0]

    @property
    def hidden(self) -> str | None:
        """The kind of dead end that a trace does not show; None where none is known."""
        return next((k.name for k in self.kinds if k.standing == "dead" and not k.visible), None)

    @property
    def layer(self) -> int | None:
        """The layer that is steered, chosen on dev."""
        chosen = self.part(Selection)
        return None if chosen is None else chosen.layer

    @property
    def window(self) -> str | None:
        """The window of the matched direction that is steered along, chosen on dev."""
        chosen = self.part(Selection)
        return None if chosen is None else chosen.window

    def false(self, role: str) -> Collection[str]:
        """Claims that are false of a role's pair by construction."""
        return self.false_by_role.get(role, ())

    def pair(self, role: str) -> str:
        """Name of a role's pair in tables of cosines."""
        return f"{self.base_by_role[role]}-{role}"

    def words(self, text: str) -> str:
        """A claim's text with this study's names of the two classes and of the marker."""
        return text.format(dead=self.dead, live=self.live, marker=self.marker)
