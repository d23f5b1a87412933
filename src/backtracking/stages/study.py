"""What stages after `label` read, opened once and only when it is asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from backtracking.records import reader
from backtracking.records.columns import Sentences
from backtracking.records.decisions import Classes, Decisions
from backtracking.records.pairs import MinimalPair, read_pairs
from backtracking.records.posteriors import Laws, Posteriors, read_laws, read_posteriors
from backtracking.records.sentences import (
    Kind,
    Sentence,
    read_decisions,
    read_kinds,
    read_sentences,
)
from backtracking.records.tokens import Tokens, read_tokens
from backtracking.records.traces import Problem, TokenSpan, Trace
from backtracking.runtime import params
from backtracking.runtime.workspace import Roles, Workspace
from lifeboat.stage.errors import UserError
from lifeboat.stage.units import Units

if TYPE_CHECKING:  # torch: a stage without models does without it
    from backtracking.activations.reader import ActivationStore
    from backtracking.models.loading import LoadedModel
    from backtracking.records.directions import Directions


@dataclass(frozen=True)
class Study:
    """The records and models of a study.

    Attributes:
        workspace: where they stand.
        device: where models are loaded, as torch names it, or `auto`.
    """

    workspace: Workspace
    device: str = "cpu"

    @cached_property
    def units(self) -> Units:
        """The store of expensive work; opened first, so that its code is what the process runs."""
        return Units(self.workspace.root, ("backtracking",))

    @cached_property
    def roles(self) -> Roles:
        """The models of the study."""
        return params.load(Roles, "models", self.workspace.params)

    @cached_property
    def classes(self) -> Classes:
        """The two classes of decisions that are contrasted."""
        return params.load(Classes, "contrast", self.workspace.params)

    @cached_property
    def primary(self) -> str:
        """The labeller whose labels the study rests on."""
        return params.load_value(str, "label.primary", self.workspace.params)

    @cached_property
    def problems(self) -> list[Problem]:
        """The problems."""
        return reader.read_lines(Problem, self.workspace.problems / "problems.jsonl")

    @cached_property
    def traces(self) -> list[Trace]:
        """The sampled traces of the model under study."""
        return reader.read_lines(Trace, self.workspace.traces / "traces.jsonl")

    @cached_property
    def kinds(self) -> tuple[Kind, ...]:
        """The domain's kinds of decisions; empty where none is ever known."""
        return read_kinds(self.workspace.labels / "kinds.json")

    @cached_property
    def sentences(self) -> Sentences:
        """All sentences of the traces, with the primary labels."""
        return self.sentences_by(self.primary)

    def sentences_by(self, labeller: str) -> Sentences:
        """All sentences that a labeller has labelled, with its labels."""
        return Sentences.gather(self._records, self.traces, self.kinds, labeller)

    @cached_property
    def _records(self) -> list[Sentence]:
        return read_sentences(self.workspace.labels / "sentences.jsonl")

    @cached_property
    def decisions(self) -> Decisions:
        """All decisions of the traces."""
        records = read_decisions(self.workspace.labels / "decisions.jsonl")
        return Decisions.gather(records, self.traces, self.kinds)

    @cached_property
    def tokens(self) -> Tokens:
        """The words of the study as ids."""
        return read_tokens(self.workspace.labels / "tokens.json")

    @cached_property
    def pairs(self) -> list[MinimalPair] | None:
        """Minimal pairs; None where the domain has none."""
        return read_pairs(self.workspace.labels / "pairs.jsonl")

    @cached_property
    def posteriors(self) -> dict[str, Posteriors] | None:
        """What each prefix tells of the decision ahead, by trace; None where it is not known."""
        return read_posteriors(self.workspace.labels / "posteriors.safetensors")

    @cached_property
    def laws(self) -> dict[str, Laws] | None:
        """What each sentence tells of the next, by trace; None where it is not known."""
        return read_laws(self.workspace.labels / "laws.safetensors")

    @cached_property
    def directions(self) -> "Directions":
        """The directions of the stage `directions`."""
        from backtracking.records.directions import read_directions

        return read_directions(self.workspace.results("directions"))

    def models(self, roles: Sequence[str] | None = None) -> "dict[str, LoadedModel]":
        """Models by role, of all roles where none is named; equal weights are loaded once."""
        from backtracking.models import folders, loading

        dtype = params.load_value(str, "loading.dtype", self.workspace.params)
        found: dict[str, LoadedModel] = {}
        for role in self.roles.all if roles is None else roles:
            folder = self.workspace.model(role)
            hashes = folders.hashes(folder)
            equal = (
                one for one in found.values() if (one.model_sha256, one.tokenizer_sha256) == hashes
            )
            loaded = next(equal, None)
            found[role] = loaded or loading.load(
                folder, device=self.device, dtype=dtype, hashes=hashes
            )
        return found

    def store(self, role: str) -> "ActivationStore":
        """The activations of a role."""
        from backtracking.activations.reader import ActivationStore

        return ActivationStore(self.workspace.activations(role))

    def permuted_store(self, role: str) -> "ActivationStore":
        """The activations of a role over permuted traces.

        Raises:
            UserError: where there are none.
        """
        from backtracking.activations.permuted import FOLDER, PermutedStore, moved

        folder = self.workspace.activations(role) / FOLDER
        if not folder.is_dir():
            raise UserError(
                f"The control `permuted` needs activations of `{role}` over permuted traces.",
                f"Add `{role}` to `extract.permuted` of params.yaml.",
            )
        spans: list[dict[int, TokenSpan]] = [{} for _ in self.traces]
        row = {trace.trace_id: at for at, trace in enumerate(self.traces)}
        for one in self._records:
            spans[row[one.trace_id]][one.index] = TokenSpan(one.start, one.end)
        lengths = (len(trace.ids) for trace in self.traces)
        both = enumerate(zip(spans, lengths, strict=True))
        return PermutedStore(folder, {at: moved(at, its, n) for at, (its, n) in both})
