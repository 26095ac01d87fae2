"""One table, four formats with the same content: CSV, Parquet, FITS and VOTable. No dates inside: the bytes depend on the content alone."""

import csv
import os
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table

from tuningfork import tables
from tuningfork.errors import TuningforkError
from tuningfork.files import atomic_path
from tuningfork.publishing.columns import description_with_unit, masked, standard_unit
from tuningfork.publishing.votable import NULL_INTEGER, write_votable

SUFFIXES = (".csv", ".parquet", ".fits", ".vot")


def write(table: Table, path: str | os.PathLike[str], description: str = "") -> None:
    """Write `table` in the format that the suffix of `path` names: .csv, .parquet, .fits or .vot.

    The stem of the path is the name of the table inside FITS and VOTable. Facts of ``table.meta`` go into the metadata of all but the CSV, which is
    a pure CSV (its columns are described in the ReadMe).

    Raises
    ------
    TuningforkError
        Another suffix.
    """
    path = Path(path)
    if path.suffix == ".csv":
        write_csv(table, path)
    elif path.suffix == ".parquet":
        tables.write(table, path)
    elif path.suffix == ".fits":
        write_fits(table, path, description)
    elif path.suffix == ".vot":
        write_votable(table, path, name=path.stem, description=description, infos=facts(table))
    else:
        raise TuningforkError(f"{path}: unknown format {path.suffix!r}; one of {', '.join(SUFFIXES)}")


def facts(table: Table) -> dict[str, str]:
    """Facts of the table's metadata as short texts: lists of texts numbered, structures left to the Parquet and the provenance file."""
    result: dict[str, str] = {}
    for key, value in table.meta.items():
        if key == "simulated":
            continue
        if isinstance(value, str | int | float | bool):
            result[key.upper()] = str(value)
        elif isinstance(value, list | tuple) and all(isinstance(v, str) for v in value):
            result |= {f"{key.upper()}_{i + 1}": v for i, v in enumerate(value)}
    return result


def write_csv(table: Table, path: str | os.PathLike[str]) -> None:
    """RFC 4180 with one header line: empty for unknown, true and false, shortest digits that give the number back, quotes only where needed."""
    cells = []
    for name in table.colnames:
        column = masked(table, name)
        values = np.where(column.data, "true", "false").tolist() if column.dtype.kind == "b" else column.data.tolist()
        unknown = np.ma.getmaskarray(column)
        cells.append(["" if m else v for v, m in zip(values, unknown.tolist(), strict=True)] if unknown.any() else values)
    with atomic_path(path) as part, open(part, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(table.colnames)
        writer.writerows(zip(*cells, strict=True))


def write_fits(table: Table, path: str | os.PathLike[str], description: str = "") -> None:
    """A binary table with TUNIT, TUCD and TCOMM of every column, RADESYS, SIMULATE, and the facts of the metadata as comments.

    Text beyond ASCII, which FITS cannot hold, is spelled out (``\\xe9``).
    """
    definitions = []
    for name in table.colnames:
        column = masked(table, name)
        mask, values = np.ma.getmaskarray(column), column.data
        unit = standard_unit(table[name], "fits")
        if values.dtype.kind == "b":
            definitions.append(fits.Column(name, "L", array=values))
        elif values.dtype.kind in "iu":
            null = NULL_INTEGER if mask.any() else None
            definitions.append(fits.Column(name, "K", unit=unit, null=null, array=np.where(mask, NULL_INTEGER, values.astype(np.int64))))
        elif values.dtype.kind == "f":
            definitions.append(fits.Column(name, "D", unit=unit, array=np.where(mask, np.nan, values)))
        else:
            text = np.array([v.encode("ascii", "backslashreplace") for v in np.where(mask, "", values).tolist()], dtype=bytes)
            definitions.append(fits.Column(name, f"{max(1, text.dtype.itemsize)}A", array=text))
    hdu = fits.BinTableHDU.from_columns(definitions, nrows=len(table))
    for index, name in enumerate(table.colnames, start=1):
        info = table[name].info
        hdu.header[f"TUCD{index}"] = ((info.meta or {}).get("ucd", ""), "UCD")
        hdu.header[f"TCOMM{index}"] = _ascii(description_with_unit(table[name], "fits"))
    hdu.header["EXTNAME"] = _ascii(Path(path).stem)
    hdu.header["RADESYS"] = ("ICRS", "frame of ra and dec")
    hdu.header["SIMULATE"] = (bool(table.meta.get("simulated", False)), "T: rows of a simulated sky, not data")
    for line in [description, *(f"{key} = {value}" for key, value in facts(table).items())]:
        if line:
            hdu.header.add_comment(_ascii(line))
    primary = fits.PrimaryHDU()
    primary.header["SIMULATE"] = hdu.header["SIMULATE"]
    with atomic_path(path) as part:
        fits.HDUList([primary, hdu]).writeto(part, overwrite=True, output_verify="exception")


def _ascii(text: str) -> str:
    return " ".join(text.split()).encode("ascii", "backslashreplace").decode()
