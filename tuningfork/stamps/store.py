"""The stamp store: one Arrow IPC file a shard, memory-mapped, read at random without parsing and with one copy.

Only numpy and pyarrow live here, so that training reads stamps without importing astropy. How stamps are made is no business of this module.
"""

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from tuningfork.errors import StampError
from tuningfork.files import atomic_path, write_text

__all__ = ["STATUSES", "USABLE", "StampSet", "StampShard", "read_shard", "usable", "write_shard"]

USABLE = ("ok", "partial")
STATUSES = (*USABLE, "outside_footprint", "absent", "blank", "nonfinite", "too_small", "failed")

_TEXT = ("object_id", "status", "reason")
_DTYPES = (np.dtype(np.float32), np.dtype(np.uint8))


@dataclass(frozen=True)
class StampShard:
    """Stamps in memory (or in a memory map): row i of every array belongs to ``object_id[i]``.

    Attributes
    ----------
    object_id, status, reason : ndarray of str, shape (N,)
        `status` is one of `STATUSES`; `reason` says why, '' where there is nothing to say.
    pixels : ndarray, shape (N, C, H, W), float32 or uint8
        Surface brightness in uJy/arcsec^2 for stamps from mosaics, 0..255 for imported pictures; zeros where the status is not usable.
    scalars : dict of str to ndarray of float64, shape (N,)
        One number a stamp (sky, sky_sigma, zoom, pixel_scale_arcsec, ...), NaN where unknown.
    """

    object_id: np.ndarray
    status: np.ndarray
    reason: np.ndarray
    pixels: np.ndarray
    scalars: dict[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.object_id)


def usable(status: np.ndarray) -> np.ndarray:
    """Boolean mask of the statuses that may be trained on and predicted for (``ok`` and ``partial``)."""
    return np.isin(status, USABLE)


