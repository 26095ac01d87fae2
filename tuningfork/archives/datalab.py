"""Images of the Legacy Surveys DR9 from NOIRLab's Data Lab: the same coadded bricks as the viewer's, on another machine.

For when the viewer is down. Data Lab cuts out of one brick and one band at a time, on the brick's own grid; here the pieces are asked,
checked, and laid on the grid that was asked for (reference/archives.md, 4: the fall-back that does not depend on NERSC).

The grid of bricks (quarter of a degree) follows the rule of the survey's table of bricks: 721 rows of 0.25 deg, each with the smallest even
number of columns that makes no column wider than 0.25 deg anywhere in the row, and one brick at each pole: 662,174 bricks.
"""

import functools
import re
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import map_coordinates

from tuningfork.archives.checks import BadReply, check_fits, check_not_html
from tuningfork.archives.layers import band_letters, layer_named
from tuningfork.archives.packed import unpacked
from tuningfork.archives.request import Request
from tuningfork.archives.transport import Transport
from tuningfork.errors import ArchiveError, NotInArchive, OutsideFootprint

ARCHIVE = "datalab"
PATH = "/svc/cutout"
COLLECTION = "ls_dr9"

NATIVE_ARCSEC = 0.262
BRICK_DEG = 0.25
BRICK_ROWS = 721
# Half the side of a brick's image (3600 pixels): it reaches a little over its quarter of a degree.
IMAGE_HALF_DEG = 1800 * NATIVE_ARCSEC / 3600
MARGIN_PIXELS = 8

# Bricks between these declinations were reduced from both telescopes, and a brick's name does not say from which (limits from memory:
# reference/science.md, 16, gives about 32 to 34.5 deg).
BOTH_FROM_DEC, BOTH_TO_DEC = 31.5, 35.0

# A cutout of some thousand pixels; the whole brick that comes if the comma of POS is encoded is 50 MB, and is refused.
MAX_BYTES = 32 * 2**20
MAX_PIXELS = 64_000_000


def serves(layer: str, dec: float) -> bool:
    """Whether Data Lab has this layer's own pixels at a declination: images of Legacy Surveys DR9, south or north of the strip done twice."""
    name = layer_named(layer).name
    south, north = dec < BOTH_FROM_DEC, dec > BOTH_TO_DEC
    return (name == "ls-dr9" and (south or north)) or (name == "ls-dr9-south" and south) or (name == "ls-dr9-north" and north)


@functools.cache
def brick_columns() -> NDArray[np.int64]:
    """Number of bricks in each row of the grid, (721,), from the south pole to the north."""
    edge = np.abs(-90 + BRICK_DEG * np.arange(BRICK_ROWS)) - BRICK_DEG / 2
    columns = 2 * np.ceil(360 / BRICK_DEG * np.cos(np.radians(edge)) / 2).astype(np.int64)
    columns[[0, -1]] = 1
    return columns


