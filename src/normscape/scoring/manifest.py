"""Images to score named by a table: one row an image."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from normscape.data.images import is_image_name
from normscape.errors import DataError, UsageError
from normscape.scoring.schema import check_day
from normscape.scoring.source import FileSource, RefusedSource, Source, logged_name, shown

SUFFIXES = (".csv", ".parquet")
_COLUMNS = ("path", "category", "day", "sha256")
_ABSOLUTE = re.compile(r"[/\\]|[A-Za-z]:")
_PATH_BYTES, _CATEGORY_BYTES = 4096, 255


@dataclass(frozen=True)
class CheckedSource(FileSource):
    """An image file whose bytes are known beforehand.

    Attributes:
        sha256: Of the bytes, as the manifest gives it.
    """

    sha256: str

    def content(self) -> bytes:
        """The file's bytes, which are those that the manifest means."""
        import hashlib

        content = super().content()
        found = hashlib.sha256(content).hexdigest()
        if found != self.sha256.lower():
            raise DataError(f"its SHA-256 is {found}, the manifest says {self.sha256[:64]!r}")
        return content


def read_manifest(path: Path, root: Path) -> dict[str | None, list[Source]]:
    """The images of a manifest by day; under None those whose day it does not give.

    A row whose path or category could lead out of the manifest's folder is refused by itself.

    Args:
        path: CSV or Parquet with the column `path`, and `category`, `day`, `sha256` if known; other
            columns are left alone. Paths are relative to the manifest's folder.
        root: The folder of `params.yaml`.

    Raises:
        UsageError: The file cannot be read, has no column `path`, or a day is not a date.
    """
    found: dict[str | None, list[Source]] = {}
    for text, category, day, sha256 in _read(path):
        source = _source(path.parent, root, text, category, sha256)
        found.setdefault(check_day(day) if day else None, []).append(source)
    return dict(sorted(found.items(), key=lambda item: item[0] or ""))


def _read(path: Path) -> list[tuple[str, ...]]:
    try:
        if path.suffix.lower() == ".csv":
            frame = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
            table = pa.Table.from_pandas(frame, preserve_index=False)
        else:
            table = parquet.read_table(path)
        if "path" in table.column_names:
            return list(zip(*(_texts(table, name) for name in _COLUMNS), strict=True))
    except (OSError, ValueError, pa.ArrowException, pd.errors.ParserError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"{path} is not a readable manifest: {reason}") from None
    raise UsageError(
        f"{path} has the columns {', '.join(table.column_names[:8])}; expected at least "
        "'path', and 'category', 'day' or 'sha256' where they are known"
    )


def _texts(table: pa.Table, name: str) -> list[str]:
    """A column as text, empty where it has nothing; whole numbers and days keep their form."""
    if name not in table.column_names:
        return [""] * len(table)
    column = table[name]
    if pa.types.is_dictionary(column.type):  # what pandas writes for a categorical column
        column = column.cast(column.type.value_type)
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.date32())
    return [text or "" for text in column.cast(pa.string()).to_pylist()]


def _source(folder: Path, root: Path, text: str, category: str, sha256: str) -> Source:
    declared, reason = category or None, _bad_path(folder, text) or _bad_category(category)
    if reason is not None:
        name = logged_name(folder / shown(text), root)
        return RefusedSource(name, declared if not _bad_category(category) else None, reason)
    path = folder / text
    if sha256:
        return CheckedSource(logged_name(path, root), declared, path, sha256)
    return FileSource(logged_name(path, root), declared, path)


def _bad_path(folder: Path, text: str) -> str | None:
    if not text or len(text.encode("utf-8", "surrogatepass")) > _PATH_BYTES:
        return f"refused: a path of {len(text)} characters"
    if not text.isprintable():
        return "refused: a path with control characters"
    if _ABSOLUTE.match(text) or ".." in re.split(r"[/\\]", text):
        return "refused: the path leads out of the manifest's folder"
    if not is_image_name(Path(text).name):
        return "refused: not the name of an image file"
    try:
        inside = (folder / text).resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):
        return "refused: the path cannot be followed"
    return None if inside else "refused: the path leads out of the manifest's folder"


def _bad_category(name: str) -> str | None:
    plain = name.isprintable() and not set(name) & set("/\\") and not name.startswith(".")
    if plain and len(name.encode("utf-8", "surrogatepass")) <= _CATEGORY_BYTES:
        return None
    return "refused: its category cannot be the name of a folder"
