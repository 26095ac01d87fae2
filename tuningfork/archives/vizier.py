"""VizieR: one table of a published catalogue, whole or not at all, by a plain ASU request and its VOTable.

The server reports its own failures as HTTP 200, answers an unknown column with a warning and unfiltered rows, and cuts long tables with no
more than an INFO at the end; here each of these is an error. Meaning of the columns: `tuningfork.catalogues`.
"""

import functools
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from astropy.table import Table

from tuningfork.archives.checks import BadReply, check_not_html
from tuningfork.archives.request import Fetched, query_string
from tuningfork.archives.transport import Transport
from tuningfork.archives.votable import Scan, read_tables, scan
from tuningfork.errors import CatalogueError

log = logging.getLogger(__name__)

PATH = "/viz-bin/votable"
MAX_BYTES = 2**30

# The server's words for a request that is itself wrong; everything else it calls an error (no connection, no server) may pass.
_PERMANENT = re.compile(
    r"(catalog\w*|table|column)\b.{0,60}\b(unknown|not found|not exist|doesn't exist)|unknown (catalog|table|column)|syntax error", re.IGNORECASE | re.DOTALL
)
_BAD_COLUMN = re.compile(r"Bad col/cst\s*[:=]?\s*\"?([^\"]*)\"?", re.IGNORECASE)


def query(
    transport: Transport,
    table: str,
    *,
    columns: str | Sequence[str] = "**",
    constraints: Mapping[str, str] | None = None,
    max_rows: int | None = None,
    add: Sequence[str] = (),
    refresh: bool = False,
) -> Table:
    """One table of VizieR.

    Parameters
    ----------
    transport
        An open transport.
    table
        Name of the table, such as ``J/MNRAS/470/95/macs0717``, or of a catalogue that has one table only.
    columns
        ``**`` for all, ``*`` for VizieR's default ones, or names. A name that contains ``*`` cannot be asked for: take all.
    constraints
        Column -> condition in ASU's syntax, such as ``{"Hmag": "<24.5"}``.
    max_rows
        More rows than this are an error (a guard against asking for too much); None asks for all there are.
    add
        Columns for VizieR to compute, such as ``_RAJ2000``.
    refresh
        Ask the archive even if the cache has the reply.

    Returns
    -------
    astropy.table.Table
        Numbers that are absent are masked, blank strings are ''; each column has its unit, UCD and description as VizieR gives them.
        ``meta["origin"]``: catalogue, table, archive, query, doi, bibcode, publication_date, reference_url, rights_uri (None where the
        reply does not say), retrieved (UTC), sha256, bytes, rows, simulated.

    Raises
    ------
    CatalogueError
        There is no such table or column, or the table is empty, has more than `max_rows` rows, or came cut.
    ArchiveError
        VizieR did not answer, or reported an error of its own, after all retries.
    """
    wanted = [columns] if isinstance(columns, str) else list(columns)
    params: dict[str, Any] = {"-source": table, "-out": wanted, "-out.add": list(add), "-out.max": "unlimited" if max_rows is None else max_rows + 1}
    for column, condition in (constraints or {}).items():
        if column.startswith("-"):
            raise CatalogueError(f"constraint {column!r} on {table}: a column of the table is constrained, not a directive of the server")
        params[column] = condition
    fetched = transport.fetch("vizier", PATH, params, check=functools.partial(check_reply, table=table), max_bytes=MAX_BYTES, refresh=refresh)
    said = scan(fetched.path)
    name, found = _only(read_tables(fetched.path), table)
    if not len(found) and not constraints:
        raise CatalogueError(f"VizieR table {table} came without a single row; see {fetched.path}, and ask again with refresh=True")
    if max_rows is not None and len(found) > max_rows:
        raise CatalogueError(f"VizieR table {table} has more than {max_rows} rows; ask for all (max_rows=None) or constrain the request")
    if absent := {c for c in [*wanted, *add] if c not in ("*", "**")} - set(found.colnames):
        raise CatalogueError(f"VizieR table {table} came without column {', '.join(sorted(absent))}; it has {', '.join(found.colnames)}")
    found.meta = {"origin": {"table": name or table, "rows": len(found), **_origin(said, fetched, table, simulated=transport.realm != "live")}}
    return found


