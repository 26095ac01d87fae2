"""One cutout for each of many objects, from whichever service cuts them: requests, and what their replies hold.

The services differ in everything but this: a position, a scale and a size go in, and an image comes out, or the news that there is none.
"""

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tuningfork.archives import datalab, legacysurvey, skyserver
from tuningfork.archives.images import observed, read_jpeg
from tuningfork.archives.request import Request
from tuningfork.archives.transport import Transport
from tuningfork.errors import ArchiveError, NotInArchive

log = logging.getLogger(__name__)

SERVICES = ("skyserver", "legacysurvey")


@dataclasses.dataclass(frozen=True)
class CutoutSpec:
    """What all cutouts of a sample have in common.

    Attributes
    ----------
    service
        ``skyserver`` (SDSS colour JPEG) or ``legacysurvey`` (the viewer's layers).
    layer
        Layer of the viewer, or SkyServer's data release such as ``dr14``.
    format
        ``fits`` or ``jpeg``; SkyServer has JPEG only.
    bands
        Bands in the order of the channels. SkyServer's picture is always made of g, r and i, and has no such choice.
    pixels
        Side of the cutout.

    Raises
    ------
    ArchiveError
        The service would not give this, or would silently give something else.
    """

    service: str
    layer: str
    format: str
    bands: tuple[str, ...]
    pixels: int

    def __post_init__(self) -> None:
        """Refuse what the service cannot give, before anything is asked."""
        object.__setattr__(self, "bands", tuple(self.bands))
        if self.service == "legacysurvey":
            legacysurvey.asked(self.layer, self.bands, self.pixels, self.format)
        elif self.service == "skyserver":
            if self.format != "jpeg":
                raise ArchiveError(f"SkyServer cuts JPEG pictures only, no {self.format}; FITS cutouts of SDSS: service legacysurvey, layer sdss")
            skyserver.check_picture(self.layer, self.pixels)
        else:
            raise ArchiveError(f"no cutout service {self.service!r}; there are {', '.join(SERVICES)}")


@dataclasses.dataclass(frozen=True)
class Cutout:
    """One cutout.

    Attributes
    ----------
    pixels
        (channels, height, width). FITS: float32 surface brightness in `unit`, exactly 0 where a band was not observed, first row in the
        south, first column in the east. JPEG: uint8 red, green, blue, first row in the north, first column in the east.
    unit
        ``nanomaggy/arcsec^2`` (AB), or what the layer has; '' for JPEG.
    covered
        Fraction of the pixels that were observed in every band; 1.0 for a JPEG, which cannot tell.
    survey, version
        What the reply says of its origin; None where it says nothing.
    arcsec_per_pixel
        Pixel scale.
    """

    pixels: NDArray[np.float32] | NDArray[np.uint8]
    unit: str
    covered: float
    survey: str | None
    version: str | None
    arcsec_per_pixel: float


class CutoutRequests(Sequence[Request]):
    """The requests of many cutouts, each made when it is looked at: 100,000 of them weigh three arrays."""

    def __init__(self, spec: CutoutSpec, ra: NDArray[np.float64], dec: NDArray[np.float64], arcsec_per_pixel: NDArray[np.float64]) -> None:
        self.spec, self.ra, self.dec, self.arcsec_per_pixel = spec, ra, dec, arcsec_per_pixel

    def __len__(self) -> int:
        return len(self.ra)

    @overload
    def __getitem__(self, index: int) -> Request: ...
    @overload
    def __getitem__(self, index: slice) -> "CutoutRequests": ...
    def __getitem__(self, index: int | slice) -> "Request | CutoutRequests":
        """One request, or those of a slice."""
        if isinstance(index, slice):
            return CutoutRequests(self.spec, self.ra[index], self.dec[index], self.arcsec_per_pixel[index])
        spec = self.spec
        ra, dec, scale = float(self.ra[index]), float(self.dec[index]), float(self.arcsec_per_pixel[index])
        if spec.service == "skyserver":
            return skyserver.getjpeg_request(ra, dec, scale, spec.pixels, release=spec.layer)
        return legacysurvey.cutout_request(spec.layer, ra, dec, scale, spec.pixels, spec.bands, spec.format)