def write_shard(path: str | os.PathLike[str], shard: StampShard) -> str:
    """Write a shard atomically, and the digest of its logical content beside it as ``.sha256``.

    Returns
    -------
    str
        The digest (hex SHA-256 of ids, statuses, pixels and scalars; not of the bytes of the file, which depend on the Arrow version).

    Raises
    ------
    StampError
        The shard contradicts itself: lengths, dtype, a duplicate id, an unknown status, a usable stamp that is not finite, or an unusable
        one that is not zero.
    """
    _check(path, shard)
    pixels = np.ascontiguousarray(shard.pixels)
    tensor = pa.fixed_shape_tensor(pa.from_numpy_dtype(pixels.dtype), pixels.shape[1:])
    storage = pa.FixedSizeListArray.from_arrays(pa.array(pixels.reshape(-1)), int(np.prod(pixels.shape[1:])))
    columns = {name: pa.array(getattr(shard, name).tolist(), type=pa.string()) for name in _TEXT}
    columns["pixels"] = pa.ExtensionArray.from_storage(tensor, storage)
    columns |= {name: pa.array(np.asarray(values, dtype=np.float64)) for name, values in sorted(shard.scalars.items())}
    batch = pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))
    with atomic_path(path) as part, pa.OSFile(str(part), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
    digest = _digest(shard)
    write_text(Path(path).with_suffix(".sha256"), digest + "\n")
    return digest


def read_shard(path: str | os.PathLike[str], verify: bool = True) -> StampShard:
    """Memory-map a shard; `pixels` is a read-only view of the file, nothing is copied.

    Parameters
    ----------
    verify : bool
        Compare the content with the digest beside the file (reads every byte once).

    Raises
    ------
    StampError
        The file is absent, truncated, damaged, not a stamp shard, or not what its digest promises.
    """
    path = Path(path)
    try:
        with pa.memory_map(str(path)) as source:
            reader = pa.ipc.open_file(source)
            if reader.num_record_batches != 1:
                raise StampError(f"{path}: {reader.num_record_batches} record batches where a stamp shard has one; delete it and run again")
            batch = reader.get_batch(0)
        batch.validate(full=True)
        columns = dict(zip(batch.schema.names, batch.columns, strict=True))
        text = {name: np.array(columns.pop(name).to_pylist(), dtype=str) for name in _TEXT}
        pixels = _view(columns.pop("pixels"))
        scalars = {name: column.to_numpy(zero_copy_only=False) for name, column in columns.items()}
    except (pa.ArrowException, OSError, KeyError, AttributeError, ValueError) as error:
        raise StampError(f"{path}: not a whole stamp shard ({error}); delete it and run again") from error
    shard = StampShard(**text, pixels=pixels, scalars=scalars)
    if verify:
        _verify(path, shard)
    return shard


class StampSet:
    """Several shards as one set of stamps, memory-mapped, for random reads.

    Parameters
    ----------
    paths : sequence of path
        Shards of one sample; their stamps have one shape and one dtype.
    verify : bool
        Compare every shard with its digest when opening.

    Attributes
    ----------
    object_id, status : ndarray of str, shape (N,)
        Of all shards, in the order of `paths`.
    scalars : dict of str to ndarray of float64, shape (N,)
        NaN where a shard does not have the column.
    shape : tuple of int
        (C, H, W) of one stamp.
    dtype : numpy.dtype
        float32 or uint8.

    Raises
    ------
    StampError
        No shard, a damaged one, shards of different shape or dtype, or an id that stands in two of them.
    """

    def __init__(self, paths: Iterable[str | os.PathLike[str]], verify: bool = True) -> None:
        self.paths: list[Path] = [Path(path) for path in paths]
        if not self.paths:
            raise StampError("no stamp shard to open: the sample is empty, or its stamps were not made")
        shards = [read_shard(path, verify) for path in self.paths]
        kinds = {(shard.pixels.shape[1:], shard.pixels.dtype) for shard in shards}
        if len(kinds) > 1:
            raise StampError(
                f"{self.paths[0].parent}: shards of different shape or type ({', '.join(f'{s} {d}' for s, d in sorted(kinds, key=str))}); make them again"
            )
        ((self.shape, self.dtype),) = kinds
        self._pixels: Sequence[np.ndarray] = [shard.pixels for shard in shards]
        self._flat = [pixels.reshape(len(pixels), int(np.prod(self.shape))) for pixels in self._pixels]
        self._start = np.cumsum([0] + [len(shard) for shard in shards])
        self.object_id: np.ndarray = np.concatenate([shard.object_id for shard in shards])
        self.status: np.ndarray = np.concatenate([shard.status for shard in shards])
        self.reason: np.ndarray = np.concatenate([shard.reason for shard in shards])
        names = sorted({name for shard in shards for name in shard.scalars})
        self.scalars: Mapping[str, np.ndarray] = {
            name: np.concatenate([shard.scalars.get(name, np.full(len(shard), np.nan)) for shard in shards]) for name in names
        }
        self._order = np.argsort(self.object_id, kind="stable")
        _refuse_duplicates(self.paths[0].parent, self.object_id[self._order])

    def __reduce__(self) -> tuple[type, tuple[list[Path], bool]]:
        # to another process go the names of the files, not the pixels
        return type(self), (self.paths, False)

    def __len__(self) -> int:
        return len(self.object_id)

    def index_of(self, ids: Sequence[str] | np.ndarray) -> np.ndarray:
        """Row numbers (int64) of these ids; `StampError` names the first that is missing."""
        ids = np.asarray(ids, dtype=str)
        if len(self) == 0 or ids.size == 0:
            if ids.size:
                raise StampError(f"{self.paths[0].parent}: no stamp of {ids[0]!r}: the shards are empty")
            return np.empty(0, dtype=np.int64)
        place = np.searchsorted(self.object_id, ids, sorter=self._order)
        rows = self._order[np.minimum(place, len(self) - 1)]
        missing = self.object_id[rows] != ids
        if missing.any():
            raise StampError(
                f"{self.paths[0].parent}: no stamp of {str(ids[missing][0])!r} ({int(missing.sum())} of {ids.size} ids missing); cut the sample's stamps again"
            )
        return rows

    def take(self, indices: Sequence[int] | np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Copy the stamps of these rows, in this order.

        Parameters
        ----------
        indices : array of int, shape (n,)
            Row numbers, 0 <= index < len(self); repeats are allowed.
        out : ndarray, optional, shape (n, C, H, W), C-contiguous, of the set's dtype
            Filled and returned: reusing one buffer is many times faster than first touch of new memory.

        Returns
        -------
        ndarray, shape (n, C, H, W)
        """
        indices = np.asarray(indices, dtype=np.int64)
        shape = (len(indices), *self.shape)
        if indices.size and (indices.min() < 0 or indices.max() >= len(self)):
            raise IndexError(f"stamp index outside 0..{len(self) - 1}")
        if out is None:
            out = np.empty(shape, dtype=self.dtype)
        elif out.shape != shape or out.dtype != self.dtype or not out.flags.c_contiguous:
            raise ValueError(f"out has shape {out.shape} and type {out.dtype}; {shape} and {self.dtype}, contiguous, are needed")
        if len(self._pixels) == 1:
            # mode="clip" writes into `out` directly; the default mode copies through a buffer
            return np.take(self._pixels[0], indices, axis=0, out=out, mode="clip")
        shards = np.searchsorted(self._start, indices, side="right") - 1
        rows = indices - self._start[shards]
        # row by row: each stamp is copied once; fancy assignment a shard would copy it twice
        flat = out.reshape(len(indices), -1) if indices.size else out
        for i, shard, row in zip(range(len(indices)), shards.tolist(), rows.tolist(), strict=True):
            flat[i] = self._flat[shard][row]
        return out


def _view(column: pa.Array) -> np.ndarray:
    """(N, C, H, W) view of a fixed-shape tensor column."""
    flat = column.storage.flatten().to_numpy(zero_copy_only=True)
    return flat.reshape(len(column), *column.type.shape)


def _check(path: str | os.PathLike[str], shard: StampShard) -> None:
    count = len(shard.object_id)
    lengths = {name: len(getattr(shard, name)) for name in (*_TEXT, "pixels")} | {name: len(values) for name, values in shard.scalars.items()}
    wrong = {name: length for name, length in lengths.items() if length != count}
    if wrong or shard.pixels.ndim != 4 or shard.pixels.dtype not in _DTYPES:
        raise StampError(
            f"{path}: {count} ids, but columns {wrong or ''} and pixels {shard.pixels.dtype} {shard.pixels.shape}; float32 or uint8 (N, C, H, W) are needed"
        )
    if reserved := set(shard.scalars) & {*_TEXT, "pixels"}:
        raise StampError(f"{path}: {sorted(reserved)} cannot be names of scalar columns")
    _refuse_duplicates(path, np.sort(shard.object_id))
    unknown = sorted(set(shard.status.tolist()) - set(STATUSES))
    if unknown:
        raise StampError(f"{path}: unknown status {unknown}; the statuses are {', '.join(STATUSES)}")
    good = usable(shard.status)
    flat = shard.pixels.reshape(count, int(np.prod(shard.pixels.shape[1:])))
    if flat[~good].any():
        raise StampError(f"{path}: {shard.object_id[~good][0]!r} is not usable and must be stored as zeros")
    if flat.dtype == np.float32 and not (finite := np.isfinite(flat[good]).all(axis=1)).all():
        raise StampError(f"{path}: {shard.object_id[good][~finite][0]!r} has pixels that are not finite, with a usable status")


def _refuse_duplicates(where: str | os.PathLike[str], in_order: np.ndarray) -> None:
    twice = in_order[1:][in_order[1:] == in_order[:-1]]
    if len(twice):
        raise StampError(f"{where}: object id {str(twice[0])!r} stands there more than once ({len(twice)} such rows)")


def _verify(path: Path, shard: StampShard) -> None:
    try:
        promised = path.with_suffix(".sha256").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise StampError(f"{path}: its digest {path.with_suffix('.sha256').name} cannot be read ({error}); delete the shard and run again") from error
    if _digest(shard) != promised:
        raise StampError(f"{path}: the content is not what {path.with_suffix('.sha256').name} promises (damaged or changed by hand); delete it and run again")


def _digest(shard: StampShard) -> str:
    """SHA-256 over ids, statuses, pixels and scalars, each preceded by its name, type and length; the free-text reason is left out."""
    digest = hashlib.sha256()
    for name in ("object_id", "status"):
        for text in getattr(shard, name).tolist():
            digest.update(b"%d:" % len(data := text.encode("utf-8", "surrogatepass")))
            digest.update(data)
    arrays = [("pixels", np.ascontiguousarray(shard.pixels))] + [
        (name, np.ascontiguousarray(shard.scalars[name], dtype=np.float64)) for name in sorted(shard.scalars)
    ]
    for name, values in arrays:
        digest.update(f"{name}:{values.dtype.str}:{values.shape};".encode())
        digest.update(values.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
