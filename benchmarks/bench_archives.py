"""Cutouts a second from a server that takes 200 ms a request: many at once against one at a time, and against what the allowed connections bear.

Run with ``python benchmarks/bench_archives.py``. The server is another process on loopback; the transport treats it as a host of the network,
with shared connections, rate and files.
"""

import http.server
import itertools
import logging
import multiprocessing
import tempfile
import time
import tracemalloc
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

from tuningfork.archives.checks import check_fits_image
from tuningfork.archives.request import Archive, Fetched, Request
from tuningfork.archives.transport import Transport

LATENCY_S = 0.2
CONNECTIONS = 8
SIDE = 64


def cutout() -> bytes:
    """A FITS image of 64 x 64 float32 pixels."""
    cards = ["SIMPLE  =                    T", "BITPIX  =                  -32", "NAXIS   =                    2"]
    cards += [f"NAXIS{axis}  ={SIDE:21d}" for axis in (1, 2)] + ["END"]
    header = "".join(card.ljust(80) for card in cards)
    return header.ljust(2880).encode() + bytes(-(-4 * SIDE * SIDE // 2880) * 2880)


class Slow(http.server.BaseHTTPRequestHandler):
    """A cutout service that thinks for a while, as long as the address says in ms."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    body = cutout()

    def do_GET(self) -> None:
        """Think, then send the cutout."""
        time.sleep(float(self.path.split("/")[1]) / 1000)
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


def serve(pipe: Connection) -> None:
    """Run the server; tell its address."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    server.daemon_threads = True
    pipe.send(f"http://127.0.0.1:{server.server_port}")
    server.serve_forever()


def transport(url: str, cache: Path, per_second: float = 1e4) -> Transport:
    """A transport whose one archive is the server."""
    archive = Archive("slow", url, connections=CONNECTIONS, requests_per_second=per_second)
    return Transport(realm="live", cache=cache, archives={"slow": archive}, limit_loopback=True)


def cutouts(numbers: Iterator[int] | range, wait_s: float = LATENCY_S) -> Iterator[Request]:
    """One request for each number."""
    return (Request("slow", f"/{1000 * wait_s:g}/cutout.fits", {"n": n}, check=check_fits_image) for n in numbers)


def fetch_all(url: str, cache: Path, numbers: range, per_second: float = 1e4) -> None:
    """One job's share; also run in processes of its own."""
    with transport(url, cache, per_second) as archive:
        assert all(isinstance(outcome, Fetched) for _, outcome in archive.fetch_each(cutouts(numbers), progress=False))


def timed(action: object, *args: object) -> float:
    """Seconds that a call takes."""
    start = time.perf_counter()
    action(*args)  # type: ignore[operator]
    return time.perf_counter() - start


def one_at_a_time(url: str, cache: Path, numbers: range) -> None:
    """As the papers' scripts do it."""
    with transport(url, cache) as archive:
        for request in cutouts(numbers):
            archive.fetch_request(request)


def in_processes(url: str, cache: Path, numbers: range, jobs: int) -> None:
    """Several jobs that share a cache, and so the server's connections."""
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=fetch_all, args=(url, cache, numbers[job::jobs])) for job in range(jobs)]
    for child in children:
        child.start()
    for child in children:
        child.join()
        assert child.exitcode == 0


def peak_mb(url: str, cache: Path, number: int, distinct: int = 1000) -> float:
    """The largest memory held by Python objects, in MB, while `number` requests (of which `distinct` are asked, the others here) stream by."""
    with transport(url, cache) as archive:
        tracemalloc.start()
        numbers = itertools.islice(itertools.cycle(range(distinct)), number)
        for _ in archive.fetch_each(cutouts(numbers, 0.0), progress=False):
            pass
        peak = tracemalloc.get_traced_memory()[1] / 1e6
        tracemalloc.stop()
    return peak


def main(number: int = 240, hits: int = 4000, many: int = 100_000) -> dict[str, float]:
    """Print the comparison; returns the rates (cutouts a second) and memory peaks (MB)."""
    logging.disable(logging.WARNING)
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,), daemon=True)
    server.start()
    url = ours.recv()
    limit = CONNECTIONS / LATENCY_S
    found: dict[str, float] = {}
    try:
        with tempfile.TemporaryDirectory() as folder:
            caches = (Path(folder) / str(i) for i in itertools.count())
            few = number // CONNECTIONS
            found["one at a time"] = few / timed(one_at_a_time, url, next(caches), range(few))
            found["at once"] = number / timed(fetch_all, url, cache := next(caches), range(number))
            found["4 jobs"] = number / timed(in_processes, url, next(caches), range(number), 4)
            polite = 0.5 * limit
            # What the bucket lets through at once in the beginning is not the rate.
            found["polite"] = (number - CONNECTIONS) / timed(fetch_all, url, next(caches), range(number), polite)
            with transport(url, cache) as archive:
                again = itertools.islice(itertools.cycle(range(number)), hits)
                found["hits"] = hits / timed(lambda: [None for _ in archive.fetch_each(cutouts(again), progress=False)])
            found["memory of 10^3"] = peak_mb(url, next(caches), 1000)
            found["memory of many"] = peak_mb(url, next(caches), many)
    finally:
        server.terminate()
        server.join()
        logging.disable(logging.NOTSET)
    print(f"cutouts a second from a server that takes {1000 * LATENCY_S:.0f} ms a request and bears {CONNECTIONS} connections ({limit:.0f} /s)")
    print(f"  one at a time                 {found['one at a time']:8.1f} /s")
    for name, title in (("at once", "fetch_each, one job"), ("4 jobs", "fetch_each, 4 jobs")):
        print(
            f"  {title:29s} {found[name]:8.1f} /s   {found[name] / found['one at a time']:4.1f} x one at a time, {found[name] / limit:6.1%} of what is allowed"
        )
    print(f"  at a rate of {polite:.0f} /s             {found['polite']:8.1f} /s   {found['polite'] / polite:6.1%} of the rate")
    print(f"  from the cache                {found['hits']:8.0f} /s")
    ratio = found["memory of many"] / found["memory of 10^3"]
    print(f"  memory: {found['memory of 10^3']:.2f} MB for 10^3 requests, {found['memory of many']:.2f} MB for {many:.0e} ({ratio:.2f} x)")
    return found


if __name__ == "__main__":
    main()
