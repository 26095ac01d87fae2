"""Colours: how bright a stellar population is in each band, for its redshift, its share of young stars and its dust.

Two spectra of galaxies (old and young) and one of a star, as magnitudes against rest wavelength; no stellar library, but with the breaks that make a
galaxy look different from filter to filter: 4000 Angstrom, the ultraviolet light that red galaxies lack, the Lyman limit (drop-outs).
"""

import numpy as np

from tuningfork.sky.bands import BANDS

_WAVELENGTH = np.log10([400.0, 880.0, 930.0, 1216.0, 2000.0, 2800.0, 3500.0, 3900.0, 4100.0, 5000.0, 6500.0, 9000.0, 12000.0, 16000.0, 25000.0])
_OLD = np.array([18.0, 16.0, 12.0, 8.0, 5.7, 4.6, 3.3, 2.8, 1.9, 1.15, 0.60, 0.18, -0.08, -0.25, -0.15])
_YOUNG = np.array([12.0, 10.0, 2.2, 1.0, 0.75, 0.65, 0.55, 0.45, 0.30, 0.18, 0.10, 0.02, 0.0, 0.0, 0.25])
_STAR = np.array([14.0, 13.0, 12.0, 9.0, 7.5, 5.8, 4.2, 3.6, 3.4, 2.4, 1.5, 0.42, 0.12, 0.0, 0.1])


def relative_flux(bands: tuple[str, ...], redshift: np.ndarray, young: np.ndarray, dust: np.ndarray) -> np.ndarray:
    """Flux density in each band over that in F160W.

    Parameters
    ----------
    bands : tuple of str
        Filter names.
    redshift, young, dust : ndarray, shape (n,)
        Redshift, share of the F160W light that comes from young stars (0 to 1), and A_V in mag (a power law of slope -0.7).

    Returns
    -------
    ndarray, shape (n, bands)
    """
    pivot = np.array([BANDS[band].pivot for band in bands])
    rest = np.log10(pivot[None, :] / (1 + redshift[:, None]))
    reference = np.log10(BANDS["f160w"].pivot / (1 + redshift))[:, None]
    old = np.interp(rest, _WAVELENGTH, _OLD) - np.interp(reference, _WAVELENGTH, _OLD)
    new = np.interp(rest, _WAVELENGTH, _YOUNG) - np.interp(reference, _WAVELENGTH, _YOUNG)
    share = young[:, None]
    light = (1 - share) * 10 ** (-0.4 * old) + share * 10 ** (-0.4 * new)
    extinction = dust[:, None] * ((10**rest / 5500) ** -0.7 - (10**reference / 5500) ** -0.7)
    return light * 10 ** (-0.4 * np.clip(extinction, -2, 6))


def star_flux(bands: tuple[str, ...], redness: np.ndarray) -> np.ndarray:
    """Flux density of stars in each band over that in F160W; `redness` stretches the colour (0 is flat, 1 an early M dwarf), shape (n, bands)."""
    pivot = np.log10([BANDS[band].pivot for band in bands])
    magnitude = np.interp(pivot, _WAVELENGTH, _STAR) - np.interp(np.log10(BANDS["f160w"].pivot), _WAVELENGTH, _STAR)
    return 10 ** (-0.4 * redness[:, None] * magnitude[None, :])
