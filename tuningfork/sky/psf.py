"""Point-spread functions: a 2.4-m telescope with a central obscuration and four struts, widened to each filter's measured FWHM."""

import functools

import galsim
import numpy as np

from tuningfork.sky.bands import Band

PRE_FWHM = 0.05
"""Arcsec: the little Gaussian that Sersic profiles are drawn with, so that cusps are sampled; the PSF kernel leaves it out."""

_RADIAN_ARCSEC = 206264.8


@functools.cache
def kernel(band: Band, scale: float, size: int = 151) -> np.ndarray:
    """The PSF on pixels of `scale` arcsec, without pixel response and without `PRE_FWHM`, of sum 1, shape (size, size), read-only."""
    optics = galsim.OpticalPSF(
        lam=band.pivot / 10, diam=2.4, obscuration=0.33, nstruts=4, strut_thick=0.022, strut_angle=40 * galsim.degrees, gsparams=galsim.GSParams(maximum_fft_size=8192)
    )
    diffraction = 1.02 * band.pivot * 1e-10 / 2.4 * _RADIAN_ARCSEC
    width = band.fwhm**2 - diffraction**2 - (0.83 * scale) ** 2 - PRE_FWHM**2
    profile = galsim.Convolve(optics, galsim.Gaussian(fwhm=np.sqrt(max(width, 0.02**2))))
    image = profile.drawImage(nx=size, ny=size, scale=scale, method="no_pixel", dtype=float).array
    image = np.maximum(image, 0)
    image = (image / image.sum()).astype(np.float32)
    image.flags.writeable = False
    return image
