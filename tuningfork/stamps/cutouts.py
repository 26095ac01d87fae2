"""Stamps that a cutout service makes, one request an object: footprint first, then the wire, then the store; every object gets its status.

What each service is asked, and how its reply is judged, is in `tuningfork.archives.cutouts`; here replies become equal squares of one shard.
"""

import functools
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tuningfork.archives import footprint
from tuningfork.archives.cutouts import Cutout, cutout_by_fallback, cutout_requests, has_fallback, read_cutout
from tuningfork.archives.images import observed
from tuningfork.archives.request import Fetched
from tuningfork.archives.transport import Transport
from tuningfork.archives.urls import fetch_url
from tuningfork.catalogues import galaxy10
from tuningfork.errors import ArchiveError, NotInArchive, OutsideFootprint, TuningforkError
from tuningfork.files import write_json
from tuningfork.samples.cutouts import cutout_spec
from tuningfork.stamps.background import robust_sky
from tuningfork.stamps.resample import Resampler
from tuningfork.stamps.store import StampShard

__all__ = ["Filled", "fetch_shard", "note_failures"]

log = logging.getLogger(__name__)

EXCLUDED = "exclude_reason"
RETRY_SUFFIX = ".retry.json"
SCALARS = ("zoom", "pixel_scale_arcsec", "coverage", "sky", "sky_sigma")
BORDER = 1 / 16  # of the side, for the sky


class Filled(NamedTuple):
    """A shard, and how many of its objects failed for a reason that may pass."""

    shard: StampShard
    failed: int


def fetch_shard(transport: Transport, objects: Mapping[str, np.ndarray], *, images: Mapping[str, Any], stamp: Mapping[str, Any]) -> Filled:
    """The stamps of a shard's objects.

    Parameters
    ----------
    transport
        An open transport.
    objects
        Columns of one shard: `object_id`, `ra`, `dec` (deg), `arcsec_per_pixel` of the cutout asked for, `exclude_reason`; `row` where the
        pictures are inside the Galaxy10 file.
    images
        The sample's section ``images``: service, layer, format, bands, pixels, footprint.
    stamp
        The sample's section ``stamp``: pixels, crop.

    Returns
    -------
    Filled
        Its stamps are float32 nanomaggy/arcsec^2 (format fits) or uint8 (jpeg), shape (N, bands, pixels, pixels), in the order of `objects`, with the scalars
        ``zoom`` (stored pixels for one pixel asked for), ``pixel_scale_arcsec`` (of a stored pixel), ``coverage`` and, of FITS cutouts, ``sky`` and
        ``sky_sigma`` (of a stored pixel, from the border; mean of the bands).
        A cutout that failed has status ``failed`` with the reason; what is outside the survey, ``outside_footprint``.
    """
    shard = _Shard(objects, images, stamp)
    excluded = np.asarray(objects[EXCLUDED]).astype(str)
    shard.fail(np.flatnonzero(excluded != ""), "failed", excluded)
    wanted = np.flatnonzero(excluded == "")
    if images["service"] == "galaxy10":
        shard.read_file(galaxy10.file_path(transport), wanted)
    else:
        shard.fetch(transport, _inside(transport, shard, wanted, images.get("footprint")))
    return Filled(shard.finish(), int(np.sum(shard.status[wanted] == "failed")))


def note_failures(stamps: str | Path, failed: int, *, token: int) -> None:
    """Write beside a stamp file how many objects failed, so that the next run asks for them again (`tuningfork.workflow.Workflow.retry_token`)."""
    write_json(Path(stamps).with_suffix(RETRY_SUFFIX), {"token": token, "failed": failed})


def _inside(transport: Transport, shard: "_Shard", wanted: np.ndarray, moc: str | None) -> np.ndarray:
    """The rows within the survey; the others cost no request."""
    path = _footprint(transport, moc, shard.images["layer"]) if len(wanted) else None
    if path is None:
        return wanted
    inside = footprint.inside(path, shard.ra[wanted], shard.dec[wanted])
    shard.fail(wanted[~inside], "outside_footprint", "outside the survey's footprint (MOC); not asked for")
    return wanted[inside]


