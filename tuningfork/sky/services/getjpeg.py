"""SkyServer's ImgCutout/getjpeg (reference/archives.md, 3.2, from the server's source)."""

import numpy as np

from tuningfork.sky.services.imaging import Imaging, too_large
from tuningfork.sky.services.messages import Ask, Reply
from tuningfork.sky.services.pictures import jpeg, words
from tuningfork.sky.services.skyserver import FEW_PARAMETERS
from tuningfork.sky.services.skyserver_formats import error_reply
from tuningfork.sky.wide.surveys import LAYERS

SCALE, SIZE = 0.396127, 128
"""Defaults: arcsec a pixel, pixels."""
SIZES, SCALES = (64, 2048), (0.015, 2400.0)
"""What lies outside is silently taken for the nearest end."""
QUALITY, DPI = 75, 96
OUTSIDE = "NOT FOUND. Requested (ra, dec) is outside the SDSS footprint."
_LAYER = "sdss"


class GetJpeg:
    """``ra, dec, scale, width, height, opt``; names in any case.

    Of the letters of `opt` I (invert) is done; those that draw catalogues, grids and labels over the picture (G L P S O B F M Q)
    are taken and leave it as it is.

    Parameters
    ----------
    sky : Imaging
    """

    def __init__(self, sky: Imaging) -> None:
        self.sky = sky

    def answer(self, ask: Ask) -> Reply:
        """A picture; 400 JSON without ra and dec; 404 with a picture of words outside the footprint; 500 with one for anything that goes wrong."""
        form = ask.form_caseless()
        if "ra" not in form or "dec" not in form:
            return error_reply(400, "BadRequest", FEW_PARAMETERS)
        width, height = SIZE, SIZE
        try:
            ra, dec = float(form["ra"]), float(form["dec"])
            scale = min(max(float(form.get("scale") or SCALE), SCALES[0]), SCALES[1])
            width, height = (min(max(int(form.get(name) or SIZE), SIZES[0]), SIZES[1]) for name in ("width", "height"))
            if not (np.isfinite([ra, dec, scale]).all() and -90 <= dec <= 90):
                raise ValueError(f"no place on the sky: {ra}, {dec}")
            if too_large(width, height, scale, LAYERS[_LAYER].pixscale):
                raise ValueError(f"{width} x {height} pixels of {scale} arcsec are more than this stand-in draws at once")
            if not LAYERS[_LAYER].covers(ra, dec).all():
                return Reply(404, jpeg(words(OUTSIDE, width, height), quality=QUALITY, dpi=DPI), "image/jpeg", reason=OUTSIDE)
            pixels = self.sky.jpeg(_LAYER, ra % 360, dec, arcsec_per_pixel=scale, width=width, height=height, bands=LAYERS[_LAYER].default_bands)
        except ValueError as error:
            return Reply(500, jpeg(words(f"ERROR: {error}", width, height), quality=QUALITY, dpi=DPI), "image/jpeg")
        if pixels is None:
            return Reply(404, jpeg(words(OUTSIDE, width, height), quality=QUALITY, dpi=DPI), "image/jpeg", reason=OUTSIDE)
        if "I" in form.get("opt", "").upper():
            pixels = 255 - pixels
        return Reply(200, jpeg(pixels, quality=QUALITY, dpi=DPI), "image/jpeg")
