"""Writing files so that nothing is ever half-written, and locking work that must not run twice."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from normscape.errors import BusyError, NormscapeError, UsageError

_CHUNK = 1 << 20
_CANNOT_WRITE = {
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR,
    errno.EEXIST, errno.EIO,
}  # fmt: skip


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside `target`; on success it is renamed to `target`.

    The temporary file keeps the suffix of the target, because writers choose formats by it.

    Raises:
        NormscapeError: The folder cannot be written, or the disk is full.
    """
    temporary = target.with_name(f".{target.stem}.{uuid.uuid4().hex}.tmp{target.suffix}")
    with _explained(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            temporary.replace(target)
        finally:
            with suppress(OSError):
                temporary.unlink()


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Yield a new temporary folder beside `target`; on success it replaces `target` as a whole.

    Raises:
        NormscapeError: The parent folder cannot be written, or the disk is full.
    """
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    with _explained(target):
        temporary.mkdir(parents=True)
        try:
            yield temporary
            if target.exists():
                retired = target.with_name(f".{target.name}.{uuid.uuid4().hex}.old")
                target.rename(retired)
                temporary.rename(target)
                shutil.rmtree(retired)
            else:
                temporary.rename(target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def _explained(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _CANNOT_WRITE:
            raise unwritable(target, error) from error
        raise


def unwritable(target: Path, error: OSError) -> NormscapeError:
    """The error to raise when `target` could not be written."""
    reason = error.strerror or str(error)
    return NormscapeError(
        f"cannot write {target}: {reason}; expected a writable folder with free space, "
        "check its permissions and the disk"
    )


def write_json(target: Path, value: Any) -> None:
    """Write `value` as sorted, indented JSON, atomically."""
    text = json.dumps(value, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)
    with atomic_path(target) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        UsageError: The file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{path} is missing; run the step that writes it first") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not valid JSON ({error}); restore or recreate it") from None


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as 64 hex digits, read in chunks."""
    import hashlib

    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def exclusive_lock(path: Path, what: str, wait_seconds: float = 0.0) -> Iterator[None]:
    """Hold an advisory lock on `path`; released by the kernel even after kill -9.

    Args:
        path: The lock file; it holds the process id of the holder, for messages only.
        what: What is locked, for the message.
        wait_seconds: How long to wait for another holder before giving up.

    Raises:
        BusyError: Another process holds the lock for longer than `wait_seconds`.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise unwritable(path, error) from error
    with stream:
        deadline = time.monotonic() + wait_seconds
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    stream.seek(0)
                    holder = stream.read().strip() or "unknown"
                    raise BusyError(
                        f"{what} is already running (process {holder}, lock {path}); "
                        "wait for it to end or stop it, then run this again"
                    ) from None
                time.sleep(0.2)
        stream.seek(0)
        stream.truncate()
        stream.write(str(os.getpid()))
        stream.flush()
        yield
