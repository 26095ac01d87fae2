"""The Galaxy10 DECaLS file: colour pictures of galaxies of ten classes, as the viewer's DR8 layer shows them, some galaxies twice, a third from the north."""

import io
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from PIL import Image
from tqdm import tqdm

from tuningfork.files import atomic_path
from tuningfork.sky.wide.galaxies import Galaxies, parts_of
from tuningfork.sky.wide.image import WideSky
from tuningfork.sky.wide.parameters import WideParameters
from tuningfork.sky.wide.surveys import NORTH_SOUTH
from tuningfork.sky.wide.zoo import GALAXY10_COUNTS, draw

PIXELS = 256
PXSCALE = 0.262
LAYER = "ls-dr8"

_AT_ONCE = 48
"""Pictures in memory at a time."""

_NORTH = 6462 / 17736
_TWICE = 59 / 17736
"""Real fractions north of `NORTH_SOUTH`, and in pairs within half an arcsec (reference/science.md, 7)."""


@dataclass(frozen=True)
class Galaxy10Sample:
    """One row a picture: class, place (degrees), redshift, number of its galaxy; and the galaxies with their light."""

    answer: np.ndarray
    ra: np.ndarray
    dec: np.ndarray
    redshift: np.ndarray
    galaxy: np.ndarray
    galaxies: Galaxies
    parts: np.ndarray


def sample(parameters: WideParameters, first: int) -> Galaxy10Sample:
    """The pictures' objects, classes in the proportions of the published file; parts numbered from `first`."""
    rng = parameters.generator("galaxy10", "galaxies")
    pictures = parameters.galaxy10_images
    twice = max(round(_TWICE * pictures), 1)
    number = pictures - twice
    share = GALAXY10_COUNTS / GALAXY10_COUNTS.sum() * number
    kind = np.repeat(np.arange(10), np.maximum(np.floor(share).astype(int), 1))
    kind = np.concatenate([kind, rng.choice(10, max(number - len(kind), 0), p=share / share.sum())])[:number]
    north = rng.random(number) < _NORTH
    dec = np.where(north, rng.uniform(NORTH_SOUTH + 0.05, 60, number), rng.uniform(-8, NORTH_SOUTH - 0.05, number))
    r = np.clip(17.4 - rng.exponential(0.85, number), 13.5, 17.4)
    redshift = np.clip(0.12 * rng.beta(1.8, 3.0, number), 0.01, 0.15)
    galaxies = draw(rng, kind, rng.uniform(112, 260, number), dec, r, redshift)
    galaxy = np.concatenate([np.arange(number), rng.choice(number, twice, replace=False)])
    galaxy = galaxy[np.argsort(kind[galaxy], kind="stable")]  # the published file is sorted by class
    off = rng.normal(0, 0.1, (2, pictures)) / 3600
    ra, dec = galaxies.ra[galaxy] + off[0], galaxies.dec[galaxy] + off[1]
    return Galaxy10Sample(
        kind[galaxy], ra, dec, galaxies.redshift[galaxy], galaxy, galaxies, parts_of(parameters.generator("galaxy10", "parts"), galaxies, first)
    )


def write(sky: WideSky, made: Galaxy10Sample, path: str | os.PathLike[str], progress: bool = False) -> None:
    """Render the pictures, compress them as JPEGs as the viewer does, and write the HDF5 file (the same bytes every time)."""
    number = len(made.answer)
    with atomic_path(Path(path)) as part, h5py.File(part, "w", libver=("v110", "v110")) as file:
        file.attrs["simulated"] = True
        images = file.create_dataset(
            "images", (number, PIXELS, PIXELS, 3), "u1", chunks=(1, PIXELS, PIXELS, 3), compression="gzip", compression_opts=1, track_times=False
        )
        with (
            ThreadPoolExecutor(max(min(os.cpu_count() or 1, 4), 1)) as workers,
            tqdm(total=number, desc="Galaxy10 pictures", unit="picture", disable=not progress, leave=False) as bar,
        ):
            for start in range(0, number, _AT_ONCE):
                rows = range(start, min(start + _AT_ONCE, number))
                images[start : rows.stop] = np.stack(list(workers.map(lambda k: _picture(sky, float(made.ra[k]), float(made.dec[k])), rows)))
                bar.update(len(rows))
        columns = {"ans": made.answer.astype("u1"), "ra": made.ra, "dec": made.dec, "redshift": made.redshift, "pxscale": np.full(number, PXSCALE)}
        for name, values in columns.items():
            file.create_dataset(name, data=values, track_times=False)


def _picture(sky: WideSky, ra: float, dec: float) -> np.ndarray:
    picture = sky.jpeg(LAYER, ra, dec, arcsec_per_pixel=PXSCALE, width=PIXELS, height=PIXELS)
    if picture is None:
        raise ValueError(f"Galaxy10: no survey has images at {ra:.5f} {dec:+.5f}")
    compressed = io.BytesIO()
    Image.fromarray(picture).save(compressed, "JPEG", quality=90)
    return np.asarray(Image.open(compressed).convert("RGB"))
