"""Inside the peers' environment: our cheaper distances choose the tokens that anomalib chooses."""

import subprocess

import pytest

from bench.peers.job import ENVIRONMENT
from bench.record import ROOT

_CODE = """
import sys

sys.path.insert(0, "bench/peers")
import numpy as np, torch
from run_anomalib import KCenterGreedy, LeanKCenterGreedy

torch.set_num_threads(1)
tokens = torch.randn(3000, 168, generator=torch.Generator().manual_seed(1))
tokens = tokens * torch.linspace(0.1, 3.0, 168) + 2
chosen = []
for sampler in (KCenterGreedy, LeanKCenterGreedy):
    np.random.seed(0)
    torch.manual_seed(0)
    chosen.append(sampler(tokens, 150.5 / 3000).select_coreset_idxs())
assert len(chosen[0]) == 150 and chosen[0] == chosen[1], chosen
"""


@pytest.mark.slow
@pytest.mark.skipif(not ENVIRONMENT.is_dir(), reason="needs `make bench-peers-env`")
def test_the_coreset_is_that_of_anomalib() -> None:
    python = ENVIRONMENT / "bin" / "python"
    answer = subprocess.run(
        [python, "-c", _CODE], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr[-2000:]
