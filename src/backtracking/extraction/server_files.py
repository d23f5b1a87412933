"""Hidden states as a server leaves them: a safetensors file a request, read with distrust.

vLLM's `ExampleHiddenStatesConnector` writes `hidden_states` [tokens, layers, d_model] and
`token_ids` [tokens]; speculators' data generation moves the same files to `hs_<n>.safetensors`.
Neither says which layers they are: a layer's id there counts what has passed, so that id 0 is what
block 0 reads and id l + 1 what block l gives out, always before the final norm and ascending.
"""

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from torch import Tensor

from lifeboat.items import some
from lifeboat.stage import artifacts
from lifeboat.stage.errors import UserError

STATES, IDS = "hidden_states", "token_ids"
DTYPES = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}
AGAIN = "Ask the server for this request again, into an empty folder."
_PICKLES = {".pt", ".pth", ".bin", ".ckpt", ".pkl"}


@dataclass(frozen=True)
class Places:
    """Where the states of a request belong.

    Attributes:
        hook: `resid_post` or `resid_pre`.
        ids: the ids that the server was asked for, ascending: the order in which it writes them.
        column_by_layer: number among `ids` of each layer of the hook; an id that is none is
            not stored.
    """

    hook: str
    ids: tuple[int, ...]
    column_by_layer: dict[int, int]

    def named(self, layer: int) -> str:
        """A layer in words."""
        return f"{self.hook} of layer {layer} (id {self.ids[self.column_by_layer[layer]]})"


def places_of(ids: Sequence[int], hook: str, n_layers: int) -> Places:
    """The places of ids.

    Args:
        ids: as the server was asked for them (`eagle_aux_hidden_state_layer_ids`), ascending.
        hook: what to store.
        n_layers: of the model.

    Raises:
        UserError: for an id that the model does not have, or none that the hook has.
    """
    if hook not in ("resid_post", "resid_pre"):
        raise UserError(
            f"A server gives the residual stream, and {hook!r} was asked for.",
            "Use `--hook resid_post` (id l + 1 is layer l) or `resid_pre` (id l is layer l).",
        )
    if ids and not 0 <= min(ids) <= max(ids) <= n_layers:
        raise UserError(f"Expected layer ids from 0 to {n_layers}, found {list(ids)}.")
    shift = 1 if hook == "resid_post" else 0
    columns = {one - shift: column for column, one in enumerate(ids)}
    kept = {layer: column for layer, column in columns.items() if 0 <= layer < n_layers}
    if not kept:
        raise UserError(
            f"No id of {list(ids)} is a {hook}: id 0 is `resid_pre` of layer 0 and id {n_layers} "
            f"is `resid_post` of layer {n_layers - 1}.",
            "Give the other `--hook`, or the ids that the server was asked for.",
        )
    return Places(hook, tuple(ids), kept)


