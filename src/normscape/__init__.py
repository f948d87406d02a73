"""One unsupervised inspection model for many product categories, kept true in production."""

import os

# Waiting OpenMP threads sleep instead of spinning: on a busy machine with few cores spinning costs
# ten times the work itself. It counts only before torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"
