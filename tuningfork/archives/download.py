"""Bytes over HTTP: one request, its status judged, its body streamed into a part file; no retries, no cache.

Every fault that may pass is raised as `Transient`, which the transport retries; every other as an error for the user.
"""

import contextlib
import dataclasses
import datetime
import email.utils
import errno
import importlib.metadata
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

from tuningfork.archives.cache import Part
from tuningfork.archives.checks import BadReply
from tuningfork.archives.progress import Meter
from tuningfork.archives.request import Archive, Judge, Request, query_string
from tuningfork.archives.stopping import Stop
from tuningfork.archives.tokens import Credentials, redact
from tuningfork.errors import ArchiveError, NotInArchive

CHUNK = 2**18
MAX_REDIRECTS = 5
# 408 and 425 ask to come again, the others are faults of the moment; 501, 505 and the like are not.
RETRIED = frozenset((408, 425, 429, 500, 502, 503, 504))
# What a gateway says when nothing is behind it; 504 may be the fault of one heavy query.
AWAY = frozenset((502, 503))
SLOWEST_BYTES_PER_S = 1024
# Unix time of 2001: a smaller X-RateLimit-Reset is no date.
EARLIEST_RESET = 1e9
# So much of an error's body is shown to the request's judge.
JUDGED_BYTES = 2**16
DISK_FAULTS = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO))


class Transient(ArchiveError):
    """A fault that may pass: ask again.

    Parameters
    ----------
    message
        What happened.
    retry_after
        Seconds that the archive asked to wait, if it did.
    away
        Nothing was reached that could answer: no connection, or a gateway that says that there is nothing behind it. It is the archive's
        fault, then, and not the request's.
    """

    def __init__(self, message: str, retry_after: float | None = None, *, away: bool = False) -> None:
        super().__init__(message)
        self.retry_after, self.away = retry_after, away


@dataclasses.dataclass(frozen=True)
class Answer:
    """The head of a reply whose body was received whole."""

    url: str
    status: int
    headers: dict[str, str]


def user_agent(contact: str | None) -> str:
    """The name under which archives see this client, with an address for complaints."""
    try:
        version = importlib.metadata.version("tuningfork")
    except importlib.metadata.PackageNotFoundError:
        version = "0"
    return f"tuningfork/{version}" + (f" (+{contact})" if contact else "")


def make_session(client: str, *, loopback: bool, credentials: Credentials) -> requests.Session:
    """A session that names itself, asks for bytes as they are, and by-passes any proxy on loopback."""
    session = requests.Session()
    session.headers.update({"User-Agent": client, "Accept-Encoding": "identity", "Accept": "*/*"})
    session.trust_env = not loopback
    # What stands here goes before a .netrc, whose secrets are not the archives' to see.
    session.auth = credentials
    adapter = requests.adapters.HTTPAdapter(pool_connections=8, pool_maxsize=16, max_retries=0)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


@contextlib.contextmanager
def exchange(
    session: requests.Session,
    archive: Archive,
    method: str,
    url: str,
    *,
    pairs: list[tuple[str, str]],
    headers: Mapping[str, str],
    judge: Judge | None = None,
) -> Iterator[requests.Response]:
    """Send one request, follow redirects within the host, and give a response of status 200, 206 or 416, its body unread.

    Raises
    ------
    Transient
        No connection, time-out, or a status that asks to come again.
    NotInArchive
        404 or 410.
    ArchiveError
        Any other status, or a redirect to another host or scheme; or what `judge` makes of a status of 400 or more.
    """
    target = url
    body = query_string(pairs) if method == "POST" else None
    if pairs and method != "POST":
        target = f"{url}?{query_string(pairs)}"
    if body is not None:
        headers = {**headers, "Content-Type": "application/x-www-form-urlencoded"}
    for _ in range(MAX_REDIRECTS + 1):
        try:
            response = session.request(
                method,
                target,
                data=body,
                headers=dict(headers),
                stream=True,
                allow_redirects=False,
                timeout=(archive.connect_timeout_s, archive.read_timeout_s),
            )
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError, requests.exceptions.ContentDecodingError) as error:
            raise Transient(f"no answer ({_brief(error)})", away=not isinstance(error, requests.ReadTimeout)) from error
        except requests.RequestException as error:
            raise ArchiveError(f"archive {archive.name!r}: {target} cannot be requested: {error}") from error
        with contextlib.closing(response):
            if response.is_redirect:
                target = _redirected(archive, target, response)
                continue
            _judge(archive, target, response, judge)
            yield response
            return
    raise ArchiveError(f"archive {archive.name!r}: {url} redirects more than {MAX_REDIRECTS} times")


