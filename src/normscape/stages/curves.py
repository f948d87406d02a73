"""The curves of a training in progress, written as it goes, for people who watch it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from normscape.errors import UsageError
from normscape.training.loop import Evaluated

if TYPE_CHECKING:
    from dvclive.live import Live


@contextmanager
def training_curves(folder: Path | None) -> Iterator[Evaluated]:
    """Yield a function that adds one evaluation to the curves in `folder`.

    The curves begin anew: a resumed training gives its earlier evaluations again, so that what a
    killed process left behind is neither doubled nor missed. Whatever keeps dvclive from writing
    is one warning on standard error, and the training goes on without curves.

    Args:
        folder: Where dvclive writes, as `plots/metrics/<name>.tsv`; None for no curves.
    """
    if folder is None:
        yield lambda entry: None
        return
    curves = _Curves(folder)
    yield curves.add
    curves.end()


class _Curves:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._live: Live | None = None
        with self._harmless():
            self._live = _start(folder)

    def add(self, entry: dict[str, float]) -> None:
        if self._live is None:
            return
        with self._harmless():
            self._live.step = int(entry["step"])
            for name, value in entry.items():
                if name != "step":
                    self._live.log_metric(name, value)
            self._live.sync()  # type: ignore[no-untyped-call]

    def end(self) -> None:
        if self._live is not None:
            with self._harmless():
                self._live.end()  # type: ignore[no-untyped-call]

    @contextmanager
    def _harmless(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            # dvclive passes on what Git, DVC and the disk raise; none of it concerns the training.
            self._live = None
            reason = " ".join(str(error).split()) or type(error).__name__
            sys.stderr.write(
                f"warning: no training curves in {self._folder}: {reason}; training goes on\n"
            )


def _start(folder: Path) -> Live:
    # By hand, since dvclive keeps the old curves where DVCLIVE_RESUME is set.
    shutil.rmtree(folder, ignore_errors=True)
    here = Path.cwd()
    above = (here, *here.parents)
    if any((path / ".git").exists() for path in above) and not any(
        (path / ".dvc").is_dir() for path in above
    ):
        # dvclive would run `dvc init` there, and stage its files.
        raise UsageError(f"{here} is in a Git repository without DVC; run `dvc init` and commit")
    from dvclive.live import Live

    return Live(str(folder), save_dvc_exp=False, report=None, dvcyaml=None)
