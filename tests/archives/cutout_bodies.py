"""Bodies of cutout services, made as the services make them."""

import io

import numpy as np
from astropy.io import fits
from PIL import Image


def viewer_fits(
    planes: np.ndarray, *, ra: float, dec: float, scale: float, bands: str, survey: str = "LegacySurvey", version: str = "DR9-south", **cards: object
) -> bytes:
    """A FITS cutout of the viewer: cards and order as in a recorded reply, sizes written as floats."""
    height, width = planes.shape[-2:]
    header = fits.Header()
    for name, value in (("SURVEY", survey), ("VERSION", version), ("IMAGETYP", "image"), ("BANDS", bands)):
        if value:
            header[name] = value
    for i, band in enumerate(bands):
        header[f"BAND{i}"] = band
    header.update({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": ra, "CRVAL2": dec, "CRPIX1": (width + 1) / 2, "CRPIX2": (height + 1) / 2})
    header.update({"CD1_1": -scale / 3600, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": scale / 3600, "IMAGEW": float(width), "IMAGEH": float(height)})
    header.update(cards)
    file = io.BytesIO()
    fits.PrimaryHDU(planes.astype(np.float32), header).writeto(file)
    return file.getvalue()


def picture(pixels: int, *, uniform: bool = False) -> bytes:
    """A JPEG with noise in it, or of one colour."""
    shape = (pixels, pixels, 3)
    colours = np.full(shape, 32, np.uint8) if uniform else np.random.default_rng(1).integers(0, 255, shape, dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(colours).save(file, "JPEG", quality=90)
    return file.getvalue()
