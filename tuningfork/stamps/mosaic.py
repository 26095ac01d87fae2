"""A FITS mosaic, memory-mapped: pixels, weight, celestial WCS without distortion, and the factor to microjansky.

Files are judged by their header before anything is mapped; how stamps are made of the pixels is not decided here. Of a partial copy of a
remote mosaic (`tuningfork.archives.sparse`) only what was fetched can be read: its holes never pass for pixels.
"""

import math
import os
import re
import warnings
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_scales

from tuningfork.archives.range_plan import pixel_bytes
from tuningfork.archives.sparse import present_in
from tuningfork.errors import ArchiveError, StampError

__all__ = ["Mosaic", "Pixels", "microjansky_factor", "read_windows"]

_BITPIX = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}
# SIP, look-up tables and detector corrections: left in the headers of drizzled images whose pixels no longer have any distortion
_DISTORTION = re.compile(r"(A|B|AP|BP)_(ORDER|DMAX|\d+_\d+)|(CPDIS|CQDIS|CPERR|CQERR|DP|DQ|D2IMDIS|D2IMERR|D2IM)\d.*|D2IMEXT|NPOLEXT|AXISCORR")
_LIGHT_ANGSTROM_PER_SECOND = 2.99792458e18


def microjansky_factor(header: fits.Header, zero_point: float | None = None) -> float:
    """Flux density in microjansky of one image unit (one electron a second, for HST).

    Parameters
    ----------
    header : astropy.io.fits.Header
    zero_point : float, optional
        AB magnitude of one unit; goes before anything in the header.

    Notes
    -----
    From PHOTFLAM (erg/s/cm2/A) and PHOTPLAM (A): f_nu = PHOTFLAM PHOTPLAM^2 / c; else from an AB zero point (ABMAGZP, MAGZERO, MAGZPT, or a
    PHOTZPT that is not the ST one, -21.1); else from a BUNIT of nanomaggy or (n, u, m)Jy. The unit is taken as a rate: drizzled CLASH
    and CANDELS images are, also where BUNIT still says ELECTRONS.

    Raises
    ------
    StampError
        The header has none of them.
    """
    if zero_point is None:
        flam, pivot = (_number(header, key) for key in ("PHOTFLAM", "PHOTPLAM"))
        if flam > 0 and pivot > 0:
            return flam * pivot**2 / _LIGHT_ANGSTROM_PER_SECOND * 1e29
        points = [value for key in ("ABMAGZP", "MAGZERO", "MAGZPT", "PHOTZPT") if 10 < (value := _number(header, key)) < 40]
        if not points:
            known = {"nanomaggy": 3.631, "nanomaggies": 3.631, "nmgy": 3.631, "njy": 1e-3, "ujy": 1.0, "microjy": 1.0, "mjy": 1e3, "jy": 1e6}
            unit = _text(header, "BUNIT").lower()
            if unit not in known:
                raise StampError(
                    "no flux calibration in the header (PHOTFLAM and PHOTPLAM, ABMAGZP, or a BUNIT in Jy or nanomaggy); give the AB zero point of the band"
                )
            return known[unit]
        zero_point = points[0]
    return 10.0 ** ((23.9 - zero_point) / 2.5)


