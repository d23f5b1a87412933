"""Units in real processes: nothing is made twice, nothing old or broken is taken for new."""

import os
import re
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from lifeboat.stage import artifacts
from lifeboat.stage.errors import UserError
from lifeboat.stage.units import Units, kept

OUT = "results/squares"
KEY = "0" * 64


def scaled(array: np.ndarray) -> np.ndarray:
    return 2 * array.T


@pytest.fixture
def units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Units:
    monkeypatch.delenv("DVC_ROOT", raising=False)
    return Units(tmp_path, ["backtracking", "lifeboat"])


def test_a_unit_is_made_once_whatever_is_done_to_docstrings_and_comments(study) -> None:
    assert study.run(1, 2) == ("[3, 12]", "")
    assert study.log() == ["1", "2"]
    study.edit("deep/numbers.py", '"""Numbers."""', '"""The numbers\nof the study."""  # two lines')
    study.edit("deep/numbers.py", '"""What is multiplied with."""', "# a factor")
    study.edit("between.py", "return numbers.SCALE", "return (\n        numbers.SCALE\n    )")
    study.edit("apart.py", "2 * n", "3 * n")
    assert study.run(1, 2, 3) == ("[3, 12, 27]", "")
    assert study.log() == ["3"]


def test_a_constant_edited_in_a_deep_module_makes_it_anew_and_the_old_one_stays(study) -> None:
    study.run(1)
    study.edit("deep/numbers.py", "SCALE = 3", "SCALE = 5")
    assert study.run(1)[0] == "[5]"
    study.edit("deep/numbers.py", "SCALE = 5", "SCALE = 3")
    assert study.run(1)[0] == "[3]"
    assert study.log() == ["1", "1"]
    assert len(study.units(OUT)) == 2


def test_a_killed_run_loses_the_unit_in_hand_and_no_other(study) -> None:
    study.run(1, 2, 3, KILLED_AT="2")
    assert study.log() == ["1", "2"]
    assert len(study.units(OUT)) == 1
    assert study.run(1, 2, 3) == ("[3, 12, 27]", "")
    assert study.log() == ["2", "3"]


def test_processes_share_the_work_and_give_the_same(study) -> None:
    numbers = range(1, 7)
    orders = [numbers, [*reversed(numbers)], [3, 1, 6, 4, 2, 5]]
    processes = [study.start(*order, SECONDS="0.1") for order in orders]
    said = [process.communicate(timeout=60) for process in processes]
    for order, (values, complained) in zip(orders, said, strict=True):
        assert (values.strip(), complained) == (str([3 * n * n for n in order]), "")
    assert sorted(study.log()) == [str(n) for n in numbers]


def test_who_waits_for_a_process_that_dies_makes_the_unit_itself(study) -> None:
    slow = study.start(4, SECONDS="60")
    while not (study.root / "log").exists():
        time.sleep(0.02)
    waiting = study.start(4)
    time.sleep(0.5)
    assert waiting.poll() is None
    slow.kill()
    slow.communicate()
    assert waiting.communicate(timeout=60)[0] == "[48]\n"
    assert study.log() == ["4", "4"]


@pytest.mark.parametrize("damage", [lambda b: b[:-5], lambda b: b[:-5] + b"     "])
def test_a_unit_that_is_not_whole_is_made_again_and_this_is_said(study, damage) -> None:
    study.run(1, 2)
    path = study.units(OUT)[0]
    path.write_bytes(damage(path.read_bytes()))
    study.log()
    values, complained = study.run(1, 2)
    assert values == "[3, 12]"
    assert complained.endswith("is truncated or altered, and is made again.")
    assert len(study.log()) == 1
    assert study.run(1, 2) == ("[3, 12]", "")


def test_a_stage_finds_its_units_when_it_is_imported_and_when_it_is_run(study) -> None:
    study.run(5)
    (study.root / "code" / "runner.py").write_text("from study.work import main\n\nmain()\n")
    said, _complained = study.start(5, module="runner").communicate(timeout=60)
    assert said == "[75]\n"
    assert study.log() == ["5"]


def test_long_work_goes_on_from_its_last_whole_step(study) -> None:
    study.run("train", KILLED_AT="5")
    steps = study.units("models/sum")
    assert [re.sub(r"\w{64}", "-", path.name) for path in steps] == [
        "-.2.-.safetensors",
        "-.4.-.safetensors",
    ]
    steps[1].write_bytes(steps[1].read_bytes()[:-1])
    values, complained = study.run("train")
    assert (values, study.log()) == ("115", ["from 0", "from 2"])
    assert complained.endswith("is truncated or altered, and is made again.")
    assert study.run("train") == ("115", "") and study.log() == []
    assert len(study.units("models/sum")) == 1


def test_the_last_two_steps_are_kept(units: Units) -> None:
    def make(steps) -> int:
        for step in range(1, 13):
            steps.keep(step, {"step": step})
        names = [path.name.split(".")[1] for path in (units.store / OUT).glob("[!.]*")]
        assert sorted(names) == ["11", "12"]
        assert steps.latest() == (12, {"step": 12})
        return 1

    assert units.resume(OUT, KEY, make) == 1
    with pytest.raises(ValueError, match="step -1 is below 0"):
        units.resume("results/other", KEY, lambda steps: steps.keep(-1, None))


