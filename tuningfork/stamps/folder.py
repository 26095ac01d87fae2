"""One shard of an image folder as stamps; objects without a usable picture keep the status that selection gave them."""

from pathlib import Path

import numpy as np

from tuningfork.stamps.pictures import import_pictures
from tuningfork.stamps.store import StampShard

EXCLUDED = "exclude_reason"


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
