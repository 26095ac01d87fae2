"""The FITS files of the Legacy viewer's cutouts, card for card as they were recorded (reference/archives.md, 4), and one card more: SIMULATE.

Written by hand, since the order, the comments and the spelling of numbers (``424.``, ``-2.77777777777778E-05``) are those of CFITSIO, which clients have met.
"""

import numpy as np

BLOCK = 2880


def cutout_file(image: np.ndarray, *, survey: str, version: str, bands: str, ra: float, dec: float, pixscale: float) -> bytes:
    """One primary image.

    Parameters
    ----------
    image : float32 array (bands, H, W)
        Written with two axes if it has one band.
    survey, version : str
        SURVEY and VERSION.
    bands : str
        Letters of the bands.
    ra, dec : float
        Centre, degrees.
    pixscale : float
        Arcsec a pixel; north is up, east left.
    """
    height, width = image.shape[-2:]
    axes = [width, height, *([len(bands)] if len(bands) > 1 else [])]
    step = pixscale / 3600
    cards = [
        _standard("SIMPLE", "T", "file does conform to FITS standard"),
        _standard("BITPIX", "-32", "number of bits per data pixel"),
        _standard("NAXIS", str(len(axes)), "number of data axes"),
        *(_standard(f"NAXIS{i}", str(axis), f"length of data axis {i}") for i, axis in enumerate(axes, 1)),
        _standard("EXTEND", "T", "FITS dataset may contain extensions"),
        "COMMENT   FITS (Flexible Image Transport System) format is defined in 'Astronomy",
        "COMMENT   and Astrophysics', volume 376, page 359; bibcode: 2001A&A...376..359H",
        _text("SURVEY", survey),
        _text("VERSION", version),
        _text("IMAGETYP", "image"),
        _text("BANDS", bands),
        *(_text(f"BAND{i}", band) for i, band in enumerate(bands)),
        _text("CTYPE1", "RA---TAN", "TANgent plane"),
        _text("CTYPE2", "DEC--TAN", "TANgent plane"),
        _standard("CRVAL1", number(ra), "Reference RA"),
        _standard("CRVAL2", number(dec), "Reference Dec"),
        _standard("CRPIX1", number((width + 1) / 2), "Reference x"),
        _standard("CRPIX2", number((height + 1) / 2), "Reference y"),
        _standard("CD1_1", number(-step), "CD matrix"),
        _standard("CD1_2", number(0.0), "CD matrix"),
        _standard("CD2_1", number(0.0), "CD matrix"),
        _standard("CD2_2", number(step), "CD matrix"),
        _standard("IMAGEW", number(float(width)), "Image width"),
        _standard("IMAGEH", number(float(height)), "Image height"),
        _standard("SIMULATE", "T", "no real object"),
        "END",
    ]
    return _blocks("".join(card.ljust(80) for card in cards).encode("ascii"), b" ") + _blocks(np.ascontiguousarray(image, dtype=">f4").tobytes(), b"\0")


def number(value: float) -> str:
    """A number as CFITSIO writes a double: 15 digits, always with a point."""
    digits, mark, exponent = f"{value:.15G}".partition("E")
    return (digits if "." in digits else f"{digits}.") + mark + exponent


def _standard(keyword: str, value: str, comment: str) -> str:
    return f"{keyword:8}= {value:>20} / {comment}"


def _text(keyword: str, value: str, comment: str = "") -> str:
    quoted = "'" + value.replace("'", "''").ljust(8) + "'"
    return f"{keyword:8}= {quoted:20} / {comment}" if comment else f"{keyword:8}= {quoted}"


def _blocks(data: bytes, filler: bytes) -> bytes:
    return data + filler * (-len(data) % BLOCK)
