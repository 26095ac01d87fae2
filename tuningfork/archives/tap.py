"""TAP: one ADQL query, its whole result or an error, at VizieR's and NOIRLab's (Data Lab) services.

The protocol (IVOA TAP 1.1, DALI 1.1) reports its errors inside HTTP 200 and cuts long results with no more than an INFO at the end; here
each of these is an error. Requests go through the project's own transport and not through pyvo, whose session would pass by the cache, the
polite rate and the rule that a simulated realm reaches nothing but its stand-in; the VOTable is parsed by astropy, as pyvo would.
"""

import functools
import logging
import re
from pathlib import Path
from typing import Any

from astropy.table import Table

from tuningfork.archives.checks import BadReply, check_not_html
from tuningfork.archives.transport import Transport
from tuningfork.archives.votable import Scan, read_tables, scan
from tuningfork.errors import CatalogueError

log = logging.getLogger(__name__)

# Paths of the synchronous resource (reference/archives.md, 1.3 and 5).
SERVICES = {"tapvizier": "/TAPVizieR/tap/sync", "datalab": "/tap/sync"}
MAX_BYTES = 2**31

# What a service says when the same query may succeed later; all else it calls an error is the query's own fault.
_TRANSIENT = re.compile(r"time[- ]?out|timed out|too many|temporar|overload|unavailable|try again|maintenance|connection|server is busy", re.IGNORECASE)


def query(transport: Transport, service: str, adql: str, *, maxrec: int | None = None, refresh: bool = False) -> Table:
    """The result of a synchronous ADQL query.

    Parameters
    ----------
    transport
        An open transport.
    service
        ``tapvizier`` (table names there stand in double quotes: ``"J/MNRAS/470/95/macs0717"``) or ``datalab`` (anonymous; there POINT and
        CIRCLE are not translated: use ``'t' = q3c_radial_query(ra, dec, ...)``; reference/archives.md, 5).
    adql
        The query. Blanks at its ends and a semicolon that closes it do not count.
    maxrec
        More rows than this are an error (a guard against asking for too much); None takes what the service gives before its own limit.
    refresh
        Ask the service even if the cache has the reply.

    Returns
    -------
    astropy.table.Table
        Numbers that are absent are masked, blank strings are ''; unit, UCD and description of each column as the service gives them; 64-bit
        integers keep all their digits. It may have no rows. ``meta["origin"]``: archive, query, doi and bibcode (None: a query is nobody's
        publication), retrieved (UTC), sha256, bytes, rows, simulated.

    Raises
    ------
    CatalogueError
        The result was cut at `maxrec` or at the service's own limit, or the reply has no table or several.
    ArchiveError
        No such service; or it reports an error, in its words, or gave no answer after all retries.
    """
    if service not in SERVICES:
        raise CatalogueError(f"{service!r} is no TAP service known here; the services are {', '.join(SERVICES)}")
    adql = adql.strip().rstrip(";").rstrip()
    if not adql:
        raise CatalogueError(f"an empty query for the TAP service {service!r}")
    params: dict[str, Any] = {"REQUEST": "doQuery", "LANG": "ADQL", "FORMAT": "votable", "QUERY": adql}
    if maxrec is not None:
        # One more than allowed tells a cut from a result that has just this length, also where a service cuts without a word.
        params["MAXREC"] = maxrec + 1
    check = functools.partial(check_reply, service=service, maxrec=maxrec)
    fetched = transport.fetch(service, SERVICES[service], params, method="POST", check=check, max_bytes=MAX_BYTES, refresh=refresh)
    found = read_tables(fetched.path)
    if len(found) != 1:
        raise CatalogueError(f"the TAP service {service!r} gave {len(found)} tables in place of one for: {adql}")
    table = found[0][1]
    if maxrec is not None and len(table) > maxrec:
        raise CatalogueError(f"the TAP service {service!r} has more than {maxrec} rows (maxrec) for: {adql}")
    if len(table) >= 1000 and len(table) % 1000 == 0 and not re.search(r"\btop\b", adql, re.IGNORECASE):
        log.warning("%s: exactly %d rows: if that is the service's own limit, the result is cut; count them with SELECT COUNT(*)", service, len(table))
    simulated = transport.realm != "live"
    table.meta = {
        "origin": {
            "archive": service,
            "query": adql,
            "doi": None,
            "bibcode": None,
            "rows": len(table),
            "retrieved": fetched.sidecar["retrieved"],
            "sha256": fetched.sidecar["sha256"],
            "bytes": fetched.sidecar["bytes"],
            "simulated": simulated,
        }
    }
    return table


def check_reply(path: Path, service: str = "TAP", maxrec: int | None = None) -> None:
    """A VOTable with a result that is whole.

    Raises
    ------
    BadReply
        No VOTable; or ``QUERY_STATUS`` is ERROR, with the service's words (transient only where these say that it may pass).
    CatalogueError
        ``QUERY_STATUS`` is OVERFLOW: the result is cut.
    """
    check_not_html(path)
    said = scan(path)
    status = [value.upper() for value in said.values("QUERY_STATUS")]
    if "ERROR" in status:
        words = _words(said)
        raise BadReply(f"the TAP service {service!r} reports: {words}", transient=bool(_TRANSIENT.search(words)))
    if not said.tables:
        raise BadReply(f"the TAP service {service!r} gave a VOTable without a table", transient=False)
    if "OVERFLOW" in status:
        limit = f"more than {maxrec} rows (maxrec)" if maxrec is not None else "more rows than the service gives at once"
        raise CatalogueError(
            f"the TAP service {service!r} cut the result{f' after {said.rows} rows' if said.rows else ''}: there are {limit}; "
            "raise maxrec, or split the query by a condition"
        )


def _words(said: Scan) -> str:
    texts = [info.text or info.value for info in said.infos if info.name == "QUERY_STATUS" and info.value.upper() == "ERROR"]
    words = list(dict.fromkeys(" ".join(text.split()) for text in texts if text.strip().upper() != "ERROR"))
    return "; ".join(words)[:600] or "an error without a word (QUERY_STATUS=ERROR)"
