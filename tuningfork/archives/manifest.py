"""All mosaics of one field: fetched into the cache, and listed with where they lie and which of them the archive does not have."""

from collections.abc import Iterable
from typing import Any

from tuningfork.archives import mast
from tuningfork.archives.transport import Transport
from tuningfork.errors import NotInArchive


def fetch_field(transport: Transport, *, collection: str, field: str, bands: Iterable[str], weights: bool) -> dict[str, Any]:
    """Fetch the mosaics of a field, and say of each where it lies.

    Parameters
    ----------
    transport
        An open transport.
    collection, field, bands
        As in `mast.mosaic_paths`.
    weights
        Fetch the weight maps too.

    Returns
    -------
    dict
        ``field``, ``bands`` {band: entry} and ``detection`` (an entry). An entry has ``status`` (``ok``, or ``absent`` where the archive has no
        such mosaic), and for an image that is there ``image``, ``weight`` (paths in the cache or None), ``sha256``, ``weight_sha256``, ``path``
        (in the archive). No times: the same files give the same manifest.

    Raises
    ------
    ArchiveError
        A mosaic could not be fetched, for another reason than that the archive has none.
    """
    return {
        "field": field,
        "bands": {band: _entry(transport, mast.mosaic_paths(collection, field, band), weights) for band in bands},
        "detection": _entry(transport, mast.detection_paths(collection, field), weights),
    }


def _entry(transport: Transport, paths: dict[str, str], weights: bool) -> dict[str, Any]:
    try:
        image = mast.fetch_mosaic(transport, paths["image"])
    except NotInArchive:
        return {"status": "absent", "image": None, "weight": None, "sha256": None, "weight_sha256": None, "path": paths["image"]}
    weight = None
    if weights:
        try:
            weight = mast.fetch_mosaic(transport, paths["weight"])
        except NotInArchive:
            weight = None  # the image alone is still of use: unobserved pixels are then told by zeros and NaN
    return {
        "status": "ok",
        "image": str(image.path),
        "weight": str(weight.path) if weight else None,
        "sha256": image.sidecar["sha256"],
        "weight_sha256": weight.sidecar["sha256"] if weight else None,
        "path": paths["image"],
    }
