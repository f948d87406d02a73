"""The rows of the score log: their columns, and how a part holds them."""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyarrow.fs import LocalFileSystem

from normscape.errors import NormscapeError, UsageError

LOG_VERSION = 2
"""Version 1 had parts that were never replaced, named by chance; its columns are the same."""

_VERSION_KEY = b"normscape.score_log"
_NOTE_KEY = b"normscape.part"
# A window read opens only the row groups of its category: small ones leave less to skip by hand.
_ROW_GROUP = 8192
_ORDER = ("declared_category", "predicted_category", "path")

SCHEMA = pa.schema(
    [
        ("path", pa.string()),  # POSIX; relative to the folder of params.yaml, absolute, or s3://
        ("sha256", pa.string()),  # null where the file could not even be read
        ("day", pa.string()),
        ("declared_category", pa.string()),
        ("predicted_category", pa.string()),
        ("category_distance", pa.float64()),
        ("category_p_value", pa.float64()),
        ("score", pa.float64()),
        ("p_value_declared", pa.float64()),
        ("p_value_predicted", pa.float64()),
        ("threshold", pa.float64()),
        ("flagged", pa.bool_()),
        ("error", pa.string()),
        ("model_version", pa.string()),
        ("runtime", pa.string()),
        ("precision", pa.string()),
        ("mean_intensity", pa.float32()),
        ("std_intensity", pa.float32()),
        ("sharpness", pa.float32()),
        ("scored_at", pa.timestamp("us", tz="UTC")),
    ],
    metadata={_VERSION_KEY: str(LOG_VERSION).encode()},
)
"""The columns of every part; the version of this format travels in the Parquet metadata."""


@dataclass(frozen=True)
class Note:
    """What a part says of itself beside its rows.

    Attributes:
        commits: Names of the commits whose rows it holds; a writer knows its own part by them.
        replaces: Names of the parts of version 1 whose rows it holds.
        pruned: Whether rows before its own were removed for good.
    """

    commits: tuple[str, ...] = ()
    replaces: tuple[str, ...] = ()
    pruned: bool = False


def check_day(text: str) -> str:
    """Return `text` if it is a day such as 2026-03-14.

    Raises:
        UsageError: It is not.
    """
    try:
        if datetime.date.fromisoformat(text).isoformat() == text:
            return text
    except ValueError:
        pass
    raise UsageError(f"'{text}' is not a day; expected a date such as 2026-03-14 (YYYY-MM-DD)")


def row_key(sha256: str | None, path: str) -> str:
    """What makes a row of one day and model version unique: the image's bytes, else its path."""
    return sha256 if sha256 else f"unreadable:{path}"


def table_of(rows: pd.DataFrame) -> pa.Table:
    """Rows with exactly the columns of `SCHEMA` as a table.

    Raises:
        NormscapeError: A column is missing or unknown.
    """
    missing, unknown = set(SCHEMA.names) - set(rows.columns), set(rows.columns) - set(SCHEMA.names)
    if missing or unknown:
        raise NormscapeError(
            f"rows for the score log lack {sorted(missing)} and have unknown {sorted(unknown)}; "
            "expected exactly the columns of normscape.scoring.schema.SCHEMA"
        )
    return pa.Table.from_pandas(rows[SCHEMA.names], schema=SCHEMA, preserve_index=False)


def encode(table: pa.Table, note: Note) -> bytes:
    """The bytes of a part: rows sorted by category, so that a reader can skip the others."""
    content = dataclasses.asdict(note)
    metadata = {**SCHEMA.metadata, _NOTE_KEY: json.dumps(content).encode()}
    ordered = table.sort_by([(name, "ascending") for name in _ORDER])
    sink = pa.BufferOutputStream()
    pq.write_table(ordered.replace_schema_metadata(metadata), sink, row_group_size=_ROW_GROUP)
    return bytes(sink.getvalue())


def note_of(part: Path) -> Note:
    """What a part says of itself.

    Raises:
        FileNotFoundError: It is gone.
        NormscapeError: It is damaged or of an unknown version.
    """
    return _opened(part)[1]


def decode(part: Path, columns: Sequence[str], category: str | None = None) -> pa.Table:
    """Read a part of any version up to this one.

    Args:
        part: The file.
        columns: Which columns, in their order; those that an older version lacks are null.
        category: Only rows whose declared, else predicted category it is; all when None.

    Raises:
        FileNotFoundError: It is gone.
        NormscapeError: It is damaged or of an unknown version.
    """
    fragment, _ = _opened(part)
    wanted = None if category is None else _of_category(category)
    try:
        return fragment.to_table(
            schema=SCHEMA.remove_metadata(), columns=list(columns), filter=wanted, use_threads=False
        )
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowException, ValueError) as error:
        raise _damaged(part, error) from error


def _of_category(category: str) -> ds.Expression:
    declared, predicted = pc.field("declared_category"), pc.field("predicted_category")
    return (declared == category) | (declared.is_null() & (predicted == category))


def _opened(part: Path) -> tuple[ds.Fragment, Note]:
    try:
        fragment = ds.ParquetFileFormat().make_fragment(str(part), LocalFileSystem())
        metadata = fragment.physical_schema.metadata or {}
        version = int(metadata.get(_VERSION_KEY, b"0"))
        note = json.loads(metadata.get(_NOTE_KEY, b"{}"))
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowException, ValueError) as error:
        raise _damaged(part, error) from error
    if not 1 <= version <= LOG_VERSION:
        raise NormscapeError(
            f"{part} has version {version} of the score log's format; this Normscape reads "
            f"versions 1 to {LOG_VERSION}; use the Normscape that wrote it or move it away"
        )
    commits, replaces = (tuple(note.get(name, ())) for name in ("commits", "replaces"))
    return fragment, Note(commits, replaces, note.get("pruned", False))


def _damaged(part: Path, error: Any) -> NormscapeError:
    return NormscapeError(
        f"{part} is not a readable part of the score log ({error}); restore it from a backup, "
        "or remove it and score its day again"
    )
