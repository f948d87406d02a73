import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from normscape.errors import BusyError, NormscapeError, UsageError
from normscape.files import (
    atomic_folder,
    atomic_path,
    exclusive_lock,
    read_json,
    sha256_file,
    write_json,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    target = tmp_path / "value.json"
    write_json(target, {"a": 1})
    with pytest.raises(RuntimeError), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert read_json(target) == {"a": 1}
    assert names(tmp_path) == ["value.json"]


def test_the_temporary_file_keeps_the_suffix(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "a.png") as temporary:
        assert temporary.suffix == ".png"
        temporary.write_bytes(b"x")


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "out"
    for content in ("first", "second"):
        with atomic_folder(target) as temporary:
            (temporary / content).write_text(content)
    assert names(target) == ["second"]
    with pytest.raises(RuntimeError), atomic_folder(target) as temporary:
        (temporary / "third").write_text("half")
        raise RuntimeError
    assert names(target) == ["second"]
    assert names(tmp_path) == ["out"]


def test_nan_is_not_written_as_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"a": float("nan")})
    assert names(tmp_path) == []


@pytest.mark.parametrize("text", [None, "{", "\xff"])
def test_a_missing_or_broken_json_file_is_explained(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "a.json"
    if text is not None:
        path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError, match=r"a\.json"):
        read_json(path)


def test_sha256_is_of_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    assert sha256_file(path).startswith("ba7816bf8f01cfea")


def test_an_unwritable_folder_is_explained(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("not a folder")
    for attempt in (
        lambda: write_json(blocker / "a.json", 1),
        lambda: atomic_folder(blocker / "b").__enter__(),
        lambda: exclusive_lock(blocker / "c", "work").__enter__(),
    ):
        with pytest.raises(NormscapeError, match="cannot write"):
            attempt()


NOBODY = 65534


def test_a_read_only_folder_is_explained() -> None:
    # permissions do not bind root, and pytest's own folders are closed to everybody else
    with tempfile.TemporaryDirectory() as name:
        folder, user = Path(name), os.geteuid()
        folder.chmod(0o777)
        if user == 0:
            os.seteuid(NOBODY)
        try:
            write_json(folder / "a.json", 1)
        finally:
            os.seteuid(user)
        folder.chmod(0o555)
        if user == 0:
            os.seteuid(NOBODY)
        try:
            with pytest.raises(NormscapeError, match="cannot write"):
                write_json(folder / "a.json", 2)
        finally:
            os.seteuid(user)
        assert read_json(folder / "a.json") == 1
        assert names(folder) == ["a.json"]
        folder.chmod(0o755)


HOLD = """
import sys, time
from pathlib import Path
from normscape.files import exclusive_lock
with exclusive_lock(Path(sys.argv[1]), "the work"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_lock_is_exclusive_and_dies_with_its_holder(tmp_path: Path) -> None:
    lock = tmp_path / "work.lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(lock)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(BusyError, match=f"process {holder.pid}"),
            exclusive_lock(lock, "the work"),
        ):
            pass
    finally:
        holder.kill()
        holder.wait()
    started = time.monotonic()
    with exclusive_lock(lock, "the work", wait_seconds=5):
        assert time.monotonic() - started < 5
