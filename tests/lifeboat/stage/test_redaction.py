import pytest

from lifeboat.stage import redaction
from lifeboat.stage.redaction import REDACTED, redact

HF = "hf_" + "aB3" * 11
AWS = "AKIA" + "ABCDEFGH12345678"
GITHUB = "ghp_" + "a1B2" * 9
OPENAI = "sk-" + "proj_a1B2c3D4e5F6g7H8"
WANDB = "0123abcd" * 5


@pytest.mark.parametrize(
    "text",
    [
        f"token {HF} in a sentence",
        f"aws={AWS}",
        f"+{GITHUB}",
        f"key: {OPENAI}",
        f"WANDB_API_KEY={WANDB}",
        f"wandb_key: '{WANDB}'",
        "url = https://me:" + "pa55word@host/x",
        "AWS_SECRET_ACCESS_KEY = " + "'wJalrXUtnFEMI/K7MDENG'",
        '{"DB_PASSWORD": ' + '"short"}',
        'api_key = "' + 'abcd1234efgh5678"',
    ],
)
def test_what_looks_like_a_secret_is_blotted_out(text: str) -> None:
    redacted = redact(text, {})
    assert REDACTED in redacted
    for secret in (HF, AWS, GITHUB, OPENAI, WANDB, "pa55word", "wJalr", "short", "abcd1234"):
        assert secret not in redacted


@pytest.mark.parametrize(
    "text",
    [
        "max_tokens: 370",
        'pad_token = "<pad>"',
        "    token: str",
        "HF_TOKEN=\nWANDB_MODE=offline\n",
        "sha256: " + "0123abcd" * 8,
        "https://host:8080/path",
        "sort_key=name",
        "disk-usage-of-everything-that-is-there",
    ],
)
def test_what_only_resembles_one_stays(text: str) -> None:
    assert redact(text, {}) == text


def test_values_of_secret_variables_are_blotted_out_wherever_they_stand() -> None:
    known = {"SERVICE_TOKEN": "correct horse battery", "LANG": "C.UTF-8 battery"}
    assert redact("it is correct horse battery.", known) == f"it is {REDACTED}."


def test_a_configuration_is_redacted_by_key_and_by_look_at_any_depth() -> None:
    config = {"api_key": "x", "seed": 3, "nested": [{"note": f"use {HF}", "lr": 0.1}]}
    redacted = redaction.redact_values(config)
    assert redacted == {
        "api_key": REDACTED,
        "seed": 3,
        "nested": [{"note": f"use {REDACTED}", "lr": 0.1}],
    }
