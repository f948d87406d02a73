"""The list of detectors: complete, and cheap to ask for what a bundle may hold."""

import subprocess
import sys

import pytest

from normscape.detectors.banked import BankedDetector
from normscape.detectors.base import Detector
from normscape.detectors.config import DetectorConfig
from normscape.detectors.kinds import NAMES, config_of, kind_of
from normscape.params import MODEL_SECTIONS


@pytest.mark.parametrize("name", NAMES)
def test_each_has_a_configuration_and_a_kind(name: str) -> None:
    kind, config = kind_of(name), config_of(name)
    assert issubclass(config, DetectorConfig)
    assert set(kind.sections) <= set(MODEL_SECTIONS)
    classes = [*Detector.__subclasses__(), *BankedDetector.__subclasses__()]
    detectors = {vars(each).get("name") for each in classes}
    assert name in detectors


def test_another_name_is_refused() -> None:
    for find in (config_of, kind_of):
        with pytest.raises(ValueError, match=r"unknown detector '\.\./x', expected one of dpdiff"):
            find("../x")


def test_the_size_of_a_bundle_is_checked_without_torch() -> None:
    code = (
        "import sys; from normscape.registry.schema import ModelFile; "
        "from normscape.detectors.kinds import NAMES; "
        "[ModelFile(format=3, categories=['a'], detector={'name': n}).least_bytes() for n in NAMES]"
        "; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [None, "x", [None, "x"], {}, -1, 2.5, True])
def test_any_value_of_an_unchecked_file_has_a_size(name: str, value: object) -> None:
    config = config_of(name)
    names = config.__dataclass_fields__
    assert isinstance(config.least_elements(dict.fromkeys(names, value)), int)
