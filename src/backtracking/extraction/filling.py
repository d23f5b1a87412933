"""Units that are missing: claimed, computed, written.

A GPU computes the next unit while one is being written. Processors would only share themselves out
between the two, which gains nothing (measured: 0.1 %), and a crash would cost both units.
"""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import torch
from torch import Tensor

from backtracking.activations.finite import require_finite, require_finite_file
from backtracking.activations.format import COLUMNS, Shard, tensor_name
from backtracking.extraction import planning
from backtracking.extraction.items import Item
from backtracking.extraction.planning import Unit
from backtracking.extraction.reuse import Shelf
from backtracking.extraction.running import (
    Reader,
    run_unit,
    shard_tensors,
    unit_rows,
)
from backtracking.extraction.store import Origin
from backtracking.models.room import is_out_of_memory
from lifeboat.stage import interruption, progress

_POLL_S = 0.1


class Filler:
    """Puts missing units into a store that other processes may be filling as well.

    A context: its end waits for the shard that is being written.

    Args:
        reader: the model.
        items: all traces.
        shelf: the store.
        shown: whether progress is shown.
    """

    def __init__(
        self, reader: Reader, items: Sequence[Item], shelf: Shelf, *, shown: bool = True
    ) -> None:
        self.n_assembled = 0
        self._planned, self._reader = reader.request, reader
        self._items, self._shelf, self._shown = items, shelf, shown
        self._writer = ThreadPoolExecutor(1, "writer", initializer=_yield_to_others)
        self._writing: Future[Shard] | None = None
        self._n_bytes = 0

    def __enter__(self) -> "Filler":
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.shutdown(wait=True)
        self._shelf.store.close()

    def fill(self, units: Sequence[Unit]) -> dict[str, Shard]:
        """As `start`, and waits for the last shard to be written."""
        return {key: future.result() for key, future in self.start(units).items()}

    def start(self, units: Sequence[Unit], what: str = "extracting") -> dict[str, Future[Shard]]:
        """Computes the units, or waits for those that another process has in hand.

        Args:
            units: what to compute.
            what: the words for it beside the progress.

        Returns:
            The shard of each unit, by the unit's key; the last may still be being written.

        Raises:
            SystemExit: with code 75, between two units, when the process was asked to stop.
        """
        futures: dict[str, Future[Shard]] = {}
        n_tokens = sum(unit.n_tokens for unit in units)
        shown = self._shown and n_tokens > 0
        with progress.bar(what, n_tokens, "tokens", self._detail, shown) as advance:
            waiting = list(units)
            while waiting:
                elsewhere = []
                for unit in waiting:
                    interruption.checkpoint()
                    if (future := self._take(unit, advance)) is None:
                        elsewhere.append(unit)
                    else:
                        futures[unit.key] = future
                if len(elsewhere) == len(waiting):
                    time.sleep(_POLL_S)
                waiting = elsewhere
        return futures

    def _take(self, unit: Unit, advance: Callable[[int], None]) -> Future[Shard] | None:
        """The unit's shard, computed unless it is there; None while another process has it."""
        store = self._shelf.store
        if not store.claim(unit.key):
            return None
        if (shard := store.find(unit.key)) is None:
            return self._compute(unit, advance)
        store.release(unit.key)
        self.require_finite(shard)
        advance(unit.n_tokens)
        found: Future[Shard] = Future()
        found.set_result(shard)
        return found

    def require_finite(self, shard: Shard) -> None:
        """Checks a shard that was there already, as those are checked that are written here.

        Raises:
            UserError: naming trace and layer of a value that is infinite or not a number.
        """
        request = self._planned
        require_finite_file(self._shelf.store.path(shard.key), request.hook, request.layers)

    def _compute(self, unit: Unit, advance: Callable[[int], None]) -> Future[Shard]:
        items = unit.items(self._items)
        made, tensors = self._run(unit, items, advance)
        origin = Origin(
            made.base,
            made.spans,
            self._planned.layers,
            unit.key,
            self._reader.request.tokens_per_batch,
        )
        if self._writing is not None:
            self._writing.result()
        self._writing = self._writer.submit(self._write, made.key, tensors, origin)
        if self._reader.model.device.type == "cpu":
            self._writing.result()
        return self._writing

    def _run(
        self, unit: Unit, items: Sequence[Item], advance: Callable[[int], None]
    ) -> tuple[Unit, dict[str, Tensor]]:
        """The unit's tensors, with half the tokens in a batch for as often as memory ends."""
        while True:
            request = self._reader.request
            if request is not self._planned:
                reader = self._reader
                unit = planning.plan_unit(
                    items, request, reader.identity, unit.first, reader.formula
                )
            n_done = 0

            def done(n_tokens: int) -> None:
                nonlocal n_done
                n_done += n_tokens
                advance(n_tokens)

            try:
                return unit, self._tensors(unit, items, done)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
            # Out of the handler: the error holds the tensors that take the memory.
            advance(-n_done)
            self._halve()

    def _tensors(
        self, unit: Unit, items: Sequence[Item], done: Callable[[int], None]
    ) -> dict[str, Tensor]:
        partial = self._shelf.partial(self._reader, unit, items)
        if partial.layers or not unit.n_rows:
            return run_unit(self._reader, items, partial, done)
        self.n_assembled += 1
        done(unit.n_tokens)
        return shard_tensors(
            self._reader.request.hook, partial, unit_rows(items, self._reader.request)
        )

    def _halve(self) -> None:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        self._reader = replace(self._reader, request=planning.halved(self._reader.request))
        print(
            f"Out of memory: going on with {self._reader.request.tokens_per_batch} tokens in a "
            "batch.",
            file=sys.stderr,
        )

    def _write(self, key: str, tensors: dict[str, Tensor], origin: Origin) -> Shard:
        for layer in self._planned.layers:
            values = tensors[tensor_name(self._planned.hook, layer)]
            require_finite(values, tensors["trace"], layer)
        shard = self._shelf.store.write(key, tensors, origin)
        self._shelf.store.release(origin.asked)
        self._reader.mover.memory.give_back(
            tensor for name, tensor in tensors.items() if name not in COLUMNS
        )
        self._n_bytes += shard.bytes
        return shard

    def _detail(self) -> str:
        return f"{self._n_bytes / 1e6:,.0f} MB written"


def _yield_to_others() -> None:
    """Lets the calling thread have what the forward pass leaves of the processors."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)
