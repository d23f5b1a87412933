import json

import pytest

from lifeboat.secrets import scanning
from lifeboat.secrets.scanning import Finding

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


def find(name: str, text: str) -> list[Finding]:
    return scanning.find(name, text.encode())


@pytest.mark.parametrize("name", ["planted.py", "planted.txt", "planted", "planted.yaml"])
@pytest.mark.parametrize("kind", PLANTED)
def test_a_planted_secret_is_found_in_its_line(kind: str, name: str) -> None:
    found = find(name, "import os\n" + PLANTED[kind])
    n_lines = PLANTED[kind].rstrip().count("\n") + 2
    assert found
    assert all(2 <= f.line <= n_lines for f in found)
    assert not any(secret in str(found) for secret in (HF, AWS_SECRET, WANDB, RANDOM))


@pytest.mark.parametrize("kind", HARMLESS)
def test_what_only_resembles_a_secret_is_none(kind: str) -> None:
    assert find("harmless.yaml", HARMLESS[kind]) == []


def test_a_line_with_the_allowlist_mark_passes() -> None:
    assert find("fine.py", f"x = '{HF}'  # pragma: allowlist secret\n") == []


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig"])
@pytest.mark.parametrize("kind", ["hugging face", "aws secret, unquoted", "entropy"])
def test_other_encodings_are_read_as_text(kind: str, encoding: str) -> None:
    found = scanning.find("notes.txt", ("first line\n" + PLANTED[kind]).encode(encoding))
    assert found
    assert all(finding.line >= 2 for finding in found)


def test_a_letter_that_is_not_utf_8_makes_no_text_a_binary_file() -> None:
    data = "// naïve, and many more words of plain text\n".encode("latin-1")
    assert scanning.find("notes.txt", data + PLANTED["entropy"].encode())[0].line == 2


@pytest.mark.parametrize("encoding", ["ascii", "utf-16-le"])
@pytest.mark.parametrize("kind", ["hugging face", "aws", "github", "openai", "private key"])
def test_tokens_are_found_between_binary_bytes(kind: str, encoding: str) -> None:
    noise = bytes(range(256)) * 4
    data = noise + PLANTED[kind].encode(encoding) + noise
    assert [finding.line for finding in scanning.find("weights.bin", data)] == [1]
    assert scanning.find("weights.bin", noise) == []


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
def test_a_secret_in_a_notebook_is_found_behind_the_escapes(planted: str) -> None:
    name = "01_look.ipynb"
    for text in (notebook(f"x = 1\n{planted}\n", "fine\n"), notebook("x\n", f"ok\n{planted}\n")):
        wanted = next(n for n, line in enumerate(text.splitlines(), 1) if planted[-12:-2] in line)
        assert wanted in {finding.line for finding in find(name, text)}
        assert find(name, json.dumps(json.loads(text)))  # all of it in one line
    assert find(name, notebook("x = 1\n", "2\n")) == []


def test_a_picture_in_a_notebook_is_no_secret() -> None:
    data = {"image/png": "iVBORw0KGgoAAAANSUhEUg" + "aB3dE6" * 40 + "\n"}
    cell = {"cell_type": "code", "source": [], "outputs": [{"data": data}]}
    assert find("01_look.ipynb", json.dumps({"cells": [cell]})) == []


def test_a_name_can_be_a_secret() -> None:
    assert scanning.in_name(f"notes/{HF}.txt") == "Hugging Face token"
    assert scanning.in_name("notes/hf_models.txt") == ""


@pytest.mark.parametrize("kind", PLANTED)
def test_what_is_found_is_what_is_blotted_out(kind: str) -> None:
    assert find("blotted.txt", scanning.blot_out(PLANTED[kind])) == []


COMMIT = "6a6f4aa4197940add577" + "24a7707d069478df56b1"
IDS = {
    "a revision": f'REV = "{COMMIT}"',
    "an etag": f'etag = "{COMMIT[:32]}"',
    "a run": f"run_id = '{COMMIT[:32]}'",
    "an id in camel case": f'{{"runId": "{COMMIT[:32]}"}}',
    "a tree": f'tree = "{COMMIT}"',
    "a checksum": f'checksum="{COMMIT}24a7707d069478df56b124a7"',
    "an object": f'oid: "{COMMIT[:32]}"',
}


@pytest.mark.kind(8)
@pytest.mark.parametrize("kind", IDS)
def test_an_id_is_no_secret(kind: str) -> None:
    assert find("probe.py", IDS[kind] + "\n") == []


@pytest.mark.kind(8)
@pytest.mark.parametrize(
    "line", ["login('{}')", "auth = ('me', '{}')", "x = '{}'", "wandb.login(key='{}')  # run 3"]
)
def test_what_is_named_by_nothing_or_by_a_key_stays_a_finding(line: str) -> None:
    assert find("probe.py", line.format(COMMIT) + "\n")


@pytest.mark.kind(8)
@pytest.mark.parametrize(
    "source",
    ["!git rev-parse HEAD", "repo.commit.hexsha", "run.id", "x  # pragma: allowlist secret"],
)
def test_an_id_that_a_notebook_puts_out_is_none_by_its_source(source: str) -> None:
    text = notebook(f"{source}\n", f"'{COMMIT}'\n")
    assert find("01_look.ipynb", text) == []
    assert find("01_look.ipynb", json.dumps(json.loads(text))) == []
    assert find("01_look.ipynb", notebook("x\n", f"'{COMMIT}'\n"))
    assert find("01_look.ipynb", notebook(f"{source}\n", f"'{HF}'\n")), "tokens stay secrets"
