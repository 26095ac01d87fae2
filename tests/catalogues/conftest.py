"""Archives on loopback that serve given bytes over real HTTP, and transports that take them for the real ones."""

import dataclasses
import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from tuningfork.archives.request import ARCHIVES
from tuningfork.archives.transport import Transport


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = urlsplit(self.path)
        answer = self.server.files.get(unquote(parts.path))
        if callable(answer):
            answer = answer({k: v[0] for k, v in parse_qs(body.decode() or parts.query).items()})
        self.server.asked.append(unquote(parts.path))
        self.send_response(404 if answer is None else 200)
        self.send_header("Content-Length", str(len(answer or b"")))
        self.end_headers()
        self.wfile.write(answer or b"")

    do_POST = do_GET

    def log_message(self, *args: object) -> None:
        pass


class Archive(http.server.ThreadingHTTPServer):
    """`files`: path -> bytes, or a function of the parameters that gives them; `asked`: the paths of all requests."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes | Callable[[dict[str, str]], bytes]] = {}
        self.asked: list[str] = []


@pytest.fixture
def archive() -> Iterator[Archive]:
    server = Archive()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def open_transport(archive: Archive, tmp_path: Path) -> Iterator[Callable[[str], Transport]]:
    made = []

    def make(realm: str = "live") -> Transport:
        url = f"http://127.0.0.1:{archive.server_port}"
        quick = {name: dataclasses.replace(known, read_timeout_s=20.0) for name, known in ARCHIVES.items()}
        endpoints = {name: url for name in ARCHIVES if name != "web"}
        made.append(Transport(realm=realm, cache=tmp_path / f"cache-{realm}", endpoints=endpoints, archives=quick, attempts=2, backoff_s=0.005))
        return made[-1]

    yield make
    for transport in made:
        transport.close()


@pytest.fixture
def live(open_transport) -> Transport:
    """A transport of the live realm."""
    return open_transport("live")
