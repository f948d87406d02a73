"""Looking into the files of a bundle before anything is made of them.

A checksum says that a file is what its maker wrote, not that its maker meant well. Each file is
held against its schema and against limits here, without unpacking, running or believing it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from normscape.registry.index import BundleError

if TYPE_CHECKING:
    import pandas as pd

JSON_LIMIT = 64 << 20
"""Bytes of one JSON file; images.json has 70 an image."""

_YAML_LIMIT = 1 << 20
_YAML_DEPTH = 50
_PARQUET_LIMIT = 1 << 30
_PARQUET_ROWS = 5_000_000
_REFERENCE = {"category", "score"}


def check_contents(folder: Path, names: Iterable[str]) -> None:
    """Check the files of a bundle whose names and checksums are good.

    Raises:
        BundleError: A file does not hold what its name says; the message names it and the place.
    """
    for name in sorted(names):
        path = folder / name
        if path.suffix == ".json":
            check_json(path)
        elif path.suffix in {".yaml", ".lock"}:
            _check_yaml(path)
        elif path.suffix == ".safetensors":
            _check_tensors(path)
        elif path.suffix == ".parquet":
            _check_table(path)
    _check_fit(folder)


def check_json(path: Path) -> None:
    """Check one JSON file against its schema.

    Raises:
        BundleError: It is too large, no JSON, nested too deeply, or not what its name says.
    """
    from pydantic import TypeAdapter, ValidationError

    from normscape.registry.schema import SCHEMAS, explain

    _limit(path, JSON_LIMIT)
    schema = TypeAdapter(SCHEMAS.get(path.name, dict))
    try:
        schema.validate_json(path.read_bytes())
    except ValidationError as error:
        raise _wrong(path, explain(error.errors(include_url=False))) from None


def read_reference(path: Path) -> pd.DataFrame:
    """Read `reference.parquet`, once its footer is known to be sane.

    Raises:
        BundleError: Its pages are not what the footer says, or a score is not a finite number.
    """
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    from pandas.api.types import is_float_dtype

    _check_table(path)
    try:
        frame = pd.read_parquet(path)
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        raise _wrong(path, f"its pages cannot be read: {error}") from None
    score = frame["score"]
    if not is_float_dtype(score) or not np.isfinite(score.to_numpy()).all():
        raise _wrong(path, "its scores are not finite numbers")
    return frame


def _check_fit(folder: Path) -> None:
    """Refuse a configuration that would reserve more memory than its tensors fill."""
    from normscape.registry.schema import ModelFile, RefinerFile

    schemas: dict[str, type[ModelFile | RefinerFile]] = {"model": ModelFile, "refiner": RefinerFile}
    for name, schema in schemas.items():
        config, tensors = folder / f"{name}.json", folder / f"{name}.safetensors"
        if not config.exists():
            continue
        needed = schema.model_validate_json(config.read_bytes()).least_bytes()
        size = tensors.stat().st_size if tensors.exists() else 0
        if needed > size:
            raise _wrong(
                config, f"it asks for {needed} bytes of tensors, {tensors.name} has {size}"
            )


def _check_yaml(path: Path) -> None:
    import yaml

    _limit(path, _YAML_LIMIT)
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    depth = 0
    try:
        for event in yaml.parse(path.read_text(encoding="utf-8"), Loader=loader):
            if isinstance(event, yaml.AliasEvent):
                raise _wrong(path, "it uses aliases (*name), by which few bytes become very many")
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > _YAML_DEPTH:
                raise _wrong(path, f"it is nested more than {_YAML_DEPTH} levels deep")
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise _wrong(path, f"not valid YAML: {' '.join(str(error).split())[:200]}") from None


def _check_tensors(path: Path) -> None:
    from safetensors import SafetensorError, safe_open

    try:
        # Reads the header alone, and holds it against the size of the file.
        with safe_open(path, framework="numpy") as opened:
            names = list(opened.keys())
    except (SafetensorError, OSError, ValueError) as error:
        raise _wrong(path, f"not a safetensors file: {error}") from None
    if not names:
        raise _wrong(path, "it holds no tensor")


def _check_table(path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    _limit(path, _PARQUET_LIMIT)
    try:
        footer = parquet.read_metadata(path, memory_map=False)
        columns = set(footer.schema.to_arrow_schema().names)
        size = sum(footer.row_group(at).total_byte_size for at in range(footer.num_row_groups))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _wrong(path, f"not a Parquet file: {error}") from None
    if footer.num_rows > _PARQUET_ROWS or size > _PARQUET_LIMIT:
        raise _wrong(path, f"it states {footer.num_rows} rows that unpack to {size} bytes")
    if path.name == "reference.parquet" and (missing := _REFERENCE - columns):
        raise _wrong(path, f"it lacks the columns {', '.join(sorted(missing))}")


def _limit(path: Path, size: int) -> None:
    if path.stat().st_size > size:
        raise _wrong(path, f"it is larger than {size} bytes")


def _wrong(path: Path, why: str) -> BundleError:
    told = " ".join(why.split())  # what libraries report may have lines
    return BundleError(f"{path} does not hold what its name says: {told}; use another version")
