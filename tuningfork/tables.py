"""Tables on disk: Parquet with unit, UCD and description of every column, and the table's origin, in the file itself.

In memory a table is an `astropy.table.Table`; `unit` and `description` are astropy's own attributes, the UCD is in ``column.meta["ucd"]`` and
the origin (query, DOI, retrieval time, SHA-256, simulated or not) in ``table.meta``, which must be JSON-able. `read_columns` gives plain
arrays without importing astropy, for the training side.
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tuningfork.errors import CatalogueError, TuningforkError
from tuningfork.files import atomic_path

if TYPE_CHECKING:
    from astropy.table import Table

MAX_TEXT_BYTES = 2**31
MAX_TEXT_GROWTH = 64
META_KEY = b"tuningfork"


def text_array(values: Sequence[str], what: str) -> np.ndarray:
    """Texts as an array, in which each takes as much room as the longest.

    Raises
    ------
    CatalogueError
        One of them is so long that the array would have 2 GiB or more, most of it blank.
    """
    longest = max(map(len, values), default=0)
    room = 4 * longest * len(values)
    if room > MAX_TEXT_BYTES and room > MAX_TEXT_GROWTH * sum(map(len, values)):
        raise CatalogueError(f"{what}: a text of {longest} characters among {len(values)}, where none is as long: no table of ours holds it; remove it")
    return np.array(values, dtype=str) if len(values) else np.array([], dtype="U1")


def describe(table: "Table", columns: Mapping[str, tuple[str | None, str, str]]) -> None:
    """Set (unit, ucd, description) on the named columns of `table` that exist; columns not named are left alone."""
    for name, (unit, ucd, description) in columns.items():
        if name in table.colnames:
            if unit is not None:
                table[name].unit = unit
            table[name].info.description = description
            table[name].info.meta = {**(table[name].info.meta or {}), "ucd": ucd}


def write(table: "Table", path: str | os.PathLike[str]) -> None:
    """Write an astropy table as Parquet (zstd), masked values as nulls, with units, UCDs, descriptions and `table.meta`.

    The bytes depend on the content alone (no time stamp is added).
    """
    arrays, fields = [], []
    for name in table.colnames:
        column = table[name]
        mask = np.ma.getmaskarray(column) if hasattr(column, "mask") else None
        values = np.asarray(column.filled() if hasattr(column, "filled") else column)
        if values.dtype.kind == "O":
            values = np.array([None if v is None else str(v) for v in values], dtype=object)
            array = pa.array(values, type=pa.string(), mask=mask)
        elif values.dtype.kind in "US":
            array = pa.array(values.astype(object) if values.dtype.kind == "U" else np.char.decode(values, "utf-8").astype(object), type=pa.string(), mask=mask)
        elif values.ndim == 1:
            array = pa.array(values.astype(values.dtype.newbyteorder("=")), mask=mask)
        else:
            raise TuningforkError(f"{path}: column {name!r} has shape {values.shape}; tables hold scalars only")
        info = {
            "unit": str(column.unit) if column.unit is not None else "",
            "description": column.info.description or "",
            "ucd": (column.info.meta or {}).get("ucd", ""),
        }
        arrays.append(array)
        fields.append(pa.field(name, array.type, metadata={k: v for k, v in info.items() if v}))
    meta = json.dumps(dict(table.meta), sort_keys=True, allow_nan=False)
    write_arrow(pa.Table.from_arrays(arrays, schema=pa.schema(fields, metadata={META_KEY: meta.encode()})), path)


def write_arrow(table: pa.Table, path: str | os.PathLike[str]) -> None:
    """Write an Arrow table as Parquet (zstd), atomically."""
    with atomic_path(path) as part:
        pq.write_table(table, part, compression="zstd")


def read(path: str | os.PathLike[str]) -> "Table":
    """Read what `write` wrote, nulls as masked values."""
    from astropy.table import MaskedColumn, Table

    arrow = _read_arrow(path)
    table = Table(meta=meta_of(arrow))
    for field, column in zip(arrow.schema, arrow.columns, strict=True):
        values, mask = _to_numpy(column)
        info = {k.decode(): v.decode() for k, v in (field.metadata or {}).items()}
        table[field.name] = MaskedColumn(values, mask=mask) if mask is not None else values
        table[field.name].unit = info.get("unit") or None
        table[field.name].info.description = info.get("description") or None
        if "ucd" in info:
            table[field.name].info.meta = {"ucd": info["ucd"]}
    return table


def read_columns(path: str | os.PathLike[str], names: Iterable[str] | None = None) -> dict[str, np.ndarray]:
    """Columns as plain arrays: null numbers are NaN (integers become float64 then), null strings are ''. No astropy needed."""
    arrow = _read_arrow(path, list(names) if names is not None else None)
    columns = {}
    for field, column in zip(arrow.schema, arrow.columns, strict=True):
        values, mask = _to_numpy(column)
        if mask is not None and values.dtype.kind in "iufb":
            values = np.where(mask, np.nan, values.astype(float))
        columns[field.name] = values
    return columns


def read_meta(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The table's own metadata (origin), without reading its rows."""
    return meta_of(pq.read_schema(path))


def meta_of(arrow: pa.Table | pa.Schema) -> dict[str, Any]:
    """The metadata that `write` put into an Arrow table or schema."""
    schema = arrow if isinstance(arrow, pa.Schema) else arrow.schema
    return json.loads((schema.metadata or {}).get(META_KEY, b"{}"))


def _read_arrow(path: str | os.PathLike[str], columns: list[str] | None = None) -> pa.Table:
    try:
        found = pq.read_schema(path).names
        missing = sorted(set(columns or []) - set(found))
        if not missing:
            return pq.read_table(path, columns=columns)
    except (pa.ArrowInvalid, OSError) as error:
        raise TuningforkError(f"{path}: not a readable Parquet file ({error}); delete it and run again") from error
    raise TuningforkError(f"{path}: no column {', '.join(missing)}; it has {', '.join(found)}")


def _to_numpy(column: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray | None]:
    column = column.combine_chunks()
    mask = np.asarray(column.is_null()) if column.null_count else None
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return np.array(column.fill_null("").to_pylist(), dtype=str), mask
    if mask is not None:
        zero = False if pa.types.is_boolean(column.type) else 0
        column = column.fill_null(zero)
    return np.array(column.to_numpy(zero_copy_only=False)), mask
