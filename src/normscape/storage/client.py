"""The connection to the object store, and its errors as sentences that hold no secret."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from normscape.errors import NormscapeError, UsageError

CONNECT_SECONDS = 5.0
READ_SECONDS = 20.0
ATTEMPTS = 4

_CONNECTIONS = 32
_USER_INFO = re.compile(r"//[^/@\s]*@")
_SECRETS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


class StoreError(NormscapeError):
    """The store refuses, fails or is silent; a change that was asked for may have been made."""


class PreconditionError(NormscapeError):
    """The object is not, or no longer, in the state that a conditional write was made for."""


class MissingObjectError(UsageError):
    """There is no such object."""


class MissingUploadError(NormscapeError):
    """The multipart upload has been completed or aborted by somebody else."""


_REFUSALS: tuple[tuple[frozenset[str], type[NormscapeError], str], ...] = (
    (
        frozenset({"412", "PreconditionFailed", "409", "ConditionalRequestConflict"}),
        PreconditionError,
        "it was changed by somebody else; look at it and try again",
    ),
    (
        frozenset({"404", "NoSuchKey"}),
        MissingObjectError,
        "{store} has no such object; correct the address",
    ),
    (
        frozenset({"NoSuchUpload"}),
        MissingUploadError,
        "the multipart upload is gone; run the command again",
    ),
    (
        frozenset({"NoSuchBucket"}),
        UsageError,
        "{store} has no such bucket; create it or correct the address",
    ),
    (
        frozenset({"RequestTimeTooSkewed", "RequestExpired"}),
        StoreError,
        "{store} refused, because its clock and this machine's differ by too much; set the clock",
    ),
    (
        frozenset({"401", "403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"}),
        StoreError,
        "{store} refused with {code}; check the credentials (AWS_ACCESS_KEY_ID, AWS_PROFILE) and "
        "what they may read and write",
    ),
)


def connect(*, read_seconds: float = READ_SECONDS, attempts: int = ATTEMPTS) -> Any:
    """A boto3 client for S3, or for the store that AWS_ENDPOINT_URL names.

    Endpoint, region and credentials are found where boto3 looks for them: the environment, the
    AWS configuration, the machine's role.

    Args:
        read_seconds: How long to wait for an answer, or for its next bytes.
        attempts: How often a request is made at most, in boto3's standard retry mode.

    Raises:
        NormscapeError: The AWS configuration cannot be used.
    """
    from boto3.session import Session
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    config = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=read_seconds,
        retries={"mode": "standard", "total_max_attempts": attempts},
        max_pool_connections=_CONNECTIONS,
        # Newer checksums in trailers are not known to every store; each write here sends its MD5.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    try:
        session = Session()
        # S3 needs a region to sign with; most other stores do not care which.
        region = session.region_name or "us-east-1"
        return session.client("s3", config=config, region_name=region)
    except (BotoCoreError, ValueError) as error:
        raise NormscapeError(
            f"the object store cannot be used: {_without_secrets(str(error))}; correct "
            "AWS_ENDPOINT_URL or the AWS configuration (AWS_PROFILE, ~/.aws/config)"
        ) from None


@contextmanager
def explained(what: str, client: Any) -> Iterator[None]:
    """Turn what boto3 raises inside into an error of this package.

    Args:
        what: The address that is read or written, the subject of the sentence.
        client: The client of `connect`; its endpoint is named.

    Raises:
        PreconditionError: A condition did not hold, or another write was under way.
        MissingObjectError: There is no such object.
        MissingUploadError: There is no such multipart upload.
        UsageError: There is no such bucket.
        StoreError: Anything else.
    """
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
    from urllib3.exceptions import HTTPError

    store = endpoint(client)
    try:
        yield
    except ClientError as error:
        raise _refusal(what, store, error) from None
    except NoCredentialsError:
        raise StoreError(
            f"{what}: there are no credentials for {store}; set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
        ) from None
    except (BotoCoreError, HTTPError) as error:
        raise StoreError(
            f"{what}: {store} cannot be used: {_without_secrets(str(error))}; check "
            "AWS_ENDPOINT_URL, the network and the credentials, then run the command again"
        ) from None


def endpoint(client: Any) -> str:
    """The host that a client talks to, without user name, password and path."""
    parts = urlsplit(str(client.meta.endpoint_url))
    host = parts.hostname or "S3"
    return f"{host}:{parts.port}" if parts.port else host


def _refusal(what: str, store: str, error: Any) -> NormscapeError:
    status = str(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", "unknown"))
    code = str(error.response.get("Error", {}).get("Code", status))
    for codes, kind, sentence in _REFUSALS:
        if code in codes or (kind is StoreError and status in codes):
            return kind(f"{what}: {sentence.format(store=store, code=code)}")
    return StoreError(
        f"{what}: {store} failed with {code} (HTTP {status}); try again later, or look at the store"
    )


def _without_secrets(text: str) -> str:
    text = _USER_INFO.sub("//", text)
    for name in _SECRETS:
        if value := os.environ.get(name):
            text = text.replace(value, "…")
    return " ".join(text.split())
