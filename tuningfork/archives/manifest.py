"""All mosaics of one field: fetched into the cache or only opened, and listed with where they lie and which of them the archive does not have."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal

from tuningfork.archives import mast, ranges
from tuningfork.archives.request import Fetched
from tuningfork.archives.transport import Transport
from tuningfork.errors import NotInArchive

Read = Literal["whole", "ranges", "auto"]

_NOTHING = {"image": None, "weight": None, "sha256": None, "weight_sha256": None, "remote": None}


def fetch_field(
    transport: Transport,
    *,
    collection: str,
    field: str,
    bands: Iterable[str],
    weights: bool,
    read: Read = "whole",
    detection: bool = True,
    hosts: Sequence[str] = ("mast",),
) -> dict[str, Any]:
    """Fetch the mosaics of a field, and say of each where it lies.

    Parameters
    ----------
    transport
        An open transport.
    collection, field, bands
        As in `mast.mosaic_paths`.
    weights
        Fetch the weight maps too.
    read
        ``whole``: download the files. ``ranges`` or ``auto``: of the bands fetch only the headers; pixels follow when it is known which are
        wanted (`tuningfork.stamps.remote.fetch_stamps`), by byte ranges, or, for ``auto``, whole where that is no slower (see `range_plan`). What
        is in the cache or the mirror already, or cannot be had in parts, is whole here too.
    detection
        Fetch the detection image, always whole: galaxies all over it are measured. Without, its status is ``not fetched``.
    hosts
        Which of `mast.HOSTS` to ask, in this order.

    Returns
    -------
    dict
        ``field``, ``bands`` {band: entry} and ``detection`` (an entry). An entry has ``status`` (``ok``, or ``absent`` where the archive has no
        such mosaic), and for an image that is there ``image``, ``weight`` (paths in the cache or None), ``sha256``, ``weight_sha256`` (None for
        what is not whole), ``path`` (in the archive) and ``remote``: None, or {"image": record, "weight": record} of what is only opened (see
        `ranges.Remote.record`; None for one that is whole). The paths of opened mosaics are of partial copies, in which what was not fetched
        cannot be read. No times: the same files give the same manifest.

    Raises
    ------
    ArchiveError
        A mosaic could not be fetched, for another reason than that the archive has none.
    """
    # The detection image first: where it is one of the bands, that band is then whole already, and not opened a second time.
    paths = mast.detection_paths(collection, field)
    found = _entry(transport, paths, weights, "whole", hosts) if detection else {"status": "not fetched", **_NOTHING, "path": paths["image"]}
    return {
        "field": field,
        "bands": {band: _entry(transport, mast.mosaic_paths(collection, field, band), weights, read, hosts) for band in bands},
        "detection": found,
    }


def _entry(transport: Transport, paths: dict[str, str], weights: bool, read: Read, hosts: Sequence[str]) -> dict[str, Any]:
    try:
        image = _get(transport, paths["image"], read, hosts)
    except NotInArchive:
        return {"status": "absent", **_NOTHING, "path": paths["image"]}
    weight = None
    if weights:
        try:
            weight = _get(transport, paths["weight"], read, hosts)
        except NotInArchive:
            weight = None  # the image alone is still of use: unobserved pixels are then told by zeros and NaN
    files = {"image": image, "weight": weight}
    records = {name: file.record if isinstance(file, ranges.Remote) else None for name, file in files.items()}
    return {
        "status": "ok",
        "image": _place(image),
        "weight": _place(weight),
        "sha256": _digest(image),
        "weight_sha256": _digest(weight),
        "path": paths["image"],
        "remote": records if any(records.values()) else None,
    }


def _get(transport: Transport, path: str, read: Read, hosts: Sequence[str]) -> Fetched | ranges.Remote:
    if read == "whole":
        return mast.fetch_mosaic(transport, path, hosts=hosts)
    return mast.open_mosaic(transport, path, read=read, hosts=hosts)


def _place(file: Fetched | ranges.Remote | None) -> str | None:
    if file is None:
        return None
    return str(file.file if isinstance(file, ranges.Remote) else file.path)


def _digest(file: Fetched | ranges.Remote | None) -> str | None:
    return file.sidecar["sha256"] if isinstance(file, Fetched) else None
