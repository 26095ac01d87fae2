"""Galaxy10 DECaLS (Leung & Bovy; Zenodo 10845026): 17,736 colour pictures with one of ten classes, in one HDF5 file of 2.5 GB.

The pictures are of the Legacy Surveys' DR8: those north of declination 32.375 come from BASS and MzLS, not from DECaLS, which makes
``north`` a natural test of a change of survey. Objects within 10 arcsec share their `galaxy_id` (reference/science.md, 7).
"""

import contextlib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from astropy.table import Table

from tuningfork.catalogues import assemble, positions
from tuningfork.catalogues import columns as common
from tuningfork.errors import CatalogueError

RECORD = 10845026
FILE = "Galaxy10_DECals.h5"
SHA256 = "19aefc477c41bb7f77ff07599a6b82a038dc042f889a111b0d4d98bb755c1571"
BIBCODE = ["2019MNRAS.483.3255L", "2022MNRAS.509.3966W"]
DOI = "10.5281/zenodo.10845026"
CLASSES = (
    "disturbed",
    "merging",
    "round_smooth",
    "in_between_smooth",
    "cigar_smooth",
    "barred_spiral",
    "unbarred_tight_spiral",
    "unbarred_loose_spiral",
    "edge_on_no_bulge",
    "edge_on_with_bulge",
)
PIXELS, CHANNELS = 256, 3
NORTH_DEC = 32.375
SAME_GALAXY_ARCSEC = 10.0
ROWS_AT_ONCE = 256
MAX_ROWS = 1_000_000
MAX_CHUNK_BYTES = 2**28
DATASETS = ("images", "ans", "ra", "dec", "redshift", "pxscale")
COLUMNS: dict[str, common.Info] = {
    **{name: common.COLUMNS[name] for name in ("object_id", "galaxy_id", "ra", "dec", "redshift", "label")},
    "row": (None, "meta.number", "Row in the HDF5 file, from 0"),
    "ans": (None, "meta.code.class;src.morph.type", "Number of the class, 0 to 9"),
    "pxscale": ("arcsec/pix", "instr.scale", "Pixel scale of the picture"),
    "north": (None, "meta.code", "True north of declination 32.375: BASS and MzLS; else DECaLS"),
}


def standardise(raw: Table) -> Table:
    """Turn the table of the HDF5 file into the common columns.

    Parameters
    ----------
    raw : Table
        ``ans``, ``ra``, ``dec``, ``redshift``, ``pxscale``, one row a picture in the file's order.

    Returns
    -------
    Table
        ``object_id`` = ``galaxy10_<row>``; ``galaxy_id`` that of the first of all objects within 10 arcsec (friends of friends).

    Raises
    ------
    CatalogueError
        A column is missing, a class is none of the ten, a row has no position, or redshift equals declination in every row, as it does in a
        CSV copy that is in use.
    """
    where = "galaxy10"
    numbers = {name: common.floats(raw[common.find(raw, name, where)], where) for name in DATASETS[1:]}
    answer = np.ma.filled(numbers["ans"], -1)
    if not np.isin(answer, np.arange(len(CLASSES))).all():
        raise CatalogueError(f"{where}: row {int(np.argmin(np.isin(answer, np.arange(len(CLASSES)))))} has no class of 0 to {len(CLASSES) - 1}")
    if len(raw) > 1 and np.ma.allequal(numbers["redshift"], numbers["dec"], fill_value=False):
        raise CatalogueError(
            f"{where}: 'redshift' is the declination in every row, as in a damaged copy of the coordinates; take the HDF5 file of Zenodo {RECORD}"
        )
    table = Table()
    table["object_id"] = np.array([f"galaxy10_{row}" for row in range(len(raw))], dtype=str)
    table["ra"], table["dec"] = (np.ma.filled(numbers[name], np.nan) for name in ("ra", "dec"))
    assemble.refuse_no_position(table, where)
    first = positions.groups_within(table["ra"], table["dec"], SAME_GALAXY_ARCSEC)
    table.add_column(np.asarray(table["object_id"])[first], name="galaxy_id", index=1)
    table["redshift"] = common.masked_column(np.ma.masked_less(numbers["redshift"], 0))
    table["label"] = np.array(CLASSES)[answer.astype(int)]
    table["ans"], table["row"] = answer.astype(np.int64), np.arange(len(raw))
    table["pxscale"] = common.masked_column(numbers["pxscale"])
    table["north"] = np.asarray(table["dec"]) > NORTH_DEC
    return assemble.finish(table, raw, where, COLUMNS, doi=DOI, bibcode=BIBCODE)


