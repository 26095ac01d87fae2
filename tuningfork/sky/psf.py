"""Point-spread functions: a 2.4-m telescope with a central obscuration and four struts, widened to each filter's measured FWHM."""

import functools

import galsim
import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.optimize import brentq

from tuningfork.sky.bands import Band

PRE_FWHM = 0.05
"""Arcsec: the little Gaussian that everything is drawn with, so that cusps are sampled; the PSF kernel leaves it out, as it does the pixel."""

_FINE = 4
_CORE = 12


@functools.cache
def kernel(band: Band, scale: float, size: int = 151) -> np.ndarray:
    """The PSF on pixels of `scale` arcsec, without pixel response and without `PRE_FWHM`, of sum 1, shape (size, size), read-only.

    The blur over pure diffraction is chosen so that a star, drawn and convolved with the kernel, has the band's FWHM.
    """
    angle = 40 * galsim.degrees
    optics = galsim.OpticalPSF(
        lam=band.pivot / 10, diam=2.4, obscuration=0.33, nstruts=4, strut_thick=0.022, strut_angle=angle, gsparams=galsim.GSParams(maximum_fft_size=8192)
    )
    fine = np.maximum(optics.drawImage(nx=_FINE * size, ny=_FINE * size, scale=scale / _FINE, method="no_pixel", dtype=float, offset=(0.5, 0.5)).array, 0)
    middle, reach = _FINE * size // 2, _FINE * _CORE
    core = fine[middle - reach : middle + reach + 1, middle - reach : middle + reach + 1]

    def excess(blur: float) -> float:
        return _star_fwhm(gaussian_filter(core, blur)[::_FINE, ::_FINE], scale) - band.fwhm

    low, high = 0.3, 12.0
    blur = low if excess(low) > 0 else brentq(excess, low, high, xtol=0.01)
    offset = middle % _FINE
    image = gaussian_filter(fine, blur)[offset::_FINE, offset::_FINE][:size, :size]
    image = (image / image.sum()).astype(np.float32)
    image.flags.writeable = False
    return image


def _star_fwhm(taps: np.ndarray, scale: float) -> float:
    """FWHM in arcsec along x of the profile that a star has after `taps`, each blurred by the pixel and `PRE_FWHM`."""
    width = np.sqrt(scale**2 / 12 + (PRE_FWHM / 2.355) ** 2) / scale
    half = len(taps) // 2
    line, column = np.mgrid[-half : half + 1, -half : half + 1]
    where = np.arange(0, 5, 0.02)
    profile = np.einsum("ij,kij->k", taps, np.exp(-0.5 * ((where[:, None, None] - column) ** 2 + line**2) / width**2))
    return float(2 * scale * np.interp(-0.5 * profile[0], -profile, where))
