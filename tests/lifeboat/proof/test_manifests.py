import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifeboat.proof import manifests
from lifeboat.proof.manifests import DamagedListError, Entry

MD5 = hashlib.md5(b"x").hexdigest()
OID = "0" * 32 + ".dir"


@given(st.lists(st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]))))
def test_a_list_is_read_as_json_reads_it(names: list[str]) -> None:
    value = [{"md5": MD5, "relpath": f"a{name}"} for name in names]
    for text in (json.dumps(value), json.dumps(value, indent=2, ensure_ascii=False)):
        assert manifests.entries(OID, text.encode()) == [Entry(MD5, f"a{name}") for name in names]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[",
        "[1]",
        "[" * 100_000,
        "[{}]",
        '[{"md5": "x", "relpath": "a"}]',
        f'[{{"md5": "{MD5}"}}]',
        f'[{{"md5": "{MD5}", "relpath": 1}}]',
        f'[{{"md5": "{MD5}", "relpath": ""}}]',
        f'[{{"md5": "{MD5}", "relpath": "/etc/passwd"}}]',
        f'[{{"md5": "{MD5}", "relpath": "a/../../b"}}]',
        f'[{{"md5": "{MD5}", "relpath": "a\\u0000b"}}]',
        f'[{{"md5": "{MD5}.dir", "relpath": "a"}}]',
        f'[{{"md5": "{MD5}", "relpath": "a"}}',
        f'[{{"md5": "{MD5}", "relpath": "a"}},',
        f'[{{"md5": "{MD5}", "relpath": "a"}} x',
    ],
)
def test_what_is_no_list_of_files_in_a_folder_is_damaged(text: str) -> None:
    with pytest.raises(DamagedListError, match=f"the list of files {OID} is damaged"):
        manifests.entries(OID, text.encode())
    with pytest.raises(DamagedListError):
        manifests.entries(OID, b"\xff")


def test_a_list_that_hashes_to_its_name_is_whole() -> None:
    data = b"[]"
    oid = hashlib.md5(data).hexdigest() + ".dir"
    assert manifests.is_whole(oid, data)
    assert not manifests.is_whole(oid, data + b" ")
    assert manifests.is_oid(oid)
    assert not any(manifests.is_oid(value) for value in (None, 3, "", "../x", oid + "x"))
    assert manifests.key(oid) == f"files/md5/{oid[:2]}/{oid[2:]}"
