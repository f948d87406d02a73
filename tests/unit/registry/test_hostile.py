"""Bundles made to harm: each is refused in one clear sentence, before anything is made of it.

The checksums of all of them match: whoever writes a bundle also writes its hashes.
"""

import json
import os
import pickle
import socket
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
import torch
from pyarrow import parquet

from normscape.errors import UsageError
from normscape.files import sha256_file
from normscape.registry.bundle import INDEX, Bundle, BundleError
from normscape.registry.contract import Registry

from .conftest import Store

MARK = "a file that only running code could have made"


class Exploit:
    """Unpickling it writes a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.target, MARK)


@pytest.fixture
def registry(real_store: Store, place: Path) -> Registry:
    """What is refused is refused before the store is asked; two kinds are enough."""
    return real_store.open(place)


@pytest.fixture
def bundle(make_bundle) -> Path:
    return make_bundle()


def put(bundle: Path, name: str, content: bytes | str) -> None:
    """Replace a file, and its hash in the index."""
    data = content.encode() if isinstance(content, str) else content
    (bundle / name).write_bytes(data)
    index = json.loads((bundle / INDEX).read_text())
    index["files"][name] = sha256_file(bundle / name)
    (bundle / INDEX).write_text(json.dumps(index))


def change(bundle: Path, name: str, **changes: Any) -> None:
    put(bundle, name, json.dumps(json.loads((bundle / name).read_text()) | changes))


def refused(bundle: Path, match: str, registry: Registry) -> None:
    """Neither loaded nor registered, in one line."""
    with pytest.raises(BundleError, match=match) as caught:
        Bundle.load(bundle)
    assert "\n" not in str(caught.value)
    with pytest.raises(BundleError, match=match):
        registry.register(bundle, reason="hostile")
    assert registry.versions() == []


def test_a_pickle_under_another_name_is_not_run(
    bundle: Path, registry: Registry, tmp_path: Path
) -> None:
    target = tmp_path / "written"
    put(bundle, "model.safetensors", pickle.dumps(Exploit(target)))
    refused(bundle, r"model\.safetensors .* not a safetensors file", registry)
    torch.save(Exploit(target), bundle / "model.safetensors")
    put(bundle, "model.safetensors", (bundle / "model.safetensors").read_bytes())
    refused(bundle, r"model\.safetensors .* not a safetensors file", registry)
    put(bundle, "reference.parquet", pickle.dumps(Exploit(target)))
    assert not target.exists()


@pytest.mark.parametrize("name", ["model.pt", "model.pth", "model.pkl", "hook.py", "libx.so"])
def test_files_that_could_run_code_are_refused(
    bundle: Path, registry: Registry, name: str, tmp_path: Path
) -> None:
    put(bundle, name, pickle.dumps(Exploit(tmp_path / "written")))
    refused(bundle, "could run code", registry)


def test_archives_have_no_place_in_a_bundle(bundle: Path, registry: Registry) -> None:
    with zipfile.ZipFile(bundle / "more.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../outside.json", b"0" * 50_000_000)
    put(bundle, "more.zip", (bundle / "more.zip").read_bytes())
    refused(bundle, "expected only", registry)


def header(text: bytes, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(text) if length is None else length) + text


TENSOR = b'{"t":{"dtype":"F32","shape":[%s],"data_offsets":[0,%d]}}'


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x01",
        header(b"{}", 1 << 62),
        header(b"{}", (1 << 64) - 1),
        header(b"{}", 90 << 20),
        header(b"{}"),
        header(TENSOR % (b"1", 4)),
        header(TENSOR % (b"4611686018427387904", 4)) + b"0000",
        header(TENSOR % (b"-1", 4)) + b"0000",
        header(TENSOR % (b"1", 1 << 60)) + b"0000",
        header(TENSOR % (b"1", 4)) + b"0000 and more",
        header(b"[" * 100_000),
        header(b'{"t":{"dtype":"OBJECT","shape":[1],"data_offsets":[0,4]}}') + b"0000",
    ],
    ids=["empty", "one byte", "huge", "wraps", "past the end", "no tensor", "no data", "shape",
         "negative", "offsets", "trailing", "nested", "type"],
)  # fmt: skip
def test_a_tensor_header_that_lies_is_refused(
    bundle: Path, registry: Registry, content: bytes
) -> None:
    put(bundle, "model.safetensors", content)
    refused(bundle, r"model\.safetensors", registry)


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("model.json", "[" * 200_000, "recursion limit"),
        ("metrics.json", '{"a":' * 200_000, "recursion limit"),
        ("gate.json", "", "gate.json"),
        ("images.json", "\x00", "images.json"),
        ("images.json", b"\xff\xfe{}", "images.json"),
    ],
)
def test_json_that_is_none_or_nested_is_refused(
    bundle: Path, registry: Registry, name: str, content: bytes | str, match: str
) -> None:
    put(bundle, name, content)
    refused(bundle, match, registry)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 5000, '"0.5"'])
def test_numbers_that_are_none_are_refused(bundle: Path, registry: Registry, number: str) -> None:
    text = (bundle / "calibration.json").read_text().replace("1.2", number)
    assert number in text
    put(bundle, "calibration.json", text)
    refused(bundle, r"calibration\.json .*(threshold|out of range)", registry)


def test_a_huge_file_of_json_is_not_read(
    bundle: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("normscape.registry.contents.JSON_LIMIT", 10_000)
    put(bundle, "images.json", json.dumps({"train": ["a" * 64] * 200, "calibration": []}))
    refused(bundle, r"images\.json .* larger than 10000 bytes", registry)


@pytest.mark.parametrize(
    "name", ["../../etc", "a/b", "..", ".", "", "a\x00b", "a\\b", "\x1b[2Jbolt", "x" * 201]
)
def test_categories_that_are_no_names_are_refused(
    bundle: Path, registry: Registry, name: str
) -> None:
    """They become folders of the score log and of the inbox."""
    change(bundle, "model.json", categories=["nut", name])
    refused(bundle, r"model\.json .*'categories\.1'", registry)


def test_sentences_that_would_steer_a_terminal_are_refused(
    bundle: Path, registry: Registry
) -> None:
    change(bundle, "gate.json", notes=["\x1b]0;owned\x07"])
    refused(bundle, r"gate\.json .*'notes\.0'", registry)


def test_a_decision_that_contradicts_itself_is_refused(make_bundle, registry: Registry) -> None:
    failed = make_bundle(passed=False)
    change(failed, "gate.json", passed=True)
    refused(failed, "says that the model passed, and lists a check that failed", registry)


@pytest.mark.parametrize(
    "detector",
    [
        {"dimensions": 2048, "local_prototypes": [1_000_000] * 100},
        {"dimensions": 2048, "tokens": 10_000_000, "noise_draws": 100, "prototype_share": 0.5},
        {"dimensions": 8, "width": 1_000_000, "blocks": 64, "prototype_share": 0.0},
        {"dimensions": 10**12},
        {"steps": [[10**30]]},
    ],
)
def test_a_model_that_would_fill_the_memory_is_refused(
    bundle: Path, registry: Registry, detector: dict[str, Any]
) -> None:
    change(bundle, "model.json", detector={"name": "dpdiff"} | detector)
    refused(bundle, r"model\.json .*(asks for \d+ bytes|a size of)", registry)


BOMB = "a0: &a0 [x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30)
)


@pytest.mark.parametrize("name", ["params.yaml", "dvc.lock"])
@pytest.mark.parametrize(
    ("content", "match"),
    [
        (BOMB, "it uses aliases"),
        ("a: &a [*a]\n", "it uses aliases"),
        ("[" * 2000, "nested more than"),
        ("\t- {", "not valid YAML"),
        (b"\xff\xff", "not valid YAML"),
        ("#" * (1 << 20) + "##", "larger than"),
    ],
)
def test_yaml_that_grows_or_runs_is_refused(
    bundle: Path, registry: Registry, name: str, content: bytes | str, match: str
) -> None:
    put(bundle, name, content)
    refused(bundle, f"{name}.*{match}", registry)


def test_yaml_that_names_a_function_does_not_call_it(bundle: Path, tmp_path: Path) -> None:
    target = tmp_path / "written"
    put(bundle, "params.yaml", f"x: !!python/object/apply:os.mkdir ['{target}']\n")
    with pytest.raises(UsageError, match="not valid YAML"):
        _ = Bundle.load(bundle).params
    assert not target.exists()


def rows(**columns: Any) -> pa.Table:
    return pa.Table.from_pandas(pd.DataFrame(columns))


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + b"\xff" * 200 + b"PAR1", b"{}"])
def test_a_table_that_is_none_is_refused(bundle: Path, registry: Registry, content: bytes) -> None:
    put(bundle, "reference.parquet", content)
    refused(bundle, r"reference\.parquet .* not a Parquet file", registry)


def test_a_table_that_unpacks_to_very_much_is_refused(bundle: Path, registry: Registry) -> None:
    many = pa.table(
        {
            "category": pa.DictionaryArray.from_arrays(
                pa.array([0] * 6_000_000, pa.int8()), pa.array(["bolt"])
            ),
            "score": pa.array([1.0] * 6_000_000, pa.float32()),
        }
    )
    parquet.write_table(many, bundle / "reference.parquet", compression="zstd")
    put(bundle, "reference.parquet", (bundle / "reference.parquet").read_bytes())
    assert (bundle / "reference.parquet").stat().st_size < 100_000
    refused(bundle, r"reference\.parquet .*states 6000000 rows", registry)


def test_a_table_without_scores_is_refused(bundle: Path, registry: Registry) -> None:
    parquet.write_table(rows(category=["bolt"], other=[1.0]), bundle / "reference.parquet")
    put(bundle, "reference.parquet", (bundle / "reference.parquet").read_bytes())
    refused(bundle, r"reference\.parquet .*lacks the columns score", registry)


@pytest.mark.parametrize("score", [[float("nan")], [float("inf")], ["high"]])
def test_scores_that_are_no_numbers_are_refused_when_they_are_read(
    bundle: Path, score: list[Any]
) -> None:
    parquet.write_table(rows(category=["bolt"], score=score), bundle / "reference.parquet")
    put(bundle, "reference.parquet", (bundle / "reference.parquet").read_bytes())
    with pytest.raises(BundleError, match="scores are not finite numbers"):
        _ = Bundle.load(bundle).reference


def test_pages_that_are_not_what_the_footer_says_are_refused(bundle: Path) -> None:
    path = bundle / "reference.parquet"
    scores = [number / 7 for number in range(5000)]
    parquet.write_table(rows(category=["bolt"] * 5000, score=scores), path)
    content = bytearray(path.read_bytes())
    content[4:2000] = b"\xff" * 1996
    put(bundle, path.name, bytes(content))
    with pytest.raises(BundleError, match="pages cannot be read"):
        _ = Bundle.load(bundle).reference


def link(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def unix_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path.name)  # the whole path may be too long for a socket


@pytest.mark.parametrize("make", [link, endless, os.mkfifo, Path.mkdir, unix_socket])
@pytest.mark.parametrize("name", ["model.safetensors", INDEX, "extra.json"])
def test_what_is_no_plain_file_is_refused_and_not_opened(
    bundle: Path,
    registry: Registry,
    name: str,
    make: Callable[[Path], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(bundle)
    (bundle / name).unlink(missing_ok=True)
    make(bundle / name)
    refused(bundle, "is a link, a folder or a device", registry)


def test_rollback_needs_neither_torch_nor_tables(make_bundle, tmp_path: Path) -> None:
    """One command, and fast: every heavy module it loaded would be seconds."""
    from normscape.params import load_params
    from normscape.registry.contract import PRODUCTION
    from normscape.registry.store import open_registry

    (tmp_path / "params.yaml").write_text("{}\n")
    registry = open_registry(load_params(tmp_path / "params.yaml"))
    for _ in range(2):
        version = registry.register(make_bundle(), reason="made")
        state = registry.alias_state(PRODUCTION)
        registry.set_alias(PRODUCTION, version, expected=state, reason="promoted")
    heavy = ("torch", "timm", "openvino", "ot", "pandas", "scipy", "sklearn", "PIL", "prefect")
    code = (
        "import sys\nfrom normscape.cli.main import app\n"
        "app(['models', 'rollback', '--reason', 'too many alarms'], standalone_mode=False)\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["production: v0002 -> v0001", "[]"]
    assert registry.alias(PRODUCTION) == "v0001"
