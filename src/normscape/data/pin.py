"""The hash by which `data.dvc` pins the data folder, computed without DVC and compared with it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pathspec
import yaml

from normscape.errors import DataError, UsageError

_CHUNK = 1 << 20
_THREADS = 8
_ALWAYS_IGNORED = (".hg/", ".git/", ".git", ".dvc/")
_IGNORE_FILE = ".dvcignore"


@dataclass(frozen=True)
class PinnedHash:
    """What DVC records of a folder.

    Attributes:
        md5: MD5 of the listing of all files, with the suffix `.dir`.
        size: Bytes of all files together.
        files: Number of files.
    """

    md5: str
    size: int
    files: int

    def __str__(self) -> str:
        return f"{self.md5} ({self.files} files, {self.size} bytes)"


def directory_hash(folder: Path) -> PinnedHash:
    """Return the hash that `dvc add FOLDER` would record.

    It is the MD5 of the JSON list of `{"md5", "relpath"}` of every file, sorted by path. As in
    DVC, hidden files count, empty folders and symbolic links to folders do not, symbolic links
    to files count as what they point to, and what the `.dvcignore` beside `folder` matches is
    left out.

    Raises:
        DataError: The folder is missing, a file cannot be read, or there is a `.dvcignore`
            inside the folder, which DVC refuses.
    """
    listing, size = _listing(folder)
    text = json.dumps(listing, sort_keys=True)
    return PinnedHash(f"{_md5(text.encode())}.dir", size, len(listing))


def read_pin(dvc_file: Path, rev: str | None = None) -> PinnedHash:
    """Return what a `.dvc` file pins, as it is on disk or as it was at a Git revision.

    Raises:
        DataError: The file is missing or does not pin one folder by MD5.
        UsageError: Git knows no such revision or no such file in it.
    """
    if rev is None:
        where = str(dvc_file)
        try:
            text = dvc_file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(
                f"{dvc_file} cannot be read ({error}); expected the file that pins the data: "
                f"restore it with 'git checkout {dvc_file.name}' or run 'dvc add' on your folder"
            ) from None
    else:
        where = f"{dvc_file} at {rev}"
        text = _at_revision(dvc_file, rev)
    try:
        (out,) = yaml.safe_load(text)["outs"]
        return PinnedHash(str(out["md5"]), int(out["size"]), int(out["nfiles"]))
    except (yaml.YAMLError, KeyError, TypeError, ValueError):
        raise DataError(
            f"{where}: expected one 'outs' entry with md5, size and nfiles; "
            "recreate it with 'dvc add' on the data folder"
        ) from None


def check_pin(data: Path, dvc_file: Path, rev: str | None = None) -> PinnedHash:
    """Return the hash of `data` if it is what `dvc_file` pins.

    Args:
        data: The folder of the versioned images.
        dvc_file: The file that pins it, beside it.
        rev: The Git revision whose pin counts; the file on disk if None.

    Raises:
        DataError: The hash is another, or one of the two cannot be read.
        UsageError: Git knows no such revision.
    """
    pin = read_pin(dvc_file, rev)
    listing, size = _listing(data)
    found = PinnedHash(
        f"{_md5(json.dumps(listing, sort_keys=True).encode())}.dir", size, len(listing)
    )
    where = dvc_file.name if rev is None else f"{dvc_file.name} at {rev}"
    name = dvc_file.name
    expect_hash(
        found,
        pin,
        f"{data} against {where}{_first_difference(listing, pin, dvc_file)}",
        f"review the change, then pin it with 'dvc add {data.name}' and commit {name}; or restore "
        f"what was pinned with 'dvc checkout {name}' ('make data' for the demo)",
    )
    return found


def expect_hash(found: PinnedHash, pin: PinnedHash, what: str, remedy: str) -> None:
    """Raise unless `found` is `pin`.

    Args:
        found: The hash of a folder.
        pin: The hash it should have.
        what: What was compared, for the message.
        remedy: What to do, for the message.

    Raises:
        DataError: They differ.
    """
    if found.md5 != pin.md5:
        raise DataError(f"{what}: found {found}, expected {pin}; {remedy}")


def _listing(folder: Path) -> tuple[list[dict[str, str]], int]:
    if not folder.is_dir():
        raise DataError(
            f"{folder} is missing; expected the folder of the images: run 'dvc pull', "
            "'make data' for the demo, or put your own images there"
        )
    paths = _files(folder)
    try:
        with ThreadPoolExecutor(_THREADS) as pool:
            hashed = list(pool.map(_hash_file, (folder / path for path in paths)))
    except OSError as error:
        raise DataError(
            f"{error.filename} cannot be read ({error.strerror}); make it readable or remove it"
        ) from None
    listing = [{"md5": md5, "relpath": path} for path, (md5, _) in zip(paths, hashed, strict=True)]
    return listing, sum(size for _, size in hashed)


def _files(folder: Path) -> list[str]:
    ignored = _ignore_rules(folder.absolute().parent)
    inside = folder.absolute().name
    paths: list[str] = []
    for root, folders, names in os.walk(folder):
        below = Path(root).relative_to(folder)
        folders[:] = [
            name
            for name in folders
            if not ignored.match_file(f"{(inside / below / name).as_posix()}/")
        ]
        kept = [
            name for name in names if not ignored.match_file((inside / below / name).as_posix())
        ]
        if _IGNORE_FILE in kept:
            raise DataError(
                f"{Path(root) / _IGNORE_FILE}: DVC refuses a {_IGNORE_FILE} inside a pinned "
                f"folder; move its rules to the {_IGNORE_FILE} beside {folder.name}/"
            )
        paths += [(below / name).as_posix() for name in kept]
    return sorted(paths)


def _ignore_rules(parent: Path) -> pathspec.PathSpec[Any]:
    lines = list(_ALWAYS_IGNORED)
    with contextlib.suppress(FileNotFoundError):
        lines += (parent / _IGNORE_FILE).read_text(encoding="utf-8").splitlines()
    return pathspec.PathSpec.from_lines("gitignore", lines)


def _hash_file(path: Path) -> tuple[str, int]:
    digest = hashlib.md5(usedforsecurity=False)
    size = 0
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return digest.hexdigest(), size


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _at_revision(dvc_file: Path, rev: str) -> str:
    try:
        return subprocess.run(
            ["git", "show", "--end-of-options", f"{rev}:./{dvc_file.name}"],
            cwd=dvc_file.absolute().parent,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    except FileNotFoundError:
        raise UsageError("git is not installed; it is needed to read a revision") from None
    except subprocess.CalledProcessError as error:
        reason = (error.stderr or "").strip().splitlines()
        raise UsageError(
            f"cannot read {dvc_file.name} at revision '{rev}': "
            f"{reason[0] if reason else 'git failed'}; name a commit that holds it"
        ) from None


def _first_difference(listing: list[dict[str, str]], pin: PinnedHash, dvc_file: Path) -> str:
    """Name the first file that differs, where DVC's cache still holds the pinned listing."""
    cached = dvc_file.absolute().parent / ".dvc/cache/files/md5" / pin.md5[:2] / pin.md5[2:]
    try:
        pinned = {entry["relpath"]: entry["md5"] for entry in json.loads(cached.read_text())}
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    found = {entry["relpath"]: entry["md5"] for entry in listing}
    different = sorted(path for path in pinned.keys() | found.keys()
                       if pinned.get(path) != found.get(path))  # fmt: skip
    if not different:
        return ""
    first = different[0]
    how = "added" if first not in pinned else "missing" if first not in found else "changed"
    return f" (files that differ: {len(different)}, the first is {first}, {how})"
