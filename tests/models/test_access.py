"""What the hub says of the study's models, asked of a server that answers as the hub does."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_server import COMMIT, Hub, serving
from project import ROOT, environment

from backtracking.models import access
from backtracking.runtime import params, pins, profile
from backtracking.runtime.pins import Hosted
from lifeboat.stage.errors import UserError

OPEN, GATED = "lab/open", "lab/gated"
TOKEN = "hf_" + "aB3" * 11


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    from huggingface_hub import constants

    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    with serving(Hub(OPEN, {"config.json": b"{}"}, beside={GATED: TOKEN})) as found:
        monkeypatch.setattr(constants, "ENDPOINT", found.address)
        url = f"{found.address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url)
        yield found


def write_study(root: Path, base: str, reasoning: str, revision: str | None = None) -> None:
    """The study of a pair from the hub."""
    taken = {"base": base, "reasoning": reasoning}
    overlay = {"weights": {r: {"source": s, "revision": revision} for r, s in taken.items()}}
    text = (ROOT / "params.yaml").read_text()
    pair = params.read(ROOT / "configs" / "pair.yaml")
    for one in (pair, overlay):
        text, _ = profile.merged(text, one, "a test")
    (root / "params.yaml").write_text(text)


def heads(service: Hub) -> list[str]:
    """Whose headers were asked for; the client asks for lists of its own beside them."""
    return [path for method, path, _ in service.asked if method == "HEAD"]


def test_an_open_model_may_be_read_and_names_its_commit(service: Hub) -> None:
    answer = access.ask(Hosted("base", OPEN, None))
    assert (answer.refusal, answer.commit) == (None, COMMIT)
    assert heads(service) == [f"/{OPEN}/resolve/main/config.json"]
    assert access.item(answer).verdict == "ok"


def test_a_gated_model_may_be_read_with_a_token_that_was_granted(
    service: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Hosted("base", GATED, COMMIT)
    refused = access.item(access.ask(model))
    assert refused.verdict == "wrong" and "gated" in refused.fact
    assert f"https://huggingface.co/{GATED}" in refused.cure and "HF_TOKEN" in refused.cure
    monkeypatch.setenv("HF_TOKEN", TOKEN[::-1])
    assert "may not read it" in access.item(access.ask(model)).fact
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert access.ask(model).refusal is None


def test_a_name_that_is_none_and_a_commit_that_is_none_are_told_apart(service: Hub) -> None:
    absent = access.item(access.ask(Hosted("base", "lab/nothing", None)))
    assert absent.verdict == "wrong" and "The hub knows no 'lab/nothing'" in absent.fact
    other = access.ask(Hosted("base", OPEN, "f" * 40))
    assert access.item(other).verdict == "wrong" and "f" * 40 in access.item(other).fact


def test_a_hub_that_is_ill_or_away_is_a_warning(service: Hub) -> None:
    service.is_broken = True
    told = access.item(access.ask(Hosted("base", OPEN, None)))
    assert told.verdict == "warning" and OPEN in told.fact


def test_a_hub_that_is_away_is_one_line_for_all_models(service: Hub) -> None:
    service.is_broken = True
    answers = [access.ask(Hosted(role, OPEN, None)) for role in ("base", "reasoning")]
    (told,) = access.items(answers)
    assert told.verdict == "warning" and "`weights.base`, `weights.reasoning`" in told.fact


def test_revisions_are_filled_in_once(service: Hub, tmp_path: Path) -> None:
    write_study(tmp_path, OPEN, OPEN)
    path = tmp_path / "params.yaml"
    with pytest.raises(UserError, match=r"`weights.base`: lab/open has no `revision`"):
        pins.require(path)
    before = path.read_text()
    access.pin(tmp_path)
    pins.require(path)
    assert {one.revision for one in pins.hosted(path)} == {COMMIT}
    changed = [
        a for a, b in zip(before.splitlines(), path.read_text().splitlines(), strict=True) if a != b
    ]
    assert len(changed) == 2
    asked = heads(service)
    access.pin(tmp_path)
    assert heads(service) == asked


def test_nothing_is_filled_in_where_one_may_not_be_read(service: Hub, tmp_path: Path) -> None:
    write_study(tmp_path, GATED, OPEN)
    before = (tmp_path / "params.yaml").read_bytes()
    refused, nothing = access.pin(tmp_path)
    assert refused.verdict == nothing.verdict == "wrong" and nothing.fact == "Nothing was written."
    assert "gated" in refused.fact and "HF_TOKEN" in refused.cure
    assert (tmp_path / "params.yaml").read_bytes() == before


def test_another_process_asks_whom_hf_endpoint_names(service: Hub, tmp_path: Path) -> None:
    write_study(tmp_path, GATED, OPEN, COMMIT)
    code = (
        "import sys, json; from dataclasses import asdict; from pathlib import Path;"
        "from backtracking.models import access; from lifeboat.doctor.doctor import Machine;"
        "from lifeboat.deadlines import Deadline, Later;"
        "machine = Machine(Later(lambda: None), None, Deadline.after(60));"
        "print(json.dumps([asdict(i) for i in access.checks(Path(sys.argv[1]), machine)]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        env=environment(
            HF_ENDPOINT=service.address,
            HF_HOME=str(tmp_path / "hub"),
            HOME=str(tmp_path),
            PYTHONPATH=str(ROOT / "src"),
        ),
        capture_output=True,
        text=True,
        check=True,
    )
    gated, readable = json.loads(done.stdout)
    assert (gated["verdict"], readable["verdict"]) == ("wrong", "ok")
    assert all(path.endswith(f"/resolve/{COMMIT}/config.json") for path in heads(service))