def test_the_first_time_gives_the_bytes_in_the_layout_of_the_second(units: Units) -> None:
    array = np.arange(12.0).reshape(3, 4)
    first = units.get(OUT, KEY, lambda: scaled(array))
    second = units.get(OUT, KEY, lambda: pytest.fail("it is there"))
    assert (first == scaled(array)).all() and (first == second).all()
    assert first.strides == second.strides != scaled(array).strides
    assert first.flags.writeable and second.flags.writeable


def test_a_queued_experiment_shares_the_store_of_the_live_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "live"))
    assert Units(tmp_path / "copy", ["lifeboat"]).store == tmp_path / "live" / ".cache" / "store"


def test_what_fails_leaves_nothing_and_gives_its_claim_back(units: Units) -> None:
    with pytest.raises(ZeroDivisionError):
        units.get(OUT, KEY, lambda: 1 / 0)
    with pytest.raises(FileNotFoundError):
        units.get(OUT, KEY, lambda: Path("nowhere").read_bytes())
    with pytest.raises(TypeError, match=r"result\['a'\] is of the type builtins:object"):
        units.get(OUT, KEY, lambda: {"a": object()})
    assert [path.name for path in (units.store / OUT).iterdir()] == [".claims"]
    assert units.get(OUT, KEY, lambda: 7) == 7


def test_what_killed_runs_left_goes_after_a_day(units: Units) -> None:
    units.get(OUT, KEY, lambda: 1)
    folder = units.store / OUT
    for name, days in ((".old", 2), (".young", 0), (".claims", 2)):
        (folder / name).touch()
        then = time.time() - days * 86_400 - 9
        os.utime(folder / name, (then, then))
    Units(units.store.parents[1], ["lifeboat"]).get(OUT, KEY, lambda: pytest.fail("it is there"))
    assert sorted(path.name for path in folder.glob(".*")) == [".claims", ".young"]


@pytest.mark.parametrize(
    "out",
    ["", "/etc", "../out", "results/../../out", "results/.", "a//b", "a/", "a\n", ".git", "a\0"],
)
def test_an_out_that_is_no_plain_path_is_refused(units: Units, out: str) -> None:
    with pytest.raises(UserError, match="is not the path of an out"):
        units.get(out, KEY, lambda: 1)
    assert not units.store.exists()


@pytest.mark.parametrize("key", ["", "../" + KEY[3:], KEY[1:], KEY.replace("0", "G"), KEY + "\n"])
def test_a_key_that_is_none_is_refused(units: Units, key: str) -> None:
    for ask in (units.get, units.resume):
        with pytest.raises(UserError, match="is not the key of a unit"):
            ask(OUT, key, lambda *_: 1)


def test_jobs_run_side_by_side_through_their_units(study) -> None:
    study.edit("work.py", "[one().value for one in jobs]", "[one.value for one in done]")
    study.edit(
        "work.py",
        "    jobs =",
        "    from backtracking.runtime.forks import run_side_by_side\n\n    jobs =",
    )
    study.edit(
        "work.py",
        "    print(json",
        "    done = run_side_by_side(jobs, 2, 'squaring')\n    print(json",
    )
    assert study.run(1, 2, 3)[0] == "[3, 12, 27]"
    assert sorted(study.log()) == ["1", "2", "3"]


def test_a_unit_that_is_made_elsewhere_has_the_bytes_of_one_made_here(
    units: Units, tmp_path: Path
) -> None:
    make = partial(artifacts.sha256_json, [1, 2])
    elsewhere = Units(tmp_path / "elsewhere", units.types.packages)
    for inputs in ((), (2,)):
        key = units.key(make, *inputs)
        units.add(OUT, key, elsewhere.bytes_of(key, make, *inputs))
        assert kept(units, OUT, make, *inputs)() == make()
        elsewhere.get(OUT, key, make)
    both = [sorted(p.name for p in one.store.rglob("*.safetensors")) for one in (units, elsewhere)]
    assert both[0] == both[1] and len(both[0]) == 2
    with pytest.raises(UserError, match="sha256_json has other inputs on .*Let all machines see"):
        elsewhere.bytes_of(KEY, make)


def test_finding_many_units_does_not_list_the_folder_for_each(
    units: Units, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [f"{number:064x}" for number in range(30)]
    for key in keys:
        units.get(OUT, key, lambda: 1)
    listed, real = list[object](), os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: listed.append(path) or real(path))
    later = Units(units.store.parent.parent, ["backtracking", "lifeboat"])
    assert [later.get(OUT, key, lambda: 2) for key in keys] == [1] * 30
    assert len(listed) < 5


@pytest.mark.parametrize("is_altered", [True, False])
def test_a_unit_that_changed_after_the_folder_was_listed_is_seen_as_it_is(
    units: Units, is_altered: bool
) -> None:
    units.get(OUT, KEY, lambda: 1)
    later = Units(units.store.parent.parent, ["backtracking", "lifeboat"])
    assert later.has(OUT, KEY) and not later.has(OUT, "1" * 64)
    (path,) = (units.store / OUT).glob(f"{KEY}.*")
    path.write_bytes(b"") if is_altered else path.unlink()
    assert not later.has(OUT, KEY)
    units.get(OUT, KEY, lambda: 3)
    units.get(OUT, "1" * 64, lambda: 4)
    assert later.get(OUT, KEY, lambda: 5) == 3
    assert later.get(OUT, "1" * 64, lambda: 5) == 4
