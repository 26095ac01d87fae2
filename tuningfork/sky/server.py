"""The stand-in archives: a real HTTP server on a loopback port that speaks as VizieR, MAST and a raw file host do, over a rendered sky.

Faults can be asked for by path, so that clients are tested against what archives really do when they fail.
"""

import contextlib
import email.utils
import fnmatch
import json
import logging
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from tuningfork.errors import ArchiveError
from tuningfork.sky import asu

log = logging.getLogger(__name__)

Faults = Callable[[str], str | None] | Mapping[str, str | tuple[str, int]]
"""Either a function of the request's path and query that names a fault (or None), or shell patterns of path and query with a fault for each;
``("503", 2)`` fails the first two such requests only."""

FAULTS = ("500", "503", "429", "truncate", "stall", "vizier-error-200", "html")

_BLOCK = 1 << 20


@contextlib.contextmanager
def serve(
    root: str | os.PathLike[str], *, port: int = 0, faults: Faults | None = None, journal: list[tuple[str, str, int]] | None = None
) -> Iterator[dict[str, str]]:
    """Serve a sky that `tuningfork.sky.build.render_sky` wrote, as long as the ``with`` block lasts.

    Parameters
    ----------
    root : path
        The sky's directory.
    port : int
        TCP port on 127.0.0.1; 0 takes a free one.
    faults : callable or mapping, optional
        See `Faults`. ``500``, ``503`` and ``429`` (the last two with ``Retry-After: 1``) are statuses; ``truncate`` closes the connection half-way through
        the promised body, ``stall`` stops sending and keeps the connection open, ``vizier-error-200`` and ``html`` are wrong bodies with status 200.
    journal : list, optional
        Gets (method, path with query, status) of every request.

    Yields
    ------
    dict
        Base URLs by archive: ``vizier``, ``mast``, ``github``.

    Raises
    ------
    ArchiveError
        If `root` holds no complete sky.
    """
    root = Path(root)
    if not (root / "sky.json").is_file():
        raise ArchiveError(f"{root}: no sky.json, so no complete simulated sky; run the rule render_sky (or render_sky() itself) again")
    server = _Server(("127.0.0.1", port), root, faults, journal)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="simulated-archive", daemon=True)
    thread.start()
    base = f"http://127.0.0.1:{server.server_address[1]}"
    log.debug("simulated archives at %s", base)
    try:
        yield {name: f"{base}/{name}" for name in ("vizier", "mast", "github")}
    finally:
        server.stopping.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], root: Path, faults: Faults | None, journal: list[tuple[str, str, int]] | None) -> None:
        super().__init__(address, _Handler)
        self.root, self.faults, self.journal = root, faults, journal
        self.stopping = threading.Event()
        self.digests: dict[str, str] = json.loads((root / "sky.json").read_text(encoding="utf-8"))["files"]
        self._times: dict[str, int] = {}
        self._lock = threading.Lock()

    def fault(self, path: str) -> str | None:
        """The fault asked for this request, if any."""
        if self.faults is None:
            return None
        if callable(self.faults):
            return self.faults(path)
        for pattern, fault in self.faults.items():
            if not fnmatch.fnmatchcase(path, pattern):
                continue
            if isinstance(fault, str):
                return fault
            with self._lock:
                self._times[pattern] = self._times.get(pattern, 0) + 1
                if self._times[pattern] <= fault[1]:
                    return fault[0]
        return None

    def handle_error(self, request: Any, client_address: Any) -> None:
        log.debug("connection from %s ended early", client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "tuningfork-sky"
    sys_version = ""
    disable_nagle_algorithm = True
    timeout = 30
    server: _Server

    def do_GET(self) -> None:
        self._answer("")

    def do_HEAD(self) -> None:
        self._answer("")

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self._answer(self.rfile.read(length).decode("utf-8", "replace"))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        log.debug(format, *args)

    def log_request(self, code: Any = "-", size: Any = "-") -> None:
        if self.server.journal is not None:
            self.server.journal.append((self.command, self.path, int(code)))

    def _answer(self, body: str) -> None:
        self.fault = self.server.fault(self.path)
        if self.fault in ("500", "503", "429"):
            extra = {} if self.fault == "500" else {"Retry-After": "1"}
            self._send(int(self.fault), b"<html><body>No server is available to handle this request.</body></html>", "text/html", extra)
        elif self.fault == "html":
            self._send(200, b"<!DOCTYPE html><html><body>Scheduled maintenance.</body></html>\n", "text/html")
        elif self.fault == "vizier-error-200":
            self._send(200, asu.error_votable(), "text/xml")
        else:
            parts = urlsplit(self.path)
            path = unquote(parts.path)
            if match := re.fullmatch(r"/vizier/viz-bin/(votable|asu-tsv)", path):
                self._vizier(match[1], body or parts.query)
            elif self.command == "POST":
                self._send(405, b"Method not allowed\n", "text/plain")
            elif path.startswith(("/mast/", "/github/")):
                self._file(path)
            else:
                self._missing()

    def _vizier(self, form: str, text: str) -> None:
        query = asu.parse(text)
        reply = asu.select(self.server.root / "vizier", query)
        request = f"{form}?{'&'.join(text.split())}"
        if form == "votable":
            self._send(200, asu.votable(*reply, request), "text/xml")
        else:
            self._send(200, asu.tsv(*reply, request), "text/tab-separated-values")

    def _file(self, path: str) -> None:
        """A static file with validators and byte ranges."""
        relative = path.strip("/").replace("mast/pub/hlsp/", "mast/missions/hlsp/")
        digest = self.server.digests.get(relative)
        file = self.server.root / relative
        if digest is None or not file.is_file():
            self._missing()
            return
        status = file.stat()
        size, etag = status.st_size, f'"{digest[:32]}"'
        kind = {".fits": "image/fits", ".csv": "text/csv"}.get(file.suffix, "text/plain")
        headers = {"Last-Modified": email.utils.formatdate(int(status.st_mtime), usegmt=True), "ETag": etag, "Accept-Ranges": "bytes"}
        if self._unchanged(etag, int(status.st_mtime)):
            self._head(304, headers)
            return
        span = self._range(size, etag, headers["Last-Modified"])
        if span is None:
            self._send(416, b"", "text/plain", {"Content-Range": f"bytes */{size}"})
            return
        start, stop, partial = span
        if partial:
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
        self._head(206 if partial else 200, {"Content-Type": kind, "Content-Length": str(stop - start), **headers})
        if self.command != "HEAD":
            with open(file, "rb") as stream:
                stream.seek(start)
                self._pour(stream, stop - start)

    def _unchanged(self, etag: str, modified: int) -> bool:
        if known := self.headers.get("If-None-Match"):
            return etag in known or known.strip() == "*"
        if since := self.headers.get("If-Modified-Since"):
            with contextlib.suppress(TypeError, ValueError):
                return modified <= email.utils.parsedate_to_datetime(since).timestamp()
        return False

    def _range(self, size: int, etag: str, modified: str) -> tuple[int, int, bool] | None:
        """First byte, end and whether it is a part; None if the range lies beyond the file."""
        match = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", "").strip())
        condition = self.headers.get("If-Range")
        if not match or match.groups() == ("", "") or (condition and condition not in (etag, modified)):
            return 0, size, False
        if match[1] == "":
            start, stop = max(size - int(match[2]), 0), size
        else:
            start, stop = int(match[1]), min(int(match[2]) + 1, size) if match[2] else size
        return (start, stop, True) if start < stop else None

    def _pour(self, stream: Any, length: int) -> None:
        if self.fault in ("truncate", "stall"):
            self.wfile.write(stream.read(length // 2))
            self._break()
            return
        while length > 0 and (block := stream.read(min(_BLOCK, length))):
            self.wfile.write(block)
            length -= len(block)

    def _break(self) -> None:
        """End a truncated body, or hold a stalled one until the client leaves or the server stops."""
        self.wfile.flush()
        self.close_connection = True
        if self.fault == "stall":
            self.server.stopping.wait(60)

    def _missing(self) -> None:
        self._send(404, b"<html><head><title>404 Not Found</title></head><body><h1>Not Found</h1></body></html>\n", "text/html")

    def _head(self, status: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _send(self, status: int, body: bytes, kind: str, extra: Mapping[str, str] | None = None) -> None:
        self._head(status, {"Content-Type": f"{kind}; charset=UTF-8", "Content-Length": str(len(body)), **(extra or {})})
        if self.command == "HEAD":
            return
        if self.fault in ("truncate", "stall"):
            self.wfile.write(body[: len(body) // 2])
            self._break()
        else:
            self.wfile.write(body)
