from pathlib import Path

import pytest

from backtracking.operations import secrets

PLANTED = {
    "hugging face": "x = 1\ntoken = 'hf_" + "aB3" * 11 + "'\n",
    "aws": "aws_access_key_id = AKIA" + "ABCDEFGH12345678\n",
    "github": "remote: ghp_" + "a1B2" * 9 + "\n",
    "openai": "OPENAI = 'sk-" + "proj_a1B2c3D4e5F6g7H8'\n",
    "private key": "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIEpQIBAAKCAQEA\n",
    "password": "password = '" + "correct-h0rse-battery'\n",
    "entropy": "value = '" + "Zx8Qp2Lr7Vt4Wk9Ny3" + "Hs6Jd1Bf5Mc0GaTeUiOq" + "'\n",
}


@pytest.mark.parametrize("kind", PLANTED)
def test_a_planted_secret_is_found_in_its_line(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "planted.py"
    path.write_text("import os\n" + PLANTED[kind])
    found = secrets.find([path])
    n_lines = PLANTED[kind].rstrip().count("\n") + 2
    assert found
    assert all(f.path == path and 2 <= f.line <= n_lines for f in found)
    assert "hf_" not in str(found)


def test_hashes_and_commits_are_not_secrets(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    path.write_text('{\n  "model_sha256": "' + "0a1b2c3d" * 8 + '",\n  "solve_rate": 0.85\n}\n')
    assert secrets.find([path]) == []


def test_a_line_with_the_allowlist_mark_passes(tmp_path: Path) -> None:
    path = tmp_path / "fine.py"
    path.write_text("x = 'hf_" + "aB3" * 11 + "'  # pragma: allowlist secret\n")
    assert secrets.find([path]) == []


def test_a_binary_file_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    path.write_bytes(bytes(range(256)))
    assert secrets.find([path]) == []


@pytest.mark.parametrize("kind", [k for k in PLANTED if k != "private key"])
def test_what_is_found_is_what_is_blotted_out(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "blotted.txt"
    path.write_text(secrets.blot_out(PLANTED[kind]))
    assert secrets.find([path]) == []
