"""CSV files of labels: read with every value as text, so that 64-bit identifiers keep all their digits, and turned into numbers when asked.

The published label files of the CANDELS and CLASH stamps are such files; so is the CSV beside any folder of images.
"""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from astropy.table import MaskedColumn, Table

from tuningfork.catalogues.columns import BAND_ALIASES, BANDS, find
from tuningfork.errors import CatalogueError
from tuningfork.tables import text_array


def read_csv(path: str | Path, comment: str = "#") -> Table:
    """Read a CSV file with a header line into a table of strings.

    Lines whose first character (also inside quotes) is `comment` are skipped before the header, empty lines everywhere, and a byte-order mark
    at the start. Values are stripped of surrounding blanks.

    Raises
    ------
    CatalogueError
        The file cannot be read as UTF-8 text, has no header, a name twice, or a row with another number of values (its line is named).
    """
    path = Path(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header: list[str] | None = None
            rows = []
            for row in reader:
                if not row or not any(cell.strip() for cell in row):
                    continue
                if header is None:
                    if comment and row[0].lstrip().startswith(comment):
                        continue
                    header = [cell.strip() for cell in row]
                    # An index column that has lost its name is kept, under one that says so.
                    header = [name or f"column_{i + 1}" for i, name in enumerate(header)]
                elif len(row) != len(header):
                    raise CatalogueError(f"{path}: line {reader.line_num} has {len(row)} values, the header has {len(header)} names")
                else:
                    rows.append([cell.strip() for cell in row])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CatalogueError(f"{path}: cannot be read as a CSV file in UTF-8 ({error})") from error
    if header is None:
        raise CatalogueError(f"{path}: the file has no header line")
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise CatalogueError(f"{path}: the header has {', '.join(map(repr, twice))} twice")
    columns = zip(*rows, strict=True) if rows else [()] * len(header)
    return Table([text_array(column, f"{path}: column {name!r}") for name, column in zip(header, columns, strict=True)], names=header)


def numbers(table: Table, name: str) -> tuple[np.ma.MaskedArray, np.ndarray]:
    """A text column as numbers.

    Returns
    -------
    values : masked float64 array, shape (N,)
        Blanks, text, NaN and infinities are masked.
    wrong : bool array, shape (N,)
        Where the text was neither blank, ``nan`` nor a finite number.
    """
    text = np.asarray(table[name]).astype(str)
    blank = np.isin(np.char.lower(text), ["", "nan", "na", "null", "none"])
    values, wrong = np.zeros(len(text)), np.zeros(len(text), bool)
    try:
        values[~blank] = text[~blank].astype(float)
    except ValueError:
        for i in np.flatnonzero(~blank):
            try:
                values[i] = float(text[i])
            except ValueError:
                wrong[i] = True
    infinite = ~np.isfinite(values)
    wrong |= infinite & ~blank
    mask = blank | wrong | infinite
    return np.ma.MaskedArray(np.where(mask, 0.0, values), mask=mask), wrong


def read_labels(path: str | Path, targets: Sequence[str], id_column: str = "ID", comment: str = "#") -> Table:
    """Read a label file: identifiers as text in `id_column`, `targets` as masked numbers, all other columns as text.

    Raises
    ------
    CatalogueError
        A column is missing (the nearest name is given) or an identifier is blank.
    """
    table = read_csv(path, comment)
    where = str(path)
    identifier = find(table, id_column, where)
    names = [find(table, target, where) for target in targets]
    if len(table) and (np.asarray(table[identifier]) == "").any():
        raise CatalogueError(f"{where}: row {int(np.argmax(np.asarray(table[identifier]) == '')) + 1} has no {identifier}")
    for target, name in zip(targets, names, strict=True):
        values, _ = numbers(table, name)
        table.replace_column(name, MaskedColumn(np.ma.getdata(values), mask=np.ma.getmaskarray(values), name=name))
        if name != target:
            table.rename_column(name, target)
    if identifier != id_column:
        table.rename_column(identifier, id_column)
    return table


def split_stamp_id(identifiers: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cluster, band and galaxy (``<cluster>_<number>``) of CLASH stamp identifiers ``<cluster>_<filter>_<number>``.

    The filter's case does not matter and F850W, as the paper writes it, is F850LP.

    Raises
    ------
    CatalogueError
        An identifier has another form or an unknown filter.
    """
    parts = [text.rsplit("_", 2) for text in np.asarray(identifiers).tolist()]
    for text, part in zip(np.asarray(identifiers).tolist(), parts, strict=True):
        if len(part) != 3 or not part[0] or not part[2].isdigit() or BAND_ALIASES.get(part[1].lower(), part[1].lower()) not in BANDS:
            raise CatalogueError(f"stamp id {text!r} is not <cluster>_<filter>_<number>")
    clusters = [p[0] for p in parts]
    bands = [BAND_ALIASES.get(p[1].lower(), p[1].lower()) for p in parts]
    galaxies = [f"{p[0]}_{int(p[2])}" for p in parts]
    return np.array(clusters, dtype=str), np.array(bands, dtype=str), np.array(galaxies, dtype=str)
