"""What benchmarks of interleaved variants share: their options, the rows of tables, the files."""

import argparse
import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from lifeboat.stage import artifacts

CLOCKS = {"wall": time.perf_counter, "process": time.process_time}

Row = dict[str, Any]


def parser(doc: str | None, sizes: Iterable[str]) -> argparse.ArgumentParser:
    """The options that all of them have."""
    found = argparse.ArgumentParser(description=str(doc).splitlines()[0])
    found.add_argument("--size", choices=sizes, default="135m")
    found.add_argument("--device", default="cpu")
    found.add_argument("--rounds", type=int, default=5)
    found.add_argument("--threads", type=int, default=2)
    found.add_argument("--clock", choices=CLOCKS, default="wall")
    found.add_argument("--load", default="quiet", help="what else the machine does, in a word")
    found.add_argument("--file", action="store_true", help="write the table beside this script")
    found.add_argument("--json", action="store_true")
    return found


def row(
    name: str,
    medians: Mapping[str, float],
    ratio: str,
    ratios: Sequence[float],
    options: argparse.Namespace,
) -> Row:
    """A variant's medians, then a ratio's median with its ends over the rounds, and how it ran."""
    return {
        "variant": name,
        **medians,
        ratio: statistics.median(ratios),
        "low": min(ratios),
        "high": max(ratios),
        "rounds": len(ratios),
        "clock": options.clock,
        "threads": options.threads,
        "load": options.load,
    }


def tell(rows: list[Row], benchmark: str, options: argparse.Namespace) -> str:
    """Prints a table, and files it where that is asked for; the device's name."""
    for one in rows:
        cells = (f"{v:.4g}" if isinstance(v, float) else str(v) for v in list(one.values())[1:])
        print(f"{one['variant']!s:36}" + "".join(f"{cell:>11}" for cell in cells))
    device = torch.cuda.get_device_name() if options.device != "cpu" else "cpu"
    if options.file:
        named = f"{benchmark}-{options.size}.{device.replace(' ', '-').lower()}.csv"
        artifacts.write_csv(Path(__file__).parent / named, rows, list(rows[0]))
    return device