def cutout_requests(spec: CutoutSpec, ra: ArrayLike, dec: ArrayLike, arcsec_per_pixel: ArrayLike) -> CutoutRequests:
    """One request per object, each with a check of its body by content.

    Parameters
    ----------
    spec
        What they have in common.
    ra, dec
        Centres, ICRS degrees, (N,).
    arcsec_per_pixel
        Pixel scales, (N,) or one for all.

    Returns
    -------
    CutoutRequests
        A sequence of N `Request`, made as they are looked at. Their `check` and `judge` raise `OutsideFootprint` where the service has no
        image.

    Raises
    ------
    ArchiveError
        A position or a scale is not finite or out of range; the message has the first such index.
    """
    centre_ra, centre_dec, scale = np.broadcast_arrays(
        np.atleast_1d(np.ma.filled(np.ma.asarray(ra, dtype=np.float64), np.nan)),
        np.ma.filled(np.ma.asarray(dec, dtype=np.float64), np.nan),
        np.ma.filled(np.ma.asarray(arcsec_per_pixel, dtype=np.float64), np.nan),
    )
    smallest, largest = skyserver.SCALES if spec.service == "skyserver" else (0.0, 3600.0)
    good = (np.abs(centre_ra) <= 360) & (np.abs(centre_dec) <= 90) & (scale > 0) & (scale >= smallest) & (scale <= largest)
    if not good.all():
        first = int(np.argmin(good))
        raise ArchiveError(
            f"{int((~good).sum())} of {len(good)} cutouts cannot be asked, first index {first}: ra {centre_ra[first]}, dec {centre_dec[first]}, "
            f"{scale[first]} arcsec/pixel; give degrees and a scale from {smallest:g} to {largest:g}, leave out other rows"
        )
    return CutoutRequests(spec, centre_ra, centre_dec, scale)


def read_cutout(path: Path, spec: CutoutSpec, arcsec_per_pixel: float) -> Cutout:
    """The image of one reply that came through `cutout_requests`.

    Parameters
    ----------
    path
        The reply in the cache.
    spec, arcsec_per_pixel
        As it was asked.

    Returns
    -------
    Cutout
        FITS: surface brightness. The viewer's values are fluxes per NATIVE pixel of the layer at any output scale (see `legacysurvey`), so
        they are divided by the native pixel's area, and a galaxy has the same surface brightness at every scale asked.

    Raises
    ------
    BadReply
        The file is not such a reply.
    """
    if spec.format == "jpeg":
        return Cutout(read_jpeg(path), unit="", covered=1.0, survey=None, version=None, arcsec_per_pixel=float(arcsec_per_pixel))
    layer, letters = legacysurvey.asked(spec.layer, spec.bands, spec.pixels, spec.format)
    cards, planes = legacysurvey.read_fits_cutout(path, layer, letters)
    return Cutout(
        pixels=planes,
        unit=layer.unit,
        covered=float(observed(planes).mean()),
        survey=cards.get("SURVEY") or None,
        version=cards.get("VERSION") or None,
        arcsec_per_pixel=float(arcsec_per_pixel),
    )


def has_fallback(spec: CutoutSpec, dec: float) -> bool:
    """Whether another archive serves the same pixels at this declination: the Data Lab, for FITS cutouts of the layers of Legacy Surveys DR9."""
    return spec.service == "legacysurvey" and spec.format == "fits" and datalab.serves(spec.layer, dec)


def cutout_by_fallback(transport: Transport, spec: CutoutSpec, ra: float, dec: float, arcsec_per_pixel: float) -> Cutout:
    """The same cutout from the archive that stands in for the service, for when that is down.

    Raises
    ------
    OutsideFootprint
        It has no image there.
    ArchiveError
        There is no such archive for this layer and place (`has_fallback`), or it did not answer either.
    """
    if not has_fallback(spec, dec):
        raise ArchiveError(f"no other archive serves {spec.format} cutouts of layer {spec.layer} at dec {dec:.4f}; run again when {spec.service} answers")
    layer, _ = legacysurvey.asked(spec.layer, spec.bands, spec.pixels, spec.format)
    planes, version = datalab.cutout(transport, layer.name, ra, dec, arcsec_per_pixel, spec.pixels, spec.bands)
    return Cutout(planes, layer.unit, float(observed(planes).mean()), "LegacySurvey", version, float(arcsec_per_pixel))


def fetch_cutout(transport: Transport, spec: CutoutSpec, ra: float, dec: float, arcsec_per_pixel: float) -> Cutout:
    """One cutout, from the service or, if that fails, from the archive that stands in for it.

    Raises
    ------
    OutsideFootprint
        There is no image there.
    ArchiveError
        Nobody answered.
    """
    request = cutout_requests(spec, ra, dec, arcsec_per_pixel)[0]
    try:
        return read_cutout(transport.fetch_request(request).path, spec, arcsec_per_pixel)
    except NotInArchive:
        raise
    except ArchiveError as error:
        if not has_fallback(spec, dec):
            raise
        log.warning("%s; asking the Data Lab for the same pixels", error)
        return cutout_by_fallback(transport, spec, ra, dec, arcsec_per_pixel)
