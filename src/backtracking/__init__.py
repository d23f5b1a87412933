"""How reasoning models change their mind: an open laboratory, mapped in docs/method.md."""

from pathlib import Path

PROJECT_ROOT = Path(__file__).resolve().parents[2]
