import errno
from typing import Any

import pytest
from botocore.exceptions import (
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
)
from s3fs.errors import translate_boto_error

from lifeboat.remotes import store_errors
from lifeboat.remotes.store_errors import StoreError
from lifeboat.stage.errors import UserError


def of_s3(code: str, said: str = "words", status: int = 0) -> Exception:
    """An answer of S3 as s3fs raises it."""
    answer: Any = {"Error": {"Code": code, "Message": said}}
    if status:
        answer["ResponseMetadata"] = {"HTTPStatusCode": status}
    return translate_boto_error(ClientError(answer, "PutObject"))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (of_s3("InvalidAccessKeyId"), "credentials"),
        (of_s3("SignatureDoesNotMatch"), "credentials"),
        (of_s3("ExpiredToken"), "expired"),
        (of_s3("AccessDenied"), "denied"),
        (of_s3("NoSuchBucket"), "no bucket"),
        (of_s3("NoSuchKey"), "missing object"),
        (of_s3("RequestTimeTooSkewed"), "clock"),
        (of_s3("PermanentRedirect"), "region"),
        (of_s3("SlowDown"), "throttled"),
        (of_s3("InternalError"), "throttled"),
        (of_s3("Unheard"), "other"),
        (of_s3("InvalidObjectState"), "archived"),
        (of_s3("KMS.DisabledException"), "sealed"),
        (of_s3("AccessDenied", "not authorized to perform: kms:Decrypt"), "sealed"),
        (of_s3("InvalidRequest", "a form of Server Side Encryption"), "sealed"),
        (of_s3("InvalidRequest", "Content-MD5 HTTP header is required"), "checksum"),
        (of_s3("InvalidArgument", "Unsupported header 'x-amz-checksum-crc32'"), "checksum"),
        (of_s3("InvalidRequest", "words"), "other"),
        (of_s3("BadDigest", "The Content-MD5 you specified did not match"), "other"),
        (of_s3("QuotaExceeded", status=403), "disk full"),
        (of_s3("XMinioStorageFull", status=507), "disk full"),
        (of_s3("UserSuspended", status=403), "denied"),
        (of_s3("", status=407), "unreachable"),
        (of_s3("TemporaryRedirect", status=307), "region"),
        (of_s3("NoSuchUpload", status=404), "other"),
        (RecursionError("maximum recursion depth exceeded"), "region"),  # as botocore redirects
        (NoCredentialsError(), "credentials"),
        (EndpointConnectionError(endpoint_url="http://x"), "unreachable"),
        (ReadTimeoutError(endpoint_url="http://x"), "unreachable"),
        (TimeoutError(), "unreachable"),
        (ConnectionResetError(errno.ECONNRESET, "reset"), "unreachable"),
        (OSError(errno.ENOSPC, "No space left on device"), "disk full"),
        (OSError(errno.EROFS, "Read-only file system"), "denied"),
        (PermissionError(errno.EACCES, "Permission denied"), "denied"),
        (FileNotFoundError(errno.ENOENT, "No such file"), "missing object"),
        (ValueError("odd"), "other"),
    ],
)
def test_an_error_of_a_store_has_one_meaning_and_one_paragraph(error: Exception, kind: str) -> None:
    with pytest.raises(StoreError) as caught, store_errors.readable("s3://study/x"):
        raise error
    assert caught.value.kind == kind == store_errors.kind(error)
    assert str(caught.value).startswith("s3://study/x ")
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is error


def test_words_of_ours_pass_through_and_long_ones_are_cut() -> None:
    with pytest.raises(UserError, match="^ours$"), store_errors.readable("s3://study"):
        raise UserError("ours")
    with pytest.raises(StoreError) as caught, store_errors.readable("s3://study"):
        raise ValueError("a\nb " * 500)
    assert len(str(caught.value)) < 300
