"""Tables in files of any of the usual formats, read so that no identifier passes through a float.

Text formats are read as text first; a column becomes numbers only where every value is one, and identifiers are asked for as text.
"""

import logging
import re
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from astropy.io import fits
from astropy.io.ascii import InconsistentTableError
from astropy.table import Column, MaskedColumn, Table

from tuningfork.archives.packed import unpacked
from tuningfork.archives.votable import read_tables
from tuningfork.catalogues.columns import strings
from tuningfork.catalogues.image_labels import numbers, read_csv
from tuningfork.errors import ArchiveError, CatalogueError

log = logging.getLogger(__name__)

FORMATS = {
    "csv": (".csv",),
    "fits": (".fits", ".fit", ".fits.gz", ".fit.gz"),
    "votable": (".vot", ".xml", ".votable"),
    "parquet": (".parquet",),
    "ecsv": (".ecsv",),
}


UNREADABLE = (
    ArchiveError,
    OSError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    NotImplementedError,
    InconsistentTableError,
    fits.VerifyError,
    yaml.YAMLError,
    pa.ArrowException,
)
"""What the libraries below raise over files that are not what they seem."""
FREE_BYTES, MAX_GROWTH = 2**30, 256
"""Bytes in memory of a Parquet table that are always allowed, and how many for one byte of its file."""


def format_of(name: str, given: str | None = None) -> str:
    """The format of a file: the one given, or the one that its name's ending says.

    Raises
    ------
    CatalogueError
        The given one is unknown, or the ending says nothing.
    """
    if given is not None:
        if given not in FORMATS:
            raise CatalogueError(f"format {given!r}: choose {', '.join(FORMATS)}")
        return given
    for kind, endings in FORMATS.items():
        if name.lower().split("?")[0].endswith(endings):
            return kind
    raise CatalogueError(f"{name}: its ending does not say what it is; give format: {', '.join(FORMATS)}")


def read_table(path: Path, kind: str, *, only: Collection[str] | None = None, text: Collection[str] = ()) -> Table:
    """A table out of a file.

    Parameters
    ----------
    path : Path
        The file.
    kind : str
        One of `FORMATS`.
    only : collection of str, optional
        Read only these columns where the format allows it (Parquet, FITS); more may come back.
    text : collection of str
        Columns that hold identifiers: they stay text in text formats.

    Returns
    -------
    Table
        Columns of one number or one text a row; others are left out with a warning. Absent values are masked.

    Raises
    ------
    CatalogueError
        The file cannot be read as that format.
    """
    try:
        table = {"csv": _csv, "fits": _fits, "votable": _votable, "parquet": _parquet, "ecsv": _ecsv}[kind](path, only)
    except UNREADABLE as error:
        raise CatalogueError(f"{path}: cannot be read as {kind} ({error})") from error
    wide = [name for name in table.colnames if table[name].ndim != 1]
    if wide:
        log.warning("%s: columns with several values a row are left out: %s", path, ", ".join(wide))
        table.remove_columns(wide)
    for name in table.colnames:
        if table[name].dtype.kind in "OUS":
            # Absent text is '' whatever the format calls it.
            info = table[name].info.description, table[name].info.meta
            table.replace_column(name, Column(strings(table[name]), name=name))
            table[name].info.description, table[name].info.meta = info
    if kind == "csv":
        for name in table.colnames:
            if name not in text:
                table.replace_column(name, _numbers_if_all(table, name))
    return table


def _numbers_if_all(table: Table, name: str) -> Column:
    values, wrong = numbers(table, name)
    mask = np.ma.getmaskarray(values)
    if wrong.any() or mask.all():
        return table[name]
    texts = np.asarray(table[name]).astype(str)
    if all(re.fullmatch(r"[+-]?\d{1,18}", t) for t in texts[~mask].tolist()):
        whole = np.where(mask, "0", texts).astype(np.int64)
        return MaskedColumn(whole, mask=mask, name=name)
    return MaskedColumn(np.ma.getdata(values), mask=mask, name=name)


def _csv(path: Path, only: Collection[str] | None) -> Table:
    return read_csv(path)


def _ecsv(path: Path, only: Collection[str] | None) -> Table:
    return Table.read(path, format="ascii.ecsv")


def _votable(path: Path, only: Collection[str] | None) -> Table:
    found = read_tables(path)
    if len(found) != 1:
        raise CatalogueError(f"{path}: the VOTable holds {len(found)} tables; give one that holds one")
    return found[0][1]


def _fits(path: Path, only: Collection[str] | None) -> Table:
    with fits.open(unpacked(path), memmap=True) as hdus:
        found = [hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU | fits.TableHDU)]
        if not found:
            raise CatalogueError(f"{path}: the FITS file holds no table")
        hdu = found[0]
        table = Table()
        for definition in hdu.columns:
            if only is not None and definition.name.lower() not in {name.lower() for name in only}:
                continue
            values = np.array(hdu.data[definition.name])
            if values.dtype.kind in "SU":
                values = np.char.strip(values.astype(str))
            null = definition.null
            mask = np.isnan(values) if values.dtype.kind == "f" else (values == null if null is not None and values.dtype.kind in "iu" else False)
            table[definition.name] = MaskedColumn(values, mask=mask) if values.dtype.kind in "fiu" else values
            table[definition.name].unit = definition.unit
    return table


def _parquet(path: Path, only: Collection[str] | None) -> Table:
    about, size = pq.read_metadata(path), path.stat().st_size
    if about.num_rows * about.num_columns * 8 > FREE_BYTES + MAX_GROWTH * size:
        raise CatalogueError(f"{path}: {size} bytes that promise {about.num_rows} rows of {about.num_columns} columns; refused")
    schema = pq.read_schema(path)
    scalar = [f.name for f in schema if not pa.types.is_nested(f.type) and f.name != "__index_level_0__"]
    wanted = scalar if only is None else [name for name in scalar if name.lower() in {n.lower() for n in only}]
    table = Table()
    for name, column in zip(wanted, pq.read_table(path, columns=wanted).columns, strict=True):
        whole = column.combine_chunks()
        mask = np.asarray(whole.is_null())
        if pa.types.is_string(whole.type) or pa.types.is_large_string(whole.type) or pa.types.is_dictionary(whole.type):
            table[name] = np.array(["" if v is None else str(v) for v in whole.to_pylist()], dtype=str)
        else:
            zero = False if pa.types.is_boolean(whole.type) else 0
            values = np.array((whole.fill_null(zero) if whole.null_count else whole).to_numpy(zero_copy_only=False))
            table[name] = MaskedColumn(values, mask=mask | np.isnan(values) if values.dtype.kind == "f" else mask)
        info = {k.decode(): v.decode() for k, v in (schema.field(name).metadata or {}).items() if k in (b"unit", b"description", b"ucd")}
        table[name].unit = info.get("unit") or None
        table[name].info.description = info.get("description") or None
        if "ucd" in info:
            table[name].info.meta = {"ucd": info["ucd"]}
    return table
