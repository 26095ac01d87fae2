"""CDS: its static files, and MOCs of the surveys as the MOC server gives them."""

import functools
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy_healpix import HEALPix
from mocpy import MOC

from tuningfork.sky.services.messages import Ask, Reply
from tuningfork.sky.services.static import StaticFiles
from tuningfork.sky.wide.surveys import LAYERS

ORDER = 8
"""HEALPix order of the maps: cells of a quarter of a degree, as the surveys' bricks."""

DATA_SETS = {
    "CDS/P/SDSS": "sdss",
    "CDS/P/DES-": "des-dr1",
    "CDS/P/DECaLS": "ls-dr9-south",
    "CDS/P/DESI-Legacy-Surveys": "ls-dr9-south",
    "CDS/P/BASS": "ls-dr9-north",
    "CDS/P/HSC": "hsc-dr2",
    "CDS/P/unWISE": "unwise-neo7",
}
"""Beginning of a data set's identifier at CDS -> layer of the same survey [M: the identifiers]."""


class Footprints:
    """``/MocServer/query?ID=<data set>&get=moc&fmt=fits`` [M: path and parameters], and files by their path.

    Parameters
    ----------
    files : mapping
        Path -> (file, SHA-256).
    """

    def __init__(self, files: Mapping[str, tuple[Path, str]]) -> None:
        self.static = StaticFiles(files)

    def answer(self, ask: Ask) -> Reply:
        """A map, a file, or 404."""
        if ask.path.lower().rstrip("/") != "/mocserver/query":
            return self.static.answer(ask)
        form = ask.form_caseless()
        layer = next((layer for start, layer in DATA_SETS.items() if form.get("id", "").startswith(start)), None)
        if layer is None or form.get("get", "") != "moc":
            return Reply(404, b"No data set matches.\n", "text/plain; charset=UTF-8")
        return Reply(200, footprint(layer), "application/fits")

    def example(self) -> str:
        """The map of the SDSS."""
        return "/MocServer/query?ID=CDS/P/SDSS9/color&get=moc&fmt=fits"


@functools.cache
def footprint(layer: str) -> bytes:
    """FITS file of the MOC of a layer: cells of `ORDER` whose centre the survey observed, or whose corner is near enough to one that it did."""
    grid = HEALPix(2**ORDER, order="nested", frame="icrs")
    cells = np.arange(grid.npix, dtype=np.uint64)
    lon, lat = (value.to_value(u.deg) for value in grid.healpix_to_lonlat(cells.astype(np.int64)))
    step = np.degrees(np.sqrt(grid.pixel_area.to_value(u.sr)))
    inside = np.zeros(len(cells), dtype=bool)
    for east in (-step, 0, step):
        for north in (-step, 0, step):
            inside |= LAYERS[layer].covers(lon + east / np.maximum(np.cos(np.radians(lat)), 0.01), lat + north)
    moc = MOC.from_healpix_cells(cells[inside], np.full(int(inside.sum()), ORDER, dtype=np.uint8), ORDER)
    hdus = moc.serialize(format="fits")
    for hdu in hdus:
        hdu.header["SIMULATE"] = (True, "footprint of a simulated survey")
    out = BytesIO()
    fits.HDUList(hdus).writeto(out)
    return out.getvalue()
