"""One Range request through the transport: its rate, its connections, its retries, its realm. The only module that knows both sides of it."""

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

import requests
import urllib3

from tuningfork.archives.download import CHUNK, SLOWEST_BYTES_PER_S, exchange
from tuningfork.archives.request import Archive, Request
from tuningfork.archives.tokens import redact
from tuningfork.archives.transport import Transport
from tuningfork.errors import ArchiveError

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Reply:
    """What came: of a partial reply (206) its body, perhaps cut; of any other (200, 416) the head alone."""

    url: str
    status: int
    headers: dict[str, str]
    body: bytes


def ask_range(
    transport: Transport, archive: str, path: str, *, headers: Callable[[], Mapping[str, str]], use: Callable[[Reply], T], gained: Callable[[], int], most: int
) -> T:
    """Ask until `use` is content with a reply.

    Parameters
    ----------
    transport
        An open transport.
    archive, path
        The file.
    headers
        Gives Range and If-Range anew for each try, so that what came before a cut is not asked again.
    use
        Takes a reply; raises `download.Transient` to have it asked again, and any other error of this library to end it.
    gained
        Bytes that the last try brought and that stay; see `retry.persist`.
    most
        Refuse longer bodies.

    Raises
    ------
    NotInArchive, ArchiveError
        As `Transport.fetch`.
    """

    def ask(session: requests.Session, place: Archive, url: str) -> T:
        with exchange(session, place, "GET", url, pairs=[], headers=headers()) as response:
            found = {name.lower(): redact(value) for name, value in response.headers.items()}
            if found.get("content-encoding", "identity").lower() != "identity":
                raise ArchiveError(
                    f"archive {archive!r}: {url} came compressed ({found['content-encoding']}) though plain bytes were asked; is there a proxy between?"
                )
            body = _body(response, place, url, most) if response.status_code == 206 else b""
            reply = Reply(response.url, response.status_code, found, body)
        return use(reply)

    return transport.ask(archive, path, ask, gained=gained)


def archive_of(transport: Transport, archive: str) -> Archive:
    """The entry of an archive, if it is part of the transport's realm."""
    return transport._realm.archive(archive)


def whole_copy(transport: Transport, archive: str, path: str) -> bool:
    """Whether fetching the whole file would need no request: it is in the cache or in the mirror."""
    request = Request(archive, path)
    if transport.cache.entry(request.key(transport.realm), request.suffix).read() is not None:
        return True
    return transport._mirror.find(archive_of(transport, archive), request) is not None


def validator_of(headers: Mapping[str, str]) -> str | None:
    """What promises that two replies are of the same bytes: a strong ETag, else Last-Modified, else nothing (RFC 9110, 13.1.5)."""
    etag = headers.get("etag", "")
    return etag if etag.startswith('"') else headers.get("last-modified")


def _body(response: requests.Response, archive: Archive, url: str, most: int) -> bytes:
    """The body, or what came of it before it was cut or stalled."""
    body = bytearray()
    marked, marked_at = 0, time.monotonic()
    try:
        while chunk := response.raw.read1(CHUNK, decode_content=False):
            body += chunk
            if len(body) > most:
                raise ArchiveError(f"archive {archive.name!r}: {url} sends more than the {most} bytes that its answer may have; refused")
            if (elapsed := time.monotonic() - marked_at) >= archive.stall_s:
                if len(body) - marked < SLOWEST_BYTES_PER_S * elapsed:
                    break
                marked, marked_at = len(body), time.monotonic()
    except (urllib3.exceptions.HTTPError, OSError):
        pass
    return bytes(body)
