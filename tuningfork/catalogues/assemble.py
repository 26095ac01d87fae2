"""The last steps of every survey catalogue: identifiers that keep their digits, no row twice, and the origin of a table that came as a file."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.table import Column, Table

from tuningfork import tables
from tuningfork.catalogues import columns as common
from tuningfork.errors import CatalogueError
from tuningfork.files import sha256_of

if TYPE_CHECKING:
    from tuningfork.archives.request import Fetched
    from tuningfork.archives.transport import Transport

# Beyond this a float64 no longer holds every integer.
EXACT_FLOATS = 2.0**53


def identifiers(column: Column | np.ndarray, where: str) -> np.ndarray:
    """Identifiers as text, never by way of a float: integers keep all their digits, text is stripped, whole floats lose their ``.0``.

    Parameters
    ----------
    column : column, shape (N,)
        Integers, text, or floats that are whole numbers below 2^53.
    where : str
        What the error message names.

    Raises
    ------
    CatalogueError
        An identifier is absent, or is a float that has lost digits (the cure: read the column as text).
    """
    data = np.ma.asarray(column.data if isinstance(column, Column) else column)
    mask, values = np.ma.getmaskarray(data), np.ma.getdata(data)
    name = getattr(column, "name", None) or "identifier"
    if values.dtype.kind == "f":
        wrong = ~mask & ~((np.abs(values) < EXACT_FLOATS) & (values == np.floor(values)))
        if wrong.any():
            row = int(np.argmax(wrong))
            raise CatalogueError(
                f"{where}: {name!r} of row {row} is the float {values[row]!r}, which has lost digits of an identifier; read the column as text"
            )
        values = np.where(mask, 0, values).astype(np.int64)
    text = common.strings(np.ma.MaskedArray(values, mask=mask))
    if (text == "").any():
        raise CatalogueError(f"{where}: row {int(np.argmax(text == ''))} has no {name}")
    return text


def refuse_duplicates(identifiers: np.ndarray, where: str) -> None:
    """Every identifier once.

    Raises
    ------
    CatalogueError
        Some stand twice; the message names the first few.
    """
    unique, counts = np.unique(identifiers, return_counts=True)
    if (counts > 1).any():
        twice = unique[counts > 1]
        more = f" and {len(twice) - 5} more" if len(twice) > 5 else ""
        raise CatalogueError(f"{where}: {', '.join(map(repr, twice[:5].tolist()))}{more} stand in more than one row; an object_id must be unique")


def refuse_no_position(table: Table, where: str, *, absent: bool = False) -> None:
    """Every row with a right ascension of 0 to 360 and a declination of -90 to 90 degrees; masked ones pass if `absent`.

    Raises
    ------
    CatalogueError
        A row has none, or one that is no position; the message names the first.
    """
    ra, dec = (np.ma.filled(common.floats(table[name], where), np.nan) for name in ("ra", "dec"))
    wrong = ~((ra >= 0) & (ra <= 360) & (np.abs(dec) <= 90))
    if absent:
        wrong &= ~(np.isnan(ra) | np.isnan(dec))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise CatalogueError(f"{where}: {int(wrong.sum())} rows have no position in degrees, the first is {table['object_id'][row]} ({ra[row]}, {dec[row]})")


def file_origin(fetched: "Fetched", transport: "Transport", **facts: Any) -> dict[str, Any]:
    """The origin of a table that came as a file through the transport."""
    sidecar = fetched.sidecar
    origin = {"archive": sidecar["archive"], "query": sidecar["path"]}
    origin |= {name: sidecar[name] for name in ("url", "retrieved", "sha256", "bytes")}
    if transport.realm != "live":
        del origin["url"]  # a port that no one can call again
    return {**origin, "simulated": transport.realm != "live", **facts}


def local_origin(path: Path, transport: "Transport", **facts: Any) -> dict[str, Any]:
    """The origin of a table that lies in a file of the user's. In a simulated realm it counts as simulated: its images will be."""
    simulated = transport.realm != "live"
    return {"archive": "file", "query": str(path), "sha256": sha256_of(path), "bytes": path.stat().st_size, "simulated": simulated, **facts}


def finish(table: Table, raw: Table, catalogue: str, columns: Mapping[str, common.Info], *, absent: bool = False, **facts: Any) -> Table:
    """Check, describe and mark a table in the common columns.

    Parameters
    ----------
    table : Table
        With ``object_id``, ``ra`` and ``dec``.
    raw : Table
        Its ``meta["origin"]`` says how it came.
    catalogue : str
        Name of the catalogue's module.
    columns : mapping
        Column -> (unit, UCD, description).
    absent : bool
        Whether positions may be masked.
    **facts
        Further facts of the origin, such as ``doi`` and ``bibcode``; those two are left out of a simulated table.

    Raises
    ------
    CatalogueError
        An object stands twice, or has no position.
    """
    refuse_duplicates(common.strings(table["object_id"]), catalogue)
    refuse_no_position(table, catalogue, absent=absent)
    tables.describe(table, columns)
    table.meta = {"origin": common.origin(raw, catalogue, **facts, rows=len(table))}
    return common.mark_simulated(table)
