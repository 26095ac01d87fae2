"""Bytes and requests that stamps cost when they are cut out of remote mosaics, against downloading the mosaics.

Run with ``python benchmarks/bench_ranges.py``. The server is on loopback, serves several ranges at once as Apache does (or one, as S3), and counts
what it sends. Two fields: a cluster as in the demo (1000 pixels, seven bands with weights) and a plane of the size of GOODS-S (25,000 pixels,
2.5 GB, a file with holes on disk), with 30 and 300 galaxies, or as many as the arguments say. Times at the archive's polite rate are estimates of
the plan, not measured: loopback is not limited.
"""

import contextlib
import http.server
import re
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from tuningfork.archives.manifest import fetch_field
from tuningfork.archives.mast import mosaic_paths
from tuningfork.archives.range_plan import make_plan, pixel_bytes
from tuningfork.archives.request import ARCHIVES
from tuningfork.archives.transport import Transport
from tuningfork.stamps.cut import cut_shard
from tuningfork.stamps.remote import fetch_stamps, touched_windows
from tuningfork.stamps.store import USABLE

BANDS = ("f275w", "f475w", "f606w", "f814w", "f110w", "f140w", "f160w")
MARK = 1.5
"""At most so many bytes read for each byte of the demo's stamps."""


class Counted(http.server.ThreadingHTTPServer):
    """Files below `root`; `several` ranges at once or one; counts requests and bytes of bodies."""

    daemon_threads = True

    def __init__(self, root: Path, several: bool) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.root, self.several = root, several
        self.requests = self.sent = 0
        self.guard = threading.Lock()


class Handler(http.server.BaseHTTPRequestHandler):
    """GET with Range, If-Range and an ETag."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Counted

    def do_GET(self) -> None:
        """Send a file, a part, or several."""
        path = self.server.root / self.path.lstrip("/")
        if not path.is_file():
            self._send(404, {}, [b"not here"])
            return
        size, etag = path.stat().st_size, f'"{path.stat().st_mtime_ns:x}"'
        spans = re.findall(r"(\d*)-(\d*)", self.headers.get("Range", ""))
        pieces = [(max(0, size - int(b)), size) if not a else (int(a), min(int(b) + 1 if b else size, size)) for a, b in spans]
        if not pieces or (len(pieces) > 1 and not self.server.several) or self.headers.get("If-Range", etag) != etag:
            self._send(200, {"ETag": etag, "Content-Type": "image/fits"}, [], whole=path)
        elif len(pieces) == 1:
            start, stop = pieces[0]
            head = {"ETag": etag, "Content-Type": "image/fits", "Content-Range": f"bytes {start}-{stop - 1}/{size}"}
            self._send(206, head, self._read(path, pieces))
        else:
            parts = []
            for (start, stop), data in zip(pieces, self._read(path, pieces), strict=True):
                # as Apache writes them
                parts += [f"\r\n--5f1b2c3d4e5f60718\r\nContent-type: image/fits\r\nContent-range: bytes {start}-{stop - 1}/{size}\r\n\r\n".encode(), data]
            self._send(206, {"ETag": etag, "Content-Type": "multipart/byteranges; boundary=5f1b2c3d4e5f60718"}, [*parts, b"\r\n--5f1b2c3d4e5f60718--\r\n"])

    def _read(self, path: Path, pieces: list[tuple[int, int]]) -> list[bytes]:
        with open(path, "rb") as file:
            return [file.seek(start) * 0 or file.read(stop - start) for start, stop in pieces]

    def _send(self, code: int, head: dict[str, str], parts: list[bytes], whole: Path | None = None) -> None:
        size = whole.stat().st_size if whole else sum(map(len, parts))
        self.send_response(code)
        for name, value in {**head, "Content-Length": str(size)}.items():
            self.send_header(name, value)
        self.end_headers()
        sent = 0
        with contextlib.suppress(OSError):
            if whole:
                with open(whole, "rb") as file:
                    while block := file.read(2**20):
                        self.wfile.write(block)
                        sent += len(block)
            else:
                self.wfile.write(b"".join(parts))
                sent = size
        with self.server.guard:
            self.server.requests += 1
            self.server.sent += sent

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing."""


