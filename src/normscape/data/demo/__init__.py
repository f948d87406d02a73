"""The demo set: real photographs from two packages, laid out byte-exact on every machine.

`numpy` and `Pillow` promise no equal output over their versions for random streams, resampling
or compression, and the hash of the folder is pinned by `data.dvc`. So everything here draws with
SHA-256, computes with integers, and writes PNG by itself.
"""

from normscape.data.demo.build import ARRIVAL_DAY, DRIFT_DAY, FEED_DAYS, build_demo
from normscape.data.demo.fill import fill_demo

__all__ = ["ARRIVAL_DAY", "DRIFT_DAY", "FEED_DAYS", "build_demo", "fill_demo"]
