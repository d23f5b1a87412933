"""Which request of a server is which trace: by all of its token ids, and by nothing else."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

from backtracking.extraction.items import Item
from backtracking.extraction.server_files import Places, StateFile, digest, require_shape
from lifeboat.stage.errors import UserError


class Matching:
    """Which file holds which trace: the one that has its ids, all of them and no others.

    Args:
        files: the requests.
        places: the layers that each has.
        d_model: the width that each has.

    Attributes:
        file_by_trace: what has been found; of several requests of one text each has a trace, and
            a text that was sent once serves all traces that are it.
    """

    def __init__(self, files: Iterable[StateFile], places: Places, d_model: int) -> None:
        self.file_by_trace: dict[int, StateFile] = {}
        self._places, self._d_model = places, d_model
        self._files: dict[bytes, list[StateFile]] = defaultdict(list)
        self._n_traces: Counter[bytes] = Counter()
        self._missing: list[int] = []
        for file in files:
            self._files[digest(file.ids())].append(file)

    def seen(self, items: Iterable[Item]) -> Iterator[Item]:
        """The same traces, each with its file found as they pass.

        Raises:
            UserError: for a file that has not one row a token and layer.
        """
        for item in items:
            key = digest(item.ids)
            if own := self._files.get(key, []):
                file = own[min(self._n_traces[key], len(own) - 1)]
                who = f"{file.path.name} (trace {item.trace})"
                require_shape(file, who, len(item.ids), self._places, self._d_model)
                self.file_by_trace[item.trace] = file
            else:
                self._missing.append(item.trace)
            self._n_traces[key] += 1
            yield item

    def require_complete(self, items: Iterable[Item]) -> None:
        """Checks that each trace has a file, and each file a trace.

        Raises:
            UserError: naming a file or a trace without, and how their ids differ.
        """
        for key, own in self._files.items():
            if not self._n_traces[key]:
                raise UserError(
                    f"{own[0].path} is no trace's: {_nearest(own[0].ids(), items)} "
                    f"{len(self._missing)} traces have no file.",
                    "Send prompt and answer together as ids, with `max_tokens` 1: text may become "
                    "other ids, and the last token that a server writes is never read by it.",
                )
            if len(own) > self._n_traces[key]:
                raise UserError(
                    f"{own[0].path} and {own[-1].path.name} are requests of one text, and "
                    f"{self._n_traces[key]} traces are it, not {len(own)}.",
                    "Move what was sent twice away, after a look at which is whole.",
                )
        if self._missing:
            raise UserError(
                f"Trace {self._missing[0]} has no file, and {len(self._missing) - 1} others.",
                "Ask the server for them too, or give the traces that it was asked for.",
            )


def _nearest(ids: Sequence[int], items: Iterable[Item]) -> str:
    """How some ids differ from those of the trace that they are nearest to, in a sentence."""
    n_alike, skipped, nearest = max(
        ((_n_alike(ids[cut:], item.ids), -cut, item) for item in items for cut in (0, 1)),
        key=lambda found: found[:2],
        default=(0, 0, None),
    )
    if nearest is None:
        return f"it has {len(ids)} ids, and there is no trace."
    behind = " behind the first" if skipped else ""
    return (
        f"the first {n_alike} of its {len(ids)} ids{behind} are those of trace {nearest.trace}, "
        f"which has {len(nearest.ids)}."
    )


def _n_alike(ids: Sequence[int], others: Sequence[int]) -> int:
    pairs = zip(ids, others, strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(ids), len(others)))
