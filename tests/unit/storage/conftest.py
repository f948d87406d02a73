"""Stores over moto and SeaweedFS, each test with a prefix of its own."""

import uuid

import pytest

from normscape.storage.location import S3Location
from normscape.storage.store import ObjectStore
from scripts.services import BUCKET


@pytest.fixture(
    params=[pytest.param(name, marks=pytest.mark.slow) for name in ("moto", "seaweedfs")]
)
def store(request: pytest.FixtureRequest, use_s3) -> ObjectStore:
    use_s3(request.getfixturevalue(f"{request.param}_environment"))
    return ObjectStore(S3Location(BUCKET, f"storage/{uuid.uuid4().hex}"))


@pytest.fixture
def moto_store(moto_environment, use_s3) -> ObjectStore:
    use_s3(moto_environment)
    return ObjectStore(S3Location(BUCKET, f"storage/{uuid.uuid4().hex}"))
