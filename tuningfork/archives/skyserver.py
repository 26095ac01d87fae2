"""SDSS SkyServer: tables by SQL, and colour pictures. Its replies are odd, and each oddity is met here (reference/archives.md, 3.1 and 3.2).

Tables come as CSV with a ``#Table1`` line, values with commas in quotes whose inner quotes are not escaped, and errors as a table with the
one column ``error_message``, all with HTTP 200. Pictures come clamped to other sizes without a word, and as a picture of words (HTTP 404)
outside the survey.
"""

import datetime
import functools
import json
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from astropy.table import Table

from tuningfork.archives.checks import BadReply
from tuningfork.archives.images import JPEG_BEGIN, check_jpeg, glimpse
from tuningfork.archives.request import Fetched, Request
from tuningfork.archives.skycsv import Columns, joined, read_columns, typed
from tuningfork.archives.transport import Transport
from tuningfork.errors import ArchiveError, CatalogueError, OutsideFootprint

log = logging.getLogger(__name__)

ARCHIVE = "skyserver"
SQL_PATH = "/{release}/SkyServerWS/SearchTools/SqlSearch"
PICTURE_PATH = "/{release}/SkyServerWS/ImgCutout/getjpeg"

MAX_ROWS = 500_000
"""Rows that one query gives at most (data releases from 8 on)."""
PAGE_ROWS = 250_000
MAX_BYTES = 2**31

# The server takes what is outside for the nearest end of these, without a word.
PIXELS = (64, 2048)
SCALES = (0.015, 2400.0)

# A query that was fine, at a moment that was not.
_BUSY = re.compile(
    r"queries allowed per minute|time[d ]?-?out|timeout|deadlock|transport-level|network-related|connection|too busy|overload|try again|"
    r"insufficient (system )?memory|maintenance|shut ?down|login failed|cannot open database",
    re.IGNORECASE,
)


def sql(transport: Transport, query: str, *, release: str = "dr14", text: Sequence[str] = (), refresh: bool = False) -> Table:
    """One query of SkyServer, whole or not at all.

    Parameters
    ----------
    transport
        An open transport.
    query
        One SELECT of the server's SQL. Give each column a name of its own (``S.ra AS ra_spec``).
    release
        Data release, such as ``dr14``.
    text
        Columns to keep as text, such as object ids.
    refresh
        Ask the archive even if the cache has the reply.

    Returns
    -------
    astropy.table.Table
        Columns of whole numbers are int64, or uint64 where they must be: the ids of SDSS have more digits than a float. Other numbers are
        float64, all else is text. NULL is masked in a column of numbers, and '' in one of text; SDSS's own -9999 and -1 stay.
        ``meta["origin"]``: archive, catalogue, release, query, retrieved (UTC), sha256, bytes, rows, pages, simulated.

    Raises
    ------
    CatalogueError
        The reply has as many rows as the server ever gives, so that there may be more (see `sql_paged`), or no table of its own.
    ArchiveError
        The server did not answer, or says that the query is wrong; the message has its words.
    """
    fetched = _ask(transport, query, release, refresh=refresh)
    columns = read_columns(fetched.path)
    if columns.rows >= MAX_ROWS:
        raise CatalogueError(f"SkyServer gave {columns.rows} rows, the most it ever gives, so some may be missing; read it in pages (sql_paged): {query[:200]}")
    return _table(columns, text, query, release, [fetched], simulated=transport.realm != "live")


