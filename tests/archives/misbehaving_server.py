"""A real HTTP server on a free loopback port that can misbehave in every way an archive does."""

import contextlib
import dataclasses
import http.server
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from astropy.io import fits

MODIFIED = "Tue, 15 Nov 2016 12:45:26 GMT"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.serve(self)

    do_HEAD = do_POST = do_GET

    def log_message(self, *args: object) -> None:
        pass


@dataclasses.dataclass
class Seen:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes


class Server(http.server.ThreadingHTTPServer):
    """Answers each path with its list of behaviours in turn, the last one for ever; remembers every request."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.behaviours: dict[str, list[Callable[[Handler], None]]] = {}
        self.seen: list[Seen] = []
        self.busy = self.busiest = 0
        self.guard = threading.Lock()
        self.release = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def on(self, path: str, *behaviours: Callable[[Handler], None]) -> None:
        self.behaviours[path] = list(behaviours)

    def count(self, method: str = "GET") -> int:
        return sum(seen.method == method for seen in self.seen)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is part of many tests, and no news."""

    def serve(self, handler: Handler) -> None:
        with self.guard:
            body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
            self.seen.append(Seen(handler.command, handler.path, {k.lower(): v for k, v in handler.headers.items()}, body))
            steps = self.behaviours.get(handler.path.split("?")[0], [status(404)])
            behaviour = steps.pop(0) if len(steps) > 1 else steps[0]
            self.busy += 1
            self.busiest = max(self.busiest, self.busy)
        try:
            behaviour(handler)
        finally:
            with self.guard:
                self.busy -= 1


def reply(handler: Handler, code: int, body: bytes, *, promise: int | None = None, **headers: str) -> None:
    """Send a reply; promise a length other than the body's own to lie, and the connection is closed after it."""
    handler.send_response(code)
    handler.send_header("Content-Length", str(len(body) if promise is None else promise))
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    if promise is not None:
        handler.send_header("Connection", "close")
        handler.close_connection = True
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(body)


def content(body: bytes, kind: str = "application/fits") -> Callable[[Handler], None]:
    """A static file with Last-Modified, HEAD, and Range guarded by If-Range."""

    def behave(handler: Handler) -> None:
        asked = handler.headers.get("Range")
        if asked and handler.headers.get("If-Range", MODIFIED) == MODIFIED:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            rest = body[start:]
            reply(handler, 206, rest, Content_Type=kind, Last_Modified=MODIFIED, Content_Range=f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            reply(handler, 200, body, Content_Type=kind, Last_Modified=MODIFIED, Accept_Ranges="bytes")

    return behave


def cut(body: bytes, after: int, modified: str = MODIFIED) -> Callable[[Handler], None]:
    """Promise the whole body, send its first bytes, and hang up."""
    return lambda handler: reply(handler, 200, body[:after], promise=len(body), Last_Modified=modified)


def status(code: int, body: bytes = b"", **headers: str) -> Callable[[Handler], None]:
    return lambda handler: reply(handler, code, body, **headers)


def stall(body: bytes, after: int) -> Callable[[Handler], None]:
    """Send the first bytes, then nothing until the test is over."""

    def behave(handler: Handler) -> None:
        reply(handler, 200, body[:after], promise=len(body), Last_Modified=MODIFIED)
        handler.wfile.flush()
        handler.server.release.wait(20)

    return behave


def dribble(body: bytes) -> Callable[[Handler], None]:
    """Send a byte now and then until the client has enough of it."""

    def behave(handler: Handler) -> None:
        reply(handler, 200, b"", promise=len(body), Last_Modified=MODIFIED)
        try:
            for i in range(len(body)):
                handler.wfile.write(body[i : i + 1])
                if handler.server.release.wait(0.01):
                    return
        except OSError:
            pass

    return behave


def chunked(*chunks: bytes) -> Callable[[Handler], None]:
    """A body of unknown length."""

    def behave(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for chunk in [*chunks, b""]:
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))

    return behave


def slowly(body: bytes, seconds: float) -> Callable[[Handler], None]:
    def behave(handler: Handler) -> None:
        time.sleep(seconds)
        content(body)(handler)

    return behave


def fits_bytes(side: int = 40, *, simulated: bool = False) -> bytes:
    """A FITS image as astropy writes it."""
    hdu = fits.PrimaryHDU(np.arange(side * side, dtype=np.float32).reshape(side, side))
    if simulated:
        hdu.header["SIMULATE"] = True
    return b"".join([hdu.header.tostring().encode(), hdu.data.astype(">f4").tobytes().ljust(-(-side * side * 4 // 2880) * 2880, b"\0")])


def body_sizes(cache: Path) -> list[int]:
    """Sizes (bytes) of the half-written bodies in a cache that others write to at the same time: what vanishes meanwhile is left out."""
    sizes = []
    for folder, _, names in os.walk(cache):
        if "body" in names:
            with contextlib.suppress(FileNotFoundError):
                sizes.append((Path(folder) / "body").stat().st_size)
    return sizes
