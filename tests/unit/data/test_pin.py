"""The hash of a folder against DVC itself, and the comparison with `data.dvc`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from normscape.data.pin import PinnedHash, check_pin, directory_hash, read_pin
from normscape.errors import DataError, UsageError


def run(folder: Path, *command: str) -> str:
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def dvc(folder: Path, *arguments: str) -> str:
    return run(folder, sys.executable, "-m", "dvc", *arguments)


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
    return run(folder, "git", *identity, *arguments)


def fill(folder: Path, content: dict[str, bytes]) -> None:
    for name, value in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(value)


def pin(folder: Path, found: PinnedHash) -> Path:
    out = {"md5": found.md5, "size": found.size, "nfiles": found.files, "path": "data"}
    (folder / "data.dvc").write_text(yaml.safe_dump({"outs": [out]}))
    return folder / "data.dvc"


@pytest.mark.slow
def test_it_is_the_hash_that_dvc_records(tmp_path):
    git(tmp_path, "init", "-q")
    dvc(tmp_path, "init", "-q")
    data = tmp_path / "data"
    fill(
        data,
        {
            "b/train/good/2.png": b"two",
            "b/train/good/10.png": b"\r\n\x00\xff" * 400_000,
            "b-c/1.png": b"sorted between b/ and b0",
            "b0/1.png": b"",
            "a/Zoë 测试.png": b"unicode and spaces",
            ".hidden/x": b"hidden files count",
            "a/.keep": b"",
            "a/skipped.tmp": b"ignored by pattern",
            "cache/old/x.png": b"ignored folder",
            "a/cache/x.png": b"ignored at any depth",
            "a/keep.tmp": b"taken back",
            "deep/only-here/x.png": b"anchored",
            ".git/config": b"always ignored",
        },
    )
    (data / "empty" / "folder").mkdir(parents=True)
    (data / "a" / "link.png").symlink_to(data / "b-c" / "1.png")
    (data / "linked").symlink_to(data / "b", target_is_directory=True)
    (tmp_path / ".dvcignore").write_text(
        "# a comment\n*.tmp\n!keep.tmp\ncache/\n/data/deep/only-here\n/b-c\n"
    )
    dvc(tmp_path, "add", "-q", "data")
    assert directory_hash(data) == read_pin(tmp_path / "data.dvc")
    assert check_pin(data, tmp_path / "data.dvc").files == 9

    (data / "b-c" / "1.png").write_bytes(b"changed")
    with pytest.raises(DataError, match=r"files that differ: 1, the first is b-c/1\.png, changed"):
        check_pin(data, tmp_path / "data.dvc")


def test_one_known_hash(tmp_path):
    fill(tmp_path / "data", {"a": b"x"})
    assert directory_hash(tmp_path / "data") == PinnedHash(
        "8bc414edb28e7d415737076bb5dea17c.dir", 1, 1
    )


def test_equal_data_pass_and_changed_data_name_both_hashes(tmp_path):
    data = tmp_path / "data"
    fill(data, {"a.png": b"1", "b.png": b"2"})
    found = directory_hash(data)
    file = pin(tmp_path, found)
    assert check_pin(data, file) == found
    fill(data, {"b.png": b"3"})
    with pytest.raises(DataError) as caught:
        check_pin(data, file)
    message = str(caught.value)
    assert found.md5 in message
    assert directory_hash(data).md5 in message
    assert "dvc add data" in message
    assert "make data" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda data: (data / "b.png").write_bytes(b"3"), r"differ: 1, .*b\.png, changed"),
        (lambda data: (data / "b.png").unlink(), r"differ: 1, .*b\.png, missing"),
        (lambda data: (data / "c.png").write_bytes(b"3"), r"differ: 1, .*c\.png, added"),
    ],
)
def test_the_first_file_is_named_where_the_cache_knows_it(tmp_path, change, expected):
    data = tmp_path / "data"
    fill(data, {"a.png": b"1", "b.png": b"2"})
    found = directory_hash(data)
    file = pin(tmp_path, found)
    listing = [
        {"md5": "c4ca4238a0b923820dcc509a6f75849b", "relpath": "a.png"},
        {"md5": "c81e728d9d4c2f636f067f89cc14862c", "relpath": "b.png"},
    ]
    cached = tmp_path / ".dvc/cache/files/md5" / found.md5[:2] / found.md5[2:]
    fill(tmp_path, {str(cached.relative_to(tmp_path)): json.dumps(listing).encode()})
    change(data)
    with pytest.raises(DataError, match=expected):
        check_pin(data, file)


def test_the_pin_of_a_revision_counts(tmp_path):
    git(tmp_path, "init", "-q")
    data = tmp_path / "data"
    fill(data, {"a.png": b"1"})
    first = directory_hash(data)
    file = pin(tmp_path, first)
    git(tmp_path, "add", "data.dvc")
    git(tmp_path, "commit", "-qm", "first")
    fill(data, {"a.png": b"2"})
    pin(tmp_path, directory_hash(data))

    assert check_pin(data, file) == directory_hash(data)
    assert read_pin(file, "HEAD") == first
    with pytest.raises(DataError, match=r"data against data\.dvc at HEAD"):
        check_pin(data, file, "HEAD")
    with pytest.raises(UsageError, match=r"'no-such'.*name a commit"):
        check_pin(data, file, "no-such")


def test_outside_git_a_revision_is_wrong_usage(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    fill(tmp_path / "data", {"a": b"1"})
    file = pin(tmp_path, directory_hash(tmp_path / "data"))
    with pytest.raises(UsageError, match=r"cannot read data\.dvc at revision 'HEAD'"):
        check_pin(tmp_path / "data", file, "HEAD")


def test_an_option_is_not_taken_for_a_revision(tmp_path):
    git(tmp_path, "init", "-q")
    file = pin(tmp_path, PinnedHash("0.dir", 0, 0))
    with pytest.raises(UsageError):
        read_pin(file, f"--output={tmp_path / 'written'}")
    assert not list(tmp_path.glob("written*"))


def test_missing_data_say_how_to_get_them(tmp_path):
    with pytest.raises(DataError, match=r"is missing.*dvc pull.*make data"):
        check_pin(tmp_path / "data", pin(tmp_path, PinnedHash("0.dir", 0, 0)))


def test_a_missing_pin_says_how_to_get_it(tmp_path):
    with pytest.raises(DataError, match=r"data\.dvc cannot be read.*git checkout data\.dvc"):
        read_pin(tmp_path / "data.dvc")


@pytest.mark.parametrize("text", ["", "[]", "outs: []", "outs:\n- md5: x\n", "a: [", "\x00"])
def test_a_damaged_pin_is_refused(tmp_path, text):
    (tmp_path / "data.dvc").write_text(text)
    with pytest.raises(DataError, match="expected one 'outs' entry"):
        read_pin(tmp_path / "data.dvc")


def test_an_ignore_file_inside_is_refused_as_dvc_does(tmp_path):
    fill(tmp_path / "data", {"a.png": b"1", "sub/.dvcignore": b"*.tmp\n"})
    with pytest.raises(DataError, match=r"sub/\.dvcignore.*move its rules"):
        directory_hash(tmp_path / "data")


def test_a_broken_link_is_named(tmp_path):
    fill(tmp_path / "data", {"a.png": b"1"})
    (tmp_path / "data" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(DataError, match=r"gone\.png cannot be read"):
        directory_hash(tmp_path / "data")
