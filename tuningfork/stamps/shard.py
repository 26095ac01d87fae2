"""One shard from end to end: its rows out of the table of objects, their stamps or pictures, and the ledger of all shards."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from astropy.table import Table

from tuningfork import tables
from tuningfork.samples import ledger
from tuningfork.stamps.cut import cut_shard
from tuningfork.stamps.pictures import import_pictures
from tuningfork.stamps.store import StampShard, read_shard

EXCLUDED = "exclude_reason"


def rows_of_shard(table: str | os.PathLike[str], shard: str) -> dict[str, np.ndarray]:
    """Columns of the objects of one shard, in the order of the table."""
    columns = tables.read_columns(table)
    rows = columns["shard"] == shard
    return {name: values[rows] for name, values in columns.items()}


def cut_objects(objects: dict[str, np.ndarray], manifests: Sequence[str], *, pixels: int, orientation: str) -> StampShard:
    """Stamps of the objects; those that were excluded before any pixel was read fail with that reason.

    Parameters
    ----------
    objects
        Columns of one shard.
    manifests
        Paths ``.../{field}.json`` of the mosaics of its fields.
    pixels, orientation
        As in `tuningfork.stamps.cut.cut_stamps`.
    """
    shard = cut_shard(objects, {Path(path).stem: path for path in manifests}, pixels=pixels, orientation=orientation)
    excluded = np.asarray(objects[EXCLUDED]).astype(str) if EXCLUDED in objects else np.full(len(shard.object_id), "")
    return _excluded(shard, excluded)


def import_objects(objects: dict[str, np.ndarray], folder: str, *, channels: int, pixels: int, arcsec_per_pixel: float | None = None) -> StampShard:
    """Pictures of the objects as stamps.

    Parameters
    ----------
    objects
        Columns of one shard: `object_id`, `path` below the folder ('' where there is no picture), `exclude_reason`, and optionally
        `exclude_status`.
    folder
        The image folder.
    channels, pixels, arcsec_per_pixel
        As in `tuningfork.stamps.pictures.import_pictures`.
    """
    paths = [Path(folder) / path if path else None for path in objects["path"].tolist()]
    wanted = np.flatnonzero(np.asarray(objects[EXCLUDED]).astype(str) == "")
    found = import_pictures([paths[row] for row in wanted.tolist()], objects["object_id"][wanted], channels=channels, pixels=pixels)
    number = len(objects["object_id"])
    stamps = np.zeros((number, *found.pixels.shape[1:]), found.pixels.dtype)
    status, reason = np.asarray(objects["exclude_status"]).astype("U32"), np.asarray(objects[EXCLUDED]).astype("U400")
    stamps[wanted], status[wanted], reason[wanted] = found.pixels, found.status, found.reason
    scalars = {}
    for name, values in found.scalars.items():
        scalars[name] = np.full(number, np.nan)
        scalars[name][wanted] = values
    if arcsec_per_pixel is not None and "zoom" in scalars:
        scalars["pixel_scale_arcsec"] = arcsec_per_pixel / scalars["zoom"]
    return StampShard(objects["object_id"], status, reason, stamps, scalars)


def ledger_of(paths: Iterable[str | os.PathLike[str]]) -> Table:
    """The ledger of all shards, sorted by id; each file's digest is checked on the way."""
    shards = [read_shard(path) for path in paths]
    return ledger.merge(*(ledger.build(shard.object_id, shard.status, shard.reason) for shard in shards))


def _excluded(shard: StampShard, excluded: np.ndarray) -> StampShard:
    out = excluded != ""
    if not out.any():
        return shard
    pixels = np.where(out[:, None, None, None], 0, shard.pixels).astype(shard.pixels.dtype)
    return StampShard(shard.object_id, np.where(out, "failed", shard.status), np.where(out, excluded, shard.reason), pixels, shard.scalars)
