"""A package of a few lines, worked with by real processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[3] / "src"
UNCACHED = {"PYTHONDONTWRITEBYTECODE": "1"}
"""Two edits within one second, of one size, are one to Python's own cache; people are slower."""

FILES = {
    "__init__.py": '"""A study."""\n',
    "deep/__init__.py": "",
    "deep/numbers.py": '"""Numbers."""\n\nSCALE = 3\n"""What is multiplied with."""\n',
    "between.py": "from study.deep import numbers\n\n\ndef scale():\n    return numbers.SCALE\n",
    "apart.py": "def twice(n):\n    return 2 * n\n",
    "work.py": '''\
"""Squares, and who has computed them."""

import json
import os
import signal
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lifeboat.stage.units import Units, kept


@dataclass(frozen=True)
class Square:
    n: int
    value: int


def note(what):
    with open("log", "a") as log:
        log.write(f"{what}\\n")


def square(n):
    from study import between

    note(n)
    time.sleep(float(os.environ.get("SECONDS", "0")))
    if os.environ.get("KILLED_AT") == str(n):
        os.kill(os.getpid(), signal.SIGKILL)
    return Square(n, n * n * between.scale())


def train(start, steps):
    at, total = steps.latest() or (0, start)
    note(f"from {at}")
    for step in range(at + 1, 6):
        total += step
        if step % 2 == 0:
            steps.keep(step, total)
        if os.environ.get("KILLED_AT") == str(step):
            os.kill(os.getpid(), signal.SIGKILL)
    return total


def main():
    units = Units(Path.cwd(), ["study"])
    if sys.argv[1] == "train":
        print(units.resume("models/sum", units.key(partial(train, 100)), partial(train, 100)))
        return
    jobs = [kept(units, "results/squares", partial(square, n)) for n in map(int, sys.argv[1:])]
    print(json.dumps([one().value for one in jobs]))


if __name__ == "__main__":
    main()
''',
}


class Study:
    """A project whose one package is `study`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name, text in FILES.items():
            path = root / "code" / "study" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def start(
        self, *arguments: object, module: str = "study.work", **environment: str
    ) -> subprocess.Popen[str]:
        """A process that works."""
        return subprocess.Popen(
            [sys.executable, "-W", "error", "-m", module, *map(str, arguments)],
            cwd=self.root,
            env={
                **os.environ,
                **UNCACHED,
                "PYTHONPATH": f"{SOURCE}:{self.root / 'code'}",
                **environment,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: object, **environment: str) -> tuple[str, str]:
        """What a process prints and complains of, once it is done."""
        process = self.start(*arguments, **environment)
        said, complained = process.communicate(timeout=60)
        assert process.returncode == (-9 if "KILLED_AT" in environment else 0), complained
        return said.strip(), complained.strip()

    def edit(self, name: str, old: str, new: str) -> None:
        """Puts a text in place of another one in a file of the package."""
        path = self.root / "code" / "study" / name
        assert old in (text := path.read_text())
        path.write_text(text.replace(old, new))

    def log(self) -> list[str]:
        """What was computed since it was asked last."""
        path = self.root / "log"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return lines

    def units(self, out: str) -> list[Path]:
        """The files of an out's units."""
        return sorted((self.root / ".cache" / "store" / out).glob("[!.]*"))


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    monkeypatch.delenv("DVC_ROOT", raising=False)
    return Study(tmp_path)
