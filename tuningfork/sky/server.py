"""The stand-in archives: a real HTTP server on a loopback port that speaks as the archives do, over a rendered sky.

Here are sockets, faults and the journal; what each archive answers is in `tuningfork.sky.services`.
"""

import contextlib
import logging
import os
import socket
import struct
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

from tuningfork.errors import ArchiveError
from tuningfork.sky.faults import WRONG_BY, Fault, FaultPlan, Faults, corrupted
from tuningfork.sky.services.failures import failure
from tuningfork.sky.services.messages import Ask, Reply, Service, missing
from tuningfork.sky.services.registry import open_services

log = logging.getLogger(__name__)


class Visit(tuple[str, str, int]):
    """One line of the journal, (method, path with query, status), which also knows how many bytes of body were sent.

    The status is 0 where the connection was closed without a reply.
    """

    sent: int = 0


@contextlib.contextmanager
def serve(
    root: str | os.PathLike[str],
    *,
    port: int = 0,
    faults: Faults | None = None,
    journal: list[tuple[str, str, int]] | None = None,
    latency_s: float = 0.0,
    limits: Mapping[str, int] | None = None,
) -> Iterator[dict[str, str]]:
    """Serve a rendered sky, the HST one or the wide one, as long as the ``with`` block lasts.

    Parameters
    ----------
    root : path
        The sky's directory.
    port : int
        TCP port on 127.0.0.1; 0 takes a free one.
    faults : callable or mapping, optional
        See `tuningfork.sky.faults.Faults` and `FAULTS`.
    journal : list, optional
        Gets (method, path with query, status) of every request; each entry is a `Visit`.
    latency_s : float
        Seconds that every request takes before its reply, for benchmarks.
    limits : mapping, optional
        Requests a minute that ``skyserver`` (SQL queries) and ``zenodo`` accept; by default they refuse none.

    Yields
    ------
    dict
        Base URLs of the archives that this sky has, by name.

    Raises
    ------
    ArchiveError
        If `root` holds no complete sky, or the port is taken.
    """
    with serve_services(open_services(root, limits), port=port, faults=faults, journal=journal, latency_s=latency_s) as endpoints:
        yield endpoints


@contextlib.contextmanager
def serve_services(
    services: Mapping[str, Service],
    *,
    port: int = 0,
    faults: Faults | None = None,
    journal: list[tuple[str, str, int]] | None = None,
    latency_s: float = 0.0,
) -> Iterator[dict[str, str]]:
    """As `serve`, for services that stand already; the first part of a request's path is the name of its service."""
    try:
        server = _Server(("127.0.0.1", port), services, FaultPlan(faults), journal, latency_s)
    except OSError as error:
        raise ArchiveError(f"port {port} of this machine cannot be opened ({error.strerror}); choose another, or 0 for any free one") from error
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="simulated-archive", daemon=True)
    thread.start()
    log.debug("simulated archives at %s", server.base)
    try:
        yield server.endpoints()
    finally:
        server.stopping.set()
        server.shutdown()
        server.server_close()
        thread.join()
        server.end_connections()


