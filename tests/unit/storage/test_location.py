"""Addresses of objects: what is accepted, and the tricks that are not."""

import pytest

from normscape.errors import UsageError
from normscape.storage.location import S3Location


@pytest.mark.parametrize(
    ("url", "bucket", "prefix"),
    [
        ("s3://models", "models", ""),
        ("s3://models/", "models", ""),
        ("s3://models/line-3/registry", "models", "line-3/registry"),
        ("s3://models/line-3/", "models", "line-3"),
        ("s3://my.models/größe 3", "my.models", "größe 3"),
    ],
)
def test_an_address_is_read_and_written(url: str, bucket: str, prefix: str) -> None:
    location = S3Location.parse(url)
    assert location == S3Location(bucket, prefix)
    assert S3Location.parse(str(location)) == location


@pytest.mark.parametrize(
    "url",
    ["", "models", "S3://models", "http://models/x", "s3://", "s3:///x", "s3://ab", "s3://Models",
     "s3://a..b", "s3://-ab", "s3://models//x", "s3://models/../other", "s3://models/a/..",
     "s3://models/./a", "s3://models/a//b", "s3://models/a\\b", "s3://models/a\nb",
     "s3://models/a\0", "s3://models/a\x7f", "s3://models/\u202ea", "s3://user:pass@models/x",
     "s3://models/" + "x" * 1025, "s3://models/a//", "s3://models/\ud800"],
)  # fmt: skip
def test_what_could_be_read_as_another_place_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match=r"expected|shorten"):
        S3Location.parse(url)


@pytest.mark.parametrize("name", ["", "/a", "a/", "../a", "a/../b", "a\\b", "a\r", "."])
def test_names_cannot_leave_the_location(name: str) -> None:
    with pytest.raises(UsageError):
        S3Location("models", "registry").key(name)


def test_a_name_is_below_the_prefix() -> None:
    assert S3Location("models", "registry").key("a/b") == "registry/a/b"
    assert S3Location("models").key("a/b") == "a/b"
    assert S3Location("models", "registry").url("a/b") == "s3://models/registry/a/b"