@dataclass(frozen=True)
class StateFile:
    """The file of a request: its header, and its content when it is asked for.

    Attributes:
        path: the file.
        shape: of the states: tokens, layers, width.
        dtype: of the states, as safetensors names it.
        stat: inode, size and time, by which a change is seen.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: str
    stat: tuple[int, ...]

    def ids(self) -> list[int]:
        """The ids of its tokens."""
        with _opened(self.path) as file:
            return file.get_tensor(IDS).tolist()

    def columns(self, columns: Sequence[int]) -> Iterator[tuple[int, Float[Tensor, "pos d_model"]]]:
        """The states of some of its layers, one in memory at a time, each with its number.

        Raises:
            UserError: where the file has changed since it was first looked at.
        """
        with _opened(self.path) as file:
            states = file.get_slice(STATES)
            for column in columns:
                yield column, states[:, column]
        self.require_unchanged()

    def sha256(self) -> str:
        """Hash of the file.

        Raises:
            UserError: where the file has changed since it was first looked at.
        """
        found = artifacts.sha256_file(self.path)
        self.require_unchanged()
        return found

    def require_unchanged(self) -> None:
        """Checks that it is the file that was looked at.

        Raises:
            UserError: naming it.
        """
        if _stat(self.path) != self.stat:
            raise UserError(
                f"{self.path} was changed while it was read.",
                "Wait until the server has finished, and run the same command again.",
            )


def find_files(folder: Path) -> list[StateFile]:
    """The files of a folder by name, their headers read; files of other names are left alone.

    Raises:
        UserError: naming a file that is a pickle, compressed, truncated, still being written, no
            request's, or elsewhere; where there is none.
    """
    if not folder.is_dir():
        raise UserError(
            f"{folder} is no folder.",
            "Give the one that the server wrote into: `shared_storage_path`, or `--output` of "
            "speculators' data generation.",
        )
    paths = sorted(folder.iterdir())
    for path in paths:
        _require_known(path)
    found = [_read_header(path) for path in paths if path.suffix == ".safetensors"]
    if not found:
        raise UserError(
            f"{folder} has no file of a request (*.safetensors); it has "
            f"{some([path.name for path in paths]) or 'nothing'}.",
            "Give the folder that the server wrote into.",
        )
    return found


def digest(ids: Sequence[int]) -> bytes:
    """What stands for a text in memory."""
    return hashlib.blake2b(np.array(ids, dtype=np.int64).tobytes(), digest_size=16).digest()


def _require_known(path: Path) -> None:
    if path.suffix in _PICKLES:
        raise UserError(
            f"{path} is a pickle, which can run code when it is read, and is not opened. "
            "speculators wrote such files before vLLM had `extract_hidden_states`; their states "
            "are wrong where a batch had several texts (its issue 279).",
            "Make the states again with a server that writes safetensors, or here with "
            "`backtracking extract`; or move the file away.",
        )
    if path.suffix == ".zst":
        raise UserError(f"{path} is compressed.", "Unpack it first: `zstd -d`.")
    if path.suffix != ".safetensors":
        return
    if path.resolve().parent != path.parent.resolve():
        raise UserError(
            f"{path} is a link to {path.resolve()}, outside of its folder.",
            "Copy what is behind it into the folder (`cp -L`), or give the other folder.",
        )
    if not path.is_file():
        raise UserError(f"{path} is no file.", "Move it away.")
    if _is_being_written(path.with_name(f"{path.name}.lock")):
        raise UserError(
            f"{path} is still being written.",
            "Wait for the server, and run the same command again.",
        )


def _is_being_written(lock: Path) -> bool:
    """Whether the server holds the lock beside a file, as it does until the file is whole."""
    if not lock.is_file():
        return False
    with contextlib.suppress(OSError), lock.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _read_header(path: Path) -> StateFile:
    stat = _stat(path)
    with _opened(path) as file:
        names = sorted(file.keys())
        if names != [STATES, IDS]:
            fp8 = " Scales are those of an 8-bit copy." if f"{STATES}_scales" in names else ""
            raise UserError(
                f"{path} is no file of a request: expected the tensors {STATES} and {IDS}, found "
                f"{some(names) or 'none'}.{fp8}",
                "Move it away where it is another's; else let the server write with "
                "`ExampleHiddenStatesConnector`.",
            )
        states, ids = file.get_slice(STATES), file.get_slice(IDS)
        if states.get_dtype() not in DTYPES or ids.get_dtype() not in ("I64", "I32"):
            raise UserError(
                f"{path}: expected {', '.join(DTYPES.values())} and ids of whole numbers, found "
                f"{states.get_dtype()} and {ids.get_dtype()}.",
                "Let the server run in bfloat16, and its states be written as they are.",
            )
        if len(states.get_shape()) != 3 or len(ids.get_shape()) != 1:
            raise UserError(
                f"{path}: expected states [tokens, layers, d_model] and ids [tokens], found "
                f"{states.get_shape()} and {ids.get_shape()}.",
                AGAIN,
            )
        return StateFile(path, tuple(states.get_shape()), states.get_dtype(), stat)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"{path} is no whole safetensors file: {error}.",
            f"It was truncated, or is something else. {AGAIN}",
        ) from None


def _stat(path: Path) -> tuple[int, ...]:
    status = os.stat(path)
    return status.st_ino, status.st_size, status.st_mtime_ns


def require_shape(file: StateFile, who: str, n_tokens: int, places: Places, d_model: int) -> None:
    """Checks that a request has one row a token and layer, each as wide as the model.

    Args:
        file: the request.
        who: request and trace, to begin a sentence with.
        n_tokens: of the trace.
        places: the layers that were asked for.
        d_model: width of the model's residual stream.

    Raises:
        UserError: naming the first of these that is otherwise, and what is known to make it so.
    """
    tokens, layers, width = file.shape
    if tokens != n_tokens:
        known = (
            "a server that takes a prefix from its cache, or gives the last chunk of a prompt, "
            "leaves tokens out"
            if tokens < n_tokens
            else "rows of padding are left on"
        )
        raise UserError(
            f"{who} has states of {tokens} tokens, and {n_tokens} ids: {known}.",
            "Serve with `--no-enable-prefix-caching --no-enable-chunked-prefill`. " + AGAIN,
        )
    if layers != len(places.ids):
        raise UserError(
            f"{who} has states of {layers} layers, and {len(places.ids)} ids were given, "
            f"{list(places.ids)}.",
            "Give `--layer-ids` as the server had them in `eagle_aux_hidden_state_layer_ids`; "
            "speculators adds the number of layers to what it is asked for.",
        )
    if width != d_model:
        share = f": {width} is 1/{d_model // width} of it, one rank's share"
        raise UserError(
            f"{who} has states {width} wide, and the model's stream is {d_model} wide"
            f"{share if width and width < d_model and d_model % width == 0 else ''}.",
            "Take the states after ranks are gathered, of the model that is given. " + AGAIN,
        )


def require_sound(
    values: Float[Tensor, "pos d_model"],
    ids: Sequence[int],
    who: str,
    where: str,
    differ: Callable[[int, int], bool],
) -> None:
    """Checks that a layer of a request holds numbers, and each token a row of its own.

    Tokens of one id may have one vector (a text that begins with it again and again); two that
    are embedded differently never do.

    Args:
        values: the layer.
        ids: the tokens.
        who: request and trace, to begin a sentence with.
        where: the layer in words.
        differ: whether the model embeds two tokens differently.

    Raises:
        UserError: naming request, trace, tokens and layer.
    """
    finite = values.isfinite().all(dim=1)
    if not finite.all():
        first = int((~finite).nonzero()[0])
        raise UserError(
            f"{who}: token {first} of {len(ids)} at {where} is not finite, and "
            f"{int((~finite).sum()) - 1} others.",
            "Nothing was published. " + AGAIN,
        )
    first_by_row: dict[int, int] = {}
    rows = values.contiguous().view(torch.uint8).numpy()
    for position, row in enumerate(rows):
        first = first_by_row.setdefault(hash(row.tobytes()), position)
        if differ(ids[first], ids[position]) and np.array_equal(rows[first], row):
            raise UserError(
                f"{who}: tokens {first} and {position} of {len(ids)} at {where} have one and the "
                f"same row, and are different tokens ({ids[first]} and {ids[position]}).",
                "Nothing was published: a row was written twice, or never. " + AGAIN,
            )
