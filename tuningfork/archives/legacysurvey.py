"""Cutouts of the DESI Legacy Imaging Surveys viewer, FITS or JPEG: how they are asked, and whether a reply is what was asked.

The viewer answers an unknown layer with HTTP 200 and a line of text, unknown bands with other bands, too large sizes with smaller
pictures, unobserved places with zeros or a picture of one colour, and places without any brick with HTTP 500. Here each of these is
refused beforehand or found in the reply (reference/archives.md, 4 and 8.2, from the viewer's server source).

Units: a value of a FITS cutout is a flux per NATIVE pixel of the layer (for the Legacy Surveys nanomaggies per 0.262 arcsec pixel), at
whatever pixel scale it was asked: the viewer interpolates its surface and does not conserve flux per output pixel. So

    surface brightness [nanomaggy / arcsec^2] = value * 10^(0.4 (22.5 - zero point)) / native_arcsec^2,

with zero point 22.5 for every layer but HSC's, whose FITS cutouts keep HSC's own 27.0.
"""

import functools
import logging
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tuningfork.archives.checks import BadReply
from tuningfork.archives.images import check_jpeg, glimpse, read_planes
from tuningfork.archives.layers import Layer, band_letters, layer_named
from tuningfork.archives.request import Request
from tuningfork.errors import ArchiveError, OutsideFootprint

log = logging.getLogger(__name__)

ARCHIVE = "legacysurvey"
PATHS = {"fits": "/viewer/fits-cutout", "jpeg": "/viewer/jpeg-cutout"}

# Larger sizes are silently clamped to this by the server; its documentation promises 512.
LARGEST_PIXELS = 3000
ADVISED_PIXELS = 512
# A centre may be off by this part of a pixel, a scale by this fraction of itself: rounding of the numbers asked, never another image.
CENTRE_PIXELS = 0.1
SCALE_FRACTION = 1e-4
# A generic page of HTTP 500 so often for one cutout is taken for the viewer's way to say that no brick overlaps.
TRIES_OF_A_GENERIC_500 = 2

_NO_OVERLAP = re.compile(rb"no\s*overlap|does not overlap|no coverage", re.IGNORECASE)
# Words of the machinery around the viewer, as of its proxies and its database.
_MACHINERY = re.compile(
    rb"nginx|apache|uwsgi|gateway|internal server error|unavailable|maintenance|overload|too many|time[d ]*-?out|database|operationalerror|connection|"
    rb"memory|no space|permission|i/o error",
    re.IGNORECASE,
)


def cutout_request(layer: str, ra: float, dec: float, arcsec_per_pixel: float, pixels: int, bands: tuple[str, ...], format: str = "fits") -> Request:  # noqa: A002
    """The request of one square cutout, north up and east left.

    Parameters
    ----------
    layer
        Name or alias of a layer (`layers.LAYERS`).
    ra, dec
        Centre, ICRS degrees.
    arcsec_per_pixel
        Pixel scale.
    pixels
        Side; 512 at most is advised, 3000 is the most.
    bands
        Bands in the order of the channels wanted.
    format
        ``fits`` (32-bit floats, calibrated) or ``jpeg`` (the viewer's own colours).

    Raises
    ------
    ArchiveError
        Unknown layer, band or format, or a size or position that the viewer would not take as it is.

    Notes
    -----
    The request's `check` and `judge` raise `OutsideFootprint` where the layer has no image: see `check_fits_cutout`, `images.check_jpeg`
    and `FiveHundred`.
    """
    known, letters = asked(layer, bands, pixels, format)
    if not (-90 <= dec <= 90 and -360 <= ra <= 360 and 0 < arcsec_per_pixel < 3600):
        raise ArchiveError(f"a cutout at ra {ra}, dec {dec} with {arcsec_per_pixel} arcsec/pixel: give degrees, and a scale above 0")
    params = {"layer": known.name, "ra": ra % 360, "dec": dec, "pixscale": arcsec_per_pixel, "size": pixels, "bands": letters}
    if format == "jpeg":
        check = functools.partial(check_jpeg_cutout, layer=known.name, pixels=pixels)
    else:
        check = functools.partial(check_fits_cutout, layer=known, letters=letters, pixels=pixels, arcsec_per_pixel=arcsec_per_pixel, ra=ra, dec=dec)
    # Four bytes a pixel and band, and headers; a JPEG is smaller.
    longest = 2**16 + 4 * len(letters) * pixels**2 * 2
    return Request(ARCHIVE, PATHS[format], params, check=check, judge=FiveHundred(), max_bytes=longest, progress=False)


