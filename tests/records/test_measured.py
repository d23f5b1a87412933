"""What was measured comes back bit for bit, with what its rows and columns are."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from backtracking.records.measured import (
    Arm,
    Array,
    Measured,
    baseline,
    read_all_measured,
    read_measured,
    write_measured,
)
from backtracking.records.places import Place
from lifeboat.stage.errors import UserError

ARMS = (
    baseline(),
    Arm("reasoning", "matched", 1.0, place=Place("reasoning", "matched", (0, 0), 2), layer=2),
    Arm("reasoning", "matched", -1.0, place=Place("reasoning", "matched", (0, 0), 2), layer=2),
    Arm("random_0", "random", 1.0, layer=2),
    Arm("mlp.1", "mlp", where="other", edit="ablate", layer=1, component="mlp", value="mean"),
)


def measure(arms: tuple[Arm, ...] = ARMS, target: str = "reasoning", seed: int = 0) -> Measured:
    rng = np.random.default_rng(seed)
    p = rng.random((len(arms), 3))
    p[1, 2] = np.nan
    return Measured(
        target,
        "test",
        arms,
        {
            "p_marked": Array("decisions", p),
            "agreement": Array("prefixes", rng.random((len(arms), 2))),
            "norm": Array("arms", rng.random(len(arms))),
        },
        decisions=("a/0@9", "a/0@14", "b/0@9"),
        prefixes=("a/0", "b/0"),
    )


def assert_equal(one: Measured, other: Measured) -> None:
    names = ("target", "run", "arms", "decisions", "prefixes", "pairs")
    assert [getattr(one, name) for name in names] == [getattr(other, name) for name in names]
    assert one.arrays.keys() == other.arrays.keys()
    for name, array in one.arrays.items():
        assert array.axis == other.arrays[name].axis
        assert np.array_equal(array.values, other.arrays[name].values, equal_nan=True)


def test_it_comes_back_bit_for_bit_and_the_same_is_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_measured(tmp_path / f"{name}.safetensors", measure())
    assert_equal(read_measured(tmp_path / "a.safetensors"), measure())
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    assert [one.target for one in read_all_measured(tmp_path)] == ["reasoning"] * 2


def test_it_is_read_without_torch(tmp_path: Path) -> None:
    write_measured(tmp_path / "a.safetensors", measure())
    text = (
        "import sys; from pathlib import Path; from backtracking.records import measured as m;"
        "m.read_measured(Path(sys.argv[1])); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", text, str(tmp_path / "a.safetensors")], check=True)


def test_arms_are_chosen_by_what_they_are(tmp_path: Path) -> None:
    found = measure()
    assert found.arms_of(group="matched", dose=-1.0) == [ARMS[2]]
    assert found.arms_of(where="other") == [ARMS[4]]
    assert len(found.arms_of()) == len(ARMS)
    assert np.array_equal(found.values("p_marked", ARMS[3]), found.values("p_marked")[3])


def test_arms_of_two_runs_on_the_same_columns_stand_together() -> None:
    first, second = measure(ARMS[:2]), measure((baseline(), ARMS[3]), seed=1)
    both = first.with_arms_of(second)
    assert both.arms == (*ARMS[:2], ARMS[3])
    rows = both.values("p_marked", ARMS[3]), second.values("p_marked")[1]
    assert np.array_equal(*rows, equal_nan=True)
    assert both.with_only([0, 2]).arms == (ARMS[0], ARMS[3])
    with pytest.raises(ValueError, match="same columns"):
        first.with_arms_of(measure(target="base"))


def test_an_array_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Expected `p` of shape \(5, 1\), found \(5, 2\)"):
        Measured("a", "test", ARMS, {"p": Array("pairs", np.zeros((5, 2)))}, pairs=("x",))


def test_a_file_without_an_index_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(safetensors.numpy.save({"p": np.zeros(2)}))
    with pytest.raises(UserError, match="has no index in its metadata"):
        read_measured(path)
    path.write_bytes(safetensors.numpy.save({"p": np.zeros(2)}, metadata={"index": "{}"}))
    with pytest.raises(UserError, match="missing"):
        read_measured(path)
    path.write_bytes(b"")
    with pytest.raises(UserError, match="cannot be read"):
        read_measured(path)
