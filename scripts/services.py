"""SeaweedFS, a real S3 server, on loopback: for developers (`make services`), tests and benchmarks.

python -m scripts.services [FOLDER]
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from boto3.session import Session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from normscape.errors import NormscapeError

HOST = "127.0.0.1"
PORT = 8333
BUCKET = "normscape"

_GRPC_OFFSET = 10000  # SeaweedFS listens on every port and on that port plus this
_SERVERS = ("master", "volume", "filer", "s3")
_START_SECONDS = 60.0
_STOP_SECONDS = 5.0


@dataclass(frozen=True)
class Service:
    """A running server.

    Attributes:
        environment: What a client of it must have in its environment.
        process: The server.
    """

    environment: dict[str, str]
    process: subprocess.Popen[bytes]


@contextmanager
def seaweedfs(folder: Path, *, port: int | None = None) -> Iterator[Service]:
    """Run SeaweedFS with its data in `folder`, and the bucket `normscape` in it.

    Args:
        folder: Where data, log and credentials are kept; what is there is served again.
        port: Of the S3 server; None: all ports are any that are free.

    Raises:
        NormscapeError: The server is not installed or does not start.
    """
    program = shutil.which("weed", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if program is None:
        raise NormscapeError(
            "weed, the SeaweedFS server, is missing; install requirements-dev.lock"
        )
    (folder / "data").mkdir(parents=True, exist_ok=True)
    ports = _free_ports(port)
    key, secret = _credentials(folder / "s3.json")
    command = [
        program, "server", f"-dir={folder / 'data'}", f"-ip={HOST}", f"-ip.bind={HOST}", "-filer",
        "-s3", f"-s3.config={folder / 's3.json'}", "-s3.port.iceberg=0", "-s3.port.lance=0",
        "-master.telemetry=false", "-master.volumeSizeLimitMB=256", "-volume.max=40",
        *(f"-{name}.port={ports[name]}" for name in _SERVERS),
    ]  # fmt: skip
    environment = {
        "AWS_ENDPOINT_URL": f"http://{HOST}:{ports['s3']}",
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with (folder / "weed.log").open("wb") as log:
        # Not in our process group: Ctrl-C is for us, we stop the server when we have finished.
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        _wait_until_ready(process, environment, folder / "weed.log")
        yield Service(environment, process)
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def main() -> None:
    """Run the server until Ctrl-C, and say what a client must have in its environment."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".normscape/services/seaweedfs")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        with seaweedfs(folder.resolve(), port=PORT) as service:
            lines = [f"export {name}={value}" for name, value in service.environment.items()]
            sys.stdout.write("\n".join([
                f"SeaweedFS {HOST}:{PORT}, its data in {folder}; stop it with Ctrl-C.",
                "In another terminal:", "", *lines, "",
                f"and in params.yaml, registry: {{root: s3://{BUCKET}/registry}}", "",
            ]))  # fmt: skip
            sys.stdout.flush()
            service.process.wait()
            raise NormscapeError(f"SeaweedFS has ended by itself; see {folder / 'weed.log'}")
    except KeyboardInterrupt:
        sys.stdout.write("\nstopped\n")
    except NormscapeError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)


def _credentials(path: Path) -> tuple[str, str]:
    """Access key and secret, made the first time."""
    if not path.exists():
        pair = {"accessKey": secrets.token_hex(8), "secretKey": secrets.token_hex(16)}
        actions = ["Admin", "Read", "Write", "List", "Tagging"]
        content = {"identities": [{"name": "dev", "credentials": [pair], "actions": actions}]}
        path.touch(mode=0o600)
        path.write_text(json.dumps(content), encoding="utf-8")
    (identity,) = json.loads(path.read_text(encoding="utf-8"))["identities"]
    (pair,) = identity["credentials"]
    return pair["accessKey"], pair["secretKey"]


def _free_ports(s3: int | None) -> dict[str, int]:
    """A port for each server, free now, and with it the one of its internal protocol."""
    if s3 is not None and not (_is_free(s3) and _is_free(s3 + _GRPC_OFFSET)):
        raise NormscapeError(f"port {s3} or {s3 + _GRPC_OFFSET} is taken; stop what listens")
    found = {} if s3 is None else {"s3": s3}
    while missing := [name for name in _SERVERS if name not in found]:
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            port = probe.getsockname()[1]
        inner = port + _GRPC_OFFSET if port + _GRPC_OFFSET < 65536 else port - _GRPC_OFFSET
        port = min(port, inner)
        if port not in found.values() and _is_free(port) and _is_free(port + _GRPC_OFFSET):
            found[missing[0]] = port
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _wait_until_ready(
    process: subprocess.Popen[bytes], environment: dict[str, str], log: Path
) -> None:
    key, secret = environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"]
    client = Session(key, secret, region_name=environment["AWS_DEFAULT_REGION"]).client(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        config=Config(read_timeout=5, retries={"total_max_attempts": 1}),
    )
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            with suppress(client.exceptions.BucketAlreadyExists):
                client.create_bucket(Bucket=BUCKET)
            # The first write waits until there are volumes.
            client.put_object(Bucket=BUCKET, Key=".ready", Body=b"")
            client.delete_object(Bucket=BUCKET, Key=".ready")
            return
        except (BotoCoreError, ClientError):
            if process.poll() is not None or time.monotonic() > deadline:
                raise NormscapeError(f"SeaweedFS does not start; see {log}") from None
            time.sleep(0.2)


if __name__ == "__main__":
    main()
