"""Text that a model writes, kept portion by portion: a run that is killed goes on from the last.

A portion is a batch of rows, filed in the store under a hash of all that its tokens depend on. The
rows of a batch, and so their last bits, are those of a run without a store.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args

from backtracking.models.generation import FinishReason, Generation, generate
from backtracking.models.loading import LoadedModel
from backtracking.models.sampling import Sampling
from lifeboat.stage import artifacts, interruption
from lifeboat.stage.errors import UserError


@dataclass
class Portions:
    """The portions of a study's traces.

    Attributes:
        folder: where they stand, outside every out.
        n_threads: CPU threads, on which the last bits depend.
    """

    folder: Path
    n_threads: int
    _paths: list[Path] = field(default_factory=list)

    def generate(
        self,
        loaded: LoadedModel,
        prompts: Sequence[Sequence[int]],
        keys: Sequence[str],
        sampling: Sampling,
        batch_size: int,
        progress: Callable[[int], None],
    ) -> list[Generation]:
        """As `generation.generate`, with only those batches computed that are not in the folder.

        Raises:
            UserError: as `generation.generate`, and where a portion cannot be written.
            SystemExit: with code 75, between two batches, when the process was asked to stop.
        """
        order = sorted(range(len(prompts)), key=lambda row: len(prompts[row]))
        written: dict[int, Generation] = {}
        for rows in (order[at : at + batch_size] for at in range(0, len(order), batch_size)):
            interruption.checkpoint()
            batch = [list(prompts[row]) for row in rows], [keys[row] for row in rows]
            path = self.folder / f"{self._key(loaded, *batch, sampling)}.jsonl"
            found = _read(path, len(rows))
            if found is None:
                found = generate(loaded, *batch, sampling, batch_size=batch_size, progress=progress)
                artifacts.write_jsonl(path, map(asdict, found))
            else:
                progress(len(rows))
            self._paths.append(path)
            written |= dict(zip(rows, found, strict=True))
        interruption.checkpoint()
        return [written[row] for row in range(len(prompts))]

    def remove(self) -> None:
        """Removes the portions, of which nothing is needed once all stands in its out."""
        for path in self._paths:
            path.unlink(missing_ok=True)

    def _key(
        self,
        loaded: LoadedModel,
        prompts: Sequence[Sequence[int]],
        keys: Sequence[str],
        sampling: Sampling,
    ) -> str:
        return artifacts.sha256_json(
            {
                "model": loaded.model_sha256,
                "tokenizer": loaded.tokenizer_sha256,
                "dtype": str(loaded.model.dtype),
                "device": loaded.device.type,
                "n_threads": self.n_threads,
                "versions": {name: version(name) for name in ("torch", "transformers")},
                "sampling": asdict(sampling),
                "prompts": prompts,
                "keys": keys,
            }
        )


def _read(path: Path, n_rows: int) -> list[Generation] | None:
    """A portion; None where it is not there or not whole, and has to be computed."""
    try:
        found = list(_rows(path))
    except (UserError, UnicodeDecodeError, TypeError, ValueError, KeyError):
        return None
    return found if len(found) == n_rows else None


def _rows(path: Path) -> Iterator[Generation]:
    for row in artifacts.read_jsonl(path):
        ids: list[Any] = row["token_ids"]
        reason: FinishReason = row["finish_reason"]
        if set(row) != {"token_ids", "finish_reason"} or reason not in get_args(FinishReason):
            raise ValueError(reason)
        if not ids or not all(type(one) is int and one >= 0 for one in ids):
            raise ValueError(ids)
        yield Generation(ids, reason)
