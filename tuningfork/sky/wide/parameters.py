"""What the sky of the wide surveys is made from: one frozen set of numbers, and the digest that names a rendering of it."""

from dataclasses import asdict, dataclass

import numpy as np

from tuningfork.errors import ConfigError
from tuningfork.files import digest_of

RENDERING = 1
"""Version of the recipe: raised whenever the same parameters would give other bytes or other pixels."""

FEWEST = 20


@dataclass(frozen=True)
class WideParameters:
    """How many galaxies each published catalogue has.

    Attributes
    ----------
    seed : int
        Seed of every random number; the same seed gives the same bytes.
    sdss_galaxies : int
        Galaxies with an SDSS spectrum and a metallicity (some fail the cuts of the published query, about 2 % have a second spectrum).
    lsb_galaxies : int
        Low-surface-brightness galaxies of DES, and as many objects in each of its two lists of artifacts.
    hsc_galaxies : int
        Low-surface-brightness galaxies of HSC, and as many artifacts.
    decals_galaxies : int
        Galaxies of Galaxy Zoo DECaLS; about half of them lie where DECaLS and BASS+MzLS overlap.
    galaxy10_images : int
        Images of the Galaxy10 file.
    """

    seed: int = 1
    sdss_galaxies: int = 1400
    lsb_galaxies: int = 700
    hsc_galaxies: int = 260
    decals_galaxies: int = 1500
    galaxy10_images: int = 900

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ConfigError(f"survey_sky.seed: {self.seed} is negative")
        for name in ("sdss_galaxies", "lsb_galaxies", "hsc_galaxies", "decals_galaxies", "galaxy10_images"):
            if getattr(self, name) < FEWEST:
                raise ConfigError(f"survey_sky.{name}: {getattr(self, name)} is too few for every class to occur; give at least {FEWEST}")

    def key(self) -> str:
        """Hex digest of all parameters and of the recipe's version."""
        return digest_of({"rendering": RENDERING, "kind": "wide", **asdict(self)})

    def generator(self, *stream: str) -> np.random.Generator:
        """An independent random generator for a named purpose (so that one more sample leaves the others as they were)."""
        return np.random.default_rng([self.seed, *(int(digest_of(name)[:8], 16) for name in stream)])
