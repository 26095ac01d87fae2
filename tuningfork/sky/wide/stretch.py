"""From fluxes to a colour picture, as the viewer makes its JPEGs: an arcsinh stretch of the mean of three planes, colours kept (Lupton et al. 2004)."""

from collections.abc import Mapping

import numpy as np

SOFTENING = 20.0
"""Q of the viewer's pictures (reference/archives.md, 4)."""


def colour_picture(image: np.ndarray, bands: tuple[str, ...], rgb: Mapping[str, tuple[int, float]], black: float) -> np.ndarray:
    """RGB picture, first row north.

    Parameters
    ----------
    image : ndarray, shape (bands, rows, columns)
        Nanomaggies per native pixel, first row south.
    bands : tuple of str
    rgb : mapping
        Band -> (plane 0 red .. 2 blue, scale); bands not in it are left out. Planes without a band get the mean of the others.
    black : float
        Added to the scaled fluxes (``m``), so that noise below zero is seen.

    Returns
    -------
    ndarray, uint8, shape (rows, columns, 3)
    """
    planes = np.zeros((3, *image.shape[1:]), dtype=np.float32)
    filled = np.zeros(3, dtype=bool)
    for values, band in zip(image, bands, strict=True):
        if band in rgb:
            plane, scale = rgb[band]
            planes[plane] = np.maximum(0, values * np.float32(scale) + np.float32(black))
            filled[plane] = True
    if not filled.any():
        planes[:], filled[:] = np.maximum(0, image.mean(axis=0) + black), True
    planes[~filled] = planes[filled].mean(axis=0)
    intensity = planes.mean(axis=0)
    stretched = np.arcsinh(np.float32(SOFTENING) * intensity) / np.float32(np.sqrt(SOFTENING))
    planes *= stretched / np.maximum(intensity, np.float32(1e-6))
    return (np.clip(planes, 0, 1) * 255.99).astype(np.uint8).transpose(1, 2, 0)[::-1].copy()
