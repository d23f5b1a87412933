"""What a study of the size of the internet costs, as docs/scale.md has it.

Measured numbers are those that `benchmarks/scale.py` filed; costs follow from `models.cost` and the
assumptions of `Asked`.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from backtracking.models.cost import GPUS, seconds
from backtracking.models.published import Shape
from backtracking.models.sizes import BYTES_BY_DTYPE
from backtracking.models.work import Work
from backtracking.report.committed import show
from backtracking.report.words import markdown

MEASURED = "benchmarks/scale.cpu.csv"

NOTHING = "Not measured: `python benchmarks/scale.py --file` measures it."

TIMED: Mapping[str, str] = {
    "units_made": "units made, each with its claim, hash and rename",
    "units_found": "units found again by a new process",
    "units_added": "units made where so many are already",
    "manifest_written": "rows of an activation manifest written",
    "manifest_read": "rows of an activation manifest read",
    "dir_object_read": "entries of one of DVC's lists of a folder read",
    "folder_listed": "keys of a folder remote listed",
    "s3_listed": "keys of an S3 remote listed, network left out",
    "dvc_added": "files of a folder in `dvc add`",
    "dvc_looked": "the same files in a `dvc status` without changes",
}
"""What each row of the table measures."""


@dataclass(frozen=True)
class Asked:
    """The study that is priced, and what is assumed of prices.

    Attributes:
        shape: of the model, Llama 3.3 70B.
        dtype: of weights and activations.
        n_traces: how many.
        n_tokens: of a trace, its prompt included.
        n_prompt: of its prompt.
        sentence_tokens: of a sentence.
        unit_traces: traces of a unit, as params.yaml has it.
        gpu, n_gpus: one replica of the model.
        rows: traces that a replica writes at once.
        hour_dollars: of one GPU.
        month_dollars: of a gigabyte in an object store.
        put_dollars, list_dollars: of a thousand requests.
    """

    shape: Shape = Shape(80, 8192, 28672, 64, 8, 128256)
    dtype: str = "bfloat16"
    n_traces: int = 100_000
    n_tokens: int = 4096
    n_prompt: int = 96
    sentence_tokens: int = 20
    unit_traces: int = 64
    gpu: str = "H100"
    n_gpus: int = 4
    rows: int = 64
    hour_dollars: float = 3.0
    month_dollars: float = 0.023
    put_dollars: float = 0.005
    list_dollars: float = 0.005

    @property
    def state_bytes(self) -> int:
        """Of one token at all layers."""
        return self.shape.n_layers * self.shape.d_model * BYTES_BY_DTYPE[self.dtype]


ASKED = Asked()


def blocks(root: Path, revision: str, asked: Asked = ASKED) -> dict[str, str]:
    """The blocks of docs/scale.md by name.

    Args:
        root: the project.
        revision: as git names it.
        asked: what is priced.
    """
    text = show(root, revision, MEASURED)
    rows = list(csv.DictReader(text.splitlines())) if text else []
    return {
        "scale-assumed": _assumed(asked),
        "scale-hours": _hours(asked),
        "scale-bytes": _bytes(asked),
        "scale-measured": _measured(rows) if rows else NOTHING,
        "scale-breaks": _breaks(rows, asked) if rows else NOTHING,
    }


def gpu_hours(asked: Asked, work: Work, *, in_turn: bool) -> float:
    """GPU hours of a piece of work.

    Args:
        asked: the study.
        work: what is done.
        in_turn: whether the cards of a replica work one after the other, as `device_map` has them.
    """
    replica = GPUS[asked.gpu].times(asked.n_gpus, in_turn=in_turn)
    return asked.n_gpus * seconds(work, asked.shape, replica, asked.dtype) / 3600


def _works(asked: Asked) -> dict[str, Work]:
    n_all = asked.n_traces * asked.n_tokens
    n_new = asked.n_traces * (asked.n_tokens - asked.n_prompt)
    return {
        "the traces are written": Work("traces", "", 0, n_new, asked.rows, asked.n_tokens / 2),
        "all their tokens are read, for activations": Work("extract", "", read=n_all),
    }


def _assumed(asked: Asked) -> str:
    billions = asked.shape.n_parameters / 1e9
    return (
        f"Assumed: {billions:.1f}B parameters, {asked.shape.n_layers} layers of d_model "
        f"{asked.shape.d_model:,}, {asked.dtype}; {asked.n_traces:,} traces of {asked.n_tokens:,} "
        f"tokens, {asked.n_prompt} of them prompt, sentences of {asked.sentence_tokens}; a replica "
        f"is {asked.n_gpus} {asked.gpu} at ${asked.hour_dollars:.2f} an hour each and writes "
        f"{asked.rows} traces at once; storage ${asked.month_dollars} a GB and month; puts and "
        f"listings ${asked.put_dollars} a thousand. The share of a data sheet that is had in "
        "practice is guessed (`models/work.py`)."
    )


def _hours(asked: Asked) -> str:
    rows = []
    for what, work in _works(asked).items():
        for how, in_turn in (("together", False), ("in turn (`device_map`)", True)):
            hours = gpu_hours(asked, work, in_turn=in_turn)
            rows.append([what, how, f"{hours:,.0f}", f"{hours * asked.hour_dollars:,.0f}"])
    return markdown(["work", "cards of a replica work", "GPU hours", "dollars"], rows)


def _bytes(asked: Asked) -> str:
    n_tokens = asked.n_traces * asked.n_tokens
    n_units = -(-asked.n_traces // asked.unit_traces)
    kept = {
        "every token, every layer": n_tokens,
        "one row a sentence, every layer": n_tokens / asked.sentence_tokens,
    }
    rows = [
        [
            what,
            f"{n * asked.state_bytes / 1e12:,.1f}",
            f"{n * asked.state_bytes / n_units / 1e9:,.1f}",
            f"{n_units:,}",
            f"{n * asked.state_bytes / 1e9 * asked.month_dollars:,.0f}",
        ]
        for what, n in kept.items()
    ]
    return markdown(["kept", "TB", "GB a shard", "shards", "dollars a month"], rows)


def _measured(rows: list[dict[str, str]]) -> str:
    found = [
        [TIMED[row["what"]], f"{int(row['n']):,}", row["seconds"], f"{int(row['per_second']):,}",
         row["memory_mb"]]
        for row in rows
    ]  # fmt: skip
    return markdown(["what", "how many", "seconds", "a second", "memory, MB"], found)


def _breaks(rows: list[dict[str, str]], asked: Asked) -> str:
    rate = {row["what"]: float(row["per_second"]) for row in rows}
    cut = {
        f"{asked.unit_traces} traces a file": -(-asked.n_traces // asked.unit_traces),
        "a trace a file": asked.n_traces,
        "a trace and layer a file": asked.n_traces * asked.shape.n_layers,
    }
    timed = ("units_made", "manifest_read", "s3_listed", "dvc_added", "dvc_looked")
    found = [
        [what, f"{n:,}", *(f"{n / rate[one] / 60:,.1f}" for one in timed),
         f"{n / 1000 * asked.put_dollars:,.2f}", f"{n / 1e6 * asked.list_dollars:,.4f}"]
        for what, n in cut.items()
    ]  # fmt: skip
    heads = ["make units", "read manifest", "list", "`dvc add`", "`dvc status`"]
    columns = ["cut as", "objects", *(f"{one}, min" for one in heads)]
    return markdown([*columns, "puts, $", "a listing, $"], found)
