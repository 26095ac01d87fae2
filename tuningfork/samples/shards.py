"""Cutting a sample into shards by place (or by hash), and the digests that say whether a shard's pixels or a sample's labels must be made anew.

A shard's digest covers only the columns that a cut uses, so a new label or a new split never fetches a pixel again.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from astropy.table import Table

from tuningfork.catalogues.columns import strings
from tuningfork.errors import SampleError
from tuningfork.samples.groups import cells
from tuningfork.samples.labels import refuse_duplicates

CUT_COLUMNS = ("object_id", "field", "band", "ra", "dec", "x_pix", "y_pix", "stamp_arcsec", "petrosian_radius_arcsec")

CUTOUT_COLUMNS = ("object_id", "ra", "dec", "arcsec_per_pixel", "row")
SIDE_COLUMNS = ("galaxy_id", "group_id", "fold_group", "side", "split")
LABEL_COLUMNS = ("labelled", "n_votes")


def shard_keys(ra: np.ndarray, dec: np.ndarray, nside: int) -> np.ndarray:
    """Shard of each position (degrees): its HEALPix cell in ring order, as a hexadecimal name. Never moves when objects are added."""
    return _hex(cells(ra, dec, nside), 12 * nside**2 - 1)


def hashed_shard_keys(identifiers: np.ndarray, n_shards: int) -> np.ndarray:
    """Shard of each object by a hash of its id, for samples without positions; hexadecimal names.

    Raises
    ------
    SampleError
        `n_shards` is below 1.
    """
    if n_shards < 1:
        raise SampleError(f"n_shards is {n_shards}; it must be at least 1")
    numbers = [
        int.from_bytes(hashlib.sha256(f"shard:{text}".encode("utf-8", "surrogatepass")).digest()[:8], "big") % n_shards for text in strings_of(identifiers)
    ]
    return _hex(np.array(numbers, dtype=int), n_shards - 1)


def digest_rows(table: Table, columns: Sequence[str]) -> str:
    """Digest (hex SHA-256) of the given columns, whatever the order of rows and whatever other columns there are.

    Rows are ordered by `object_id`. Numbers count by value (float32 1.5 is float64 1.5, -0 is 0), text by its characters; masked values and
    NaN are unknown, and alike.

    Raises
    ------
    SampleError
        A column is missing, or an id stands twice.
    """
    missing = [name for name in ("object_id", *columns) if name not in table.colnames]
    if missing:
        raise SampleError(f"the sample has no column {', '.join(map(repr, missing))} for its digest; it has {', '.join(table.colnames)}")
    identifiers = strings(table["object_id"])
    refuse_duplicates(identifiers, "objects of the shard")
    order = np.argsort(identifiers, kind="stable")
    result = hashlib.sha256()
    for name in dict.fromkeys(("object_id", *columns)):
        result.update(f"{name}\0{len(order)}\0".encode())
        for part in _canonical(table[name], order):
            result.update(part)
    return result.hexdigest()


def manifest(table: Table, shard: np.ndarray, columns: Sequence[str] = CUT_COLUMNS, label_columns: Sequence[str] = ()) -> dict[str, Any]:
    """What ``shards.json`` holds: each shard's digest, number of rows and fields, and digests of the sides, of labels and sides, and of everything.

    Parameters
    ----------
    table : Table
        Objects of the sample.
    shard : array of str, shape (N,)
        From `shard_keys` or `hashed_shard_keys`.
    columns : sequence of str
        What a cut uses; those that the table has not are an error.
    label_columns : sequence of str
        Targets; what else training depends on is added where the table has it.
    """
    if len(shard) != len(table):
        raise SampleError(f"{len(shard)} shard names for {len(table)} objects")
    order = np.argsort(shard, kind="stable")
    names, starts = np.unique(np.asarray(shard)[order], return_index=True)
    shards = {}
    for name, rows in zip(names.tolist(), np.split(order, starts[1:]), strict=True) if len(names) else ():
        part = table[rows]
        fields = sorted(set(strings(part["field"]).tolist())) if "field" in table.colnames else []
        shards[str(name)] = {"digest": digest_rows(part, columns), "rows": len(rows), "fields": fields}
    return {"shards": shards, "sides": sides_digest(table), "labels": labels_digest(table, label_columns), "objects": table_digest(table)}


def sides_digest(table: Table) -> str:
    """Digest of which galaxy each object is, and on which side of the split and of the folds it stands: what predictions are composed by."""
    return digest_rows(table, [name for name in SIDE_COLUMNS if name in table.colnames])


def labels_digest(table: Table, label_columns: Sequence[str]) -> str:
    """Digest of the labels and sides of a whole sample: what a training depends on beside the pixels."""
    return digest_rows(table, [*label_columns, *(name for name in (*LABEL_COLUMNS, *SIDE_COLUMNS) if name in table.colnames)])


def table_digest(table: Table) -> str:
    """Digest of every column with its unit and description: what evaluation and publishing depend on.

    When the table was retrieved does not count, nor does the time of a picture's file.
    """
    names = sorted(set(table.colnames) - {"file_version"})
    about = [[name, str(table[name].unit or ""), table[name].info.description or ""] for name in names]
    rows = digest_rows(table, names)
    return hashlib.sha256(f"{json.dumps(about)}{rows}".encode("utf-8", "surrogatepass")).hexdigest()


def strings_of(values: Any) -> list[str]:
    """Identifiers as a list of text."""
    return [str(v) for v in np.asarray(values).tolist()]


def _hex(numbers: np.ndarray, largest: int) -> np.ndarray:
    width = max(1, len(f"{largest:x}"))
    return np.array([f"{n:0{width}x}" for n in np.asarray(numbers).tolist()], dtype=str) if len(numbers) else np.array([], dtype="U1")


def _canonical(column: Any, order: np.ndarray) -> list[bytes]:
    data = np.ma.asarray(column.data if hasattr(column, "data") else column)
    mask, values = np.ma.getmaskarray(data), np.ma.getdata(data)
    if values.dtype.kind in "fc":
        values = values.astype(float)
        mask = mask | np.isnan(values)
        values = (np.where(mask, 0.0, values) + 0.0).astype("<f8")
    elif values.dtype.kind in "iub":
        values = np.where(mask, 0, values).astype("<i8")
    else:
        text = strings(column)
        mask = mask | (text == "")
        return [json.dumps(text[order].tolist()).encode("utf-8", "surrogatepass")]
    return [values[order].tobytes(), mask[order].astype(np.uint8).tobytes()]
