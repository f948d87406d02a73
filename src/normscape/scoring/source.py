"""Images that are to be scored, wherever they lie, and the listing of a day's folder."""

from __future__ import annotations

import hashlib
import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from normscape.data import images
from normscape.data.images import is_image_name, read_content
from normscape.errors import DataError, UsageError
from normscape.files import unwritable
from normscape.storage.location import SCHEME, S3Location

if TYPE_CHECKING:
    from normscape.storage.store import ObjectStore


_SHOWN = 200


@dataclass(frozen=True)
class Source(ABC):
    """An image of a day.

    Attributes:
        name: Its path as it is logged: relative to the folder of `params.yaml`, else absolute, or
            its address in an object store.
        declared: The category that the line says it is, or None.
    """

    name: str
    declared: str | None

    @abstractmethod
    def content(self) -> bytes:
        """The file's bytes.

        Raises:
            DataError: They cannot be had, which is the image's own fault; without its name.
            StoreError: The object store fails; the image may be as good as any.
        """

    @contextmanager
    def file(self) -> Iterator[Path]:
        """A local file with the bytes, while the context is open.

        Raises:
            DataError: They cannot be had.
            StoreError: The object store fails.
        """
        with tempfile.TemporaryDirectory(prefix="normscape-") as folder:
            path = Path(folder) / f"image{PurePosixPath(self.name).suffix}"
            content = self.content()
            try:
                path.write_bytes(content)
            except OSError as error:
                raise unwritable(path, error) from error
            yield path


@dataclass(frozen=True)
class FileSource(Source):
    """An image file.

    Attributes:
        path: The file.
    """

    path: Path

    def content(self) -> bytes:
        """The file's bytes."""
        try:
            return read_content(self.path)
        except OSError as error:
            raise DataError(f"cannot be read: {error.strerror or error}") from None

    @contextmanager
    def file(self) -> Iterator[Path]:
        """The file itself."""
        yield self.path


@dataclass(frozen=True)
class ObjectSource(Source):
    """An image in an object store.

    Attributes:
        store: Where it is.
        key: Its name there.
    """

    store: ObjectStore
    key: str

    def content(self) -> bytes:
        """The object's bytes; one that is larger than it was listed as is not read further."""
        try:
            return self.store.get_bytes(self.key, limit=images.MAX_BYTES)[0]
        except UsageError as error:
            raise DataError(f"cannot be read: {error}") from None


@dataclass(frozen=True)
class RefusedSource(Source):
    """An image that is not read.

    Attributes:
        reason: Why not.
    """

    reason: str

    def content(self) -> bytes:
        """Nothing: it is refused."""
        raise DataError(self.reason)


def logged_name(path: Path, root: Path) -> str:
    """The POSIX path under which an image is logged; `located` finds it again."""
    absolute, base = path.absolute(), root.absolute()
    inside = absolute.is_relative_to(base)
    return _text((absolute.relative_to(base) if inside else absolute).as_posix())


def shown(text: str) -> str:
    """The path or key of a refused image as printable text, unlike that of any other."""
    plain = ascii(text)[1:-1]
    if len(plain) <= _SHOWN:
        return plain
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{plain[:_SHOWN]}…{digest[:16]}"


def located(name: str, root: Path) -> Source:
    """The image that was logged under a name.

    Raises:
        UsageError: It is no good address.
    """
    if not name.startswith(SCHEME):
        return FileSource(name, None, root / name)
    from normscape.storage.store import ObjectStore

    folder, _, key = name.rpartition("/")
    return ObjectSource(name, None, ObjectStore(S3Location.parse(folder)), key)


def _text(name: str) -> str:
    # File names are bytes; those that are not UTF-8 fit into no table and are written escaped.
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def list_day(folder: Path, root: Path) -> list[FileSource]:
    """List the images of a day's folder, laid out as `[category/]image`, sorted by path.

    Images directly inside have no declared category. Hidden files and other files are left out.

    Raises:
        UsageError: The folder is missing or holds images deeper than one level.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder; expected a day's folder [category/]image")
    sources = []
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            sources += _list_category(entry, root)
        elif is_image_name(entry.name):
            sources.append(FileSource(logged_name(entry, root), None, entry))
    return sources


def _list_category(folder: Path, root: Path) -> list[FileSource]:
    sources = []
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            raise UsageError(
                f"{entry} is a folder inside a category's folder; expected [category/]image below "
                "one day's folder (to score several days, score each of them)"
            )
        if is_image_name(entry.name):
            sources.append(FileSource(logged_name(entry, root), _text(folder.name), entry))
    return sources
