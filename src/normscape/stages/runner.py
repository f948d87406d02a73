"""What every stage shares: one at a time, no orphan of a killed DVC, complete outs or none."""

from __future__ import annotations

import importlib
import os
import signal
import threading
import time
from collections.abc import Callable

from normscape.errors import UsageError
from normscape.files import exclusive_lock
from normscape.params import Params

STAGES = (
    "manifest", "validate", "features", "prototypes", "novelty", "detector", "refine",
    "calibrate", "evaluate",
)  # fmt: skip
"""The stages of `dvc.yaml`, in the order in which data flows."""

_ORPHAN_POLL_SECONDS = 0.5
_ORPHAN_WAIT_SECONDS = 60.0


def run_stage(name: str, params: Params) -> None:
    """Run one stage under its lock.

    A stage that DVC started ends itself when that DVC is gone: it would otherwise go on writing
    into folders that the next `dvc repro` has cleared. A stage that finds the lock taken waits
    for such an orphan to end.

    Raises:
        UsageError: There is no stage of this name.
        BusyError: Another process runs the same stage.
        NormscapeError: What the stage itself raises.
    """
    if name not in STAGES:
        raise UsageError(f"unknown stage '{name}'; expected one of {', '.join(STAGES)}")
    module = importlib.import_module(f"normscape.stages.{name}")
    run: Callable[[Params], None] = module.run
    lock = params.state / "locks" / f"{name}.lock"
    with exclusive_lock(lock, f"stage {name}", wait_seconds=_ORPHAN_WAIT_SECONDS):
        if "DVC_STAGE" in os.environ:
            _end_when_orphaned()
        if params.tiling.tile is None:
            run(params)
        else:
            _run_tiled(name, run, params)


def _run_tiled(name: str, run: Callable[[Params], None], params: Params) -> None:
    from normscape.tiling.training import LEARNING, run_on_tiles

    if name in LEARNING:
        run_on_tiles(name, run, params)
    else:
        run(params)


def _end_when_orphaned() -> None:
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_ORPHAN_POLL_SECONDS)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="orphan-watch", daemon=True).start()
