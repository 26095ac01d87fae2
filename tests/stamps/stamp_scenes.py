"""Small mosaics and galaxies for the tests of stamps."""

from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

SCALE = 0.065


def wcs_of(size: int, scale: float = SCALE, rotation_deg: float = 0.0) -> WCS:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], [322.36, -7.69], [size / 2, size / 2]
    angle = np.radians(rotation_deg)
    wcs.wcs.cd = scale / 3600 * np.array([[-1, 0], [0, 1]]) @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return wcs


def write_mosaic(path: Path, image: np.ndarray, *, scale: float = SCALE, rotation_deg: float = 0.0, **cards: object) -> Path:
    header = wcs_of(image.shape[0], scale, rotation_deg).to_header()
    header.update({"ABMAGZP": 23.9} | cards)  # 23.9: one unit is one microjansky
    fits.PrimaryHDU(image, header).writeto(path, overwrite=True)
    return path


def sersic(size: int, x: float, y: float, re: float, n: float, b_n: float, ratio: float = 1.0, angle: float = 0.0) -> np.ndarray:
    """A Sersic model integrated over pixels: Gauss-Legendre 5 x 5 everywhere, 41 x 41 points in the core; total flux 1 on the grid."""
    c, s = np.cos(angle), np.sin(angle)

    def profile(dx: np.ndarray, dy: np.ndarray) -> np.ndarray:
        return np.exp(-b_n * ((np.hypot(dx * c + dy * s, (dy * c - dx * s) / ratio) / re) ** (1 / n) - 1))

    grid_y, grid_x = np.mgrid[:size, :size]
    nodes, weights = np.polynomial.legendre.leggauss(5)
    image = (
        sum(
            wa * wb * profile(grid_x + a / 2 - x, grid_y + d / 2 - y)
            for a, wa in zip(nodes, weights, strict=True)
            for d, wb in zip(nodes, weights, strict=True)
        )
        / 4
    )
    fine = (np.arange(41) + 0.5) / 41 - 0.5
    for row in range(round(y) - 5, round(y) + 6):
        for column in range(round(x) - 5, round(x) + 6):
            image[row, column] = profile(column + fine[None] - x, row + fine[:, None] - y).mean()
    return image / image.sum()
