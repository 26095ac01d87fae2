"""The DESI Legacy Imaging Surveys viewer's cutouts (reference/archives.md, section 4, from the viewer's source)."""

import email.utils
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from tuningfork.sky.services.cutout_fits import cutout_file
from tuningfork.sky.services.imaging import Imaging, too_large
from tuningfork.sky.services.messages import Ask, Reply, missing
from tuningfork.sky.services.pictures import jpeg, uniform
from tuningfork.sky.wide.surveys import Layer, known_layers, layer_at

DEFAULT_LAYER, DEFAULT_SIZE, LARGEST = "ls-dr9", 256, 3000
QUALITY = 90
NATIVE_ZOOM = {"sdss": 13, "unwise": 13, "galex": 12}
"""Zoom of the native pixel by the first part of a layer's name; 14 for all others."""
STRETCH_Q = 20
"""Q of the viewer's sdss_rgb."""
PATHS = {"/viewer/fits-cutout": "fits", "/viewer/cutout.fits": "fits", "/viewer/jpeg-cutout": "jpeg", "/viewer/cutout.jpg": "jpeg"}
_FLAGS = ("subimage", "invvar", "maskbits")

SERVER_ERROR = (
    b'\n<!doctype html>\n<html lang="en">\n<head>\n  <title>Server Error (500)</title>\n</head>\n'
    b"<body>\n  <h1>Server Error (500)</h1><p></p>\n</body>\n</html>\n"
)
"""The page of the framework for an error that nobody caught, as NoOverlapError."""


@dataclass(frozen=True)
class _Cutout:
    layer: Layer
    ra: float
    dec: float
    pixscale: float
    width: int
    height: int
    bands: tuple[str, ...]


class LegacySurvey:
    """``/viewer/fits-cutout``, ``/viewer/jpeg-cutout`` and their aliases.

    `rotate`, `subimage`, `invvar` and `maskbits` are not made here: with them the answer is the viewer's page of HTTP 500. Layers that the sky has not (models,
    galex, ps1, ...) are unknown layers.

    Parameters
    ----------
    sky : Imaging
    clock : callable
        Unix time in seconds, for Expires and Last-Modified.
    """

    def __init__(self, sky: Imaging, clock: Callable[[], float] = time.time) -> None:
        self.sky, self.clock = sky, clock

    def answer(self, ask: Ask) -> Reply:
        """An image, or one of the viewer's ways to fail: 400 text, 200 text, 500 page, a file of zeros, a picture of one grey."""
        form = next((form for path, form in PATHS.items() if ask.path.startswith(path)), None)
        if form is None:
            return missing()
        try:
            found = _parsed(ask.form())
        except ValueError:
            return Reply(500, SERVER_ERROR)
        if isinstance(found, Reply):
            return found
        return self._fits(found) if form == "fits" else self._jpeg(found)

    def example(self) -> str:
        """A picture in the middle of the sky that the surveys share."""
        return "/viewer/jpeg-cutout?ra=150.1&dec=2.2&layer=ls-dr9&pixscale=0.262&size=256"

    def _fits(self, asked: _Cutout) -> Reply:
        image = self.sky.image(
            asked.layer.name, asked.ra, asked.dec, arcsec_per_pixel=asked.pixscale, width=asked.width, height=asked.height, bands=asked.bands
        )
        if image is None:
            return Reply(500, SERVER_ERROR)
        layer, bands = asked.layer, "".join(asked.bands)
        body = cutout_file(image, survey=layer.survey, version=layer.version, bands=bands, ra=asked.ra, dec=asked.dec, pixscale=asked.pixscale)
        name = f"cutout_{asked.ra:.4f}_{asked.dec:.4f}.fits"
        return Reply(200, body, "image/fits", {"Content-Disposition": f'attachment; filename="{name}"', **self._dates()})

    def _jpeg(self, asked: _Cutout) -> Reply:
        pixels = self.sky.jpeg(
            asked.layer.name, asked.ra, asked.dec, arcsec_per_pixel=asked.pixscale, width=asked.width, height=asked.height, bands=asked.bands
        )
        if pixels is None:
            pixels = uniform(zero_level(asked.layer.black), asked.width, asked.height)
        return Reply(200, jpeg(pixels, quality=QUALITY), "image/jpeg", self._dates())

    def _dates(self) -> dict[str, str]:
        now = self.clock()
        return {"Expires": email.utils.formatdate(now + 3600, usegmt=True), "Last-Modified": email.utils.formatdate(now, usegmt=True)}


def zero_level(black: float) -> int:
    """Grey, 0..255, that the viewer's stretch gives a pixel of zero flux in all bands: asinh(Q m) / sqrt(Q) (Lupton et al. 2004)."""
    return int(255 * math.asinh(STRETCH_Q * black) / math.sqrt(STRETCH_Q))


def _parsed(form: dict[str, str]) -> _Cutout | Reply:
    """The parameters of a cutout with the viewer's defaults and silent corrections; a ValueError is the viewer's HTTP 500."""
    try:
        ra, dec = float(form["ra"]), float(form["dec"])
    except (KeyError, ValueError):
        return Reply(400, b"Need ra,dec keywords", "text/plain")
    name = form.get("layer", DEFAULT_LAYER).replace(" ", "+")
    if name not in known_layers():
        return Reply(200, b"no such layer", "text/plain")
    if not (math.isfinite(ra) and -90 <= dec <= 90):
        raise ValueError("no place on the sky")
    layer = layer_at(name, dec)
    if "pixscale" in form:
        pixscale = float(form["pixscale"])
    else:
        native = NATIVE_ZOOM.get(layer.name.split("-")[0], 14)
        pixscale = layer.pixscale * 2.0 ** (native - int(form.get("zoom", native)))
    size = int(form.get("size", DEFAULT_SIZE))
    width, height = (min(int(form.get(side, size)), LARGEST) for side in ("width", "height"))
    if not (0 < pixscale < math.inf and width > 0 and height > 0) or any(flag in form for flag in _FLAGS) or float(form.get("rotate", 0)) != 0:
        raise ValueError("not made here")
    if too_large(width, height, pixscale, layer.pixscale):
        raise ValueError("the real viewer would take minutes, and be stopped after 300 s")
    letters = tuple(form.get("bands", ""))
    bands = letters if letters and set(letters) <= set(layer.bands) else layer.default_bands
    return _Cutout(layer, ra, dec, pixscale, width, height, bands)
