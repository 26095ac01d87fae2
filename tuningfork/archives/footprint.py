"""Where a survey has images: multi-order coverage maps (MOC) of CDS, and which positions they hold.

A footprint saves requests, no more: it is drawn coarser than the images, and that a position is inside promises no image.
"""

from pathlib import Path
from types import MappingProxyType

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.time import Time, TimeDelta
from mocpy import MOC, STMOC, TimeMOC
from numpy.typing import ArrayLike, NDArray

from tuningfork.archives.checks import BadReply, check_fits, check_not_html
from tuningfork.archives.layers import ALIASES
from tuningfork.archives.request import Request
from tuningfork.errors import ArchiveError

ARCHIVE = "cds"

# The service and the identifiers are spelled as public code spells them; that this host gives a MOC by ID, get=moc and fmt=fits is from memory.
PATH = "/MocServer/query"
DATA_SETS = MappingProxyType(
    {
        "sdss": "CDS/P/SDSS9/color",
        "des-dr1": "CDS/P/DES-DR1/ColorIRG",
        "decals-dr5": "CDS/P/DECaLS/DR5/color",
        # DR10 took in all of the southern part of DR9, and more.
        "ls-dr9-south": "CDS/P/DESI-Legacy-Surveys/DR10/color",
        "ls-dr10": "CDS/P/DESI-Legacy-Surveys/DR10/color",
        "ls-dr10-south": "CDS/P/DESI-Legacy-Surveys/DR10/color",
        # The wide layer; the deep fields beside it are other data sets.
        "hsc-dr2": "CDS/P/HSC/DR2/wide/color-i-r-g",
        "unwise-neo7": "CDS/P/unWISE/color-W2-W1W2-W1",
        "ps1": "CDS/P/PanSTARRS/DR1/color-i-r-g",
    }
)
"""Layer -> identifier at CDS of a data set with at least its footprint: a wrong one is one line to mend. None is known for the northern part."""


def footprint_request(layer: str) -> Request | None:
    """The request of a layer's MOC at CDS, or None where no data set with its footprint is known.

    Parameters
    ----------
    layer
        A layer of the viewer, or a data release of SkyServer (``dr14``).
    """
    name = "sdss" if layer.startswith("dr") and layer[2:].isdigit() and int(layer[2:]) >= 12 else ALIASES.get(layer, layer)
    if name not in DATA_SETS:
        return None
    return Request(ARCHIVE, PATH, {"ID": DATA_SETS[name], "get": "moc", "fmt": "fits"}, check=check_moc, max_bytes=2**28, progress=False)


def check_moc(path: Path) -> None:
    """A whole FITS file with a MOC in it.

    Raises
    ------
    BadReply
        It is none: transient if it is cut or is a page.
    """
    check_not_html(path)
    check_fits(path)
    try:
        read_moc(path)
    except ArchiveError as error:
        raise BadReply(str(error), transient=False) from error


def inside(moc_path: Path, ra: ArrayLike, dec: ArrayLike) -> NDArray[np.bool_]:
    """Which positions lie inside a coverage map.

    Parameters
    ----------
    moc_path
        A FITS file with a MOC: of space, or of space and time, whose coverage at any time is taken.
    ra, dec
        ICRS degrees, (N,); a position that is masked or not finite is outside.

    Returns
    -------
    array of bool, (N,)

    Raises
    ------
    ArchiveError
        The file is no such map; the message says what it is.
    """
    moc = read_moc(Path(moc_path))
    lon, lat = np.broadcast_arrays(np.ma.filled(np.ma.asarray(ra, dtype=np.float64), np.nan), np.ma.filled(np.ma.asarray(dec, dtype=np.float64), np.nan))
    good = np.isfinite(lon) & (np.abs(lat) <= 90)
    found = np.zeros(lon.shape, dtype=bool)
    if good.any():
        found[good] = moc.contains_lonlat(np.mod(lon[good], 360) * u.deg, lat[good] * u.deg)
    return found


def read_moc(path: Path) -> MOC:
    """The coverage on the sky of a MOC file; of a space-time MOC, all places that it covers at any time.

    Raises
    ------
    ArchiveError
        It is no MOC, or one of another kind or frame.
    """
    try:
        with fits.open(path) as hdus:
            header = hdus[1].header
    except (OSError, IndexError, ValueError, TypeError, KeyError, AttributeError, ArithmeticError, fits.VerifyError) as error:
        raise ArchiveError(f"{path} is no FITS file with a coverage map ({error}); give a MOC of the survey, as CDS offers them") from error
    kind = str(header.get("MOC") or header.get("MOCDIM") or "SPACE").upper().replace(".", "").replace("-", "")
    if header.get("ORDERING") not in ("NUNIQ", "RANGE", "RANGE29", "UNIQ"):
        raise ArchiveError(f"{path} is no coverage map: its table has ORDERING {header.get('ORDERING')!r}")
    if header.get("COORDSYS", "C") not in ("C", "ICRS"):
        raise ArchiveError(f"{path} is a coverage map in frame {header['COORDSYS']!r}; give one in ICRS (C)")
    try:
        if kind == "SPACE":
            return MOC.load(path, "fits")
        if kind in ("SPACETIME", "TIMESPACE"):
            return STMOC.load(path, "fits").query_by_time(_all_time())
    except (OSError, ValueError, TypeError, KeyError, AttributeError, ArithmeticError) as error:
        raise ArchiveError(f"{path} is a coverage map that cannot be read ({error}); fetch it again, or give it as a MOC of space") from error
    raise ArchiveError(f"{path} is a coverage map of {kind.lower()}, not of the sky")


def _all_time() -> TimeMOC:
    # The years 1800 to 2200: any image of a survey was taken in between.
    span = Time([2378497.0, 2524594.0], format="jd", scale="tdb")
    return TimeMOC.from_time_ranges(span[:1], span[1:], delta_t=TimeDelta(365 * u.day))
