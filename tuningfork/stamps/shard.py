"""One shard of mosaic stamps from end to end: its rows out of the table of objects, and their stamps."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tuningfork.stamps.cut import cut_shard
from tuningfork.stamps.store import StampShard

EXCLUDED = "exclude_reason"


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


def _excluded(shard: StampShard, excluded: np.ndarray) -> StampShard:
    out = excluded != ""
    if not out.any():
        return shard
    pixels = np.where(out[:, None, None, None], 0, shard.pixels).astype(shard.pixels.dtype)
    return StampShard(shard.object_id, np.where(out, "failed", shard.status), np.where(out, excluded, shard.reason), pixels, shard.scalars)
