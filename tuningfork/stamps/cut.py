"""Postage stamps from mosaics: every object in, one stamp or one status out.

`cut_stamps` works on one mosaic, `cut_shard` on the many fields and bands of a shard. Pixels come out as surface brightness in uJy/arcsec^2 with
the output pixel scale beside them, so that flux = sum x scale^2.
"""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from tuningfork.errors import StampError
from tuningfork.files import read_json
from tuningfork.stamps.mosaic import Mosaic
from tuningfork.stamps.resample import bucket_size
from tuningfork.stamps.store import USABLE, StampShard
from tuningfork.stamps.windows import BORDER, COARSE, SCALARS, Cutter

__all__ = ["cut_shard", "cut_stamps"]

logger = logging.getLogger(__name__)

Objects = Mapping[str, np.ndarray]

_SUPER = 4096  # objects that are read together: neighbours on the sky, so the memory map is walked once
_TILE = 512  # pixels
_BATCH_BYTES = 8_000_000  # windows, weights and results of one batch stay in cache


def cut_stamps(
    objects: Objects,
    mosaic: Mosaic,
    *,
    pixels: int = 80,
    orientation: str = "native",
    rotation_tolerance_deg: float = 0.5,
    min_coverage: float = 0.25,
    min_side_pixels: float = 3.0,
    max_side_pixels: float = 8192.0,
    position_tolerance_arcsec: float = 0.3,
) -> StampShard:
    """Cut all objects out of one mosaic.

    Parameters
    ----------
    objects : mapping of str to ndarray, shape (N,)
        ``object_id``; ``stamp_arcsec`` (side); ``x_pix``, ``y_pix`` (1-based FITS pixels) and/or ``ra``, ``dec`` (deg, ICRS). NaN or masked
        where unknown. Pixels go before coordinates; where both are known they must agree.
    pixels : int
        Side of the output.
    orientation : {"native", "north_up"}
        ``north_up`` turns mosaics whose axes are off north by more than the tolerance, or mirrored (`reproject_exact`, stamp by stamp: slow).
    min_coverage : float
        A stamp of which less than this fraction was observed is not usable (``outside_footprint`` or ``blank``).
    min_side_pixels, max_side_pixels : float
        Sides outside this range, in native pixels, are ``too_small`` or ``failed``.
    position_tolerance_arcsec : float
        Largest distance between the WCS at (x_pix, y_pix) and (ra, dec); beyond it the object has ``failed``.

    Returns
    -------
    StampShard
        In the order of `objects`, with pixels (N, 1, pixels, pixels) in uJy/arcsec^2 and the scalars named in
        `tuningfork.stamps.windows.SCALARS`.

    Raises
    ------
    StampError
        Columns are missing, ids stand twice, or most positions disagree with the WCS (another grid or another image).
    """
    if orientation not in ("native", "north_up"):
        raise StampError(f"orientation {orientation!r}: 'native' or 'north_up'")
    ids, side_arcsec, x, y, ra, dec = _columns(objects)
    scalars = {name: np.full(len(ids), np.nan) for name in SCALARS}
    status, reason = np.full(len(ids), "", dtype="U20"), np.full(len(ids), "", dtype=object)

    def settle(rows: np.ndarray, name: str, why: np.ndarray | str) -> None:
        rows = rows & (status == "")
        status[rows] = name
        reason[rows] = why[rows] if isinstance(why, np.ndarray) else why

    offset = _locate(mosaic, x, y, ra, dec)
    settle(~(np.isfinite(x) & np.isfinite(y)), "failed", "no position: neither pixels nor coordinates, or the coordinates are not on this projection")
    wrong = offset > position_tolerance_arcsec
    checked = np.isfinite(offset).sum()
    if checked >= 3 and wrong.sum() * 2 > checked:
        raise StampError(
            f"{mosaic.path}: {int(wrong.sum())} of {checked} positions are more than {position_tolerance_arcsec} arcsec from where the WCS puts their pixels "
            f"(median {np.nanmedian(offset):.2f} arcsec): the catalogue belongs to another grid or image"
        )
    settle(wrong, "failed", np.array([f"the WCS at (x, y) is {o:.2f} arcsec from (ra, dec)" for o in offset], dtype=object) if wrong.any() else "")
    with np.errstate(invalid="ignore"):
        side = side_arcsec / mosaic.pixel_scale_arcsec
        settle(~np.isfinite(side), "failed", "the stamp has no size")
        small = ~(side >= min_side_pixels)
        settle(small, "too_small", np.array([f"a side of {s:.2f} native pixels" for s in side], dtype=object) if small.any() else "")
        settle(side > max_side_pixels, "failed", f"a side of more than {max_side_pixels:g} native pixels")
        reach = side / 2
        rows, columns = mosaic.shape
        off = (x + reach <= -0.5) | (y + reach <= -0.5) | (x - reach >= columns - 0.5) | (y - reach >= rows - 0.5)
    settle(off, "outside_footprint", "the window does not touch the image")

    scalars |= {"ra": ra, "dec": dec, "x_pix": x + 1, "y_pix": y + 1, "stamp_arcsec": side_arcsec, "pixel_scale_arcsec": side_arcsec / pixels}
    with np.errstate(divide="ignore", invalid="ignore"):
        scalars["zoom"] = np.where(side > 0, pixels / side, np.nan)
    out = np.zeros((len(ids), 1, pixels, pixels), dtype=np.float32)
    turned = orientation == "north_up" and not abs(mosaic.rotation_deg) <= rotation_tolerance_deg
    _fill(Cutter(mosaic, pixels, min_coverage, turned), x, y, side, out, status, reason, scalars)
    out[~np.isin(status, USABLE)] = 0
    return StampShard(ids, status.astype(str), reason.astype(str), out, scalars)


