"""Static files as web servers and object stores give them: validators, HEAD, one or several byte ranges (MAST, S3, GitHub, DES, SAS, CDS, Zenodo)."""

import contextlib
import email.utils
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from tuningfork.sky.services.messages import BLOCK, Ask, Reply, missing, not_allowed

KINDS = {".fits": "image/fits", ".csv": "text/csv", ".json": "application/json", ".h5": "application/octet-stream", ".parquet": "application/octet-stream"}
_BOUNDARY = "THIS_STRING_SEPARATES"


class StaticFiles:
    """The files of one archive.

    Parameters
    ----------
    files : mapping
        Path on the archive (``/missions/...``) -> (file on disk, its SHA-256). What is not listed is 404, whatever lies on the disk.
    aliases : sequence of (str, str)
        Beginnings of paths that stand for other ones, such as MAST's ``/pub/hlsp/`` for ``/missions/hlsp/``.
    multiple_ranges : bool
        Several ranges in one request are answered as ``multipart/byteranges`` (RFC 9110, 14.6). S3 answers with the whole file instead [M].
    """

    def __init__(self, files: Mapping[str, tuple[Path, str]], *, aliases: Sequence[tuple[str, str]] = (), multiple_ranges: bool = True) -> None:
        self.files, self.aliases, self.multiple_ranges = files, tuple(aliases), multiple_ranges

    def answer(self, ask: Ask) -> Reply:
        """The file, the ranges of it that were asked, 304, 404 or 416."""
        if ask.method == "POST":
            return not_allowed()
        found = self.find(ask.path)
        return missing() if found is None else file_reply(ask, *found, multiple_ranges=self.multiple_ranges)

    def find(self, path: str) -> tuple[Path, str] | None:
        """File and digest behind a path."""
        for alias, name in self.aliases:
            if path.startswith(alias):
                path = name + path.removeprefix(alias)
        found = self.files.get(path)
        return found if found is not None and found[0].is_file() else None

    def example(self) -> str:
        """The first file."""
        return min(self.files, default="/")


class Bucket(StaticFiles):
    """An object store: the same files by key, S3's XML where there is none."""

    def __init__(self, files: Mapping[str, tuple[Path, str]]) -> None:
        super().__init__(files, multiple_ranges=False)

    def answer(self, ask: Ask) -> Reply:
        """As `StaticFiles`, with S3's NoSuchKey."""
        if ask.method != "POST" and self.find(ask.path) is None:
            text = '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message>'
            return Reply(404, f"{text}<Key>{escape(ask.path[1:])}</Key></Error>".encode(), "application/xml")
        return super().answer(ask)


def file_reply(ask: Ask, file: Path, digest: str, *, multiple_ranges: bool = True, headers: Mapping[str, str] | None = None) -> Reply:
    """A file with validators and byte ranges (RFC 9110, sections 13 and 14).

    Parameters
    ----------
    ask : Ask
        The request; its Range, If-Range, If-None-Match and If-Modified-Since are heeded.
    file : path
    digest : str
        What the ETag is made of.
    multiple_ranges : bool
        See `StaticFiles`.
    headers : mapping, optional
        Further header fields.
    """
    status = file.stat()
    size, etag, modified = status.st_size, f'"{digest[:32]}"', int(status.st_mtime)
    kind = KINDS.get(file.suffix, "text/plain" if file.suffix in (".txt", ".md", ".dat") else "application/octet-stream")
    fields = {"Last-Modified": email.utils.formatdate(modified, usegmt=True), "ETag": etag, "Accept-Ranges": "bytes", **(headers or {})}
    asked = {name.lower(): value for name, value in ask.headers.items()}
    if _unchanged(asked, etag, modified):
        return Reply(304, headers=fields)
    ranges = _ranges(asked, size, etag, fields["Last-Modified"])
    if ranges is None or (len(ranges) > 1 and not multiple_ranges):
        return Reply(200, _reader(file, [(b"", 0, size)]), kind, fields, length=size)
    if not ranges:
        return Reply(416, b"", "text/plain", {**fields, "Content-Range": f"bytes */{size}"})
    if len(ranges) == 1:
        start, stop = ranges[0]
        return Reply(206, _reader(file, [(b"", start, stop)]), kind, {**fields, "Content-Range": f"bytes {start}-{stop - 1}/{size}"}, length=stop - start)
    pieces = [
        (f"\r\n--{_BOUNDARY}\r\nContent-Type: {kind}\r\nContent-Range: bytes {start}-{stop - 1}/{size}\r\n\r\n".encode(), start, stop) for start, stop in ranges
    ]
    pieces.append((f"\r\n--{_BOUNDARY}--\r\n".encode(), 0, 0))
    length = sum(len(head) + stop - start for head, start, stop in pieces)
    return Reply(206, _reader(file, pieces), f"multipart/byteranges; boundary={_BOUNDARY}", fields, length=length)


def md5_of(file: Path) -> str:
    """Hex MD5 of a file: the checksum that Zenodo publishes."""
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _reader(file: Path, pieces: Sequence[tuple[bytes, int, int]]) -> Callable[[], Iterable[bytes]]:
    def blocks() -> Iterable[bytes]:
        with open(file, "rb") as stream:
            for head, start, stop in pieces:
                if head:
                    yield head
                stream.seek(start)
                while start < stop and (block := stream.read(min(BLOCK, stop - start))):
                    yield block
                    start += len(block)

    return blocks


def _unchanged(asked: Mapping[str, str], etag: str, modified: int) -> bool:
    if known := asked.get("if-none-match"):
        return etag in known or known.strip() == "*"
    if since := asked.get("if-modified-since"):
        with contextlib.suppress(TypeError, ValueError):
            return modified <= email.utils.parsedate_to_datetime(since).timestamp()
    return False


def _ranges(asked: Mapping[str, str], size: int, etag: str, modified: str) -> list[tuple[int, int]] | None:
    """The satisfiable ranges as (first byte, end); empty if all lie beyond the file, None if the whole file is to be sent."""
    match = re.fullmatch(r"bytes=(\s*(?:\d+-\d*|-\d+)\s*(?:,\s*(?:\d+-\d*|-\d+)\s*)*)", asked.get("range", "").strip())
    condition = asked.get("if-range")
    if not match or (condition and condition not in (etag, modified)):
        return None
    found = []
    for part in match[1].split(","):
        first, _, last = part.strip().partition("-")
        if first and last and int(last) < int(first):
            return None  # an invalid range makes the whole field void
        start, stop = (max(size - int(last), 0), size) if not first else (int(first), min(int(last) + 1, size) if last else size)
        if start < stop:
            found.append((start, stop))
    return found