class Mosaic:
    """One image of one band, open for random reads.

    Parameters
    ----------
    path : path
        FITS file, not compressed.
    weight_path : path, optional
        Inverse-variance or exposure map on the same grid; weight 0 means not observed.
    hdu : int or str, optional
        Which HDU; the first with a two-dimensional image where not given.
    plane : int, optional
        Which plane of a cube.
    zero_point : float, optional
        AB magnitude of one image unit, where the header does not say it or is wrong.

    Attributes
    ----------
    shape : (int, int)
        Rows and columns.
    wcs : astropy.wcs.WCS
        Celestial, without SIP or look-up distortions.
    pixel_scale_arcsec : float
        Square root of the area of one pixel.
    to_microjansky : float
        Microjansky of one image unit.
    weight : Mosaic-like or None

    Raises
    ------
    StampError
        Absent, compressed, truncated, not FITS, no image, no WCS, pixels that are not square, no calibration, or a weight of another
        shape. The message names the file and the cure.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        weight_path: str | os.PathLike[str] | None = None,
        *,
        hdu: int | str | None = None,
        plane: int | None = None,
        zero_point: float | None = None,
    ) -> None:
        self.path = Path(path)
        self.pixels = Pixels(self.path, hdu, plane)
        self.shape = self.pixels.shape
        self.header = self.pixels.header
        self.wcs = _celestial(self.path, self.header)
        scales = proj_plane_pixel_scales(self.wcs) * 3600
        if not np.all(np.isfinite(scales)) or abs(scales[0] / scales[1] - 1) > 1e-3:
            raise StampError(f"{self.path}: pixels of {scales[0]:.6g} x {scales[1]:.6g} arcsec; square ones are needed, so reproject the mosaic first")
        self.pixel_scale_arcsec = float(math.sqrt(scales[0] * scales[1]))
        try:
            self.to_microjansky = microjansky_factor(self.header, zero_point)
        except StampError as error:
            raise StampError(f"{self.path}: {error}") from None
        self.weight = Pixels(Path(weight_path), None, None) if weight_path else None
        if self.weight is not None and self.weight.shape != self.shape:
            raise StampError(
                f"{weight_path}: weight of shape {self.weight.shape} for an image of {self.shape} ({self.path}); take the weight of the same release"
            )

    @property
    def rotation_deg(self) -> float:
        """Angle from +y to north, counter-clockwise in the image, in degrees; NaN where the image is mirrored (east to the right of north)."""
        matrix = self.wcs.pixel_scale_matrix
        if np.linalg.det(matrix) > 0:
            return math.nan
        north = np.linalg.solve(matrix, [0.0, 1.0])
        return math.degrees(math.atan2(-north[0], north[1]))


class Pixels:
    """The pixels of one image HDU as a memory map in the file's own type; `windows` reads many squares at once as native float32."""

    def __init__(self, path: Path, hdu: int | str | None = None, plane: int | None = None) -> None:
        self.path = path
        self.header, offset = _image_header(path, hdu)
        try:
            axes = [int(self.header[f"NAXIS{k}"]) for k in range(self.header["NAXIS"], 0, -1)]
            kind = _BITPIX.get(self.header["BITPIX"])
            self._scale, self._zero = float(self.header.get("BSCALE", 1)), float(self.header.get("BZERO", 0))
            self._blank = None if (blank := self.header.get("BLANK")) is None else float(blank)
        except (KeyError, TypeError, ValueError, fits.VerifyError) as error:
            raise StampError(f"{path}: its FITS header cannot be read ({error}); delete it and download it again") from error
        if kind is None:
            raise StampError(f"{path}: BITPIX {self.header['BITPIX']} is no FITS type; the file is damaged, download it again")
        promised, size = offset + math.prod(axes) * np.dtype(kind).itemsize, path.stat().st_size
        if size < promised:
            raise StampError(f"{path}: truncated, the header promises {promised} bytes and the file has {size}; delete it and download it again")
        try:
            self._present = present_in(path)
        except ArchiveError as error:
            raise StampError(str(error)) from error
        array = np.asarray(np.memmap(path, dtype=kind, mode="r", offset=offset, shape=tuple(axes)))
        cube = array.reshape(-1, *axes[-2:])
        if len(cube) > 1 and plane is None:
            raise StampError(f"{path}: a cube of {len(cube)} planes; say which plane (band) to cut from")
        self._array = cube[plane or 0]
        self.shape: tuple[int, int] = self._array.shape
        self._offset = offset + (plane or 0) * self._array.nbytes

    @property
    def array(self) -> np.ndarray:
        """All pixels, as the file has them.

        Raises
        ------
        StampError
            Some of them were not fetched.
        """
        if self._present is not None and not self._has(np.zeros(1, int), np.zeros(1, int), max(self.shape)):
            raise StampError(f"{self.path}: only parts of this mosaic were fetched, and all of it is needed; fetch it whole (images.read: whole)")
        return self._array

    def windows(self, row: np.ndarray, column: np.ndarray, out: np.ndarray) -> np.ndarray:
        """Fill `out` (B, n, n) float32 with the squares whose first pixel is (row, column), 0-based; NaN off the image.

        Raises
        ------
        StampError
            The file is a partial copy, and some of these pixels were not fetched.
        """
        if self._present is not None and not self._has(row, column, out.shape[1]):
            raise StampError(f"{self.path}: a partial copy in which some of these {len(row)} windows were not fetched; fetch them before they are cut")
        read_windows(self._array, row, column, out)
        if self.header["BITPIX"] > 0:
            if self._blank is not None:
                out[out == np.float32(self._blank)] = np.nan
            if (self._scale, self._zero) != (1.0, 0.0):
                out *= np.float32(self._scale)
                out += np.float32(self._zero)
        return out

    def _has(self, row: np.ndarray, column: np.ndarray, n: int) -> bool:
        assert self._present is not None
        wanted = pixel_bytes(self._offset, self._array.itemsize, self.shape, row, column, np.full(len(row), n))
        return bool(self._present.covers(wanted.start, wanted.stop).all())


