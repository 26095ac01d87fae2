"""The surveys as instruments: layer by layer bands, pixels, sharpness, depth, pass-bands, the stretch of the JPEGs and where on the sky they looked.

Scales, layer names, SURVEY and VERSION are those of reference/archives.md, sections 3.2, 4 and 5; seeing and depths are typical published values, rounded;
footprints are boxes that imitate the real ones. Fluxes of the sky are in the SDSS-like system of `ALL_BANDS`; `Layer.offset` holds what another survey's
pass-band measures, so that north and south, DES and HSC differ as different filters do.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

ALL_BANDS = ("u", "g", "r", "i", "z", "y", "1", "2")
"""Bands of every flux in the sky (AB nanomaggies); 1 and 2 are W1 and W2."""

Box = tuple[float, float, float, float]
"""RA from, RA to (degrees, from < to), Dec from, Dec to."""

NORTH_SOUTH = 32.375
"""Declination in degrees that separates DECaLS from BASS and MzLS in the merged layers (reference/archives.md, 4)."""

MOFFAT_BETA = 3.0


@dataclass(frozen=True)
class Layer:
    """One layer of images.

    Attributes
    ----------
    name, survey, version : str
        Name of the layer, and what its FITS files say as SURVEY and VERSION.
    bands : tuple of str
        All bands; a request for an unknown one gets `default_bands`.
    default_bands : tuple of str
    pixscale : float
        Native pixel in arcsec.
    fwhm, depth : mapping of str to float
        Seeing (Moffat, arcsec) and 5-sigma point-source depth (AB mag) by band.
    colour_term : mapping
        Band -> (reddest minus bluest pair of `ALL_BANDS`, slope, constant): magnitude here = magnitude in the sky + slope * colour + constant.
    boxes : tuple of Box
        Where the survey has bricks.
    gaps : float
        Fraction of bricks of which a strip is missing in one band.
    rgb : mapping
        Band -> (plane 0 red .. 2 blue, scale) of the JPEGs.
    black : float
        What is added before the stretch (``m``).
    shares : str
        The layer of which this is another release.
    calibration : mapping
        Band -> what one AB nanomaggy is in the layer's own FITS files; 1 where not given. The viewer passes HSC's zero point of 27 and the Vega
        magnitudes of unWISE on as they are [M].
    """

    name: str
    survey: str
    version: str
    bands: tuple[str, ...]
    default_bands: tuple[str, ...]
    pixscale: float
    fwhm: Mapping[str, float]
    depth: Mapping[str, float]
    boxes: tuple[Box, ...]
    rgb: Mapping[str, tuple[int, float]]
    black: float = 0.03
    colour_term: Mapping[str, tuple[str, str, float, float]] = field(default_factory=dict)
    gaps: float = 0.03
    shares: str = ""
    calibration: Mapping[str, float] = field(default_factory=dict)

    @property
    def exposures(self) -> str:
        """Name of the layer whose exposures these are: two releases of one survey show the same noise and the same gaps."""
        return self.shares or self.name

    def noise(self, band: str) -> float:
        """Rms of uncorrelated sky noise in nanomaggies per native pixel that gives the depth of `band` (noise-equivalent area of a Moffat profile)."""
        alpha = self.fwhm[band] / (2 * np.sqrt(2 ** (1 / MOFFAT_BETA) - 1)) / self.pixscale
        area = np.pi * alpha**2 * (2 * MOFFAT_BETA - 1) / (MOFFAT_BETA - 1) ** 2
        return float(10 ** (-0.4 * (self.depth[band] - 22.5)) / 5 / np.sqrt(area))

    def covers(self, ra: np.ndarray | float, dec: np.ndarray | float) -> np.ndarray:
        """Whether positions (degrees) lie inside the survey's boxes."""
        ra, dec = np.asarray(ra, dtype=float) % 360, np.asarray(dec, dtype=float)
        inside = np.zeros(np.broadcast(ra, dec).shape, dtype=bool)
        for low, high, south, north in self.boxes:
            inside |= (ra >= low) & (ra < high) & (dec >= south) & (dec < north)
        return inside

    def fluxes(self, flux: np.ndarray, bands: tuple[str, ...]) -> np.ndarray:
        """What this survey measures of `flux` (n, 8) in its own `bands`, nanomaggies, shape (n, bands); sources without a colour keep their flux."""
        measured = np.empty((len(flux), len(bands)), dtype=np.float32)
        for column, band in enumerate(bands):
            values = flux[:, ALL_BANDS.index(band)]
            if band in self.colour_term:
                blue, red, slope, constant = self.colour_term[band]
                first, second = flux[:, ALL_BANDS.index(blue)], flux[:, ALL_BANDS.index(red)]
                known = (first > 0) & (second > 0)
                colour = np.where(known, 2.5 * np.log10(np.where(known, second, 1.0) / np.where(known, first, 1.0)), 0.0)
                values = values * 10 ** (-0.4 * (slope * np.clip(colour, -0.5, 2.0) + constant))
            measured[:, column] = values
        return measured


_DECAM = {"g": ("g", "r", -0.10, 0.01), "r": ("g", "r", -0.13, 0.03), "z": ("r", "z", -0.06, 0.01)}
_BASS = {"g": ("g", "r", -0.03, 0.0), "r": ("g", "r", -0.04, 0.02), "z": ("r", "z", -0.02, -0.02)}
_HSC = {"g": ("g", "r", -0.07, -0.01), "r": ("g", "r", -0.01, 0.0), "i": ("r", "z", -0.06, 0.01), "z": ("r", "z", -0.01, 0.02)}
_GRZ = {"g": (2, 6.0), "r": (1, 3.4), "z": (0, 2.2)}

