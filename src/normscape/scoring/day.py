"""One pass over the images of a day: scores, maps, inbox, and the log's rows that name them."""

from __future__ import annotations

import dataclasses
import datetime
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch

from normscape.errors import DataError, NormscapeError
from normscape.novelty import strange_level
from normscape.params import Params
from normscape.scoring.array import write_map
from normscape.scoring.inbox import Inbox
from normscape.scoring.large import score_large
from normscape.scoring.load import LoadedImage, load
from normscape.scoring.log import LogWriter
from normscape.scoring.overlay import write_overlay
from normscape.scoring.paths import map_path, overlay_path, score_log
from normscape.scoring.record import Record
from normscape.scoring.result import ImageScore
from normscape.scoring.schema import SCHEMA
from normscape.scoring.scorer import Scorer
from normscape.scoring.source import Source
from normscape.scoring.summary import ScoreSummary
from normscape.sections.production import Maps
from normscape.storage.client import StoreError

_COMMIT_SECONDS = 10.0
_COMMIT_IMAGES = 512
_WRITERS = 2
_WRITES_AHEAD = 64
_FAILURES = 5  # of an object store, in a row: it is not the images


class DayRun:
    """One pass over a day: gathers rows and commits them when all they refer to is written.

    Args:
        params: The project.
        scorer: The bundle, ready to score.
        day: YYYY-MM-DD.
        version: The name of the bundle's version.
        maps: Which maps to write.
        writer: Of the day and version, where an earlier pass has made one.
    """

    def __init__(
        self,
        params: Params,
        scorer: Scorer,
        day: str,
        version: str,
        maps: Maps,
        *,
        writer: LogWriter | None = None,
    ) -> None:
        self.summary = ScoreSummary(day, version)
        self._params = params
        self._scorer = scorer
        self._overlays, self._arrays = maps in ("overlay", "both"), maps in ("array", "both")
        self._inbox = Inbox.of(params)
        self._log = writer or LogWriter(score_log(params), day, version)
        self._rows: list[dict[str, Any]] = []
        self._writes: list[Future[bool]] = []
        self._committed = time.monotonic()
        self._works = False
        self._postponed = 0
        self._strange, _ = strange_level(
            params.score.category_alpha, len(scorer.calibration.distances)
        )

    def score(
        self,
        sources: Sequence[Source],
        *,
        skip: Callable[[str], bool] | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> Iterator[int]:
        """Score `sources`; yields how many of them have been dealt with, in their order.

        Args:
            sources: The images.
            skip: Says of a SHA-256 whether the image is not scored; None: what the log holds.
            stop: Asked after each batch; true: what is scored is committed, and the rest is left.
        """
        size = self._params.score.batch_size
        batch: list[LoadedImage] = []
        with ThreadPoolExecutor(_WRITERS, thread_name_prefix="write") as pool:
            scorer = self._scorer
            images = load(
                sources, scorer.identity.input_size, skip or self._log.knows, 2 * size, scorer.cuts
            )
            for done, image in enumerate(images, start=1):
                self._postponed *= image.postponed is not None
                if image.pixels is not None:
                    batch.append(image)
                    if len(batch) == size:
                        self._score_batch(batch, pool)
                        batch = []
                elif image.large:
                    self._score_large(image, pool)
                elif image.error is not None:
                    self._rows.append(self._row(image, image.error))
                elif image.postponed is not None:
                    self._postpone(image.postponed)
                else:
                    self.summary.skipped += 1
                yield done
                if not batch and stop():
                    break
            if batch:
                self._score_batch(batch, pool)
            self._commit()

    def _postpone(self, reason: str) -> None:
        """Leave an image for the next run; not the image but the store, where it goes on."""
        self.summary.postponed.append(reason)
        self._postponed += 1
        if self._postponed == _FAILURES:
            self._commit()
            raise StoreError(f"{_FAILURES} images in a row could not be had, the last: {reason}")

    def _score_batch(self, batch: list[LoadedImage], pool: ThreadPoolExecutor) -> None:
        self._take(zip(batch, self._judge(batch), strict=True), pool)

    def _score_large(self, image: LoadedImage, pool: ThreadPoolExecutor) -> None:
        try:
            judged = score_large(image, self._scorer, self._params.score.batch_size)
        except StoreError as error:  # it is read anew: the listing and the first reading are past
            return self._postpone(str(error))
        except NormscapeError as error:
            if not self._works:
                raise
            judged = image, str(error)
        self._works = self._works or isinstance(judged[1], ImageScore)
        self._take([judged], pool)

    def _take(
        self, judged: Iterable[tuple[LoadedImage, ImageScore | str]], pool: ThreadPoolExecutor
    ) -> None:
        for image, result in judged:
            row = self._row(image, result)
            self._rows.append(row)
            if isinstance(result, ImageScore):
                self._writes.append(pool.submit(self._write, image, result, row))
        if len(self._writes) > _WRITES_AHEAD:
            self._writes[-_WRITES_AHEAD].result()  # pictures that wait to be written are memory
        late = time.monotonic() - self._committed > _COMMIT_SECONDS
        if late or len(self._rows) >= _COMMIT_IMAGES:
            self._commit()

    def _judge(self, batch: list[LoadedImage]) -> list[ImageScore | str]:
        """The scores of a batch; where the batch fails, of each image or why it has none."""
        try:
            results: list[ImageScore | str] = [*self._scores(batch)]
        except NormscapeError:
            results = [self._judge_one(image) for image in batch]
        self._works = self._works or any(isinstance(result, ImageScore) for result in results)
        return results

    def _judge_one(self, image: LoadedImage) -> ImageScore | str:
        try:
            return self._scores([image])[0]
        except NormscapeError as error:
            if not self._works:
                raise  # not the image but the model: rows with errors would never be scored again
            return str(error)

    def _scores(self, batch: list[LoadedImage]) -> list[ImageScore]:
        pixels = torch.cat([image.pixels for image in batch if image.pixels is not None])
        return self._scorer.score_batch(pixels, [image.source.declared for image in batch])

    def _reasons(self, row: dict[str, Any]) -> tuple[str, ...]:
        remarkable = (("flagged", row["flagged"]), ("unknown", self._unknown(row)))
        reasons = tuple(reason for reason, holds in remarkable if holds)
        if not reasons and sampled(row["sha256"], self._params.score.random_sample):
            return ("random",)
        return reasons

    def _write(self, image: LoadedImage, score: ImageScore, row: dict[str, Any]) -> bool:
        """Maps and inbox of one image; whether it is new in the inbox."""
        sha256, summary = row["sha256"], self.summary
        if self._arrays:
            target = map_path(self._params, summary.model_version, summary.day, sha256)
            write_map(target, score, summary.model_version)
        if self._overlays and score.flagged and image.picture is not None:
            target = overlay_path(self._params, summary.model_version, summary.day, sha256)
            location = self._scorer.calibration.categories[score.category].location
            write_overlay(target, image.picture, score, location, image.detail)
        reasons = self._reasons(row)
        if not reasons:
            return False
        record = Record(
            sha256=sha256,
            source=image.source.name,
            day=summary.day,
            reasons=reasons,
            declared=score.declared,
            predicted=score.predicted,
            score=score.score,
            p_value=score.p_value,
            threshold=score.threshold,
            model_version=summary.model_version,
            peak=score.peak,
        )
        try:
            with image.source.file() as path:
                return self._inbox.keep(record, path)
        except (DataError, StoreError) as error:
            summary.lost.append(str(error))
            return False

    def _row(self, image: LoadedImage, result: ImageScore | str) -> dict[str, Any]:
        """One row of the score log: of a score, or of the reason why there is none."""
        row: dict[str, Any] = dict.fromkeys(SCHEMA.names)
        row |= {
            "path": image.source.name,
            "sha256": image.sha256,
            "day": self.summary.day,
            "declared_category": image.source.declared,
            "flagged": False,
            "model_version": self.summary.model_version,
            "runtime": self._scorer.identity.runtime,
            "precision": self._scorer.identity.precision,
            "scored_at": datetime.datetime.now(datetime.UTC),
        }
        if image.statistics is not None:
            row |= dataclasses.asdict(image.statistics)
        if isinstance(result, str):
            return row | {"error": result}
        return row | {
            "predicted_category": result.predicted,
            "category_distance": result.category_distance,
            "category_p_value": result.category_p_value,
            "score": result.score,
            "p_value_declared": result.p_value_declared,
            "p_value_predicted": result.p_value_predicted,
            "threshold": result.threshold,
            "flagged": result.flagged,
        }

    def _commit(self) -> None:
        summary = self.summary
        summary.kept += sum(write.result() for write in self._writes)
        self._writes = []
        logged = self._log.append(self._rows)
        summary.logged += len(logged)
        summary.skipped += len(self._rows) - len(logged)
        summary.flagged += sum(row["flagged"] for row in logged)
        summary.unknown += sum(self._unknown(row) for row in logged)
        summary.errors |= {row["path"]: row["error"] for row in logged if row["error"]}
        self._rows = []
        summary.pruned += self._inbox.prune()
        self._committed = time.monotonic()

    def _unknown(self, row: dict[str, Any]) -> bool:
        if row["error"] is not None:
            return False
        declared = row["declared_category"]
        stranger = declared is not None and declared not in self._scorer.known
        return stranger or row["category_p_value"] <= self._strange


def sampled(sha256: str, share: float) -> bool:
    """Whether an image belongs to the random sample; the same image always gets the same answer."""
    return int(sha256[:16], 16) < share * 2.0**64
