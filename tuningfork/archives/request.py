"""What is asked of an archive and what came back: the hosts, the canonical form of a request, and its key in the cache.

No byte moves here. Two requests with the same meaning have the same key, whatever order or float formatting their caller used; the key
holds the realm (live, or one simulated sky) and never a port, so simulated and live replies cannot mix.
"""

import dataclasses
import datetime
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote, urlsplit

from tuningfork.errors import ArchiveError
from tuningfork.files import digest_of, sha256_of


@dataclasses.dataclass(frozen=True)
class Archive:
    """One archive and how gently to treat it.

    Attributes
    ----------
    name
        The name by which callers and simulated endpoints know it.
    base_url
        Scheme and host, without a trailing slash; empty for `web`, whose paths are whole URLs.
    connections
        Requests in flight at once, from all processes of a machine that share a cache.
    requests_per_second
        Requests started a second, by all processes that share a cache.
    connect_timeout_s, read_timeout_s
        Seconds to wait for a connection, and for the next bytes.
    stall_s
        A body that gains less than a kilobyte a second over this many seconds counts as cut.
    fallbacks
        Other hosts with the same paths, tried in turn when the first gives nothing.
    """

    name: str
    base_url: str
    connections: int = 2
    requests_per_second: float = 2.0
    connect_timeout_s: float = 15.0
    read_timeout_s: float = 90.0
    stall_s: float = 60.0
    fallbacks: tuple[str, ...] = ()


ARCHIVES: dict[str, Archive] = {
    archive.name: archive
    for archive in (
        # One connection and one request a second: no number is published, SIMBAD beside it asks for fewer than eight.
        Archive(
            "vizier",
            "https://vizier.cds.unistra.fr",
            connections=1,
            requests_per_second=1.0,
            read_timeout_s=300.0,
            fallbacks=("https://vizier.cfa.harvard.edu",),
        ),
        Archive("mast", "https://archive.stsci.edu", connections=4, requests_per_second=4.0),
        # A copy of MAST's public holdings; whether CLASH and the HLF are in it was not seen.
        Archive("s3", "https://stpubdata.s3.amazonaws.com", connections=6, requests_per_second=20.0),
        # SQL: 60 queries a minute at most; pictures: users pause half a second.
        Archive("skyserver", "https://skyserver.sdss.org", connections=2, requests_per_second=2.0, read_timeout_s=600.0),
        Archive("sas", "https://data.sdss.org", connections=2, requests_per_second=1.0),
        # 64 threads shared by everybody; 429 is seen.
        Archive("legacysurvey", "https://www.legacysurvey.org", connections=2, requests_per_second=2.0, read_timeout_s=300.0),
        Archive("datalab", "https://datalab.noirlab.edu", connections=2, requests_per_second=2.0, read_timeout_s=300.0),
        Archive("tapvizier", "https://tapvizier.cds.unistra.fr", connections=1, requests_per_second=1.0, read_timeout_s=300.0),
        # 60 requests a minute for guests.
        Archive("zenodo", "https://zenodo.org", connections=2, requests_per_second=0.9),
        Archive("des", "https://desdr-server.ncsa.illinois.edu", connections=1, requests_per_second=1.0),
        Archive("cds", "https://alasky.cds.unistra.fr", connections=1, requests_per_second=1.0),
        Archive("github", "https://raw.githubusercontent.com"),
        Archive("web", "", connections=2, requests_per_second=1.0),
    )
}
"""The archives by name. `web` is any https URL; the limits are choices, since no archive publishes one."""

LOOPBACK = ("127.0.0.1", "localhost", "::1")
DEFAULT_MAX_BYTES = 2**30

Check = Callable[[Path], Any]
"""Looks at a whole body and raises `BadReply` (or another error of this library) if it is not what was asked."""

Judge = Callable[[int, Mapping[str, str], bytes], None]
"""Looks at a reply whose status is 400 or more: ``judge(status, headers, body)``.

`headers` have lower-case names; `body` is its first 64 KiB at most (`download.JUDGED_BYTES`), whatever came of it. It raises what the reply
means: `OutsideFootprint` or `NotInArchive` (an answer: final, and no mark against the archive), `BadReply` (final, or asked again if
transient), any other error of this library (final). If it returns, the status is taken for what it usually means: 404 and 410 are
`NotInArchive`, 408, 425, 429, 500, 502, 503 and 504 are asked again, all others are refusals.

For archives whose statuses lie: the Legacy viewer's 500 for a place without images, SkyServer's 404 that carries a JPEG.
"""