def serve_forever(root: str | os.PathLike[str], port: int = 0, *, until: threading.Event | None = None, **options: Any) -> None:
    """Serve a sky until interrupted (Ctrl-C), for a person: endpoints and an example of each are logged.

    Parameters
    ----------
    root : path
        The sky's directory.
    port : int
        TCP port on 127.0.0.1; 0 takes a free one.
    until : threading.Event, optional
        Ends the serving when it is set.
    **options
        As `serve`.

    Raises
    ------
    ArchiveError
        If `root` holds no complete sky, or the port is taken.
    """
    with contextlib.suppress(KeyboardInterrupt):
        services = open_services(root, options.pop("limits", None))
        with serve_services(services, port=port, **options) as endpoints:
            for name, url in endpoints.items():
                log.info("%s: %s  for example  %s%s", name, url, url, services[name].example())
            (until or threading.Event()).wait()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(
        self, address: tuple[str, int], services: Mapping[str, Service], plan: FaultPlan, journal: list[tuple[str, str, int]] | None, latency_s: float
    ) -> None:
        super().__init__(address, _Handler)
        self.services, self.plan, self.journal, self.latency_s = services, plan, journal, latency_s
        self.base = f"http://127.0.0.1:{self.server_address[1]}"
        self.stopping = threading.Event()
        self._open: dict[socket.socket, threading.Thread] = {}
        self._lock = threading.Lock()

    def endpoints(self) -> dict[str, str]:
        """Base URLs by archive."""
        return {name: f"{self.base}/{name}" for name in self.services}

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open[request] = threading.current_thread()
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._lock:
                self._open.pop(request, None)

    def end_connections(self, patience_s: float = 10.0) -> None:
        """Wake the threads that wait on idle connections and wait for all of them: one that outlives the interpreter within native code would abort it."""
        with self._lock:
            left = dict(self._open)
        for request in left:
            with contextlib.suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)
        until = time.monotonic() + patience_s
        for thread in left.values():
            thread.join(max(until - time.monotonic(), 0))

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
        self._write_journal(int(code))

    def _write_journal(self, status: int) -> None:
        self.visit = Visit((self.command, self.path, status))
        if self.server.journal is not None:
            self.server.journal.append(self.visit)

    def _answer(self, body: str) -> None:
        fault = self.server.plan.fault(self.path)
        if self.server.latency_s:
            self.server.stopping.wait(self.server.latency_s)
        name = fault.name if fault else ""
        if name in ("reset", "away"):
            self._write_journal(0)
            self._hang_up(reset=name == "reset")
            return
        if fault and name == "slow":
            self.server.stopping.wait(fault.duration)
        reply = failure(fault) if fault else None
        if reply is None:
            try:
                reply = self._ask(body)
            except Exception:
                # A bug of the stand-in, whose page must not pass for one of the archive's answers: plain words are a failure to every client.
                log.exception("the stand-in failed on %s %s", self.command, self.path)
                reply = Reply(500, b"The stand-in archive failed; see its log.\n", "text/plain")
        self._send(reply, fault)

    def _ask(self, body: str) -> Reply:
        raw, _, query = self.path.partition("?")
        archive, _, path = raw.lstrip("/").partition("/")
        service = self.server.services.get(archive)
        if service is None:
            return missing()
        base = f"http://{self.headers.get('Host') or self.server.base.removeprefix('http://')}/{archive}"
        return service.answer(Ask(self.command, "/" + unquote(path), query, dict(self.headers.items()), body, base))

    def _send(self, reply: Reply, fault: Fault | None) -> None:
        name = fault.name if fault else ""
        size, chunked = reply.size, False
        blocks: Iterable[bytes]
        headers = {"Content-Type": reply.kind}
        if size is None and (self.request_version == "HTTP/1.0" or name.startswith("wrong-length")):
            whole = b"".join(reply.blocks())
            blocks, size = (whole,), len(whole)
        else:
            blocks, chunked = reply.blocks(), size is None
        if reply.status == 304:
            headers = {}
        elif chunked:
            headers["Transfer-Encoding"] = "chunked"
        else:
            assert size is not None
            wrong = min(WRONG_BY, size // 2) if name == "wrong-length-less" else -WRONG_BY if name == "wrong-length" else 0
            headers["Content-Length"] = str(size - wrong)
        self.send_response(reply.status, reply.reason)
        for key, value in {**headers, **reply.headers, "X-Simulated": "true"}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD" and reply.status != 304:
            self._pour(blocks, size, chunked, fault)

    def _pour(self, blocks: Any, size: int | None, chunked: bool, fault: Fault | None) -> None:
        """The body, with the faults that a body can have."""
        name = fault.name if fault else ""
        # Without a known length (a body made while it is sent) the first block counts as the body whose half is sent.
        end = None if name not in ("truncate", "stall") else size // 2 if size is not None else -1
        for block in blocks:
            if name == "corrupt":
                block = corrupted(block, self.visit.sent, size)
            if end is not None:
                block = block[: len(block) // 2 if end < 0 else end - self.visit.sent]
            self.wfile.write(b"%x\r\n%b\r\n" % (len(block), block) if chunked and block else block)
            self.visit.sent += len(block)
            if end is not None and (end < 0 or self.visit.sent >= end):
                self._break(fault)
                return
        if chunked:
            self.wfile.write(b"0\r\n\r\n")
        if name.startswith("wrong-length"):
            self.close_connection = True

    def _break(self, fault: Fault | None) -> None:
        """End a truncated body, or hold a stalled one until the client leaves or the server stops."""
        self.wfile.flush()
        self.close_connection = True
        if fault and fault.name == "stall":
            self.server.stopping.wait(fault.duration)

    def _hang_up(self, *, reset: bool) -> None:
        """Close the connection without a reply: in peace, or by a reset (an immediate close with data pending, which is what SO_LINGER 0 asks for)."""
        self.close_connection = True
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.rfile.close()
            self.connection.close()
