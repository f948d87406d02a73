"""Rows that leave the log while it is written and read."""

import pytest

from normscape.scoring.compact import compact
from normscape.scoring.log import LogWriter, append, read
from normscape.scoring.parts import Partition, PartStore
from normscape.scoring.retire import pruned_days, retire

from .rows import log_rows