@contextlib.contextmanager
def counted(root: Path, several: bool) -> Iterator[Counted]:
    """A running server."""
    server = Counted(root, several)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def write_plane(path: Path, side: int, scale: float, seed: int | None) -> None:
    """A mosaic of noise, or (no seed) of holes on disk that read as zeros."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], [53.12, -27.8], [side / 2, side / 2]
    wcs.wcs.cdelt = [-scale / 3600, scale / 3600]
    header = fits.PrimaryHDU(np.zeros((1, 1), np.float32), wcs.to_header()).header
    header["NAXIS1"] = header["NAXIS2"] = side
    header["ABMAGZP"] = 25.0
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        file.write(header.tostring().encode())
        if seed is not None:
            np.random.default_rng(seed).normal(1, 0.1, (side, side)).astype(">f4").tofile(file)
        begin = file.tell() if seed is not None else file.tell() + side * side * 4
        file.truncate(begin + -begin % 2880)


def make_objects(field: str, bands: tuple[str, ...], side: int, scale: float, count: int, seed: int) -> dict[str, np.ndarray]:
    """Galaxies sized as in a CLASH catalogue (4 Petrosian radii, median 55 pixels), each in every band."""
    rng = np.random.default_rng(seed)
    x, y, size = rng.uniform(0, side, count), rng.uniform(0, side, count), np.clip(rng.lognormal(np.log(55), 0.45, count), 14, 240)
    return {
        "object_id": np.array([f"o{i}-{band}" for band in bands for i in range(count)]),
        "field": np.full(count * len(bands), field),
        "band": np.repeat(bands, count),
        **{name: np.tile(values, len(bands)) for name, values in (("x_pix", x + 1), ("y_pix", y + 1), ("stamp_arcsec", size * scale))},
    }


def measure(root: Path, objects: dict[str, np.ndarray], collection: str, field: str, bands: tuple[str, ...], scale: float, *, read: str, several: bool) -> dict:
    """Fetch what the stamps need; bytes and requests as the server counted them."""
    with (
        tempfile.TemporaryDirectory() as cache,
        counted(root, several) as server,
        Transport(realm="live", cache=Path(cache), endpoints={"mast": f"http://127.0.0.1:{server.server_port}"}) as transport,
    ):
        start = time.perf_counter()
        found = fetch_field(transport, collection=collection, field=field, bands=bands, weights=True, read=read, detection=False)
        traffic = fetch_stamps(transport, objects, {field: found})
        seconds = time.perf_counter() - start
        stamps = 2 * 4 * float(((objects["stamp_arcsec"] / scale) ** 2).sum())
        some = {name: values[:200] for name, values in objects.items()}
        usable = int(np.isin(cut_shard(some, {field: found}, pixels=80, min_coverage=0.0).status, (*USABLE, "blank", "outside_footprint")).sum())
        files = sum(path.stat().st_size for path in root.rglob("*.fits"))
        blocks = sum(path.stat().st_blocks * 512 for path in Path(cache).rglob("*.fits") if not path.is_symlink())
        assert usable == len(some["object_id"]), f"{usable} of {len(some['object_id'])} stamps could be cut"
        return {
            "sent": server.sent,
            "requests": server.requests,
            "stamps": stamps,
            "ratio": server.sent / stamps,
            "share": server.sent / files,
            "whole": traffic.whole,
            "disk": blocks,
            "seconds": seconds,
        }


def show(title: str, one: dict) -> None:
    """One line."""
    print(
        f"  {title:52s} {one['sent'] / 1e6:9.2f} MB {one['ratio']:7.2f} x the stamps {one['share']:7.1%} of the files {one['requests']:6d} requests "
        f"{one['disk'] / 1e6:8.1f} MB on disk {one['seconds']:6.1f} s{'  (whole)' if one['whole'] else ''}"
    )


def bench_cluster(folder: Path, count: int = 100) -> float:
    """A cluster as in the demo; gives bytes read over bytes of the stamps."""
    for number, band in enumerate(BANDS):
        for kind, path in mosaic_paths("clash", "a209", band).items():
            write_plane(folder / path.lstrip("/"), 1000, 0.065, 2 * number + (kind == "weight"))
    objects = make_objects("a209", BANDS, 1000, 0.065, count, seed=1)
    print(f"a cluster of the demo: {count} galaxies in {len(BANDS)} bands, 1000 x 1000 pixels, image and weight")
    ratios = {}
    for title, read, several in (
        ("ranges, several in a request", "ranges", True),
        ("ranges, one in a request", "ranges", False),
        ("auto (no slower than whole, at the polite rate)", "auto", True),
        ("whole", "whole", True),
    ):
        found = measure(folder, objects, "clash", "a209", BANDS, 0.065, read=read, several=several)
        show(title, found)
        ratios[title] = found["ratio"]
    best = ratios["ranges, several in a request"]
    print(f"  bytes read over bytes of the stamps: {best:.2f} (wanted at most {MARK})")
    return best


def bench_field(folder: Path, fetched: tuple[int, ...] = (30, 300), planned: tuple[int, ...] = (30, 300, 3000), side: int = 25_000) -> None:
    """A plane of 2.5 GB: numbers of galaxies whose stamps are fetched, and those for which only the plan is made."""
    for path in mosaic_paths("hlf-goods-s", "goodss", "f160w").values():
        write_plane(folder / path.lstrip("/"), side, 0.06, None)
    length = side * side * 4
    print(f"one band of GOODS-S: {side} x {side} pixels, image and weight of {length / 1e9:.1f} GB each")
    for count in fetched:
        objects = make_objects("goodss", ("f160w",), side, 0.06, count, seed=2)
        show(f"{count} galaxies, several in a request", measure(folder, objects, "hlf-goods-s", "goodss", ("f160w",), 0.06, read="ranges", several=True))
    print("  plans for one file, with seconds at the archive's polite rate and 10 MB/s:")
    for count in planned:
        objects = make_objects("goodss", ("f160w",), side, 0.06, count, seed=2)
        wanted = pixel_bytes(2880, 4, (side, side), *touched_windows(objects["x_pix"] - 1, objects["y_pix"] - 1, objects["stamp_arcsec"] / 0.06))
        for name, several in (("mast", True), ("mast", False), ("s3", False)):
            for read in ("ranges", "auto"):
                plan = make_plan(wanted, length, ARCHIVES[name], several=several, read=read)
                how = "several" if several else "one"
                print(f"    {count:5d} galaxies {name:4s} ({how:7s} a request) {read:6s} {'whole' if plan.whole else 'ranges':6s} ", end="")
                print(f"{plan.requests:5d} requests {plan.moved / 1e6:8.1f} MB {plan.seconds:6.0f} s")


def main(fetched: tuple[int, ...] = (30, 300)) -> dict[str, float]:
    """Both fields."""
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        ratio = bench_cluster(Path(one))
        bench_field(Path(two), fetched)
    return {"ratio": ratio}


if __name__ == "__main__":
    # Thousands are fetched only when asked for: a copy with so many holes takes minutes to delete on some disks.
    main(tuple(map(int, sys.argv[1:])) or (30, 300))