def read_windows(array: np.ndarray, row: np.ndarray, column: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Fill `out` (B, n, n) with the squares of `array` (H, W) whose first pixel is (row, column), 0-based; NaN off the array."""
    n = out.shape[1]
    rows, columns = array.shape
    inside = (row >= 0) & (column >= 0) & (row + n <= rows) & (column + n <= columns)
    if inside.all():
        out[...] = np.lib.stride_tricks.sliding_window_view(array, (n, n))[row, column]
        return out
    if inside.any():
        out[inside] = np.lib.stride_tricks.sliding_window_view(array, (n, n))[row[inside], column[inside]]
    edge = np.flatnonzero(~inside)
    for i, y, x in zip(edge.tolist(), row[edge].tolist(), column[edge].tolist(), strict=True):
        out[i] = np.nan
        y0, y1, x0, x1 = max(y, 0), min(y + n, rows), max(x, 0), min(x + n, columns)
        if y1 > y0 and x1 > x0:
            out[i, y0 - y : y1 - y, x0 - x : x1 - x] = array[y0:y1, x0:x1]
    return out


def _number(header: fits.Header, key: str) -> float:
    try:
        return float(header.get(key, math.nan))
    except (TypeError, ValueError, fits.VerifyError):
        return math.nan


def _text(header: fits.Header, key: str) -> str:
    try:
        return str(header.get(key, "")).strip()
    except fits.VerifyError:
        return ""


def _image_header(path: Path, hdu: int | str | None) -> tuple[fits.Header, int]:
    """Header of the image HDU and the offset of its data in the file."""
    try:
        with open(path, "rb") as file:
            magic = file.read(9)
    except OSError as error:
        raise StampError(f"{path}: cannot be read ({error.strerror}); download the mosaic again") from error
    if magic[:2] in (b"\x1f\x8b", b"BZ", b"PK") or magic[:2] == b"\xfd7":
        raise StampError(f"{path}: compressed as a whole, so it cannot be memory-mapped; decompress it (gunzip) first")
    if magic != b"SIMPLE  =":
        raise StampError(f"{path}: not a FITS file (it begins with {magic!r}); delete it and download it again")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AstropyWarning)
            with fits.open(path, memmap=True, do_not_scale_image_data=True, disable_image_compression=True) as hdus:
                for number, candidate in enumerate([hdus[hdu]] if hdu is not None else hdus):
                    header = candidate.header
                    if header.get("ZIMAGE"):
                        raise StampError(f"{path}: tile-compressed (HDU {number}); uncompress it with funpack first")
                    if candidate.is_image and header.get("NAXIS", 0) >= 2 and all(header[f"NAXIS{k + 1}"] > 0 for k in range(header["NAXIS"])):
                        return header.copy(), int(candidate.fileinfo()["datLoc"])
    except (OSError, LookupError, TypeError, ValueError, AttributeError, ArithmeticError, fits.VerifyError) as error:
        raise StampError(f"{path}: its FITS header cannot be read ({error}); delete it and download it again") from error
    raise StampError(f"{path}: no image in it{'' if hdu is None else f' in HDU {hdu!r}'}; it may be truncated, or is not a mosaic")


def _celestial(path: Path, header: fits.Header) -> WCS:
    plain = header.copy()
    for key in [key for key in plain if _DISTORTION.fullmatch(key)]:
        del plain[key]
    try:
        for key in ("CTYPE1", "CTYPE2"):
            if key in plain:
                plain[key] = str(plain[key]).removesuffix("-SIP")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AstropyWarning)
            wcs = WCS(plain).celestial if plain.get("CTYPE1") else None
    except Exception as error:  # wcslib's many complaints have no common class
        raise StampError(f"{path}: its WCS cannot be understood ({error}); fix the header or take another release") from error
    if wcs is None or not wcs.has_celestial or wcs.naxis != 2:
        raise StampError(f"{path}: no celestial WCS in the header (CTYPE1, CTYPE2); take the drizzled mosaic of the release, not a display copy")
    return wcs
