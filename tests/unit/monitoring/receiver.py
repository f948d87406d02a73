"""A real webhook receiver on loopback that can be down, broken, slow, and well again."""

import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECRET = "s3cr3t-T0ken"  # noqa: S105


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Receiver:
    """What came, and how to answer: `ok`, `broken`, `hanging`, `mute` (takes it, says nothing).

    A text in `poison` makes it refuse the messages that hold it.
    """

    def __init__(self) -> None:
        self.mode = "ok"
        self.poison: str | None = None
        self.messages: list[dict[str, Any]] = []
        self.tries = 0
        self._wake = threading.Event()
        self._server: ThreadingHTTPServer | None = None
        self.port = free_port()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/{SECRET}"

    @property
    def bodies(self) -> list[str]:
        return [message.get("body") or message["message"] for message in self.messages]

    @property
    def notices(self) -> list[str]:
        """The ids by which a receiver knows a notice again."""
        return [re.search(r"notice ([0-9a-f-]{36})", body)[1] for body in self.bodies]  # type: ignore[index]

    def up(self) -> None:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver.tries += 1
                content = self.rfile.read(int(self.headers["Content-Length"])).decode()
                if receiver.mode == "mute":
                    receiver.messages.append(json.loads(content))
                if receiver.mode in ("hanging", "mute"):
                    receiver._wake.wait(60)
                    return
                refused = receiver.poison is not None and receiver.poison in content
                if receiver.mode == "broken" or refused:
                    self.send_response(500)
                else:
                    receiver.messages.append(json.loads(content))
                    self.send_response(204)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *arguments: object) -> None:
                pass

        self._wake.clear()
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def down(self) -> None:
        self._wake.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


@contextmanager
def receiver() -> Iterator[Receiver]:
    """A receiver that is up."""
    place = Receiver()
    place.up()
    try:
        yield place
    finally:
        place.down()
