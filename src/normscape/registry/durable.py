"""Writes that survive a power cut: flushed to the disk before they count."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from pathlib import Path
from typing import Any

from normscape.files import unwritable


def flush(path: Path) -> None:
    """Flush a file's bytes, or a folder's entries, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def copy_file(source: Path, target: Path) -> None:
    """Copy the bytes of one file, not following a symbolic link, and flush them.

    Raises:
        NormscapeError: `target` cannot be written.
    """
    try:
        shutil.copyfile(source, target, follow_symlinks=False)
        flush(target)
    except OSError as error:
        raise unwritable(target, error) from error


def write_json(target: Path, value: Any) -> None:
    """Replace `target` by `value` as JSON, at once and for good.

    Raises:
        NormscapeError: `target` cannot be written; what was there is untouched.
    """
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)
    write_bytes(target, f"{text}\n".encode())


def write_bytes(target: Path, content: bytes) -> None:
    """Replace `target` by these bytes, at once and for good.

    Raises:
        NormscapeError: `target` cannot be written; what was there is untouched.
    """
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(target)
        flush(target.parent)
    except OSError as error:
        remove_quietly(temporary)
        raise unwritable(target, error) from error


def append_line(path: Path, line: str) -> None:
    """Append one line; a line that a crash has torn before is closed off first.

    The caller holds the lock of the file. A write that the disk refuses is taken back whole.

    Raises:
        OSError: The line could not be written; the file is as it was.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        size = os.fstat(descriptor).st_size
        torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        data = (("\n" if torn else "") + line + "\n").encode()
        try:
            while data:
                data = data[os.write(descriptor, data) :]
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, size)
            raise
    finally:
        os.close(descriptor)


def remove_quietly(path: Path) -> None:
    """Remove a file or a (read-only) folder as far as permissions allow."""
    try:
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    except OSError:
        return