def check_reply(path: Path, table: str = "") -> None:
    """A VOTable of VizieR, or of a TAP service, with a table in it, whole and as asked.

    Raises
    ------
    BadReply
        It is no VOTable, or the server reports an error; transient unless the server says that the request was wrong.
    CatalogueError
        No table, an unknown column or constraint, or rows left out.
    """
    check_not_html(path)
    said = scan(path)
    named = f"VizieR table {table}" if table else "the reply"
    if words := _error(said):
        raise BadReply(f"the server reports: {words}", transient=not _PERMANENT.search(words))
    for info in said.infos:
        if info.name.lower() == "warning":
            if bad := _BAD_COLUMN.search(f"{info.value} {info.text}"):
                column = re.split(r"[=<>!]", bad[1].strip().removeprefix("-out="))[0]
                raise CatalogueError(f"{named} has no column {column!r} to ask for or to constrain (the rows came unfiltered, and are refused)")
            log.warning("%s: the server warns: %s", named, info.value or info.text)
    if not said.tables:
        raise CatalogueError(f"{named}: the server knows no such table (the reply has none); look the name up in VizieR")
    # Servers before 2014, and some mirrors, cut without a word: then only the echoed limit tells.
    limits = [int(value) for value in said.values("-out.max") if value.isdigit()]
    if "OVERFLOW" in said.values("QUERY_STATUS") or (limits and said.rows >= limits[0]):
        raise CatalogueError(f"{named} came cut after {said.rows} rows: the server has more; ask for all (max_rows=None) or constrain the request")


def _error(said: Scan) -> str:
    """The server's words if it reports an error: without blanks, each said once."""
    errors = [info for info in said.infos if info.name == "Error" or (info.name == "QUERY_STATUS" and info.value == "ERROR")]
    lines = [line.strip(" -\t") for info in errors for line in (info.value if info.name == "Error" else info.text).splitlines()]
    words = list(dict.fromkeys(" ".join(line.split()) for line in lines if line and line != "ERROR"))
    return "; ".join(words)[:600] or ("an error without a word" if errors else "")


def _only(tables: list[tuple[str, Table]], asked: str) -> tuple[str, Table]:
    if len(tables) == 1:
        return tables[0]
    named = [(name, table) for name, table in tables if name.lower() == asked.lower()]
    if len(named) != 1:
        raise CatalogueError(f"VizieR catalogue {asked} has {len(tables)} tables: {', '.join(name for name, _ in tables)}; ask for one of them")
    return named[0]


def _origin(said: Scan, fetched: Fetched, table: str, *, simulated: bool) -> dict[str, Any]:
    def first(name: str, pattern: str = r".+") -> str | None:
        for value in said.values(name):
            if found := re.search(pattern, value):
                return found[0]
        return None

    # A simulated table is nobody's publication, whatever its reply imitates.
    doi, bibcode = first("citation", r"10\.\d{4,9}/\S+"), first("cites", r"\d{4}[A-Za-z&.][\w.&]{14}")
    return {
        "catalogue": said.resources[0] if said.resources and said.resources[0] else table,
        "archive": "vizier",
        "query": query_string((name, value) for name, value in fetched.sidecar["params"]),
        "doi": None if simulated else doi,
        "bibcode": None if simulated else bibcode,
        **{name: first(name) for name in ("publication_date", "reference_url", "rights_uri", "journal", "creator")},
        "retrieved": fetched.sidecar["retrieved"],
        "sha256": fetched.sidecar["sha256"],
        "bytes": fetched.sidecar["bytes"],
        "simulated": simulated,
    }
