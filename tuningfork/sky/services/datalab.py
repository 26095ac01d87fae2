"""NOIRLab's Data Lab: TAP, and cutouts of survey images by file name (reference/archives.md, end of section 4 and section 5)."""

import math
import re
from collections.abc import Iterable
from io import BytesIO
from urllib.parse import unquote_plus

import numpy as np
from astropy.io import fits

from tuningfork.sky.services.bricks import Plane, plane_of
from tuningfork.sky.services.imaging import Imaging
from tuningfork.sky.services.messages import BLOCK, Ask, Reply, Service, missing
from tuningfork.sky.wide.surveys import layer_at

LARGEST = 3600
"""Pixels a side of the largest image that is made here: one brick. A whole DES tile (10,000) is answered with 500."""


class DataLab:
    """``/svc/cutout?col=&siaRef=&extn=1&POS=<ra>,<dec>&SIZE=<deg>[,<deg>]`` and ``/tap/sync``.

    Cutouts have the survey's pixel scale, no Content-Length, and are cut at the edge of their file. Where POS or SIZE is missing, or has its comma encoded as
    ``%2C``, the whole file comes. A plus sign in a file name that comes as ``%2B`` is answered with 500. Each piece has its own tangent point, in its centre,
    where the real ones keep that of their file; both say so in their headers. The words of refusals are [M].

    Parameters
    ----------
    sky : Imaging
    tap : Service, optional
        What answers ``/tap/...``.
    """

    def __init__(self, sky: Imaging, tap: Service | None = None) -> None:
        self.sky, self.tap = sky, tap

    def answer(self, ask: Ask) -> Reply:
        """An image, rows, 404 or 500."""
        if ask.path.startswith("/tap/") and self.tap is not None:
            return self.tap.answer(ask)
        return self._cutout(ask) if ask.path.rstrip("/") == "/svc/cutout" else missing()

    def example(self) -> str:
        """A piece of one brick."""
        return "/svc/cutout?col=ls_dr9&siaRef=legacysurvey-1501p022-image-r.fits.fz&extn=1&POS=150.1,2.2&SIZE=0.02"

    def _cutout(self, ask: Ask) -> Reply:
        raw = dict(pair.split("=", 1) for pair in ask.query.split("&") if "=" in pair)
        if "%2b" in raw.get("siaRef", "").lower():
            return _text(500, "Internal error: cannot open the file")
        reference = unquote_plus(raw.get("siaRef", "").replace("+", "%2B"))
        plane = plane_of(reference)
        if plane is None or not re.fullmatch(r"ls_dr\d+|des_dr\d", raw.get("col", "")) or not raw["col"].startswith(plane.survey):
            return _text(404, f"no such file {reference!r} in collection {raw.get('col', '')!r}")
        try:
            box = _box(plane, raw.get("POS", ""), raw.get("SIZE", ""))
        except ValueError as error:
            return _text(500, f"cannot read the position: {error}")
        if box is None:
            return _text(500, f"the position does not overlap {plane.name}")
        x0, x1, y0, y1 = box
        if max(x1 - x0, y1 - y0) > LARGEST:
            return _text(500, f"{x1 - x0} x {y1 - y0} pixels are more than this stand-in makes at once")
        return self._image(plane, x0, x1, y0, y1)

    def _image(self, plane: Plane, x0: int, x1: int, y0: int, y1: int) -> Reply:
        ra, dec = (float(v) for v in plane.wcs.all_pix2world((x0 + x1 - 1) / 2, (y0 + y1 - 1) / 2, 0))
        try:
            layer = layer_at("des-dr1" if plane.survey == "des" else "ls-dr9", plane.dec)
        except KeyError:
            return _text(404, f"no such file {plane.name!r}")
        if plane.band not in layer.bands:
            return _text(404, f"no such file {plane.name!r}")
        image = self.sky.image(layer.name, ra, dec, arcsec_per_pixel=plane.pixscale, width=x1 - x0, height=y1 - y0, bands=(plane.band,))
        if image is None:
            return _text(404, f"no such file {plane.name!r}")
        body = _fits(image[0], plane, ra, dec)

        def blocks() -> Iterable[bytes]:
            for start in range(0, len(body), BLOCK):
                yield body[start : start + BLOCK]

        return Reply(200, blocks, "image/fits")


def _box(plane: Plane, position: str, size: str) -> tuple[int, int, int, int] | None:
    """Columns and rows of a file that a cutout has; None if it lies outside."""
    whole = (0, plane.pixels, 0, plane.pixels)
    if not position or not size or "%2c" in (position + size).lower():
        return whole
    ra, dec = (float(value) for value in position.split(","))
    sides = [float(value) for value in size.split(",")]
    if not all(map(math.isfinite, (ra, dec, *sides))) or len(sides) > 2 or min(sides) <= 0:
        raise ValueError(f"POS={position} SIZE={size}")
    x, y = (float(value) for value in plane.wcs.all_world2pix(ra, dec, 0))
    # 0.02 deg of 0.263 arcsec gave 275 pixels: one more than needed.
    half = [(math.ceil(side * 3600 / plane.pixscale) + 1) / 2 for side in (sides[0], sides[-1])]
    edges = [max(round(x - half[0]), 0), min(round(x + half[0]), plane.pixels), max(round(y - half[1]), 0), min(round(y + half[1]), plane.pixels)]
    return (edges[0], edges[1], edges[2], edges[3]) if edges[0] < edges[1] and edges[2] < edges[3] else None


def _fits(image: np.ndarray, plane: Plane, ra: float, dec: float) -> bytes:
    height, width = image.shape
    header = fits.Header()
    for card in (
        ("SIMULATE", True, "no real object"),
        ("FILENAME", plane.name),
        ("FILTER", plane.band),
        ("BUNIT", "nanomaggy", "AB mag = 22.5 - 2.5*log10(nanomaggy)"),
        ("CTYPE1", "RA---TAN"),
        ("CTYPE2", "DEC--TAN"),
        ("CRVAL1", ra),
        ("CRVAL2", dec),
        ("CRPIX1", (width + 1) / 2),
        ("CRPIX2", (height + 1) / 2),
        ("CD1_1", -plane.pixscale / 3600),
        ("CD1_2", 0.0),
        ("CD2_1", 0.0),
        ("CD2_2", plane.pixscale / 3600),
    ):
        header.append(card)
    out = BytesIO()
    fits.PrimaryHDU(np.ascontiguousarray(image, dtype=np.float32), header).writeto(out)
    return out.getvalue()


def _text(status: int, words: str) -> Reply:
    return Reply(status, f"ERROR: {words}\n".encode(), "text/plain; charset=UTF-8")
