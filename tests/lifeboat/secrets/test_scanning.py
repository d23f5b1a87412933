import json
from pathlib import Path

import pytest

from lifeboat.secrets import scanning

HF = "hf_" + "aB3" * 11
AWS_SECRET = "wJalrXUtnFEMI" + "/K7MDENG/bPxRfiCYzQ9aB3dE7f"  # pragma: allowlist secret
WANDB = "0123abcd" * 5
RANDOM = "Zx8Qp2Lr7Vt4Wk9Ny3" + "Hs6Jd1Bf5Mc0GaTeUiOq"

PLANTED = {
    "hugging face": f"x = 1\ntoken = '{HF}'\n",
    "wandb": f"WANDB_API_KEY={WANDB}\n",
    "wandb, new": "key: wandb_v1_" + "aB3" * 11 + "\n",
    "wandb in netrc": f"machine api.wandb.ai\n  login user password {WANDB}\n",
    "aws": "aws_access_key_id = AKIA" + "ABCDEFGH12345678\n",
    "aws, temporary": "ASIA" + "ABCDEFGH12345678\n",
    "aws secret, unquoted": f"secret_access_key = {AWS_SECRET}\n",
    "aws secret, exported": f"export AWS_SECRET_ACCESS_KEY={AWS_SECRET}\n",
    "aws secret, json": json.dumps({"SecretAccessKey": AWS_SECRET}) + "\n",
    "github": "remote: ghp_" + "a1B2" * 9 + "\n",
    "github, fine-grained": "github_pat_" + "11ABCDEFG0" * 5 + "\n",
    "github, of an app": "ghs_" + "a1B2" * 9 + "\n",
    "openai": "OPENAI = 'sk-" + "proj_a1B2c3D4e5F6g7H8'\n",
    "google": ("AIza" + "SyA1b2C3d" * 4)[:39] + "\n",
    "bearer": f"curl -H 'Authorization: Bearer {RANDOM}'\n",
    "private key": "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIEpQIBAAKCAQEA\n",
    "private key of ssh": "-----BEGIN OPENSSH " + "PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEA\n",
    "password": "password = '" + "correct-h0rse-battery'\n",
    "password in a URL": "url = s3://me:" + "pa55word@host/bucket\n",
    "entropy": f"value = '{RANDOM}'\n",
    "entropy, unquoted": f"service_token: {RANDOM}\n",
}
HARMLESS = {
    "digest": '{"model_sha256": "' + "0a1b2c3d" * 8 + '", "solve_rate": 0.85}\n',
    "code": "token = tokenizer.next_token_of_the_16_best(trace)\nmax_new_tokens: 370\n",
    "name": "AWS_SECRET_ACCESS_KEY=$SECRET_FROM_THE_VAULT_OF_2026\nHF_TOKEN=\n",
    "words": "the_key = a_long_name_with_9_words_in_it\n",
    "zeros": "api_key = " + "0" * 40 + "\n",
}


@pytest.mark.parametrize("name", ["planted.py", "planted.txt", "planted", "planted.yaml"])
@pytest.mark.parametrize("kind", PLANTED)
def test_a_planted_secret_is_found_in_its_line(kind: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text("import os\n" + PLANTED[kind])
    found = scanning.find([path])
    n_lines = PLANTED[kind].rstrip().count("\n") + 2
    assert found
    assert all(f.path == path and 2 <= f.line <= n_lines for f in found)
    assert not any(secret in str(found) for secret in (HF, AWS_SECRET, WANDB, RANDOM))


@pytest.mark.parametrize("kind", HARMLESS)
def test_what_only_resembles_a_secret_is_none(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "harmless.yaml"
    path.write_text(HARMLESS[kind])
    assert scanning.find([path]) == []


def test_a_line_with_the_allowlist_mark_passes(tmp_path: Path) -> None:
    path = tmp_path / "fine.py"
    path.write_text(f"x = '{HF}'  # pragma: allowlist secret\n")
    assert scanning.find([path]) == []


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig"])
@pytest.mark.parametrize("kind", ["hugging face", "aws secret, unquoted", "entropy"])
def test_other_encodings_are_read_as_text(kind: str, encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(("first line\n" + PLANTED[kind]).encode(encoding))
    found = scanning.find([path])
    assert found
    assert {finding.path for finding in found} == {path}
    assert all(finding.line >= 2 for finding in found)


@pytest.mark.parametrize("encoding", ["ascii", "utf-16-le"])
@pytest.mark.parametrize("kind", ["hugging face", "aws", "github", "openai", "private key"])
def test_tokens_are_found_between_binary_bytes(kind: str, encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    noise = bytes(range(256)) * 4
    path.write_bytes(noise + PLANTED[kind].encode(encoding) + noise)
    assert [finding.line for finding in scanning.find([path])] == [1]


def test_a_binary_file_without_tokens_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    path.write_bytes(bytes(range(256)))
    assert scanning.find([path]) == []


def notebook(source: str, output: str) -> str:
    cell = {
        "cell_type": "code",
        "source": source.splitlines(keepends=True),
        "outputs": [{"output_type": "stream", "text": output.splitlines(keepends=True)}],
        "metadata": {},
    }
    return json.dumps({"cells": [cell], "nbformat": 4}, indent=1)


@pytest.mark.parametrize(
    "planted",
    [
        'api_key = "correct-h0rse-battery-staple"',  # pragma: allowlist secret
        f"print('{HF}')",
        f"export AWS_SECRET_ACCESS_KEY={AWS_SECRET}",
    ],
)
def test_a_secret_in_a_notebook_is_found_behind_the_escapes(planted: str, tmp_path: Path) -> None:
    path = tmp_path / "01_look.ipynb"
    for text in (notebook(f"x = 1\n{planted}\n", "fine\n"), notebook("x\n", f"ok\n{planted}\n")):
        path.write_text(text)
        wanted = next(n for n, line in enumerate(text.splitlines(), 1) if planted[-12:-2] in line)
        assert wanted in {finding.line for finding in scanning.find([path])}
    path.write_text(notebook("x = 1\n", "2\n"))
    assert scanning.find([path]) == []


def test_a_picture_in_a_notebook_is_no_secret(tmp_path: Path) -> None:
    path = tmp_path / "01_look.ipynb"
    data = {"image/png": "iVBORw0KGgoAAAANSUhEUg" + "aB3dE6" * 40 + "\n"}
    cell = {"cell_type": "code", "source": [], "outputs": [{"data": data}]}
    path.write_text(json.dumps({"cells": [cell]}))
    assert scanning.find([path]) == []


def test_a_name_can_be_a_secret(tmp_path: Path) -> None:
    assert scanning.in_name(f"notes/{HF}.txt") == "Hugging Face token"
    assert scanning.in_name("notes/hf_models.txt") == ""


@pytest.mark.parametrize("kind", PLANTED)
def test_what_is_found_is_what_is_blotted_out(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "blotted.txt"
    path.write_text(scanning.blot_out(PLANTED[kind]))
    assert scanning.find([path]) == []