def receive(session: requests.Session, archive: Archive, request: Request, url: str, part: Part, stop: Stop) -> Answer:
    """The body of `request` into `part`, whole; goes on from what is there if the request allows and the server agrees; cut by `stop`.

    Raises
    ------
    Transient
        The body came short, stalled, or changed while being resumed.
    NotInArchive, ArchiveError
        As `exchange`; or the body is longer than allowed.
    """
    start = part.size
    if not (request.resume and part.validator and part.total and 0 < start < part.total):
        part.discard()
        start = 0
    headers = {"Range": f"bytes={start}-", "If-Range": part.validator or ""} if start else {}
    with exchange(session, archive, request.method, url, pairs=request.pairs, headers=headers, judge=request.judge) as response:
        found = {name.lower(): redact(value) for name, value in response.headers.items()}
        _refuse_encoded(archive, request, response.url, found)
        if response.status_code == 416 or (response.status_code == 206 and not _continues(found, start, part)):
            part.discard()
            raise Transient("the file changed while its download was interrupted; beginning again")
        if response.status_code == 200:
            start = 0
            part.begin(_validator(found), _length(found))
        if (part.total or 0) > request.max_bytes:
            part.discard()
            raise _too_long(archive, request, response.url, part.total)
        with stop.receiving(response.raw):
            _stream(response, archive, request, part, start)
    if part.total is not None and part.size != part.total:
        raise Transient(f"the body was cut: {part.size} of {part.total} bytes came")
    return Answer(response.url, response.status_code, found)


def _stream(response: requests.Response, archive: Archive, request: Request, part: Part, start: int) -> None:
    name = PurePosixPath(urlsplit(response.url).path).name
    marked, marked_at = start, time.monotonic()
    with part.body.open("ab", buffering=0) as file, Meter(name, part.total, start, request.progress) as meter:
        try:
            # read1 gives what has come instead of waiting for a full chunk, so that a dribbling server is noticed.
            while chunk := response.raw.read1(CHUNK, decode_content=False):
                file.write(chunk)
                meter.add(len(chunk))
                if meter.done > request.max_bytes:
                    raise _too_long(archive, request, response.url, None)
                if (elapsed := time.monotonic() - marked_at) >= archive.stall_s:
                    if meter.done - marked < SLOWEST_BYTES_PER_S * elapsed:
                        raise Transient(f"the body stalled: {meter.done - marked} bytes in {elapsed:.0f} s")
                    marked, marked_at = meter.done, time.monotonic()
                    part.keep_alive()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            if getattr(error, "errno", None) in DISK_FAULTS:
                raise ArchiveError(f"{part.body}: cannot be written ({error}); free some space and run again") from error
            raise Transient(f"the body was cut after {meter.done} bytes ({_brief(error)})") from error


def _judge(archive: Archive, url: str, response: requests.Response, judge: Judge | None) -> None:
    status = response.status_code
    if status in (200, 206) or (status == 416 and "Range" in response.request.headers):
        return
    body = _head_of_body(response, archive.stall_s)
    if judge is not None and status >= 400:
        try:
            judge(status, {name.lower(): value for name, value in response.headers.items()}, body)
        except BadReply as error:
            if error.transient:
                raise Transient(f"HTTP {status}: {error}", pause_asked(status, response.headers)) from error
            raise ArchiveError(f"archive {archive.name!r}: {url}: HTTP {status}: {error}") from error
    if status in (404, 410):
        raise NotInArchive(f"archive {archive.name!r} has no {url} (HTTP {status})")
    words = _words(body)
    if status in RETRIED:
        raise Transient(f"HTTP {status}{words}", pause_asked(status, response.headers), away=status in AWAY)
    raise ArchiveError(f"archive {archive.name!r} refused {url}: HTTP {status}{words}. Asking again will not help; check the request.")