def sql_paged(
    transport: Transport, query: str, *, key: str, release: str = "dr14", text: Sequence[str] = (), page_rows: int = PAGE_ROWS, refresh: bool = False
) -> Table:
    """A query with more rows than the server gives at once, read in pages along a key.

    Each page is ``SELECT TOP n * FROM (query) AS page WHERE key > last ORDER BY key``, so no row is lost or doubled whatever order the server
    would choose, and pages that are in the cache are not asked again. A count of all rows is asked first, and must be met at the end.

    Parameters
    ----------
    transport, query, release, text, refresh
        As `sql`. The query must be a plain SELECT without TOP, ORDER BY, INTO or WITH of its own.
    key
        Column of the result that is a whole number, unique and never NULL, such as ``specObjID`` (``S.specObjID`` is taken for that).
    page_rows
        Rows a page; fewer than `MAX_ROWS`.

    Returns
    -------
    astropy.table.Table
        As `sql`, in ascending order of the key; ``meta["origin"]["pages"]`` has the SHA-256 of every page.

    Raises
    ------
    CatalogueError
        The query cannot be paged, the key is not among its columns, not a whole number or not unique, or the pages do not add up.
    ArchiveError
        As `sql`.
    """
    inner = query.strip().rstrip(";").strip()
    if not 1 <= page_rows < MAX_ROWS:
        raise CatalogueError(f"pages of {page_rows} rows: SkyServer gives fewer than {MAX_ROWS} surely")
    if not re.match(r"select\b", inner, re.IGNORECASE) or (found := _unpageable(inner)):
        raise CatalogueError(
            f"only a plain SELECT can be read in pages, not one with {found if re.match('select', inner, re.I) else 'another verb'}: {inner[:200]}"
        )
    column = key.rsplit(".", 1)[-1].strip("[] ")
    if not re.fullmatch(r"\w+", column):
        raise CatalogueError(f"key {key!r} is no column's name")
    counted = read_columns(_ask(transport, f"SELECT COUNT(*) AS n FROM ({inner}) AS page", release, refresh=refresh).path)
    expected = int(counted.values[0][0].as_py())
    pages: list[Columns] = []
    replies: list[Fetched] = []
    last = None
    while sum(page.rows for page in pages) < expected or not pages:
        condition = "" if last is None else f" WHERE page.{column} > {last}"
        paged = f"SELECT TOP {page_rows} * FROM ({inner}) AS page{condition} ORDER BY page.{column}"
        reply = _ask(transport, paged, release, refresh=refresh)
        page = read_columns(reply.path)
        last = _last_key(page, column, last, query)
        pages.append(page)
        replies.append(reply)
        log.info("SkyServer %s: %d of %d rows", release, sum(p.rows for p in pages), expected)
        if page.rows < page_rows:
            break
    columns = joined(pages)
    if columns.rows != expected:
        raise CatalogueError(
            f"SkyServer counted {expected} rows and gave {columns.rows} in {len(pages)} pages: the key {column} is not unique, or a page in the cache is of "
            f"another day (refresh=True asks all of them again): {query[:200]}"
        )
    return _table(columns, text, query, release, replies, simulated=transport.realm != "live")


def check_reply(path: Path) -> None:
    """A CSV reply with a table in it.

    Raises
    ------
    BadReply
        The server reports an error (transient if it is only busy), or it is no such reply.
    """
    with path.open("rb") as file:
        head = file.read(2**16)
    if re.match(rb"\s*(<|\{)", head):
        words, told = _page_words(head), b"Skyserver Error" in head or head.lstrip().startswith(b"{")
        raise BadReply(words, transient=not told or bool(_BUSY.search(words)))
    columns = read_columns(path)
    if [name.lower() for name in columns.names] == ["error_message"]:
        words = " ".join(" ".join(column.to_pylist()) for column in columns.values).strip() or "an error without a word"
        raise BadReply(f"the server reports: {words[:600]}", transient=bool(_BUSY.search(words)))


def judge_sql(status: int, headers: Mapping[str, str], body: bytes) -> None:
    """The server's own words for a refused query (JSON with ErrorCode, ErrorMessage and LogMessageID, at HTTP 400 and 500).

    Raises
    ------
    BadReply
        Not transient, since the server answers a wrong query with 500 too, unless its words say that it is busy.
    """
    if (said := _json_error(body)) is not None:
        raise BadReply(f"the server reports: {said}", transient=bool(_BUSY.search(said)))


def getjpeg_request(ra: float, dec: float, arcsec_per_pixel: float, pixels: int, *, release: str = "dr14") -> Request:
    """The request of one square colour picture (g, r, i as blue, green, red), north up and east left.

    Parameters
    ----------
    ra, dec
        Centre, ICRS degrees.
    arcsec_per_pixel
        Pixel scale, 0.015 to 2400; SDSS's own is 0.396.
    pixels
        Side, 64 to 2048.
    release
        Data release, such as ``dr14``.

    Raises
    ------
    ArchiveError
        A size, scale or place that the server would silently replace by another, or refuse.

    Notes
    -----
    Outside the survey the server answers 404 with a picture of words: the request's `judge` raises `OutsideFootprint`.
    """
    check_picture(release, pixels)
    if not SCALES[0] <= arcsec_per_pixel <= SCALES[1]:
        raise ArchiveError(
            f"{arcsec_per_pixel} arcsec/pixel: SkyServer draws {SCALES[0]} to {SCALES[1]}, and takes anything else for the nearest of them without a word"
        )
    if not (-90 <= dec <= 90 and -360 <= ra <= 360):
        raise ArchiveError(f"no place on the sky: ra {ra}, dec {dec}; give degrees")
    params = {"ra": ra % 360, "dec": dec, "scale": arcsec_per_pixel, "width": pixels, "height": pixels}
    check = functools.partial(check_picture_reply, pixels=pixels)
    return Request(ARCHIVE, PICTURE_PATH.format(release=release), params, check=check, judge=judge_picture, max_bytes=2**16 + 6 * pixels**2, progress=False)


def check_picture(release: str, pixels: int) -> None:
    """A release and a size that SkyServer takes as they are.

    Raises
    ------
    ArchiveError
        It would not.
    """
    if not re.fullmatch(r"dr\d{1,2}", release):
        raise ArchiveError(f"data release {release!r} of SkyServer: write it as dr14")
    if not PIXELS[0] <= pixels <= PIXELS[1]:
        raise ArchiveError(
            f"pictures of {pixels} pixels a side: SkyServer draws {PIXELS[0]} to {PIXELS[1]}, and takes anything else for the nearest of them without a word"
        )