def brick_at(ra: ArrayLike, dec: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row and column (from 0) of the brick that holds each position (degrees)."""
    declination = np.asarray(dec, dtype=np.float64)
    row = np.clip(np.floor((declination + 90 + BRICK_DEG / 2) / BRICK_DEG), 0, BRICK_ROWS - 1).astype(np.int64)
    columns = brick_columns()[row]
    column = np.minimum(np.floor(np.mod(np.asarray(ra, dtype=np.float64), 360) * columns / 360), columns - 1).astype(np.int64)
    return row, column


def brick_name(ra: ArrayLike, dec: ArrayLike) -> NDArray[np.str_]:
    """Name of the brick that holds each position (degrees), such as ``1867p255``: tenths of a degree of its centre, cut off, not rounded.

    The rule is that of the survey's own software (desiutil, ``brick.py``).
    """
    row, column = np.atleast_1d(*brick_at(ra, dec))
    return np.array([_name(int(r), int(c)) for r, c in zip(row, column, strict=True)]).reshape(np.shape(np.broadcast_arrays(ra, dec)[0]))


def brick_id(ra: ArrayLike, dec: ArrayLike) -> NDArray[np.int64]:
    """Number of the brick that holds each position, from 1 at the south pole."""
    row, column = brick_at(ra, dec)
    before = np.concatenate([[0], np.cumsum(brick_columns())])
    return before[row] + column + 1


def bricks_touching(ra: float, dec: float, side_deg: float) -> list[str]:
    """Names of the bricks needed for a square around a position: the brick that holds it first, then the others that it reaches into.

    A neighbour is needed only where the square reaches beyond the central brick's image, which is a little larger than the brick.
    """
    half = side_deg / 2
    row, column = (int(v) for v in brick_at(ra, dec))
    columns = int(brick_columns()[row])
    centre_dec, centre_ra = -90 + BRICK_DEG * row, (column + 0.5) * 360 / columns
    east = ((ra - centre_ra + 180) % 360 - 180) * np.cos(np.radians(dec))
    own = _name(row, column)
    if max(abs(east), abs(dec - centre_dec)) + half + MARGIN_PIXELS * NATIVE_ARCSEC / 3600 <= IMAGE_HALF_DEG:
        return [own]
    # Positions a brick's fraction apart, so that no brick which the square touches is stepped over.
    steps = np.linspace(-half, half, 2 + int(np.ceil(side_deg / (BRICK_DEG / 2))))
    decs = np.clip(dec + steps, -90, 90)
    spots = [(ra + step / max(np.cos(np.radians(d)), 1e-6), d) for d in decs for step in steps]
    names = brick_name(*np.array(spots).T)
    return list(dict.fromkeys([own, *names.tolist()]))


def cutout_request(brick: str, band: str, ra: float, dec: float, side_deg: float) -> Request:
    """The request of a square piece of one band of one brick.

    Notes
    -----
    The comma of POS must travel as it is: encoded, the service gives the whole brick of some 50 MB. The reply has no Content-Length, so a
    cut one is found by what its FITS headers promise.
    """
    params = {
        "col": COLLECTION,
        "siaRef": f"legacysurvey-{brick}-image-{band}.fits.fz",
        "extn": 1,
        "POS": f"{ra % 360:.10g},{dec:.10g}",
        "SIZE": f"{side_deg:.6g}",
    }
    return Request(ARCHIVE, PATH, params, check=check_piece, judge=judge_piece, max_bytes=MAX_BYTES, progress=False)


def check_piece(path: Path) -> None:
    """A whole FITS file with an image in it.

    Raises
    ------
    BadReply
        It is none, or is cut.
    """
    check_not_html(path)
    check_fits(path)
    read_piece(path)


def judge_piece(status: int, headers: Any, body: bytes) -> None:
    """A place that the brick's image does not hold, said with a status of failure; the service's words for it are from memory.

    Raises
    ------
    OutsideFootprint
        The words say that nothing overlaps, or that there is no such file.
    """
    if status in (400, 404, 500) and re.search(rb"no overlap|not overlap|outside|no such|not found|no rows|does not exist", body, re.IGNORECASE):
        raise OutsideFootprint("the Data Lab has no image of this brick and band there")


def read_piece(path: Path) -> tuple[NDArray[np.float64], WCS]:
    """Pixels (nanomaggies per native pixel) and coordinates of the first image of a file, whether it is compressed or not.

    Raises
    ------
    BadReply
        There is none.
    """
    try:
        with fits.open(unpacked(path), memmap=False) as hdus:
            for hdu in hdus:
                if hdu.is_image and hdu.header.get("NAXIS") == 2 and hdu.header["NAXIS1"] * hdu.header["NAXIS2"] > MAX_PIXELS:
                    raise BadReply(f"an image of {hdu.header['NAXIS1']} x {hdu.header['NAXIS2']} pixels, where a piece of a brick was asked", transient=False)
                if hdu.is_image and hdu.header.get("NAXIS") == 2 and hdu.data is not None:
                    return np.asarray(hdu.data, dtype=np.float64), WCS(hdu.header).celestial
    except (OSError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, fits.VerifyError) as error:
        raise BadReply(f"a FITS file that cannot be read ({error})") from error
    raise BadReply("a FITS file without an image of two axes", transient=False)


def cutout(
    transport: Transport, layer: str, ra: float, dec: float, arcsec_per_pixel: float, pixels: int, bands: tuple[str, ...]
) -> tuple[NDArray[np.float32], str]:
    """A square cutout as the viewer would make it, from the pieces of its bricks.

    Parameters
    ----------
    transport
        An open transport.
    layer, ra, dec, arcsec_per_pixel, pixels, bands
        As `legacysurvey.cutout_request`.

    Returns
    -------
    planes : array of float32, (bands, pixels, pixels)
        Surface brightness in nanomaggy / arcsec^2, north up, east left; exactly 0 where a band was not observed.
    version : str
        ``DR9-south`` or ``DR9-north``, by declination.

    Raises
    ------
    OutsideFootprint
        No brick there was observed.
    ArchiveError
        Data Lab does not serve this layer there, did not answer, or gave pieces that do not reach where they should.

    Notes
    -----
    Cubic interpolation of surface brightness; a scale coarser than the native one is the mean over a native-fine grid within each pixel, so
    that nothing is undersampled. (The viewer interpolates with a Lanczos kernel: equal within the noise, not bit by bit.)
    """
    known = layer_named(layer)
    if not serves(layer, dec):
        raise ArchiveError(f"the Data Lab has no pixels of layer {layer} at dec {dec:.4f} of its own; it has ls-dr9's, outside the strip of both telescopes")
    band_letters(known, bands)
    side_deg = (pixels * arcsec_per_pixel + 2 * MARGIN_PIXELS * NATIVE_ARCSEC) / 3600
    if side_deg > BRICK_DEG:
        raise ArchiveError(f"a cutout of {side_deg:.3f} deg a side is more than a brick: ask the viewer, or a smaller one")
    finer = max(1, int(np.ceil(arcsec_per_pixel / NATIVE_ARCSEC - 1e-6)))
    grid = _target_sky(ra, dec, arcsec_per_pixel / finer, pixels * finer)
    planes = np.stack([_plane(transport, band, bricks_touching(ra, dec, side_deg), (ra, dec, side_deg), grid) for band in bands])
    if not planes.any():
        raise OutsideFootprint(f"no image there: no brick of the Legacy Surveys DR9 was observed at ra {ra:.6f}, dec {dec:.6f}")
    return (_block_means(planes, finer) / NATIVE_ARCSEC**2).astype(np.float32), f"DR9-{'south' if dec < BOTH_FROM_DEC else 'north'}"


def _plane(
    transport: Transport, band: str, bricks: list[str], square: tuple[float, float, float], grid: tuple[NDArray[np.float64], NDArray[np.float64]]
) -> NDArray[np.float64]:
    """One band on the grid, in native units; the first brick that has a pixel gives it, 0 where none has."""
    plane = np.zeros(grid[0].shape)
    for brick in bricks:
        try:
            fetched = transport.fetch_request(cutout_request(brick, band, *square))
        except NotInArchive:
            continue
        image, wcs = read_piece(fetched.path)
        x, y = wcs.all_world2pix(grid[0], grid[1], 0)
        inside = (x > -0.5) & (x < image.shape[1] - 0.5) & (y > -0.5) & (y < image.shape[0] - 0.5)
        if brick == bricks[0] and not inside[brick_id(*grid) == brick_id(square[0], square[1])].all():
            raise ArchiveError(f"the Data Lab gave {image.shape[1]} x {image.shape[0]} pixels of brick {brick}, less than was asked; see {fetched.path}")
        seen = np.isfinite(image) & (image != 0)
        values = map_coordinates(np.where(seen, image, 0.0), [y, x], order=3, mode="nearest")
        near = np.clip(np.rint(y).astype(int), 0, image.shape[0] - 1), np.clip(np.rint(x).astype(int), 0, image.shape[1] - 1)
        fill = inside & seen[near] & (plane == 0)
        plane[fill] = values[fill]
    return plane


def _target_sky(ra: float, dec: float, arcsec_per_pixel: float, pixels: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [ra, dec]
    wcs.wcs.crpix = [(pixels + 1) / 2, (pixels + 1) / 2]
    wcs.wcs.cd = np.array([[-1, 0], [0, 1]]) * arcsec_per_pixel / 3600
    y, x = np.mgrid[:pixels, :pixels].astype(np.float64)
    return tuple(wcs.all_pix2world(x, y, 0))


def _block_means(planes: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """Mean over blocks of `side` x `side`; exactly 0 where any of a block was not observed."""
    bands, height, width = planes.shape
    blocks = planes.reshape(bands, height // side, side, width // side, side)
    return np.where((blocks != 0).all(axis=(2, 4)), blocks.mean(axis=(2, 4)), 0.0)


def _name(row: int, column: int) -> str:
    columns = int(brick_columns()[row])
    # Centres are first rounded to 1e-4 deg, then cut to tenths; whole numbers, so that nothing depends on a last bit.
    ten_thousandths = (2 * (2 * column + 1) * 1_800_000 + columns) // (2 * columns)
    tenths_ra = ten_thousandths // 1000
    # 40 quarters of a degree are 100 tenths: exact in whole numbers, as 0.25 deg is in binary.
    quarters = row - BRICK_ROWS // 2
    return f"{tenths_ra:04d}{'p' if quarters >= 0 else 'm'}{abs(quarters) * 10 // 4:03d}"