@functools.lru_cache(maxsize=256)
def asked(layer: str, bands: tuple[str, ...], pixels: int, format: str) -> tuple[Layer, str]:  # noqa: A002
    """The layer and the letters of its bands, once everything that all cutouts of a sample share is in order.

    Raises
    ------
    ArchiveError
        See `cutout_request`.
    """
    if format not in PATHS:
        raise ArchiveError(f"cutouts come as {' or '.join(PATHS)}, not {format!r}")
    if not 1 <= pixels <= LARGEST_PIXELS:
        raise ArchiveError(f"a cutout of {pixels} pixels a side: the viewer gives 1 to {LARGEST_PIXELS}, and a smaller one without a word for more")
    if pixels > ADVISED_PIXELS:
        log.warning("cutouts of %d pixels a side: the viewer's documentation promises %d; ask for a coarser scale if they come short", pixels, ADVISED_PIXELS)
    known = layer_named(layer)
    return known, band_letters(known, tuple(bands))


class FiveHundred:
    """What an HTTP 500 of the viewer means; one object per request, since it counts.

    Known (server source, reference/archives.md, 4): where no brick of a layer overlaps the cutout, the code raises ``NoOverlapError`` and
    the framework answers 500 with an HTML page. What that page says in production was not seen: the framework's default is a page without a
    reason (``Server Error (500)``), which a real failure inside the viewer would show as well. So

    - a page that names the missing overlap is `OutsideFootprint` at once;
    - one that names the machinery (nginx, a gateway, a database, a time-out) is a failure, asked again like any other;
    - any other HTML page is asked again once, and is `OutsideFootprint` the second time, when the viewer gave the same answer twice;
    - a body that is no HTML is a failure.
    """

    def __init__(self) -> None:
        self.pages = 0

    def __call__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Raise what the reply means, or return for the usual meaning of its status (see `request.Judge`)."""
        if status != 500:
            return
        if _NO_OVERLAP.search(body):
            raise OutsideFootprint(f"no image of the layer overlaps this place (HTTP 500: {_words(body)})")
        if not re.match(rb"\s*<", body) or _MACHINERY.search(body):
            return
        self.pages += 1
        if self.pages < TRIES_OF_A_GENERIC_500:
            raise BadReply(f"a page without a reason ({_words(body)})", transient=True)
        self.pages = 0
        raise OutsideFootprint(
            f"the viewer failed {TRIES_OF_A_GENERIC_500} times without a reason (HTTP 500: {_words(body)}), as it does where no image of the layer overlaps"
        )


def check_jpeg_cutout(path: Path, *, layer: str, pixels: int) -> None:
    """A picture of the size asked, with something in it.

    Raises
    ------
    BadReply
        As `images.check_jpeg`; or the viewer says that it has no such layer (not transient).
    OutsideFootprint
        A picture of one colour.
    """
    _refuse_words(path, layer)
    check_jpeg(path, pixels)


def check_fits_cutout(path: Path, *, layer: Layer, letters: str, pixels: int, arcsec_per_pixel: float, ra: float, dec: float) -> None:
    """A whole FITS image of the bands, size, scale, centre and survey asked, with something in it.

    Raises
    ------
    BadReply
        Another image than asked, or no image: transient if it was cut or is a page, as of a site under maintenance.
    OutsideFootprint
        Every pixel is exactly zero: inside a brick, but never observed.
    """
    _refuse_words(path, layer.name)
    cards, planes = read_planes(path)
    found = cards.get("BANDS", "")
    if sorted(found) != sorted(letters) or len(found) != len(planes):
        raise BadReply(f"bands {found!r} in {len(planes)} planes, where {letters!r} were asked", transient=False)
    if planes.shape[1:] != (pixels, pixels) or any(round(float(cards.get(name, pixels))) != pixels for name in ("IMAGEW", "IMAGEH")):
        raise BadReply(f"an image of {planes.shape[2]} x {planes.shape[1]} pixels, where {pixels} x {pixels} were asked", transient=False)
    _check_grid(cards, pixels=pixels, arcsec_per_pixel=arcsec_per_pixel, ra=ra, dec=dec)
    for name, expected in (("SURVEY", layer.survey), ("VERSION", layer.version)):
        if expected and cards.get(name, "").lower() != expected.lower():
            raise BadReply(f"{name} = {cards.get(name, 'absent')!r}, where layer {layer.name} has {expected!r}: another survey's pixels", transient=False)
    if not planes.any():
        raise OutsideFootprint(f"no image there: every pixel of layer {layer.name} at ra {ra:.6f}, dec {dec:.6f} is exactly zero (unobserved)")


def read_fits_cutout(path: Path, layer: Layer, letters: str) -> tuple[dict[str, str], NDArray[np.float32]]:
    """Cards and planes of a cutout that passed `check_fits_cutout`, planes in the order of `letters` and in the layer's unit per square arcsecond."""
    cards, planes = read_planes(path)
    order = [cards.get("BANDS", "").find(letter) for letter in letters]
    if -1 in order or max(order) >= len(planes):
        raise BadReply(f"{path} has bands {cards.get('BANDS', '')!r}, not {letters!r}", transient=False)
    return cards, planes[order] * np.float32(layer.surface_brightness)