def read_coordinates(path: Path) -> Table:
    """Everything but the pictures.

    Raises
    ------
    CatalogueError
        The file is no HDF5 file, lacks a data set, or they differ in length.
    """
    with _opened(path) as file:
        lengths = {name: len(file[name]) for name in (*DATASETS[1:], "images")}
        if len(set(lengths.values())) != 1:
            raise CatalogueError(f"{path}: the data sets differ in length: {', '.join(f'{name} {n}' for name, n in lengths.items())}")
        return Table({name: np.asarray(file[name]) for name in DATASETS[1:]})


def read_images(path: Path, rows: Sequence[int] | np.ndarray) -> np.ndarray:
    """Pictures out of the HDF5 file, without reading the others.

    Parameters
    ----------
    path : Path
        The file.
    rows : sequence of int, shape (N,)
        Rows of the file, from 0, in any order; some may stand twice.

    Returns
    -------
    uint8 array, shape (N, 256, 256, 3)
        In the order asked; channels as in the file (red, green, blue = z, r, g).

    Raises
    ------
    CatalogueError
        As `read_coordinates`; a row is not in the file, or the pictures have another shape.
    """
    rows = np.asarray(rows, dtype=np.int64)
    with _opened(path) as file:
        images = file["images"]
        if images.shape[1:] != (PIXELS, PIXELS, CHANNELS) or images.dtype != np.uint8:
            raise CatalogueError(f"{path}: its images are {images.dtype} {images.shape[1:]}, not uint8 ({PIXELS}, {PIXELS}, {CHANNELS})")
        if len(rows) and not (rows.min() >= 0 and rows.max() < len(images)):
            raise CatalogueError(f"{path}: it has rows 0 to {len(images) - 1}; {rows.min()} to {rows.max()} were asked")
        unique, inverse = np.unique(rows, return_inverse=True)
        made = np.empty((len(unique), PIXELS, PIXELS, CHANNELS), np.uint8)
        for start in range(0, len(unique), ROWS_AT_ONCE):
            # HDF5 wants increasing rows; a few at a time bound what it holds.
            made[start : start + ROWS_AT_ONCE] = images[unique[start : start + ROWS_AT_ONCE]]
    return made if np.array_equal(unique, rows) else made[inverse]


def file_path(transport: Any) -> Path:
    """The HDF5 file in the cache, fetched if need be; its SHA-256 is checked in the live realm. Errors as `zenodo.fetch_file`."""
    return _file(transport).path


def fetch(transport: Any) -> Table:
    """Fetch the file from Zenodo and read everything but its pictures; errors as `zenodo.fetch_file`, `read_coordinates` and `standardise`."""
    fetched = _file(transport)
    raw = read_coordinates(fetched.path)
    raw.meta = {"origin": assemble.file_origin(fetched, transport)}
    return standardise(raw)


def _file(transport: Any) -> Any:
    from tuningfork.archives import zenodo

    return zenodo.fetch_file(transport, RECORD, FILE, sha256=SHA256)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    """The file, looked at before it is read; whatever h5py says of a damaged one becomes a `CatalogueError`."""
    try:
        with h5py.File(path, "r") as file:
            found = list(file)
            if missing := [name for name in DATASETS if name not in found]:
                raise CatalogueError(f"{path}: no data set {', '.join(missing)}; it has {', '.join(found) or 'none'}")
            for name in DATASETS:
                if problem := _suspicious(file, name):
                    raise CatalogueError(f"{path}: {name} {problem}; refused")
            yield file
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise CatalogueError(f"{path}: not a readable HDF5 file ({error})") from error


def _suspicious(file: h5py.File, name: str) -> str:
    """Why a data set is not read: it would open other files, is no plain numbers, or would fill the memory. '' for an honest one."""
    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        return "is a link to elsewhere"
    found = file[name]
    if not isinstance(found, h5py.Dataset):
        return "is no data set"
    if found.is_virtual or found.external:
        return "has its data in other files"
    if found.dtype.kind not in "fiu" or found.ndim != (4 if name == "images" else 1):
        return f"is {found.dtype} of {found.ndim} dimensions, and no plain numbers"
    if len(found) > MAX_ROWS:
        return f"promises {len(found)} rows, more than {MAX_ROWS}"
    if math.prod(found.chunks or (1,)) * found.dtype.itemsize > MAX_CHUNK_BYTES:
        return f"has chunks of {found.chunks}, more than {MAX_CHUNK_BYTES} bytes each"
    return ""