def pause_asked(status: int, headers: Mapping[str, str], now: datetime.datetime | None = None) -> float | None:
    """Seconds for which a reply asks to be left alone; None if it does not.

    Retry-After counts on any error. X-RateLimit-Reset counts on 429, and on any reply with ``X-RateLimit-Remaining: 0``, also a good one:
    the next request would be refused. Zenodo gives it as Unix time (reference/archives.md, 8.1); a number too small for a date is taken as
    seconds from now, as other services have it.
    """
    asked = retry_after(headers.get("Retry-After"), now) if status >= 400 else None
    if asked is not None or (status != 429 and headers.get("X-RateLimit-Remaining", "").strip() != "0"):
        return asked
    value = headers.get("X-RateLimit-Reset", "").strip()
    if not re.fullmatch(r"\d{1,12}(\.\d+)?", value):
        return None
    if float(value) < EARLIEST_RESET:
        return float(value)
    return max(0.0, float(value) - (now or datetime.datetime.now(datetime.UTC)).timestamp())


def retry_after(value: str | None, now: datetime.datetime | None = None) -> float | None:
    """Seconds to wait that a Retry-After header asks for: a number, or the time until an HTTP date (RFC 9110, 10.2.3); None if neither."""
    if value is None:
        return None
    if re.fullmatch(r"\s*\d+(\.\d+)?\s*", value):
        return float(value)
    try:
        date = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=datetime.UTC)
    return max(0.0, (date - (now or datetime.datetime.now(datetime.UTC))).total_seconds())


def _redirected(archive: Archive, url: str, response: requests.Response) -> str:
    target = urljoin(url, redact(response.headers["Location"]))
    old, new = urlsplit(url), urlsplit(target)
    if (old.scheme, old.hostname, old.port) != (new.scheme, new.hostname, new.port):
        raise ArchiveError(
            f"archive {archive.name!r}: {url} redirects to {new.scheme}://{new.netloc}, another host or scheme, which is not followed; "
            "if the archive has moved, say so where its base URL is set"
        )
    return target


def _refuse_encoded(archive: Archive, request: Request, url: str, headers: Mapping[str, str]) -> None:
    encoding = headers.get("content-encoding", "identity").lower()
    # Some servers call a .gz file on disk an encoding; it is stored as it is.
    if encoding != "identity" and not (encoding in ("gzip", "x-gzip") and request.path.endswith(".gz")):
        raise ArchiveError(f"archive {archive.name!r}: {url} came compressed ({encoding}) though plain bytes were asked; is there a proxy between?")


def _continues(headers: Mapping[str, str], start: int, part: Part) -> bool:
    found = re.fullmatch(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})", headers.get("content-range", ""))
    if not found or int(found[1]) != start or int(found[3]) != part.total:
        return False
    return _validator(headers) in (None, part.validator)


def _validator(headers: Mapping[str, str]) -> str | None:
    # A weak ETag does not promise equal bytes, so it cannot guard a Range.
    etag = headers.get("etag", "")
    return etag if etag.startswith('"') else headers.get("last-modified")


def _length(headers: Mapping[str, str]) -> int | None:
    value = headers.get("content-length", "")
    return int(value) if re.fullmatch("[0-9]{1,18}", value) else None


def _too_long(archive: Archive, request: Request, url: str, total: int | None) -> ArchiveError:
    size = f"has {total} bytes" if total else "goes on"
    return ArchiveError(f"archive {archive.name!r}: {url} {size}, more than the {request.max_bytes} bytes that are reasonable for it; refused")


def _head_of_body(response: requests.Response, patience_s: float) -> bytes:
    """The first `JUDGED_BYTES` of an error's body, or what came of them within `patience_s`."""
    head, began = b"", time.monotonic()
    try:
        while len(head) < JUDGED_BYTES and time.monotonic() - began < patience_s:
            if not (chunk := response.raw.read1(JUDGED_BYTES - len(head), decode_content=False)):
                break
            head += chunk
    except (urllib3.exceptions.HTTPError, OSError):
        pass
    return redact(head.decode("latin-1")).encode("latin-1")


def _words(body: bytes) -> str:
    """The first words of an error's body, as plain text."""
    text = re.sub(r"<[^>]*>", " ", body[:2000].decode("utf-8", "replace"))
    text = " ".join(text.split())[:200]
    return f" ({text})" if text else ""


def _brief(error: BaseException) -> str:
    """The innermost reason that the libraries below give, on one line."""
    while error.args and isinstance(error.args[0], BaseException):
        error = error.args[0]
    reason = getattr(error, "reason", None) or (error.args[0] if error.args else error)
    return f"{type(error).__name__}: {redact(str(reason))[:200]}"