def check_picture_reply(path: Path, *, pixels: int) -> None:
    """A whole picture of the size asked, with something in it.

    Raises
    ------
    BadReply
        As `images.check_jpeg`, or the server's words in JSON or HTML.
    OutsideFootprint
        A picture of one colour.
    """
    with path.open("rb") as file:
        head = file.read(4096)
    if (said := _json_error(head)) is not None:
        raise BadReply(f"the server reports: {said}", transient=bool(_BUSY.search(said)))
    check_jpeg(path, pixels)


def judge_picture(status: int, headers: Mapping[str, str], body: bytes) -> None:
    """What a refused picture means.

    Raises
    ------
    OutsideFootprint
        404 with a picture, or with the words of a place outside the footprint.
    BadReply
        The server's words in JSON, not transient: the request is wrong.
    """
    if status == 404 and (body.startswith(JPEG_BEGIN) or b"outside the SDSS footprint" in body):
        raise OutsideFootprint("outside the SDSS footprint: SkyServer has no picture there (HTTP 404)")
    if status == 400 and (said := _json_error(body)) is not None:
        raise BadReply(f"the server reports: {said}", transient=False)


def _ask(transport: Transport, query: str, release: str, *, refresh: bool) -> Fetched:
    if not re.fullmatch(r"dr\d{1,2}", release):
        raise ArchiveError(f"data release {release!r} of SkyServer: write it as dr14")
    params = {"cmd": query, "format": "csv"}
    request = Request(ARCHIVE, SQL_PATH.format(release=release), params, "POST", check=check_reply, judge=judge_sql, max_bytes=MAX_BYTES, refresh=refresh)
    return transport.fetch_request(request)


def _last_key(page: Columns, column: str, last: int | None, query: str) -> int | None:
    names = [name.lower() for name in page.names]
    if column.lower() not in names:
        raise CatalogueError(f"the key {column} is not among the columns of the query ({', '.join(page.names)}); select it: {query[:200]}")
    try:
        keys = [int(value) for value in page.values[names.index(column.lower())].to_pylist()]
    except ValueError as error:
        raise CatalogueError(f"the key {column} is not a whole number in every row ({error}); choose another key: {query[:200]}") from error
    before = [last] if last is not None else []
    if any(a >= b for a, b in zip([*before, *keys], [*before, *keys][1:], strict=False)):
        raise CatalogueError(
            f"the key {column} is not unique, or its order is not that of numbers, so pages would lose rows; choose another key: {query[:200]}"
        )
    return keys[-1] if keys else last


def _unpageable(query: str) -> str:
    """The first word at the top level of a query that a derived table cannot have, or ''."""
    bare = re.sub(r"'(?:[^']|'')*'|\[[^\]]*\]|\"[^\"]*\"|--[^\n]*|/\*.*?\*/", " ", query, flags=re.DOTALL)
    while (shorter := re.sub(r"\([^()]*\)", " ", bare)) != bare:
        bare = shorter
    found = re.search(r"\b(top|order\s+by|into|with|for\s+xml|option)\b(?!\s*\(?nolock)|;", bare, re.IGNORECASE)
    return found[0] if found else ""


def _table(columns: Columns, text: Sequence[str], query: str, release: str, replies: Sequence[Fetched], *, simulated: bool) -> Table:
    found = typed(columns, text)
    newest = max(reply.sidecar["retrieved"] for reply in replies) if replies else datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    found.meta = {
        "origin": {
            "archive": ARCHIVE,
            "catalogue": f"SDSS {release.upper()}",
            "release": release,
            "query": query,
            "retrieved": newest,
            "sha256": replies[-1].sidecar["sha256"] if len(replies) == 1 else "",
            "bytes": sum(reply.sidecar["bytes"] for reply in replies),
            "rows": len(found),
            "pages": [reply.sidecar["sha256"] for reply in replies],
            "doi": None,
            "simulated": simulated,
        }
    }
    return found


def _json_error(body: bytes) -> str | None:
    try:
        said: Any = json.loads(body)
    except ValueError:
        return None
    if not isinstance(said, dict) or "ErrorMessage" not in said:
        return None
    words = " ".join(str(said["ErrorMessage"]).split())[:600]
    return f"{words} (ErrorCode {said.get('ErrorCode')}, LogMessageID {said.get('LogMessageID')})"


def _page_words(head: bytes) -> str:
    if (said := _json_error(head)) is not None:
        return f"the server reports: {said}"
    body = re.sub(rb"(?s)<(script|style).*?</\1>", b" ", head)
    return f"a page in place of a table: {glimpse(re.sub(rb'<[^>]*>', b' ', body))}"
