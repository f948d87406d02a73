"""A tiny checkout, and a real Prefect server with its own home on loopback."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

Found = TypeVar("Found")
CHECKOUT = Path(__file__).parents[2]
BINARIES = Path(sys.executable).parent
SOURCES = ("flows", "monitoring", "src", "dvc.yaml", "params.yaml", "prefect.yaml", ".gitignore")
GIT = ("git", "-c", "user.name=test", "-c", "user.email=test@localhost")


def environment(home: Path, api: str = "") -> dict[str, str]:
    """A process's environment: its own Prefect, and no repository named by a Git hook."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name[:4] != "GIT_" and not name.startswith("PREFECT_") and not name.startswith("DVC_")
    }
    return (
        kept
        | ({"PREFECT_API_URL": api} if api else {})
        | {
            "PATH": f"{BINARIES}{os.pathsep}{os.environ['PATH']}",
            "PREFECT_HOME": str(home),
            "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "true",
            "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            "DO_NOT_TRACK": "1",
            "OMP_NUM_THREADS": "1",
            "NO_COLOR": "1",
        }
    )


def write_images(data: Path) -> None:
    """Two categories in the MVTec layout, noise with a bright square as the defect."""
    rng = np.random.default_rng(0)
    for category, base in (("bolt", 90), ("nut", 150)):
        for part, count in (("train/good", 24), ("test/good", 3), ("test/hole", 3)):
            folder = data / category / part
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = rng.normal(base, 12, size=(64, 64, 3)).clip(0, 255).astype(np.uint8)
                if part == "test/hole":
                    pixels[20:40, 20:40] = 255
                    mask = np.zeros((64, 64), np.uint8)
                    mask[20:40, 20:40] = 255
                    target = data / category / "ground_truth/hole" / f"{number:03d}_mask.png"
                    target.parent.mkdir(parents=True, exist_ok=True)
                    Image.fromarray(mask).save(target)
                Image.fromarray(pixels).save(folder / f"{number:03d}.png")


def make_project(root: Path, home: Path) -> None:
    """A checkout under Git and DVC: generated images that `data.dvc` pins, and their manifest."""
    root.mkdir()
    for name in SOURCES:
        source = CHECKOUT / name
        if source.is_dir():
            shutil.copytree(source, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, root / name)
    write_images(root / "data")
    for arguments in (
        ("git", "init", "--quiet"),
        ("dvc", "init", "--quiet"),
        ("dvc", "config", "core.analytics", "false"),
        ("dvc", "add", "--quiet", "data"),
        ("dvc", "repro", "--quiet", "--single-item", "manifest"),
        (*GIT, "add", "."),
        (*GIT, "commit", "--quiet", "-m", "a project"),
    ):
        subprocess.run(arguments, cwd=root, env=environment(home), check=True)


@contextmanager
def running(
    arguments: list[str], cwd: Path, environ: dict[str, str], output: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a group of its own, ended with its group."""
    with output.open("ab") as stream:
        process = subprocess.Popen(
            arguments, cwd=cwd, env=environ, stdout=stream, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
    try:
        yield process
    finally:
        for sign in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(process.pid, sign)
                process.wait(timeout=3)
            except ProcessLookupError:
                break
            except subprocess.TimeoutExpired:
                continue
        process.wait()


def wait_until(ready: Callable[[], Found], seconds: float, what: str) -> Found:
    """Poll until `ready` gives something true."""
    deadline = time.monotonic() + seconds
    while True:
        found = ready()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.3)


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """The API address of a real Prefect server with its home in `folder`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}/api"
    arguments = [
        str(BINARIES / "prefect"), "server", "start", "--host", "127.0.0.1", "--port", str(port)
    ]  # fmt: skip

    def healthy() -> bool:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=2) as answer:  # noqa: S310
                return bool(answer.status == 200)
        except OSError:
            return False

    log = folder / "server.log"
    with running(arguments, folder, environment(folder / "home"), log):
        wait_until(healthy, 120, f"Prefect's server; see {log}")
        yield url


def events(api: str) -> list[dict[str, object]]:
    """The project's events on a Prefect server."""
    body = json.dumps({"filter": {"event": {"prefix": ["normscape."]}}, "limit": 50}).encode()
    request = urllib.request.Request(  # noqa: S310
        f"{api}/events/filter", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        found: list[dict[str, object]] = json.load(answer)["events"]
    return found


def run_flow(
    root: Path, api: str, name: str, *arguments: str, text: str = ""
) -> subprocess.CompletedProcess[str]:
    """`python -m flows.NAME ...` for a project that has no flows of its own; `text` goes in."""
    return subprocess.run(
        [sys.executable, "-m", f"flows.{name}", *arguments], cwd=root, timeout=200, check=False,
        env=environment(root / "home")
        | {"NORMSCAPE_PREFECT_API_URL": api, "PYTHONPATH": f"{CHECKOUT / 'src'}:{CHECKOUT}"},
        input=text, capture_output=True, text=True,
    )  # fmt: skip


def processes_of(root: Path) -> dict[int, str]:
    """Command lines of the living processes that work in `root`, by process id."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            state = (entry / "stat").read_text().rsplit(")", 1)[1].split()[0]
            if state != "Z" and (entry / "cwd").readlink() == root:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                found[int(entry.name)] = line
        except OSError:
            continue
    return found


def find(root: Path, word: str) -> int | None:
    """The process in `root`, other than a tether, whose command line holds `word`."""
    found = processes_of(root).items()
    return next((pid for pid, line in found if word in line and "tether.py" not in line), None)