@dataclasses.dataclass(frozen=True)
class Request:
    """One request; see `Transport.fetch` for the meaning of each field."""

    archive: str
    path: str
    params: Mapping[str, Any] | None = None
    method: str = "GET"
    check: Check | None = None
    resume: bool = False
    max_bytes: int = DEFAULT_MAX_BYTES
    progress: bool | None = None
    refresh: bool = False
    judge: Judge | None = None

    def __post_init__(self) -> None:
        """Refuse what no archive can mean."""
        if self.method not in ("GET", "POST"):
            raise ArchiveError(f"method {self.method!r} of {self.path}: only GET and POST fetch a body")
        if self.archive == "web":
            parts = urlsplit(self.path)
            if not parts.hostname or (parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK)):
                raise ArchiveError(f"{self.path!r} is no https URL; give a file of this machine as 'file', and any other by its https address")
        elif not self.path.startswith("/"):
            raise ArchiveError(f"path {self.path!r} of archive {self.archive!r} must start with '/'")
        if ".." in self.path.split("?")[0].split("/"):
            raise ArchiveError(f"path {self.path!r} of archive {self.archive!r} must not climb with '..'")

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Parameters in canonical order, as text (see `canonical_pairs`)."""
        return canonical_pairs(self.params)

    def key(self, realm: str) -> str:
        """Hex SHA-256 of the canonical request within `realm`."""
        return digest_of([realm, self.archive, self.method, self.path, self.pairs])

    @property
    def suffix(self) -> str:
        """The path's own extension (such as ``.fits`` or ``.fits.gz``), or nothing where it is not plain."""
        name = PurePosixPath(self.path.split("?")[0]).name
        found = re.search(r"(\.[A-Za-z][A-Za-z0-9]{0,7})(\.(gz|fz|bz2|xz))?$", name)
        return found[0].lower() if found else ""


@dataclasses.dataclass(frozen=True)
class Fetched:
    """A whole reply in the cache.

    Attributes
    ----------
    path
        The file; read it, never write it.
    sidecar
        How it came: url, params, retrieved (UTC), status, headers, sha256, bytes, realm, client.
    from_cache
        True if no request was made for it.
    """

    path: Path
    sidecar: dict[str, Any]
    from_cache: bool


def url_of(base: str, request: Request) -> str:
    """The URL of a request at an archive's base URL, without its parameters."""
    return request.path if request.archive == "web" else f"{base}{request.path}"


def origin_of(url: str) -> str:
    """Scheme and host of a URL."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def make_sidecar(
    request: Request, body: Path, *, realm: str, client: str, url: str, status: int = 200, headers: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """What is written beside a whole body: how it came, when, and its size and SHA-256."""
    return {
        "format": 1,
        "realm": realm,
        "archive": request.archive,
        "method": request.method,
        "path": request.path,
        "params": [list(pair) for pair in request.pairs],
        "url": url,
        "retrieved": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "status": status,
        "headers": {name: value for name, value in (headers or {}).items() if name != "set-cookie"},
        "sha256": sha256_of(body),
        "bytes": body.stat().st_size,
        "client": client,
    }


def canonical_pairs(params: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """Parameters as text, sorted by name.

    Floats are written with ten significant digits (0.4 milliarcseconds in a right ascension), so 1.0, 1 and ``numpy.float64(1)`` are one
    request; booleans become ``true`` and ``false``; None is left out; a list or tuple repeats its name in the order given.

    Raises
    ------
    ArchiveError
        A value is not finite.
    """
    pairs = []
    for name in sorted(params or {}):
        value = params[name]  # type: ignore[index]
        values: Iterable[Any] = value if isinstance(value, list | tuple) else [value]
        pairs += [(name, _text(name, v)) for v in values if v is not None]
    return pairs


def query_string(pairs: Iterable[tuple[str, str]]) -> str:
    """Pairs as a query string. Commas, slashes and asterisks stay as they are: some archives do not decode them."""
    return "&".join(f"{quote(name, safe='-_.')}={quote(value, safe='-_.,/*:~')}" for name, value in pairs)


def _text(name: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    number = float(value)
    if number != number or number in (float("inf"), float("-inf")):
        raise ArchiveError(f"parameter {name!r} is {value}; an archive can only be asked for finite numbers")
    # Integers keep all their digits: an object id has up to nineteen.
    return str(int(value)) if number == int(number) and abs(number) >= 1e9 else f"{number:.10g}"