_CAP: Box = (100.0, 275.0, -12.0, 34.5)
_DES_BOXES: tuple[Box, ...] = ((0.0, 60.0, -62.0, 5.0), (60.0, 95.0, -62.0, -25.0), (300.0, 360.0, -62.0, -42.0))
_SOUTH: tuple[Box, ...] = (_CAP, (0.0, 60.0, -64.0, 34.5), (60.0, 100.0, -64.0, -15.0), (300.0, 360.0, -64.0, 34.5))
_NORTH: tuple[Box, ...] = ((90.0, 300.0, 32.0, 84.0),)

SDSS = Layer(
    "sdss", "SDSS", "DR13", ("u", "g", "r", "i", "z"), ("g", "r", "i"), 0.396,
    {"u": 1.45, "g": 1.38, "r": 1.30, "i": 1.24, "z": 1.24}, {"u": 22.1, "g": 23.1, "r": 22.7, "i": 22.2, "z": 20.7},
    ((112.0, 262.0, -4.0, 62.0), (0.0, 45.0, -10.0, 34.0), (315.0, 360.0, -10.0, 34.0)), {"i": (0, 1.0), "r": (1, 1.5), "g": (2, 2.5)}, 0.02, gaps=0.0,
)  # fmt: skip
DES_DR1 = Layer(
    "des-dr1", "DES", "DR1", ("g", "r", "i", "z"), ("g", "r", "z"), 0.263,
    {"g": 1.12, "r": 0.96, "i": 0.90, "z": 0.88}, {"g": 25.0, "r": 24.8, "i": 24.2, "z": 23.5}, _DES_BOXES, _GRZ,
    colour_term={**_DECAM, "i": ("r", "i", -0.08, 0.01)}, gaps=0.01,
)  # fmt: skip
HSC_DR2 = Layer(
    "hsc-dr2", "HSC", "DR2", ("g", "r", "i", "z", "y"), ("g", "r", "z"), 0.168,
    {"g": 0.76, "r": 0.72, "i": 0.58, "z": 0.66, "y": 0.68}, {"g": 26.6, "r": 26.2, "i": 26.0, "z": 25.3, "y": 24.5},
    ((29.0, 40.0, -7.0, 0.0), (128.0, 226.0, -2.5, 5.5), (236.0, 252.0, 42.0, 45.5)), {"g": (2, 14.6), "r": (1, 8.3), "z": (0, 5.4)},
    colour_term=_HSC, gaps=0.01, calibration=dict.fromkeys("grizy", 10**1.8),
)  # fmt: skip
SOUTH = Layer(
    "ls-dr9-south", "LegacySurvey", "DR9-south", ("g", "r", "z"), ("g", "r", "z"), 0.262,
    {"g": 1.29, "r": 1.18, "z": 1.11}, {"g": 24.8, "r": 24.3, "z": 23.4}, _SOUTH, _GRZ, colour_term=_DECAM,
)  # fmt: skip
NORTH = Layer(
    "ls-dr9-north", "LegacySurvey", "DR9-north", ("g", "r", "z"), ("g", "r", "z"), 0.262,
    {"g": 1.90, "r": 1.68, "z": 1.22}, {"g": 24.4, "r": 23.9, "z": 23.4}, _NORTH, _GRZ, colour_term=_BASS,
)  # fmt: skip
UNWISE = Layer(
    "unwise-neo7", "unWISE", "NEO7", ("1", "2"), ("1", "2"), 2.75,
    {"1": 6.1, "2": 6.6}, {"1": 20.7, "2": 20.1}, ((0.0, 360.0, -90.0, 90.0),), {"2": (0, 0.03), "1": (2, 0.03)}, 0.03, gaps=0.0,
    calibration={"1": 10 ** (0.4 * 2.699), "2": 10 ** (0.4 * 3.339)},
)  # fmt: skip
_OLD = {"south": ("ls-dr8-south", "DR8-south"), "north": ("ls-dr8-north", "DR8-north")}


def _renamed(layer: Layer, name: str, version: str) -> Layer:
    return Layer(**{**layer.__dict__, "name": name, "version": version, "shares": layer.name})


LAYERS: dict[str, Layer] = {
    layer.name: layer for layer in (SDSS, DES_DR1, HSC_DR2, SOUTH, NORTH, UNWISE, _renamed(SOUTH, *_OLD["south"]), _renamed(NORTH, *_OLD["north"]))
}
"""Layers with pixels of their own, by name."""

MERGED: dict[str, tuple[str, str]] = {"ls-dr9": ("ls-dr9-south", "ls-dr9-north"), "ls-dr8": ("ls-dr8-south", "ls-dr8-north")}
"""Merged layers: south of `NORTH_SOUTH` the first, from there on the second."""

ALIASES: dict[str, str] = {
    "sdss2": "sdss", "sdssco": "sdss", "hsc": "hsc-dr2", "hsc2": "hsc-dr2", "dr8": "ls-dr8", "dr8-south": "ls-dr8-south", "dr8-north": "ls-dr8-north",
    "dr9": "ls-dr9", "des": "des-dr1", "unwise-w1w2": "unwise-neo7",
}  # fmt: skip
"""Other names that the viewer takes (reference/archives.md, 4)."""


def layer_at(name: str, dec: float) -> Layer:
    """The layer that a name means at a declination (degrees).

    Raises
    ------
    KeyError
        If there is no such layer.
    """
    name = ALIASES.get(name, name)
    if name in MERGED:
        name = MERGED[name][dec >= NORTH_SOUTH]
    return LAYERS[name]


def known_layers() -> tuple[str, ...]:
    """Every name that `layer_at` understands."""
    return tuple(sorted({*LAYERS, *MERGED, *ALIASES}))
