"""MAST's static tree of high-level science products: where each mosaic and text catalogue lies, and fetching one whole.

Paths are relative to the archive's root (``https://archive.stsci.edu``). Of the two collections, ``clash`` holds the 65-mas mosaics of the
25 CLASH clusters (Postman et al. 2012) and ``hlf-goods-s`` the 60-mas mosaics of GOODS-S of the Hubble Legacy Fields (Illingworth et al.
2016). No pixel is read here.

The same files are in the S3 bucket ``stpubdata`` under other paths (`s3_path`); `HOSTS` names both places, and callers say which they take,
in which order.
"""

import functools
import logging
import re
from collections.abc import Callable, Sequence
from typing import TypeVar

from tuningfork.archives import ranges
from tuningfork.archives.checks import check_fits_image
from tuningfork.archives.request import Fetched
from tuningfork.archives.transport import Transport
from tuningfork.errors import ArchiveError, NotInArchive

T = TypeVar("T")

log = logging.getLogger(__name__)

CLUSTERS = (
    "a1423",
    "a209",
    "a2261",
    "a383",
    "a611",
    "clj1226",
    "macs0329",
    "macs0416",
    "macs0429",
    "macs0647",
    "macs0717",
    "macs0744",
    "macs1115",
    "macs1149",
    "macs1206",
    "macs1311",
    "macs1423",
    "macs1720",
    "macs1931",
    "macs2129",
    "ms2137",
    "rxj1347",
    "rxj1532",
    "rxj2129",
    "rxj2248",
)
"""The 25 CLASH clusters, as their directories are called."""

INSTRUMENTS = {
    **dict.fromkeys(("f225w", "f275w", "f336w", "f390w"), "wfc3uvis"),
    **dict.fromkeys(("f435w", "f475w", "f606w", "f625w", "f775w", "f814w", "f850lp"), "acs"),
    **dict.fromkeys(("f105w", "f110w", "f125w", "f140w", "f160w"), "wfc3ir"),
}
"""Band -> instrument, as CLASH spells both in its file names; 16 bands from the ultraviolet to the infrared."""

CLASH_DIRECTORY = "/missions/hlsp/clash/{field}"

# The names of the HLF files are well attested, their directory is not: it is said here and nowhere else. Release 1.5 and not 2.0, because
# 2.0 moved to the Gaia frame, a quarter of an arcsecond off the frame of the CANDELS catalogues.
HLF_DIRECTORY = "/missions/hlsp/hlf/goods-s"
HLF_RELEASE = "v1.5"
HLF_FIELD = "goodss"

MAX_MOSAIC_BYTES = 12 * 2**30
"""A 50,000 x 50,000 float32 plane with its header fits; nothing that MAST serves here is larger."""

HOSTS = ("mast", "s3")
"""The archive, and the public copy of its holdings (reference/archives.md, 2.3): asked in this order, or the other way round by choice."""


def clash_mosaic_paths(field: str, band: str) -> dict[str, str]:
    """Paths of one CLASH mosaic (electrons/s) and its weight (inverse variance); see `mosaic_paths`."""
    stem = f"{_clash(field)}/data/hst/scale_65mas/hlsp_clash_hst_{_instrument(band)}_{field}_{band}_v1"
    return {"image": f"{stem}_drz.fits", "weight": f"{stem}_wht.fits"}


def clash_detection_paths(field: str) -> dict[str, str]:
    """Paths of the infrared detection image of a cluster, the sum of its WFC3/IR mosaics; see `detection_paths`."""
    stem = f"{_clash(field)}/data/hst/scale_65mas/hlsp_clash_hst_wfc3ir_{field}_total_v1"
    return {"image": f"{stem}_drz.fits", "weight": f"{stem}_wht.fits"}


def hlf_mosaic_paths(field: str, band: str) -> dict[str, str]:
    """Paths of one HLF GOODS-S mosaic at 60 mas and its weight; see `mosaic_paths`."""
    if field != HLF_FIELD:
        raise ArchiveError(f"collection hlf-goods-s has one field, {HLF_FIELD!r}, not {field!r}")
    instrument = {"wfc3uvis": "wfc3", "wfc3ir": "wfc3", "acs": "acs"}[_instrument(band)]
    stem = f"{HLF_DIRECTORY}/hlsp_hlf_hst_{instrument}-60mas_{field}_{band}_{HLF_RELEASE}"
    return {"image": f"{stem}_sci.fits", "weight": f"{stem}_wht.fits"}


MosaicPaths = Callable[[str, str], dict[str, str]]
DetectionPaths = Callable[[str], dict[str, str]]
COLLECTIONS: dict[str, tuple[MosaicPaths, DetectionPaths]] = {
    "clash": (clash_mosaic_paths, clash_detection_paths),
    "hlf-goods-s": (hlf_mosaic_paths, functools.partial(hlf_mosaic_paths, band="f160w")),
}
"""Collection -> its paths of mosaics and of detection images; a new collection is one line and its two functions."""


