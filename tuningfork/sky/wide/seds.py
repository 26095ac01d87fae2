"""Colours: what a stellar population of some age, metallicity, redshift and dust sends through the eight bands; and stars.

Colours at redshift 0 are those of observed galaxy types (red ellipticals to blue irregulars, Fukugita et al. 1995, and the WISE colours of such types), the
changes with redshift linear fits good to z = 0.25, rounded.
"""

import numpy as np

from tuningfork.sky.wide.surveys import ALL_BANDS

_R = ALL_BANDS.index("r")

_OLD = np.array([2.45, 0.72, 0.0, -0.38, -0.66, -0.78, -0.42, 0.20])
_YOUNG = np.array([0.92, 0.20, 0.0, -0.06, -0.03, 0.0, 0.95, 1.40])
_NEBULA = np.array([0.75, 0.02, 0.0, 0.30, 0.42, 0.50, 1.60, 1.90])
"""Magnitude minus that in r, AB, in the order of `ALL_BANDS`."""

_OLD_SLOPE = np.array([2.2, 1.8, 0.0, -0.5, -1.0, -1.3, -2.2, -2.4])
_YOUNG_SLOPE = np.array([0.8, 0.7, 0.0, -0.3, -0.4, -0.5, -1.4, -1.8])
"""Change of those with redshift."""

_DUST = np.array([1.80, 1.39, 1.0, 0.74, 0.56, 0.48, 0.065, 0.04])
"""Extinction relative to that in r (Cardelli et al. 1989, R_V = 3.1)."""

_METALS = np.array([1.10, 0.55, 0.0, -0.18, -0.30, -0.36, -0.45, -0.50])
"""Change of the colours of all stars per dex of metallicity."""


def population(redshift: np.ndarray, young: np.ndarray, metals: np.ndarray | float = 0.0, nebula: np.ndarray | float = 0.0) -> np.ndarray:
    """Flux in every band relative to r, dust-free, shape (n, 8).

    Parameters
    ----------
    redshift : ndarray, shape (n,)
    young, nebula : ndarray
        Fractions of the r-band light from young stars and, of those, from glowing gas (0 to 1).
    metals : ndarray
        Logarithmic metallicity relative to a typical massive galaxy (dex).
    """
    redshift, young, metals, nebula = (np.asarray(values, dtype=float)[..., None] for values in np.broadcast_arrays(redshift, young, metals, nebula))
    z = np.clip(redshift, 0, 0.5)
    old = 10 ** (-0.4 * (_OLD + _OLD_SLOPE * z + _METALS * metals))
    fresh = 10 ** (-0.4 * (_YOUNG + _YOUNG_SLOPE * z + 0.7 * _METALS * metals))
    gas = 10 ** (-0.4 * (_NEBULA + _YOUNG_SLOPE * z))
    return (1 - young) * old + young * ((1 - nebula) * fresh + nebula * gas)


def dusty(relative: np.ndarray, extinction: np.ndarray | float) -> np.ndarray:
    """`relative` fluxes reddened by `extinction` magnitudes in r, scaled so that r stays what it was."""
    return relative * 10 ** (-0.4 * np.asarray(extinction)[..., None] * (_DUST - 1))


def stars(redness: np.ndarray) -> np.ndarray:
    """Flux in every band relative to r of stars with g - r = `redness`, shape (n, 8): the stellar locus (Covey et al. 2007), a broken line."""
    knots = np.array([-0.2, 0.3, 0.6, 1.0, 1.4, 1.6])
    colours: dict[str, list[float]] = {
        "u": [0.7, 1.35, 2.0, 2.9, 3.9, 4.2],
        "g": knots.tolist(),
        "i": [0.15, -0.08, -0.2, -0.38, -0.9, -1.8],
        "z": [0.3, -0.08, -0.26, -0.55, -1.4, -2.8],
        "y": [0.4, -0.06, -0.28, -0.64, -1.6, -3.2],
        "1": [1.9, 1.1, 0.7, 0.1, -1.0, -2.6],
        "2": [2.5, 1.7, 1.3, 0.7, -0.5, -2.2],
    }
    magnitude = np.zeros((len(redness), len(ALL_BANDS)))
    for band, values in colours.items():
        magnitude[:, ALL_BANDS.index(band)] = np.interp(redness, knots, values)
    return 10 ** (-0.4 * magnitude)


def nanomaggies(magnitude: np.ndarray) -> np.ndarray:
    """Flux of AB magnitudes (zero point 22.5)."""
    return 10 ** (-0.4 * (np.asarray(magnitude) - 22.5))


def magnitudes(flux: np.ndarray) -> np.ndarray:
    """AB magnitude of fluxes in nanomaggies; NaN where the flux is not positive."""
    flux = np.asarray(flux, dtype=float)
    return np.where(flux > 0, 22.5 - 2.5 * np.log10(np.where(flux > 0, flux, 1.0)), np.nan)
