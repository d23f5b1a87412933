"""What prefixes tell comes back trace by trace, and is None where nobody knows it."""

from pathlib import Path

import numpy as np
import pytest

from backtracking.records.posteriors import (
    Laws,
    Posteriors,
    read_laws,
    read_posteriors,
    write_laws,
    write_posteriors,
)
from lifeboat.stage.errors import UserError

KINDS = ("over", "alive")


def posteriors(n_tokens: int, n_decisions: int, first: int) -> Posteriors:
    rng = np.random.default_rng(n_tokens)
    p = rng.random((n_tokens, 2))
    p[-1:] = np.nan
    places = [np.arange(n_decisions) + offset for offset in range(4)]
    return Posteriors(KINDS, first, p, *places)


FOUND = {"a/0": posteriors(4, 2, 7), "a/1": posteriors(0, 0, 3), "b/0": posteriors(5, 1, 9)}


def test_posteriors_come_back_trace_by_trace(tmp_path: Path) -> None:
    write_posteriors(tmp_path / "p.safetensors", FOUND)
    found = read_posteriors(tmp_path / "p.safetensors")
    assert found is not None and list(found) == list(FOUND)
    for name, one in found.items():
        assert (one.kinds, one.first) == (KINDS, FOUND[name].first)
        for column in ("p_kind", "start", "end", "pending", "known"):
            expected = getattr(FOUND[name], column)
            assert np.array_equal(getattr(one, column), expected, equal_nan=True)
    assert np.array_equal(found["a/0"].p(("over",)), FOUND["a/0"].p_kind[:, 0], equal_nan=True)
    assert np.array_equal(found["b/0"].p(KINDS), FOUND["b/0"].p_kind.sum(axis=1), equal_nan=True)


def test_laws_come_back_trace_by_trace(tmp_path: Path) -> None:
    laws = {"a/0": Laws(("x", "END"), np.eye(2)), "b/0": Laws(("x", "END"), np.full((3, 2), 0.5))}
    write_laws(tmp_path / "l.safetensors", laws)
    found = read_laws(tmp_path / "l.safetensors")
    assert found is not None and list(found) == ["a/0", "b/0"]
    assert found["a/0"].symbols == ("x", "END")
    assert all(np.array_equal(found[name].p, one.p) for name, one in laws.items())


def test_an_absent_file_is_none(tmp_path: Path) -> None:
    assert read_posteriors(tmp_path / "none") is None and read_laws(tmp_path / "none") is None


def test_another_file_is_told(tmp_path: Path) -> None:
    write_posteriors(tmp_path / "p.safetensors", FOUND)
    with pytest.raises(UserError, match=r"expected \['p'\], found"):
        read_laws(tmp_path / "p.safetensors")
    with pytest.raises(ValueError, match="same columns"):
        write_posteriors(tmp_path / "p.safetensors", {})
