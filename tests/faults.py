"""A proxy in front of an S3 server that does to chosen requests what networks and disks do."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from scripts.services import HOST

KINDS = ("500", "hang", "drop", "lose", "truncate", "flip", "flip upload")


@dataclass
class Fault:
    """What happens to requests.

    Attributes:
        kind: `500`; `hang`: no answer; `drop`: the connection ends before the request arrives;
            `lose`: it arrives and its answer does not; `truncate`: half of the body; `flip`: one
            byte of the body is another; `flip upload`: one byte of what is sent is.
        where: A regular expression for `METHOD /bucket/key`.
        times: How many requests it happens to.
    """

    kind: str
    where: str = "."
    times: int = 1


@dataclass
class Proxy:
    """A running proxy; faults may be added and cleared at any time."""

    endpoint: str
    faults: list[Fault] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def fault_of(self, request: str) -> str | None:
        """Which fault happens to a request."""
        with self._lock:
            self.seen.append(request)
            for fault in self.faults:
                if fault.times > 0 and re.search(fault.where, request):
                    fault.times -= 1
                    return fault.kind
        return None


@contextmanager
def faulty_proxy(upstream: str, *, hang_seconds: float = 3.0) -> Iterator[Proxy]:
    """Run a proxy to the server at the URL `upstream`."""
    address = urlsplit(upstream).netloc

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            kind = proxy.fault_of(f"{self.command} {self.path}")
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if kind == "hang":
                time.sleep(hang_seconds)
            if kind in {"hang", "drop"}:
                self.close_connection = True
                return
            if kind == "500":
                self._send(500, [("Content-Type", "application/xml")], b"")
                return
            if kind == "flip upload" and body:
                body = flipped(body)
            status, headers, content = self._forward(body)
            if kind == "lose":
                self.close_connection = True
                return
            if kind == "flip" and content:
                content = flipped(content)
            self._send(status, headers.items(), content, cut=kind == "truncate")

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _answer  # noqa: N815

        def _forward(self, body: bytes) -> tuple[int, HTTPMessage, bytes]:
            connection = HTTPConnection(address, timeout=30)
            # The host that the client knows is part of what it signed.
            connection.putrequest(
                self.command, self.path, skip_host=True, skip_accept_encoding=True
            )
            for name, value in self.headers.items():
                if name.lower() not in {"expect", "connection"}:
                    connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            content = answer.read()
            connection.close()
            return answer.status, answer.headers, content

        def _send(self, status, headers, content: bytes, *, cut: bool = False) -> None:
            self.send_response_only(status)
            for name, value in headers:
                if name.lower() not in {"transfer-encoding", "content-length", "connection"}:
                    self.send_header(name, value)
            known = dict(headers).get("Content-Length")
            size = known if self.command == "HEAD" and known else str(len(content))
            self.send_header("Content-Length", size)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content[: len(content) // 2] if cut else content)
            self.close_connection = self.close_connection or cut

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer((HOST, 0), Handler)
    server.daemon_threads = True
    proxy = Proxy(f"http://{HOST}:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def flipped(content: bytes) -> bytes:
    """The same bytes but for one bit in the middle."""
    changed = bytearray(content)
    changed[len(changed) // 2] ^= 1
    return bytes(changed)