def cut_shard(
    objects: Objects,
    manifests: Mapping[str, Mapping[str, Any] | str | os.PathLike[str]],
    *,
    pixels: int = 80,
    zero_points: Mapping[str, float] | None = None,
    progress: bool = False,
    **options: Any,
) -> StampShard:
    """Cut the objects of many fields and bands; rows in = rows out, in the same order.

    Parameters
    ----------
    objects : mapping of str to ndarray, shape (N,)
        As for `cut_stamps`, with ``field`` and ``band``.
    manifests : mapping of field to manifest (a mapping, or the path of its JSON)
        ``{"bands": {band: {"status": "ok" | "absent", "image": path, "weight": path or null}}}``.
    zero_points : mapping of band to float, optional
        AB magnitude of one image unit, for bands whose headers do not say it.
    progress : bool
        Show a bar over the mosaics.
    **options
        Passed to `cut_stamps`.

    Returns
    -------
    StampShard
        A band that the archive does not have gives ``absent``; a mosaic that cannot be read, ``failed`` with its reason for the objects in
        it alone.

    Raises
    ------
    StampError
        Columns are missing, ids stand twice, or a field has no manifest.
    """
    ids = _columns(objects)[0]
    for name in ("field", "band"):
        if name not in objects:
            raise StampError(f"objects to cut need the column {name!r}; they have {', '.join(sorted(objects))}")
    fields, bands = (np.asarray(objects[name]).astype(str) for name in ("field", "band"))
    read = {field: _manifest(field, manifests) for field in sorted(set(fields.tolist()))}
    out = np.zeros((len(ids), 1, pixels, pixels), dtype=np.float32)
    status, reason = np.full(len(ids), "", dtype="U20"), np.full(len(ids), "", dtype=object)
    scalars = {name: np.full(len(ids), np.nan) for name in SCALARS}
    for field, band in tqdm(sorted(set(zip(fields.tolist(), bands.tolist(), strict=True))), desc="mosaics", unit="mosaic", disable=None if progress else True):
        rows = np.flatnonzero((fields == field) & (bands == band))
        entry = read[field].get("bands", {}).get(band, {"status": "absent"})
        try:
            if entry["status"] != "ok" or not entry.get("image"):
                status[rows], reason[rows] = "absent", f"no {band} image of {field} in the archive"
                for name in ("ra", "dec", "x_pix", "y_pix", "stamp_arcsec"):
                    if name in objects:
                        scalars[name][rows] = _numbers(objects, name)[rows]
                continue
            mosaic = Mosaic(entry["image"], entry.get("weight"), zero_point=(zero_points or {}).get(band))
            shard = cut_stamps({name: values[rows] for name, values in objects.items()}, mosaic, pixels=pixels, **options)
        except StampError as error:
            logger.warning("%s %s: %d stamps failed: %s", field, band, len(rows), error)
            status[rows], reason[rows] = "failed", str(error)
            continue
        out[rows], status[rows], reason[rows] = shard.pixels, shard.status, shard.reason
        for name, values in shard.scalars.items():
            scalars[name][rows] = values
    return StampShard(ids, status.astype(str), reason.astype(str), out, scalars)


