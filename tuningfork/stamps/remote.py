"""The pixels that cutting will touch, fetched before it: which windows the objects of a shard need of mosaics that are only opened.

The windows are those of `tuningfork.stamps.windows.Cutter.cut`, to the pixel; whatever were missing would stop the cutting with an error.
"""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tuningfork.archives.ranges import Traffic, fetch_windows
from tuningfork.archives.transport import Transport
from tuningfork.errors import StampError
from tuningfork.files import read_json
from tuningfork.stamps.mosaic import Mosaic
from tuningfork.stamps.resample import bucket_size

__all__ = ["fetch_stamps", "touched_windows"]

log = logging.getLogger(__name__)


def touched_windows(x: np.ndarray, y: np.ndarray, side: np.ndarray, *, turned: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The squares of native pixels that stamps are cut out of: the stamp, rounded up to one of few sizes, and centred.

    Parameters
    ----------
    x, y : ndarray, shape (N,)
        Centres, 0-based pixels.
    side : ndarray, shape (N,)
        Sides of the stamps, native pixels.
    turned
        Whether stamps are put north up by reprojection, for which the circle around them is read.

    Returns
    -------
    row, column, size : ndarray of int64, shape (N,)
        First pixel (may lie off the image) and side of each square.
    """
    span = side * np.sqrt(2) if turned else side
    size = bucket_size(span)
    first = np.floor(np.stack([y, x]) - span / 2 + 0.5).astype(np.int64)
    first -= (size - 1 - np.ceil(span).astype(np.int64)) // 2
    return first[0], first[1], size


def fetch_stamps(
    transport: Transport,
    objects: Mapping[str, np.ndarray],
    manifests: Mapping[str, Mapping[str, Any] | str | os.PathLike[str]],
    *,
    orientation: str = "native",
    rotation_tolerance_deg: float = 0.5,
    min_side_pixels: float = 3.0,
    max_side_pixels: float = 8192.0,
    progress: bool | None = None,
) -> Traffic:
    """Fetch what `tuningfork.stamps.cut.cut_shard` will read of the same objects, with the same options; mosaics that are whole cost nothing.

    Parameters
    ----------
    transport
        An open transport, of the realm in which the manifests were written.
    objects : mapping of str to ndarray, shape (N,)
        ``field``, ``band``, ``stamp_arcsec``; ``x_pix``, ``y_pix`` (1-based) and/or ``ra``, ``dec`` (deg).
    manifests : mapping of field to manifest (a mapping, or the path of its JSON)
        From `tuningfork.archives.manifest.fetch_field`.
    orientation, rotation_tolerance_deg, min_side_pixels, max_side_pixels
        As in `tuningfork.stamps.cut.cut_stamps`.
    progress
        True or False to force a progress bar or silence; None shows one for much.

    Returns
    -------
    Traffic
        Requests and bytes, of all files.

    Raises
    ------
    ArchiveError
        Pixels did not come after all retries (what came is kept), or a mosaic is another than it was when its manifest was written.
    StampError
        A field has no manifest.
    """
    fields, bands = (np.asarray(objects[name]).astype(str) for name in ("field", "band"))
    total = Traffic()
    for field, band in sorted(set(zip(fields.tolist(), bands.tolist(), strict=True))):
        if field not in manifests:
            raise StampError(f"no manifest of the mosaics of field {field!r}; there are {', '.join(sorted(manifests)) or 'none'}")
        manifest = manifests[field]
        entry = (manifest if isinstance(manifest, Mapping) else read_json(Path(manifest)))["bands"].get(band, {})
        records = {name: record for name, record in (entry.get("remote") or {}).items() if record}
        if not records:
            continue
        rows = np.flatnonzero((fields == field) & (bands == band))
        nothing = (np.zeros(0, np.int64),) * 3
        for record in records.values():
            _add(total, fetch_windows(transport, record, *nothing, progress=False)[1])  # the header, should the cache have been emptied
        # The zero point is no matter for places; one is given so that a header without one does not stop the fetching.
        mosaic = Mosaic(entry["image"], zero_point=25.0)
        x, y, side = _places(mosaic, objects, rows)
        with np.errstate(invalid="ignore"):
            cut = np.isfinite(x) & np.isfinite(y) & (side >= min_side_pixels) & (side <= max_side_pixels)
        turned = orientation == "north_up" and not abs(mosaic.rotation_deg) <= rotation_tolerance_deg
        windows = touched_windows(x[cut], y[cut], side[cut], turned=turned)
        for record in records.values():
            _add(total, fetch_windows(transport, record, *windows, progress=progress)[1])
    log.info("fetched for %d stamps: %d requests, %.2f MB", len(fields), total.requests, total.received / 1e6)
    return total


def _places(mosaic: Mosaic, objects: Mapping[str, np.ndarray], rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """0-based x, y and sides in pixels; pixels go before coordinates, NaN where neither is known."""
    nothing = np.full(len(rows), np.nan)
    x, y, ra, dec = (_numbers(objects, name, rows) if name in objects else nothing.copy() for name in ("x_pix", "y_pix", "ra", "dec"))
    x, y = x - 1, y - 1
    sky = ~(np.isfinite(x) & np.isfinite(y)) & np.isfinite(ra) & np.isfinite(dec) & (np.abs(dec) <= 90)
    if sky.any():
        x[sky], y[sky] = mosaic.wcs.wcs_world2pix(ra[sky], dec[sky], 0)
    return x, y, _numbers(objects, "stamp_arcsec", rows) / mosaic.pixel_scale_arcsec


def _numbers(objects: Mapping[str, np.ndarray], name: str, rows: np.ndarray) -> np.ndarray:
    values: np.ndarray = np.ma.filled(np.ma.asarray(objects[name]).astype(np.float64), np.nan)[rows]
    return values


def _add(total: Traffic, one: Traffic) -> None:
    total.requests, total.received, total.whole = total.requests + one.requests, total.received + one.received, total.whole or one.whole