def _check_grid(cards: dict[str, str], *, pixels: int, arcsec_per_pixel: float, ra: float, dec: float) -> None:
    try:
        cd = np.array([[float(cards.get(f"CD{i}_{j}", 0)) for j in (1, 2)] for i in (1, 2)]) * 3600
        centre, reference = [float(cards[f"CRVAL{i}"]) for i in (1, 2)], [float(cards[f"CRPIX{i}"]) for i in (1, 2)]
    except (KeyError, ValueError) as error:
        raise BadReply(f"a FITS image without readable coordinates ({error})", transient=False) from error
    scale = np.array([[-arcsec_per_pixel, 0], [0, arcsec_per_pixel]])
    if np.abs(cd - scale).max() > SCALE_FRACTION * arcsec_per_pixel:
        raise BadReply(f"a pixel of {abs(cd[1, 1]):.6g} arcsec (CD = {(cd / 3600).tolist()}), where {arcsec_per_pixel:.6g} was asked", transient=False)
    east = ((centre[0] - ra + 180) % 360 - 180) * np.cos(np.radians(dec))
    if 3600 * np.hypot(east, centre[1] - dec) > CENTRE_PIXELS * arcsec_per_pixel or max(abs(value - (pixels + 1) / 2) for value in reference) > CENTRE_PIXELS:
        raise BadReply(f"an image centred on {centre} at pixel {reference}, where ra {ra}, dec {dec} was asked in the middle", transient=False)


def _refuse_words(path: Path, layer: str) -> None:
    with path.open("rb") as file:
        head = file.read(512)
    if b"no such layer" in head.lower():
        raise BadReply(f"the viewer has no layer {layer!r}, it says ({glimpse(head)}); choose another, or mend the table of layers", transient=False)
    if re.match(rb"\s*<(!doctype|html|head|h1)", head, re.IGNORECASE):
        raise BadReply(f"an HTML page in place of an image: {_words(head)}")


def _words(body: bytes) -> str:
    return glimpse(re.sub(rb"<[^>]*>", b" ", body))
