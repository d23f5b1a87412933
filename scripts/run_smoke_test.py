#!/usr/bin/env python3
"""GPU and import verification: the same as `make smoke`, from any Python."""

import os
import sys
from pathlib import Path

COMMAND = Path(__file__).resolve().parents[1] / ".venv" / "bin" / "backtracking"

if __name__ == "__main__":
    if not COMMAND.exists():
        raise SystemExit("There is no environment yet: run `make install`.")
    os.execv(COMMAND, [str(COMMAND), "smoke", *sys.argv[1:]])