def mosaic_paths(collection: str, field: str, band: str) -> dict[str, str]:
    """Paths in the archive of one mosaic.

    Parameters
    ----------
    collection
        ``clash`` or ``hlf-goods-s``.
    field
        The mosaic's footprint: a cluster token such as ``macs2129`` (any plain name is taken: the simulated sky has clusters of its own), or
        ``goodss``.
    band
        One of the sixteen of `INSTRUMENTS`, lower case.

    Returns
    -------
    dict
        ``{"image": path, "weight": path}``. Whether the archive has them is only known by asking: not every cluster has every filter.

    Raises
    ------
    ArchiveError
        Unknown collection or band, or a field that cannot be part of a path.
    """
    return _collection(collection)[0](field, band)


def detection_paths(collection: str, field: str) -> dict[str, str]:
    """Paths ``{"image", "weight"}`` of the image on which galaxies of `field` are measured: CLASH's infrared sum, HLF's F160W."""
    return _collection(collection)[1](field)


def molino_path(field: str) -> str:
    """Path of the text catalogue of Molino et al. (2017) of one cluster."""
    return f"{_clash(field)}/catalogs/molino/hlsp_clash_hst_ir_{field}_cat-molino.txt"


def s3_path(path: str) -> str:
    """Path of the same file in the bucket ``stpubdata``: ``mast/hlsp/...`` for what the archive has under ``/missions/hlsp/...``.

    The layout of the bucket is documented; that CLASH and the HLF are in it was not seen (reference/archives.md, 2.3), so the bucket's
    "no such file" never counts as the archive's.
    """
    if not path.startswith("/missions/hlsp/"):
        raise ArchiveError(f"path {path!r} is not one of the high-level science products (/missions/hlsp/...), which alone have a copy in S3")
    return path.replace("/missions/hlsp/", "/mast/hlsp/", 1)


def fetch_mosaic(transport: Transport, path: str, *, hosts: Sequence[str] = ("mast",), progress: bool | None = None) -> Fetched:
    """One mosaic, whole, in the cache: resumed after a cut, and accepted only as a FITS image of exactly its promised length.

    Parameters
    ----------
    transport
        An open transport.
    path
        A path that `mosaic_paths` or `detection_paths` gave.
    hosts
        Which of `HOSTS` to ask, in this order: the next when one gave nothing.
    progress
        True or False to force a progress bar or silence; None shows one for large files.

    Raises
    ------
    NotInArchive
        The archive has no such file: the field was not observed in that filter.
    ArchiveError
        The archive did not give it, after all retries.
    """
    return _from_first(
        hosts,
        path,
        lambda archive, place: transport.fetch(archive, place, check=check_fits_image, resume=True, max_bytes=MAX_MOSAIC_BYTES, progress=progress),
    )


def open_mosaic(
    transport: Transport, path: str, *, read: ranges.Read = "auto", hosts: Sequence[str] = ("mast",), progress: bool | None = None
) -> ranges.Remote | Fetched:
    """One mosaic, of which only the header is fetched; its pixels are `ranges.fetch_windows`'s.

    Parameters
    ----------
    transport, path, hosts, progress
        As in `fetch_mosaic`.
    read
        ``ranges`` or ``auto``; see `range_plan`.

    Returns
    -------
    ranges.Remote or Fetched
        Whole, where it is in the cache or the mirror already, or where the host serves no ranges.

    Raises
    ------
    NotInArchive, ArchiveError
        As `fetch_mosaic`.
    """

    def attempt(archive: str, place: str) -> ranges.Remote | Fetched:
        if not ranges.whole_copy(transport, archive, place):
            try:
                return ranges.open_remote(transport, archive, place, read=read)
            except ranges.RangesUnsupported as reason:
                log.warning("%s; so it is", reason)
        return transport.fetch(archive, place, check=check_fits_image, resume=True, max_bytes=MAX_MOSAIC_BYTES, progress=progress)

    return _from_first(hosts, path, attempt)


def _from_first(hosts: Sequence[str], path: str, attempt: Callable[[str, str], T]) -> T:
    """What the first host gives that gives anything. That the archive itself has no such file is an answer, and no other host is asked."""
    if unknown := sorted(set(hosts) - set(HOSTS)):
        raise ArchiveError(f"no host {unknown[0]!r} of MAST's files; there are {', '.join(HOSTS)}")
    faults: dict[str, ArchiveError] = {}
    for archive in hosts:
        try:
            return attempt(archive, s3_path(path) if archive == "s3" else path)
        except NotInArchive as error:
            if archive == "mast":
                raise
            faults[archive] = error
        except ArchiveError as error:
            faults[archive] = error
            log.warning("%s: %s", archive, error)
    raise faults.get("mast", next(iter(faults.values()), ArchiveError("no host was given to ask for mosaics")))


def _clash(field: str) -> str:
    # ".." would fit the pattern of a token, and climb out of the directory.
    if not re.fullmatch(r"(?!\.+$)[A-Za-z0-9._-]+", field):
        raise ArchiveError(f"field {field!r} cannot be part of a path; a field is letters, digits, '.', '_' and '-', such as 'macs2129'")
    return CLASH_DIRECTORY.format(field=field)


def _instrument(band: str) -> str:
    if band not in INSTRUMENTS:
        raise ArchiveError(f"no band {band!r}; there are {', '.join(INSTRUMENTS)}")
    return INSTRUMENTS[band]


def _collection(name: str) -> tuple[MosaicPaths, DetectionPaths]:
    if name not in COLLECTIONS:
        raise ArchiveError(f"no collection {name!r}; there are {', '.join(sorted(COLLECTIONS))}")
    return COLLECTIONS[name]