def _footprint(transport: Transport, moc: str | None, layer: str | None) -> Path | None:
    """The MOC file: a path, a URL, or for ``auto`` that of the layer; None where there is none to be had."""
    if moc is None:
        return None
    if moc != "auto":
        return fetch_url(transport, moc).path if "://" in moc else Path(moc)
    request = footprint.footprint_request(layer or "")
    if request is None:
        return None
    try:
        return transport.fetch_request(request).path
    except ArchiveError as error:
        # It only saves requests: without it every object is asked for.
        log.warning("no footprint of %s (%s); all objects are asked for", layer, error)
        return None


class _Shard:
    """The arrays of a shard while they fill."""

    def __init__(self, objects: Mapping[str, np.ndarray], images: Mapping[str, Any], stamp: Mapping[str, Any]) -> None:
        self.object_id = np.asarray(objects["object_id"]).astype(str)
        self.ra, self.dec = (np.asarray(objects[name], dtype=float) for name in ("ra", "dec"))
        self.scale = np.asarray(objects["arcsec_per_pixel"], dtype=float)
        self.file_row = np.asarray(objects["row"], dtype=float) if "row" in objects else None
        self.images = images
        self.crop = float(stamp["crop"])
        number, side = len(self.object_id), int(stamp["pixels"])
        colour = images["format"] == "jpeg" or images["service"] == "galaxy10"
        self.pixels = np.zeros((number, 3 if colour else len(images["bands"]), side, side), np.uint8 if colour else np.float32)
        self.status, self.reason = np.full(number, "failed", dtype=object), np.full(number, "", dtype=object)
        self.scalars = {name: np.full(number, np.nan) for name in SCALARS[: 3 if colour else 5]}
        self._resampler = Resampler(side)
        self._border = np.ones((side, side), bool)
        width = max(1, round(BORDER * side))
        self._border[width:-width, width:-width] = False

    def fail(self, rows: np.ndarray, status: str, reason: str | np.ndarray) -> None:
        """Rows that get no stamp, before anything was asked."""
        self.status[rows] = status
        self.reason[rows] = reason[rows] if isinstance(reason, np.ndarray) else reason

    def fetch(self, transport: Transport, rows: np.ndarray) -> None:
        """Ask for the cutouts of `rows` and store them as they come."""
        spec = cutout_spec(self.images)
        requests = cutout_requests(spec, self.ra[rows], self.dec[rows], self.scale[rows])
        names = self.object_id[rows].tolist()
        for index, outcome in transport.fetch_each(requests, names=names, what=f"cutouts of {spec.layer}"):
            row = int(rows[index])
            if isinstance(outcome, Fetched):
                self._read(row, functools.partial(read_cutout, outcome.path, spec, float(self.scale[row])))
            elif isinstance(outcome, ArchiveError) and not isinstance(outcome, NotInArchive) and has_fallback(spec, float(self.dec[row])):
                log.info("%s: another host is asked (%s)", names[index], outcome)
                place = float(self.ra[row]), float(self.dec[row]), float(self.scale[row])
                self._read(row, functools.partial(cutout_by_fallback, transport, spec, *place), before=outcome)
            else:
                self._lost(row, outcome)

    def read_file(self, path: Path, rows: np.ndarray) -> None:
        """Store pictures that lie together in one file."""
        if self.file_row is None:
            raise TuningforkError("the objects have no column row: only the catalogue galaxy10 has pictures inside")
        for row, picture in zip(rows.tolist(), _batches(path, self.file_row[rows].astype(int)), strict=True):
            cutout = Cutout(np.moveaxis(picture, -1, 0), unit="", covered=1.0, survey=None, version=None, arcsec_per_pixel=float(self.scale[row]))
            self._store(row, cutout)

    def finish(self) -> StampShard:
        """The filled arrays as a shard."""
        return StampShard(self.object_id, self.status.astype(str), self.reason.astype(str), self.pixels, self.scalars)

    def _read(self, row: int, read: Callable[[], Cutout], before: TuningforkError | None = None) -> None:
        try:
            cutout = read()
        except TuningforkError as error:
            self._lost(row, error, before)
        else:
            self._store(row, cutout)

    def _store(self, row: int, cutout: Cutout) -> None:
        kept = self._kept(cutout.pixels)
        if not np.isfinite(kept).all():
            self.status[row], self.reason[row] = "nonfinite", f"{int((~np.isfinite(kept)).sum())} pixels of the cutout are not finite"
            return
        if (kept == kept.flat[0]).all():
            unseen = kept.dtype != np.uint8 and kept.flat[0] == 0
            self.status[row] = "outside_footprint" if unseen else "blank"
            self.reason[row] = "the part of the cutout that is kept was not observed" if unseen else "all pixels of the cutout are equal"
            return
        # Of the part that is kept: what crop takes away may be observed or not.
        covered = 1.0
        if cutout.covered < 1:
            seen = observed(cutout.pixels.astype(np.float32))[None]
            covered = 1.0 if self._kept(seen).all() else min(float(self._resampled(seen).mean(dtype=float)), 1.0)
        self.status[row] = "ok" if covered >= 1 else "partial"
        self.reason[row] = "" if covered >= 1 else f"{100 * (1 - covered):.1f} % of the stamp was not observed in every band"
        self.pixels[row] = self._resampled(cutout.pixels)
        zoom = self.pixels.shape[-1] / (self.crop * cutout.pixels.shape[-1])
        self.scalars["zoom"][row], self.scalars["pixel_scale_arcsec"][row] = zoom, cutout.arcsec_per_pixel / zoom
        self.scalars["coverage"][row] = covered
        if "sky" in self.scalars:
            level, sigma = robust_sky(self.pixels[row][:, self._border])
            self.scalars["sky"][row], self.scalars["sky_sigma"][row] = level.mean(), sigma.mean()

    def _lost(self, row: int, error: TuningforkError, before: TuningforkError | None = None) -> None:
        self.status[row] = "outside_footprint" if isinstance(error, OutsideFootprint) else "absent" if isinstance(error, NotInArchive) else "failed"
        both = before is not None and self.status[row] == "failed"
        reason = f"{str(before)[:200]} ... and of the other host: {str(error)[:200]}" if both else str(error)[:400]
        # The stand-in has another port in every run; the ledger of the same failures must be the same.
        self.reason[row] = re.sub(r"http://127\.0\.0\.1:\d+", "http://127.0.0.1", reason)

    def _kept(self, pixels: np.ndarray) -> np.ndarray:
        """The whole pixels of a cutout (C, H, H) that the stamp is made of."""
        side = pixels.shape[-1]
        margin = int((1 - self.crop) * side / 2)
        return pixels[:, margin : side - margin, margin : side - margin]

    def _resampled(self, pixels: np.ndarray) -> np.ndarray:
        """The central part of a cutout (C, H, H), averaged by area to the stored size."""
        planes = self._kept(pixels).astype(np.float32)  # what crop takes away may be anything: zero times infinite is not zero
        side, kept = planes.shape[-1], self.crop * pixels.shape[-1]
        start = np.full((2, len(planes)), (side - kept) / 2)
        weights = self._resampler.weights(start, np.full(len(planes), kept), side)
        found = self._resampler.apply(weights, planes)
        return np.clip(np.rint(found), 0, 255) if self.pixels.dtype == np.uint8 else found


def _batches(path: Path, rows: np.ndarray, size: int = 256) -> Iterator[np.ndarray]:
    """Pictures (H, W, 3) of these rows, read some hundreds at a time."""
    parts: Iterable[np.ndarray] = np.array_split(rows, max(1, -(-len(rows) // size)))
    for part in parts:
        yield from galaxy10.read_images(path, part)