def _fill(
    cutter: Cutter,
    x: np.ndarray,
    y: np.ndarray,
    side: np.ndarray,
    out: np.ndarray,
    status: np.ndarray,
    reason: np.ndarray,
    scalars: dict[str, np.ndarray],
) -> None:
    """Cut all objects whose status is still open, in batches of equal windows, into the given arrays."""
    todo = np.flatnonzero(status == "")
    todo = todo[np.lexsort((x[todo], x[todo] // _TILE, y[todo] // _TILE))]
    # a second BLAS thread costs more than these tiny products: seven times, measured
    with threadpool_limits(1, user_api="blas"):
        for begin in range(0, len(todo), _SUPER):
            part = todo[begin : begin + _SUPER]
            border = np.empty((len(part), BORDER), dtype=np.float32)
            aperture, coarse = np.empty(len(part), dtype=np.float32), np.empty((len(part), COARSE, COARSE), dtype=np.float32)
            sizes = bucket_size(side[part] * (np.sqrt(2) if cutter.turned else 1))
            for n in np.unique(sizes):
                same = np.flatnonzero(sizes == n)
                batch = max(1, int(_BATCH_BYTES // (4 * (n * n + 4 * cutter.pixels * n + cutter.pixels**2))))
                for first in range(0, len(same), batch):
                    chosen = same[first : first + batch]
                    rows = part[chosen]
                    cuts = cutter.cut(x[rows], y[rows], side[rows], int(n))
                    out[rows, 0], status[rows], reason[rows], scalars["coverage"][rows] = cuts.pixels, cuts.status, cuts.reason, cuts.coverage
                    border[chosen], aperture[chosen], coarse[chosen] = cuts.border, cuts.aperture, cuts.coarse
            for name, values in cutter.measure(border, aperture, coarse, side[part]).items():
                scalars[name][part] = values


def _manifest(field: str, manifests: Mapping[str, Mapping[str, Any] | str | os.PathLike[str]]) -> Mapping[str, Any]:
    if field not in manifests:
        raise StampError(f"no manifest of the mosaics of field {field!r}; there are {', '.join(sorted(manifests)) or 'none'}")
    entry = manifests[field]
    if isinstance(entry, Mapping):
        return entry
    try:
        return read_json(Path(entry))
    except (OSError, ValueError) as error:
        raise StampError(f"{entry}: the manifest of field {field!r} cannot be read ({error}); delete it and run again") from error


def _numbers(objects: Objects, name: str) -> np.ndarray:
    return np.ma.filled(np.ma.asarray(objects[name]).astype(np.float64), np.nan).copy()


def _columns(objects: Objects) -> tuple[np.ndarray, ...]:
    """Ids, sides, 0-based x and y, ra and dec as plain arrays."""
    if "object_id" not in objects or "stamp_arcsec" not in objects or not ({"x_pix", "y_pix"} <= set(objects) or {"ra", "dec"} <= set(objects)):
        raise StampError(f"objects to cut need object_id, stamp_arcsec and x_pix, y_pix or ra, dec; they have {', '.join(sorted(objects))}")
    ids = np.asarray(objects["object_id"]).astype(str)
    unique, counts = np.unique(ids, return_counts=True)
    if len(unique) != len(ids):
        raise StampError(f"object id {str(unique[counts > 1][0])!r} stands {int(counts.max())} times among the objects to cut")
    nothing = np.full(len(ids), np.nan)
    x, y, ra, dec = (_numbers(objects, name) if name in objects else nothing.copy() for name in ("x_pix", "y_pix", "ra", "dec"))
    return ids, _numbers(objects, "stamp_arcsec"), x - 1, y - 1, ra, dec


def _locate(mosaic: Mosaic, x: np.ndarray, y: np.ndarray, ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    """Complete positions in place; the distance (arcsec) of the two where both were given, else NaN. (x, y) win, and ra, dec become the WCS's."""
    known, sky = np.isfinite(x) & np.isfinite(y), np.isfinite(ra) & np.isfinite(dec) & (np.abs(dec) <= 90)
    only = ~known & sky
    if only.any():
        x[only], y[only] = mosaic.wcs.wcs_world2pix(ra[only], dec[only], 0)
    offset = np.full(len(x), np.nan)
    if known.any():
        lon, lat = mosaic.wcs.wcs_pix2world(x[known], y[known], 0)
        turn = (lon - ra[known] + 180) % 360 - 180
        offset[known] = np.hypot(turn * np.cos(np.radians(lat)), lat - dec[known]) * 3600
        ra[known], dec[known] = lon, lat
    return offset
