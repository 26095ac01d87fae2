"""One shard of an image folder as stamps; objects without a usable picture keep the status that selection gave them."""

from pathlib import Path

import numpy as np

from tuningfork.stamps.pictures import import_pictures
from tuningfork.stamps.store import StampShard

EXCLUDED = "exclude_reason"


def holds_fits(paths: np.ndarray) -> bool:
    """Whether a sample's files are FITS: its shards must agree, also one in which no object has a file."""
    return any(str(path).lower().removesuffix(".gz").endswith((".fits", ".fit", ".fts")) for path in paths.tolist())


def import_objects(
    objects: dict[str, np.ndarray], folder: str, *, channels: int, pixels: int, as_fits: bool, arcsec_per_pixel: float | None = None
) -> StampShard:
    """Pictures of the objects as stamps.

    Parameters
    ----------
    objects
        Columns of one shard: `object_id`, `path` below the folder ('' where there is no picture), `exclude_reason`, and optionally
        `exclude_status`.
    folder
        The image folder.
    channels, pixels, as_fits
        As in `tuningfork.stamps.pictures.import_pictures`.
    arcsec_per_pixel
        Scale of the original pictures, if they share one: gives `pixel_scale_arcsec` of the stamps.
    """
    paths = [Path(folder) / path if path else None for path in objects["path"].tolist()]
    wanted = np.flatnonzero(np.asarray(objects[EXCLUDED]).astype(str) == "")
    found = import_pictures([paths[row] for row in wanted.tolist()], objects["object_id"][wanted], channels=channels, pixels=pixels, as_fits=as_fits)
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
