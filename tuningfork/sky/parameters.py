"""What the simulated sky is made from: one frozen set of numbers, and the digest that names a rendering of it."""

from dataclasses import asdict, dataclass

import numpy as np

from tuningfork.errors import ConfigError
from tuningfork.files import digest_of
from tuningfork.sky.bands import BANDS

RENDERING = 1
"""Version of the recipe: raised whenever the same parameters would give other bytes."""

CLASSES = ("p_smooth", "p_features", "p_irregular", "p_point_source", "p_unclassifiable")
"""Order of the five classes everywhere, as in the published label files."""


@dataclass(frozen=True)
class SkyParameters:
    """Size, depth and crowding of the simulated sky.

    Attributes
    ----------
    seed : int
        Seed of every random number; the same seed gives the same bytes.
    goodss_side_px : int
        Side of the GOODS-S F160W mosaic in pixels of 0.06 arcsec.
    goodss_density : float
        Galaxies and stars with H < 24.5 per square arcminute. (The real field has about 45; 58 keeps the default mosaic small.)
    clusters : tuple of str
        Tokens of the fictitious clusters; each must start with ``SIM-``, so that no simulated result can pass as real.
    cluster_side_px : int
        Side of a cluster's mosaics in pixels of 0.065 arcsec.
    cluster_density : float
        Catalogued objects with F160W < 24.5 per square arcminute (84 in the whole catalogue of MACS2129, more in its centre).
    bands : tuple of str
        Filters of the clusters, lower case.
    absent : tuple of (cluster, band)
        Mosaics that the archive does not have (HTTP 404).
    clash_labels : int
        Rows of the CLASH label file, spread evenly over the bands as far as there are galaxies bright enough.
    classifiers : tuple of (int, int)
        Fewest and most people who look at a CANDELS galaxy.
    clash_classifiers : tuple of (int, int)
        The same for a CLASH stamp.
    many_votes : float
        Fraction of the CANDELS galaxies that 40 people look at.
    candels_offset_arcsec : tuple of float
        Median (RA cos Dec, Dec) of the published CANDELS positions minus those of the mosaic.
    """

    seed: int = 1
    goodss_side_px: int = 4700
    goodss_density: float = 58.0
    clusters: tuple[str, ...] = ("SIM-A", "SIM-B", "SIM-C", "SIM-D", "SIM-E")
    cluster_side_px: int = 1000
    cluster_density: float = 95.0
    bands: tuple[str, ...] = ("f275w", "f475w", "f606w", "f814w", "f110w", "f140w", "f160w")
    absent: tuple[tuple[str, str], ...] = (("SIM-E", "f475w"),)
    clash_labels: int = 900
    classifiers: tuple[int, int] = (3, 5)
    clash_classifiers: tuple[int, int] = (5, 9)
    many_votes: float = 0.03
    candels_offset_arcsec: tuple[float, float] = (0.09, -0.26)

    def __post_init__(self) -> None:
        for name in ("clusters", "bands", "classifiers", "clash_classifiers", "candels_offset_arcsec"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        object.__setattr__(self, "absent", tuple((str(cluster), str(band)) for cluster, band in self.absent))
        wrong = [token for token in self.clusters if not token.startswith("SIM-") or "_" in token or "/" in token]
        if wrong or len(set(self.clusters)) != len(self.clusters):
            fault = ", ".join(wrong) or "a name is given twice"
            raise ConfigError(f"sky.clusters: {fault}; each simulated cluster needs its own name that starts with SIM- and has no '_' or '/'")
        unknown = [band for band in self.bands if band not in BANDS]
        if unknown:
            raise ConfigError(f"sky.bands: no filter {', '.join(unknown)}; known are {', '.join(BANDS)}")
        if "f160w" not in self.bands:
            raise ConfigError("sky.bands: f160w is needed (magnitudes and sizes are drawn in it)")
        if min(self.goodss_side_px, self.cluster_side_px) < 200:
            raise ConfigError("sky: a mosaic needs at least 200 pixels a side")
        if min(self.goodss_density, self.cluster_density) <= 0 or self.clash_labels < 1:
            raise ConfigError("sky: densities and clash_labels must be positive")
        for name in ("classifiers", "clash_classifiers"):
            low, high = getattr(self, name)
            if not 1 <= low <= high:
                raise ConfigError(f"sky.{name}: ({low}, {high}) is not a range of at least one person")

    def key(self) -> str:
        """Hex digest of all parameters and of the recipe's version."""
        return digest_of({"rendering": RENDERING, **asdict(self)})

    def generator(self, *stream: str) -> np.random.Generator:
        """An independent random generator for a named purpose (so that one more band leaves the others' noise as it was)."""
        return np.random.default_rng([self.seed, *(int(digest_of(name)[:8], 16) for name in stream)])
