"""What an entry of the experiment log tells of the study's results."""

import json
from pathlib import Path
from typing import Any


def lines(root: Path) -> list[str]:
    """The primary claim, then the numbers of each stage in one line."""
    summary, claims = (_json(root / "results" / name) for name in ("summary.json", "claims.json"))
    primary = claims[0] if isinstance(claims, list) and claims else None
    lines = [_claim(primary)] if isinstance(primary, dict) else []
    by_stage: dict[str, list[str]] = {}
    for key, value in (summary if isinstance(summary, dict) else {}).items():
        stage, _, measure = key.partition("_")
        by_stage.setdefault(stage, []).append(f"{measure or stage} {value}")
    return lines + [f"{stage}: {', '.join(values)}" for stage, values in by_stage.items()]


def _claim(claim: dict[str, Any]) -> str:
    numbers = [claim.get(key) for key in ("estimate", "low", "high")]
    parts = claim.get("parts")
    failed = sorted(k for k, v in parts.items() if v == "fails") if isinstance(parts, dict) else []
    because = f" ({', '.join(failed)})" if failed else ""
    pair = f"{claim.get('direction')} -> {claim.get('target')}"
    said = f"Primary claim ({pair}): **{claim.get('verdict')}**{because}"
    if any(not isinstance(number, int | float) for number in numbers):
        return said
    value, low, high = (f"{number:+.3f}" for number in numbers)
    return f"{said}, {value} ({low} to {high}, n = {claim.get('n')}), p = {claim.get('p')}"


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
