"""`.env` read as data: names and values, nothing in it is run or expanded."""

import os
from pathlib import Path

from dotenv import dotenv_values


def load(root: Path) -> None:
    """Sets variables of `.env` that this process does not have; an empty value counts as none."""
    for name, value in dotenv_values(root / ".env", interpolate=False).items():
        if value and not os.environ.get(name):
            os.environ[name] = value
