"""Any table at all: of VizieR, of a TAP query, behind a URL or in a file. A new survey is a mapping of its columns, and no code.

What the columns mean is said in the configuration: ``columns: {object_id: OBJID, ra: RAJ2000, dec: DEJ2000, mag: rmag}``.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table

from tuningfork.catalogues import assemble, positions
from tuningfork.catalogues import columns as common
from tuningfork.catalogues.table_files import format_of, read_table
from tuningfork.errors import CatalogueError

log = logging.getLogger(__name__)

REQUIRED = ("object_id", "ra", "dec")
TEXT = ("object_id", "galaxy_id", "catalogue_id", "label", "given_split", "field")
NUMBERS = ("mag", "redshift", "petrosian_radius_arcsec", "n_votes")


def standardise(
    raw: Table,
    columns: Mapping[str, str],
    *,
    keep: Sequence[str] | None = None,
    without_position: str = "refuse",
    duplicates: str = "refuse",
    where: str = "table",
    **facts: Any,
) -> Table:
    """Turn any table into the common columns.

    Parameters
    ----------
    raw : Table
        The published table.
    columns : mapping of str to str
        Common name -> published name. ``object_id``, ``ra`` and ``dec`` are needed; ``galaxy_id`` (without it each object is a galaxy of
        its own), ``mag``, ``redshift``, ``petrosian_radius_arcsec`` and ``label`` have a meaning; any other name renames its column.
    keep : sequence of str, optional
        Further published columns to keep, under their own names; None keeps all.
    without_position : str
        What becomes of rows whose position is absent: ``refuse`` them with an error that names the first, ``keep`` them with a masked
        position (a sample of cutouts can only be made of the others: ``ra IS NOT NULL``), or ``drop`` them, counted in
        ``meta["origin"]["dropped_without_position"]``.
    duplicates : str
        What becomes of rows whose identifier stood before: ``refuse`` them with an error that names some, or ``drop`` them, counted in
        ``meta["origin"]["dropped_duplicates"]``.
    where : str
        What messages name.
    **facts
        Further facts of the origin.

    Returns
    -------
    Table
        Identifiers are text and never went through a float. Positions are degrees: decimal, or sexagesimal text (right ascension in hours).

    Raises
    ------
    CatalogueError
        A column is missing (the nearest name is given), an identifier is absent, stands twice or has lost digits, or a row has no position.
    """
    if missing := [name for name in REQUIRED if name not in columns]:
        raise CatalogueError(f"{where}: 'columns' must say which column is {', '.join(missing)}; the table has {', '.join(raw.colnames)}")
    if without_position not in ("refuse", "keep", "drop"):
        raise CatalogueError(f"{where}: without_position is {without_position!r}; choose refuse, keep or drop")
    if duplicates not in ("refuse", "drop"):
        raise CatalogueError(f"{where}: duplicates is {duplicates!r}; choose refuse or drop")
    name = {common_name: common.find(raw, published, where) for common_name, published in columns.items()}
    if duplicates == "drop":
        _, first = np.unique(assemble.identifiers(raw[name["object_id"]], where), return_index=True)
        if len(first) < len(raw):
            log.warning("%s: %d of %d rows repeat an identifier and are left out", where, len(raw) - len(first), len(raw))
            facts["dropped_duplicates"] = len(raw) - len(first)
            raw = raw[np.sort(first)]
    angle = {key: positions.degrees(raw[name[key]], hours=key == "ra", where=where) for key in ("ra", "dec")}
    nowhere = np.ma.getmaskarray(angle["ra"]) | np.ma.getmaskarray(angle["dec"])
    if nowhere.any() and without_position == "drop":
        log.warning("%s: %d of %d rows have no position and are left out", where, int(nowhere.sum()), len(raw))
        facts["dropped_without_position"] = int(nowhere.sum())
        raw, angle = raw[~nowhere], {key: values[~nowhere] for key, values in angle.items()}
    table = Table()
    table["object_id"] = assemble.identifiers(raw[name["object_id"]], where)
    table["galaxy_id"] = assemble.identifiers(raw[name["galaxy_id"]], where) if "galaxy_id" in name else table["object_id"].copy()
    for key, values in angle.items():
        table[key] = common.masked_column(values) if without_position == "keep" else np.ma.filled(values, np.nan)
    for key, published in name.items():
        if key not in table.colnames:
            table[key] = _column(raw, key, published, where)
    for published in raw.colnames if keep is None else [common.find(raw, wanted, where) for wanted in keep]:
        if published not in name.values() and published not in table.colnames:
            table[published] = raw[published]
    described = {name: info for name, info in common.COLUMNS.items() if name in table.colnames}
    return assemble.finish(table, raw, where, described, absent=without_position == "keep", **facts)


def fetch(
    transport: Any,
    *,
    columns: Mapping[str, str],
    vizier: str | Mapping[str, Any] | None = None,
    tap: Mapping[str, Any] | None = None,
    url: str | None = None,
    file: str | None = None,
    format: str | None = None,  # noqa: A002 - the key of the YAML
    keep: Sequence[str] | None = None,
    without_position: str = "refuse",
    duplicates: str = "refuse",
    doi: str | None = None,
    bibcode: str | None = None,
) -> Table:
    """Get a table from one of four places and standardise it.

    Parameters
    ----------
    transport : Transport
        An open transport.
    columns, keep, without_position, duplicates
        See `standardise`.
    vizier : str or mapping
        Name of a VizieR table, or ``{table: ..., constraints: {column: condition}, max_rows: n}``.
    tap : mapping
        ``{service: tapvizier or datalab, query: ADQL, maxrec: n}``.
    url : str
        An https URL.
    file : str
        A path, relative to the working directory.
    format : str
        csv, fits, votable, parquet or ecsv, of a URL or file whose ending does not say it. Lines of a CSV file before its header that begin
        with ``#`` are skipped.
    doi, bibcode : str
        What to cite, where the source does not say it.

    Raises
    ------
    CatalogueError
        Not exactly one place was named, or as `standardise` and `table_files.read_table`.
    ArchiveError
        The archive did not give it.
    """
    places = {"vizier": vizier, "tap": tap, "url": url, "file": file}
    given = [place for place, value in places.items() if value is not None]
    if len(given) != 1:
        raise CatalogueError(f"a table comes from one place: give one of vizier, tap, url and file, not {' and '.join(given) or 'none'}")
    only = None if keep is None else {*columns.values(), *keep}
    text = {published for key, published in columns.items() if key in (*TEXT, "ra", "dec")}
    if vizier is not None:
        raw, where = _from_vizier(transport, vizier)
    elif tap is not None:
        raw, where = _from_tap(transport, tap)
    else:
        where = url or str(file)
        kind = format_of(where, format)
        if url is not None:
            from tuningfork.archives.urls import fetch_url

            fetched = fetch_url(transport, url)
            raw = read_table(fetched.path, kind, only=only, text=text)
            raw.meta = {"origin": assemble.file_origin(fetched, transport)}
        else:
            path = Path(where)
            if not path.is_file():
                raise CatalogueError(f"{path}: there is no such file; 'file' is relative to the working directory")
            raw = read_table(path, kind, only=only, text=text)
            raw.meta = {"origin": assemble.local_origin(path, transport)}
    facts = {key: value for key, value in (("doi", doi), ("bibcode", bibcode)) if value is not None}
    return standardise(raw, columns, keep=keep, without_position=without_position, duplicates=duplicates, where=where, **facts)


def _from_vizier(transport: Any, wanted: str | Mapping[str, Any]) -> tuple[Table, str]:
    from tuningfork.archives import vizier

    options: dict[str, Any] = {"table": wanted} if isinstance(wanted, str) else dict(wanted)
    name = _only(options, ("table", "constraints", "max_rows"), "table", "vizier")
    return vizier.query(transport, name, constraints=options.get("constraints"), max_rows=options.get("max_rows")), f"VizieR {name}"


def _from_tap(transport: Any, wanted: Mapping[str, Any]) -> tuple[Table, str]:
    from tuningfork.archives import tap

    service = _only(wanted, ("service", "query", "maxrec"), "service", "tap")
    return tap.query(transport, service, _only(wanted, ("service", "query", "maxrec"), "query", "tap"), maxrec=wanted.get("maxrec")), f"TAP query of {service}"


def _only(options: Mapping[str, Any], known: Sequence[str], needed: str, place: str) -> str:
    if unknown := set(options) - set(known):
        raise CatalogueError(f"{place} takes {', '.join(known)}, not {', '.join(sorted(unknown))}")
    if not isinstance(options.get(needed), str):
        raise CatalogueError(f"{place} needs {needed!r}")
    return str(options[needed])


def _column(raw: Table, key: str, published: str, where: str) -> Any:
    column = raw[published]
    if key in TEXT:
        return common.strings(column)
    return common.masked_column(common.floats(column, where)) if key in NUMBERS else column.copy()
